import Glibc
import MeshModel
import MeshTelemetry
import Synchronization

/// What receivers handed on.
final class ReceivedBoard: Sendable {
    private let received = Mutex<[ReceivedSpans]>([])

    var all: [ReceivedSpans] { received.withLock { $0 } }
    var spans: [Span] { all.flatMap(\.spans) }

    @Sendable func take(_ spans: ReceivedSpans) { received.withLock { $0.append(spans) } }
}

/// A port of 127.0.0.1 that was free a moment ago.
func freeEndpoint(_ type: __socket_type = SOCK_STREAM) throws -> TelemetryEndpoint {
    let socket = try LoopbackSocket(type, port: 0)
    guard let port = Port(Int(socket.port)) else { throw LoopbackSocket.Failed() }
    return TelemetryEndpoint(host: "127.0.0.1", port: port)
}

/// A socket of 127.0.0.1, closed with this object.
final class LoopbackSocket: Sendable {
    struct Failed: Error {}

    private let descriptor: CInt

    /// Takes `port`, or any if that is 0.
    init(_ type: __socket_type, port: UInt16) throws {
        descriptor = socket(AF_INET, CInt(type.rawValue), 0)
        var address = LoopbackSocket.address(port)
        let size = socklen_t(MemoryLayout<sockaddr_in>.size)
        let result = withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { bind(descriptor, $0, size) }
        }
        guard result == 0 else { throw Failed() }
    }

    deinit { close(descriptor) }

    /// Leaves the port to others.
    func free() {
        // Another socket in its place, so that the number of the descriptor stays this object's.
        let other = socket(AF_INET, CInt(SOCK_DGRAM.rawValue), 0)
        dup2(other, descriptor)
        close(other)
    }

    var port: UInt16 {
        var address = sockaddr_in()
        var size = socklen_t(MemoryLayout<sockaddr_in>.size)
        return withUnsafeMutablePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                _ = getsockname(descriptor, $0, &size)
            }
            return UInt16(bigEndian: $0.pointee.sin_port)
        }
    }

    /// Sends a datagram to `port`.
    func send(_ datagram: [UInt8], to port: Port) {
        var address = LoopbackSocket.address(port.number)
        let size = socklen_t(MemoryLayout<sockaddr_in>.size)
        _ = withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                sendto(descriptor, datagram, datagram.count, 0, $0, size)
            }
        }
    }

    private static func address(_ port: UInt16) -> sockaddr_in {
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = port.bigEndian
        address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
        return address
    }
}
