import Glibc
import Synchronization

/// What the Envoys of one proxy share while one takes over from the other.
enum HotRestart {
    /// Envoy's processes of one base id have these numbers in the names of what they share.
    private static let numbersPerBase = 10
    /// Envoy's own limit of processes that share.
    private static let processes = 3

    /// A base id that nobody else has, small enough for all that Envoy makes of it.
    static func newBaseID(using generator: inout some RandomNumberGenerator) -> Int {
        Int.random(in: 1...Int(Int32.max) / numbersPerBase - 1, using: &generator)
    }

    /// The name of the abstract socket at which the Envoy of `epoch` speaks in a role.
    ///
    /// As `parent` with its successor, as `child` with its predecessor. Envoy computes in 32 bits and
    /// prints 64; it chooses base ids for which that matters.
    static func socketName(_ role: String, baseID: Int, epoch: Int) -> String {
        let first = Int32(truncatingIfNeeded: baseID * numbersPerBase)
        let number = UInt64(bitPattern: Int64(first)) &+ UInt64(epoch % processes)
        return "envoy_domain_socket_\(role)_\(number)"
    }

    static func memoryPath(_ baseID: Int) -> String {
        "/dev/shm/envoy_shared_memory_\(UInt32(truncatingIfNeeded: baseID * numbersPerBase))"
    }

    /// Deletes the shared memory of Envoys that have ended.
    static func forget(baseID: Int) { unlink(memoryPath(baseID)) }

    /// Forgets that a successor loaded its configuration, as it has ended without having done so.
    ///
    /// Envoy refuses to start beside one that loads, and does not notice the end of it.
    static func forgetLoading(baseID: Int) {
        // Size and version, two locks, then flags of which the first is "somebody loads".
        let size = 104
        let flagsOffset: off_t = 96
        guard let file = try? Descriptor.open(memoryPath(baseID), O_RDWR), file.status.size == size,
            file.read(at: 0, count: 8) == [UInt8(size), 0, 0, 0, 0, 0, 0, 0]
        else { return }
        let flags: UInt64 = 0
        _ = withUnsafeBytes(of: flags) { pwrite(file.number, $0.baseAddress, 8, flagsOffset) }
    }
}

/// Answers an Envoy in place of the one that it took over from, after that one's sudden end.
///
/// An Envoy whose predecessor is gone asks it for statistics all the same, waits, and after ten
/// failures aborts. This one has nothing to give: no sockets, no statistics.
final class ParentStandIn: Sendable {
    private let socket: Descriptor
    private let watcher: DescriptorWatcher
    private let token = Mutex<DescriptorWatcher.Token?>(nil)

    /// Answers for the Envoy of `epoch`; nil when somebody else does.
    init?(baseID: Int, epoch: Int, _ watcher: DescriptorWatcher) {
        let type = SOCK_DGRAM.rawValue | SOCK_CLOEXEC.rawValue | SOCK_NONBLOCK.rawValue
        socket = Descriptor(Glibc.socket(AF_UNIX, Int32(type), 0))
        self.watcher = watcher
        let name = HotRestart.socketName("parent", baseID: baseID, epoch: epoch)
        guard socket.number >= 0, Self.withAddress(name, { bind(socket.number, $0, $1) }) == 0
        else {
            return nil
        }
        // It may have asked, and got no answer.
        let child = HotRestart.socketName("child", baseID: baseID, epoch: epoch + 1)
        _ = Self.withAddress(child) { address, size in
            Self.noStatistics.withUnsafeBytes {
                sendto(socket.number, $0.baseAddress, $0.count, 0, address, size)
            }
        }
        token.withLock { token in
            token = watcher.watch(socket) { [self] _ in answer() }
        }
    }

    /// Answers no more.
    func stop() {
        token.withLock { token in
            if let token { watcher.unwatch(token) }
            token = nil
        }
    }

    private func answer() {
        var bytes = [UInt8](repeating: 0, count: 4096)
        var sender = sockaddr_un()
        var size = socklen_t(MemoryLayout<sockaddr_un>.size)
        let count = withUnsafeMutablePointer(to: &sender) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { address in
                recvfrom(socket.number, &bytes, bytes.count, 0, address, &size)
            }
        }
        guard count > 10 else { return }
        if Self.isFarewell(Array(bytes.prefix(count))) { return stop() }
        guard let reply = Self.reply(to: Array(bytes.prefix(count))) else { return }
        _ = withUnsafePointer(to: &sender) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { address in
                sendto(socket.number, reply, reply.count, 0, address, size)
            }
        }
    }

    /// The answer to a message, of which Envoy's `hot_restart.proto` tells; nil when it expects none.
    ///
    /// A message is its length in eight bytes and a `HotRestartMessage`: field 1 is a request, 2 a reply.
    static func reply(to message: [UInt8]) -> [UInt8]? {
        guard message.count > 10, message[8] == 0x0A else { return nil }
        switch message[10] >> 3 {
        // A listening socket: there is none, so that Envoy opens one.
        case 1: return framed([0x0A, 0x0B, 0x08] + Array(repeating: 0xFF, count: 9) + [0x01])
        // The end of the admin interface.
        case 2: return framed([0x12, 0x00])
        case 3: return noStatistics
        default: return nil
        }
    }

    /// Whether a message asks for the end, and is the last one.
    static func isFarewell(_ message: [UInt8]) -> Bool {
        message.count > 10 && message[8] == 0x0A && message[10] >> 3 == 5
    }

    private static let noStatistics = framed([0x1A, 0x00])

    private static func framed(_ reply: [UInt8]) -> [UInt8] {
        let message = [0x12, UInt8(reply.count)] + reply
        return Array(repeating: 0, count: 7) + [UInt8(message.count)] + message
    }

    private static func withAddress<Result>(
        _ name: String,
        _ body: (UnsafePointer<sockaddr>, socklen_t) -> Result
    ) -> Result {
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        let bytes = Array(name.utf8)
        withUnsafeMutableBytes(of: &address.sun_path) { path in
            for (index, byte) in bytes.enumerated() { path[index + 1] = byte }
        }
        // In Envoy's names the zeros up to the end count.
        let size = MemoryLayout<sockaddr_un>.size
        return withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { body($0, socklen_t(size)) }
        }
    }
}
