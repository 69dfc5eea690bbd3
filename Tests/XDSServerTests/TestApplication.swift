import Glibc
import Synchronization

/// An application within the test: `/ping` is answered as it is told to, all else with its name.
final class TestApplication: Sendable {
    /// What it was asked so far.
    struct Tally {
        /// Checks that came directly.
        var probes = 0
        /// Checks that came through a proxy.
        var relayedProbes = 0
    }

    private struct State {
        var pingStatus = 200
        var tally = Tally()
    }

    let name: String
    let port: UInt16
    private let listener: CInt
    private let state = Mutex(State())

    init(_ name: String) {
        self.name = name
        listener = socket(AF_INET, CInt(SOCK_STREAM.rawValue), 0)
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = inet_addr("127.0.0.1")
        var size = socklen_t(MemoryLayout<sockaddr_in>.size)
        let listener = listener
        withUnsafeMutablePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                _ = bind(listener, $0, size)
                getsockname(listener, $0, &size)
            }
        }
        listen(listener, 128)
        port = UInt16(bigEndian: address.sin_port)
        detachThread { [weak self] in
            while true {
                let connection = accept(listener, nil, nil)
                guard connection >= 0, let application = self else { break }
                detachThread { application.serve(connection) }
            }
            close(listener)
        }
    }

    deinit { shutdown(listener, CInt(SHUT_RDWR)) }

    var tally: Tally { state.withLock(\.tally) }

    /// Has `/ping` answered with `status` from now on.
    func answerPing(with status: Int) { state.withLock { $0.pingStatus = status } }

    private func serve(_ connection: CInt) {
        var buffer = [UInt8](repeating: 0, count: 4096)
        var request = ""
        while true {
            let count = recv(connection, &buffer, buffer.count, 0)
            guard count > 0 else { break }
            request += String(decoding: buffer[..<count], as: UTF8.self)
            guard request.hasSuffix("\r\n\r\n") else { continue }
            let (status, body) = answer(request)
            request = ""
            let response = Array(
                "HTTP/1.1 \(status) -\r\ncontent-length: \(body.utf8.count)\r\n\r\n\(body)".utf8
            )
            send(connection, response, response.count, CInt(MSG_NOSIGNAL))
        }
        close(connection)
    }

    private func answer(_ request: String) -> (Int, String) {
        guard request.hasPrefix("GET /ping ") else { return (200, name) }
        return state.withLock { state in
            // Proxies add this header to what they relay.
            if request.contains("\r\nx-forwarded-proto:") {
                state.tally.relayedProbes += 1
            } else {
                state.tally.probes += 1
            }
            return (state.pingStatus, "")
        }
    }
}

/// Runs `body` on a thread of its own: blocked, it would keep one of the few that tasks share.
private func detachThread(_ body: @escaping @Sendable () -> Void) {
    final class Start {
        let body: @Sendable () -> Void
        init(_ body: @escaping @Sendable () -> Void) { self.body = body }
    }
    var thread = pthread_t()
    pthread_create(
        &thread,
        nil,
        { argument in
            argument.map { Unmanaged<Start>.fromOpaque($0).takeRetainedValue().body() }
            return nil
        },
        Unmanaged.passRetained(Start(body)).toOpaque()
    )
    pthread_detach(thread)
}
