internal import Logging
internal import Synchronization

/// What could not be written: each reason is told once, and that it is over.
final class StorageWarnings: Sendable {
    private struct Failure {
        var reason: String
        var next: ContinuousClock.Instant
    }

    /// The time between two attempts after a failure.
    static let retryInterval = Duration.seconds(5)

    private let failures = Mutex<[String: Failure]>([:])

    /// Writes `subject` by `write`, unless that failed a moment ago.
    ///
    /// - Parameters:
    ///   - subject: What is written, for the log.
    ///   - now: The time.
    ///   - logger: Where to warn.
    ///   - write: Writes it.
    /// - Returns: whether it is written.
    func attempt(
        _ subject: String,
        at now: ContinuousClock.Instant,
        _ logger: Logger,
        write: () throws -> Void
    ) -> Bool {
        let before = failures.withLock { $0[subject] }
        if let before, now < before.next { return false }
        do {
            try write()
        } catch {
            let reason = "\(error)"
            failures.withLock {
                $0[subject] = Failure(reason: reason, next: now + StorageWarnings.retryInterval)
            }
            if before?.reason != reason {
                logger.warning("not saved", metadata: ["what": "\(subject)", "error": "\(reason)"])
            }
            return false
        }
        guard before != nil else { return true }
        failures.withLock { $0[subject] = nil }
        logger.notice("saved again", metadata: ["what": "\(subject)"])
        return true
    }
}
