import Glibc

/// A TCP connection to a port of 127.0.0.1 that sends nothing.
public final class SilentConnection: Sendable {
    private let descriptor: CInt

    /// Connects from an address of this host; each of 127.0.0.0/8 is one.
    public init(port: Int, from source: String = "127.0.0.1") {
        descriptor = socket(AF_INET, CInt(SOCK_STREAM.rawValue) | CInt(SOCK_CLOEXEC.rawValue), 0)
        let size = socklen_t(MemoryLayout<sockaddr_in>.size)
        func with(_ host: String, _ port: Int, _ call: (UnsafePointer<sockaddr>) -> CInt) {
            var address = sockaddr_in()
            address.sin_family = sa_family_t(AF_INET)
            address.sin_port = UInt16(port).bigEndian
            inet_pton(AF_INET, host, &address.sin_addr)
            withUnsafePointer(to: &address) {
                $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { _ = call($0) }
            }
        }
        with(source, 0) { bind(descriptor, $0, size) }
        with("127.0.0.1", port) { connect(descriptor, $0, size) }
        _ = fcntl(descriptor, F_SETFL, O_NONBLOCK)
    }

    deinit { close(descriptor) }

    /// Whether the server has closed the connection.
    public var hasEnded: Bool {
        var byte: UInt8 = 0
        let count = recv(descriptor, &byte, 1, 0)
        return count == 0 || count < 0 && errno == ECONNRESET
    }

    /// Waits until the server closes the connection.
    public func waitForEnd() async throws {
        try await poll {
            hasEnded
        } until: {
            $0
        }
    }
}
