internal import FoundationEssentials
public import Logging
public import ServiceLifecycle
internal import Synchronization

/// Has one of several replicas lead, by a Lease.
///
/// Guarantee: of two that run, whatever pauses they suffer, `leadershipEnd` of at most one lies ahead,
/// as far as their clocks run at one speed and nobody else deletes the Lease while a replica starts.
public final class LeaderElection: Service, Sendable {
    /// Where an election has its time from.
    struct Time: Sendable {
        var now: @Sendable () -> ContinuousClock.Instant = { .now }
        var date: @Sendable () -> Date = { Date() }
        var sleep: @Sendable (ContinuousClock.Instant) async throws -> Void = {
            try await Task.sleep(until: $0, clock: .continuous)
        }
    }

    private struct State {
        var end: ContinuousClock.Instant?
        var isLeading = false
        /// Whether the last request failed, and that was logged.
        var isTroubled = false
    }

    private let client: KubernetesClient
    private let key: ObjectKey
    private let retryPeriod: Duration
    private let claim: LeaseClaim
    private let time: Time
    private let logger: Logger
    private let state = Mutex(State())
    private let continuation: AsyncStream<Bool>.Continuation

    /// Whether this replica leads, whenever that changes; for one reader.
    ///
    /// A reader that is late sees only how it is now.
    public let changes: AsyncStream<Bool>

    /// Makes an election by the Lease `key`, in which this replica is `identity`.
    ///
    /// - Parameters:
    ///   - client: Asks the API.
    ///   - key: The Lease; it is made if it is not there.
    ///   - identity: This replica, and no other that ever ran.
    ///   - duration: For how long the Lease holds once renewed.
    ///   - renewDeadline: After how long without a renewal this replica leads no more; shorter.
    ///   - retryPeriod: The time between attempts.
    ///   - logger: Where each change is logged.
    public convenience init(
        client: KubernetesClient,
        key: ObjectKey,
        identity: String,
        duration: Duration = .seconds(15),
        renewDeadline: Duration = .seconds(10),
        retryPeriod: Duration = .seconds(2),
        logger: Logger
    ) {
        self.init(
            client: client,
            claim: LeaseClaim(
                key: key,
                identity: identity,
                duration: duration,
                renewDeadline: renewDeadline,
                retryPeriod: retryPeriod
            ),
            time: Time(),
            logger: logger
        )
    }

    /// Makes an election whose time comes from `time`.
    init(client: KubernetesClient, claim: LeaseClaim, time: Time, logger: Logger) {
        precondition(
            claim.renewDeadline < claim.duration && claim.retryPeriod < claim.renewDeadline,
            "a leader has to try again before its time is over, and to end before others begin"
        )
        self.client = client
        self.claim = claim
        self.time = time
        key = claim.key
        retryPeriod = claim.retryPeriod
        var logger = logger
        logger[metadataKey: "lease"] = "\(key)"
        logger[metadataKey: "identity"] = "\(claim.identity)"
        self.logger = logger
        (changes, continuation) = AsyncStream.makeStream(bufferingPolicy: .bufferingNewest(1))
    }

    /// Until when this replica leads unless the Lease is renewed before; nil when it does not lead.
    ///
    /// Whoever writes as leader asks before each write, and gives up a write at that instant.
    public var leadershipEnd: ContinuousClock.Instant? {
        let now = time.now()
        return state.withLock { $0.end.flatMap { $0 > now ? $0 : nil } }
    }

    /// Runs until shutdown or cancellation.
    ///
    /// On graceful shutdown it gives the Lease back, so that another replica leads at once: services
    /// that write as leader have to end before, which they do when they start after it. After a
    /// cancellation the Lease runs out.
    public func run() async throws {
        defer { continuation.finish() }
        var claim = await cancelWhenGracefulShutdown { await self.campaign() }
        let hasLed = claim.leadershipEnd(at: time.now()) != nil
        claim.resign()
        publish(claim)
        if hasLed, !Task.isCancelled { await giveBack(&claim) }
    }

    private func campaign() async -> LeaseClaim {
        var claim = claim
        while !Task.isCancelled {
            publish(claim)
            switch claim.step(at: time.now(), time.date()) {
            case .wait(let instant):
                // A leader has to be in time; others better come one after the other.
                let isLeading = claim.leadershipEnd(at: time.now()) != nil
                let spread = isLeading ? .zero : retryPeriod * Double.random(in: 0...0.2)
                try? await time.sleep(instant + spread)
            case .read: await read(&claim)
            case .create(let lease):
                await write(&claim) { [client, key] deadline in
                    try await client.create(
                        lease,
                        .leases,
                        namespace: key.namespace,
                        deadline: deadline
                    )
                }
            case .replace(let lease):
                await write(&claim) { [client, key] deadline in
                    try await client.replace(lease, .leases, key, deadline: deadline)
                }
            }
        }
        return claim
    }

    private func giveBack(_ claim: inout LeaseClaim) async {
        // The last renewal may have been broken off.
        if claim.release(time.date()) == nil { await read(&claim) }
        guard let lease = claim.release(time.date()) else { return }
        do {
            let deadline = time.now() + retryPeriod
            _ = try await client.replace(lease, .leases, key, deadline: deadline)
            logger.info("the Lease was given back")
        } catch {
            logger.warning("the Lease was not given back", metadata: ["problem": "\(error)"])
        }
    }

    // MARK: Requests

    private func read(_ claim: inout LeaseClaim) async {
        do {
            let deadline = claim.requestEnd(at: time.now())
            let lease = try await client.get(Lease.self, .leases, key, deadline: deadline)
            claim.found(lease, at: time.now())
            succeeded()
        } catch let error as KubernetesError where error.isNotFound {
            claim.found(nil, at: time.now())
        } catch {
            claim.readFailed(at: time.now())
            failed(error)
        }
    }

    private func write(
        _ claim: inout LeaseClaim,
        _ request: (_ deadline: ContinuousClock.Instant) async throws -> Lease
    ) async {
        let sent = time.now()
        do {
            let lease = try await request(claim.requestEnd(at: sent))
            claim.wrote(lease, sent: sent, at: time.now())
            succeeded()
        } catch let error as KubernetesError where error.isConflict {
            claim.writeFailed(.conflict, at: time.now())
        } catch let error as KubernetesError where error.isNotFound {
            claim.writeFailed(.missing, at: time.now())
            // Of the namespace, when a Lease was to be made.
            logger.debug("no such Lease", metadata: ["problem": "\(error)"])
        } catch {
            claim.writeFailed(.unknown, at: time.now())
            failed(error)
        }
    }

    // MARK: Telling

    private func publish(_ claim: LeaseClaim) {
        let end = claim.leadershipEnd(at: time.now())
        let isChanged = state.withLock { state in
            state.end = end
            defer { state.isLeading = end != nil }
            return state.isLeading != (end != nil)
        }
        guard isChanged else { return }
        logger.info(end == nil ? "this replica leads no more" : "this replica leads")
        continuation.yield(end != nil)
    }

    private func succeeded() { state.withLock { $0.isTroubled = false } }

    private func failed(_ error: any Error) {
        guard !Task.isCancelled else { return }
        let isFirst = state.withLock { state in
            defer { state.isTroubled = true }
            return !state.isTroubled
        }
        guard isFirst else { return }
        logger.warning(
            "the Lease can be neither read nor renewed; nobody leads by it meanwhile",
            metadata: ["problem": "\(error)"]
        )
    }
}
