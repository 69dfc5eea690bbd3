import Glibc
import Synchronization

/// A system call that failed.
struct SystemCallError: Error, CustomStringConvertible {
    let call: String
    let code: Int32

    var description: String { "\(call): \(String(cString: strerror(code)))" }
}

/// Wakes a thread that waits, and tells it to stop.
final class StopSignal: Sendable {
    private let readEnd: Int32
    private let writeEnd: Int32
    private let sent = Atomic(false)

    init() throws(SystemCallError) {
        var ends: [Int32] = [-1, -1]
        // Not a pipe: only sockets can be made so that no child process inherits them.
        let type = SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue | SOCK_NONBLOCK.rawValue
        guard socketpair(AF_UNIX, Int32(type), 0, &ends) == 0 else {
            throw SystemCallError(call: "socketpair", code: errno)
        }
        (readEnd, writeEnd) = (ends[0], ends[1])
    }

    deinit {
        close(readEnd)
        close(writeEnd)
    }

    /// Whether the signal was sent.
    var isSent: Bool { sent.load(ordering: .acquiring) }

    /// Sends the signal; it stays sent.
    func send() {
        sent.store(true, ordering: .releasing)
        var byte: UInt8 = 1
        _ = write(writeEnd, &byte, 1)
    }

    /// Waits until `descriptor`, if it is one, can be read or the signal is sent.
    ///
    /// - Returns: false when neither happened for `timeout`.
    func wait(for descriptor: Int32, upTo timeout: Duration?) -> Bool {
        var waiting = [
            pollfd(fd: readEnd, events: Int16(POLLIN), revents: 0),
            // poll passes over negative numbers.
            pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0),
        ]
        return poll(&waiting, 2, timeout.map(milliseconds) ?? -1) != 0
    }
}

/// Whole milliseconds, rounded up so that a wait is never short of its time.
private func milliseconds(_ duration: Duration) -> Int32 {
    let (seconds, attoseconds) = duration.components
    return Int32(seconds * 1000 + (attoseconds + 999_999_999_999_999) / 1_000_000_000_000_000)
}

/// Runs `body`, which blocks, on a thread of its own.
func onOwnThread(_ body: @escaping @Sendable () -> Void) async throws {
    try await withCheckedThrowingContinuation { continuation in
        let work = Work {
            body()
            continuation.resume()
        }
        var thread = pthread_t()
        let retained = Unmanaged.passRetained(work)
        let code = pthread_create(&thread, nil, runWork, retained.toOpaque())
        guard code == 0 else {
            retained.release()
            continuation.resume(throwing: SystemCallError(call: "pthread_create", code: code))
            return
        }
        pthread_detach(thread)
    }
}

private final class Work: Sendable {
    let body: @Sendable () -> Void
    init(_ body: @escaping @Sendable () -> Void) { self.body = body }
}

private func runWork(_ work: UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer? {
    guard let work else { return nil }
    Unmanaged<Work>.fromOpaque(work).takeRetainedValue().body()
    return nil
}
