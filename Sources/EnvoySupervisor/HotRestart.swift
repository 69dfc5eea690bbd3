import Glibc
import Logging
import Synchronization

/// What the Envoys of one proxy share while one takes over from the other.
enum HotRestart {
    /// Envoy's processes of one base id have these numbers in the names of what they share.
    private static let numbersPerBase = 10
    /// Envoy's own limit of processes that share.
    private static let processes = 3

    /// A base id that nobody else has, small enough for all that Envoy makes of it.
    static func newBaseID(using generator: inout some RandomNumberGenerator) -> Int {
        var number: Int
        repeat {
            number = Int.random(in: 1...Int(Int32.max) / numbersPerBase - 1, using: &generator)
        } while access(memoryPath(number), F_OK) == 0
        return number
    }

    /// The path of the socket at which the Envoy of `epoch` speaks in a role.
    ///
    /// As `parent` with its successor, as `child` with its predecessor. Envoy computes in 32 bits and
    /// prints 64; it chooses base ids for which that matters.
    ///
    /// - Parameters:
    ///   - path: Its `--socket-path`; nil for Envoy's default, abstract names.
    ///   - role: `parent` or `child`.
    ///   - baseID: The base id.
    ///   - epoch: How many Envoys came before it.
    /// - Returns: The path; that of an abstract name begins with `@`.
    static func socketPath(_ path: String?, _ role: String, baseID: Int, epoch: Int) -> String {
        let first = Int32(truncatingIfNeeded: baseID * numbersPerBase)
        let number = UInt64(bitPattern: Int64(first)) &+ UInt64(epoch % processes)
        return "\(path ?? "@envoy_domain_socket")_\(role)_\(number)"
    }

    /// Deletes the sockets at paths that begin with `path`.
    static func deleteSockets(_ path: String) {
        guard let slash = path.lastIndex(of: "/") else { return }
        let name = path[path.index(after: slash)...] + "_"
        for file in Files.names(in: String(path[..<slash])) where file.hasPrefix(name) {
            unlink("\(path[..<slash])/\(file)")
        }
    }

    /// The base id of an Envoy that runs, by the memory that it shares; nil when it shares none yet.
    ///
    /// Waits a moment for one that has just been started.
    static func baseID(of process: RunningProcess) -> Int? {
        let prefix = "/dev/shm/envoy_shared_memory_"
        for _ in 0..<50 {
            let maps = Files.read("/proc/\(process.identity.pid)/maps", limit: 16 << 20) ?? []
            let text = String(decoding: maps, as: UTF8.self)
            if let range = text.firstRange(of: prefix) {
                let number = Int(text[range.upperBound...].prefix(while: \.isNumber))
                return number.map { $0 / numbersPerBase }
            }
            if process.hasEnded(within: 10) { return nil }
        }
        return nil
    }

    static func memoryPath(_ baseID: Int) -> String {
        "/dev/shm/envoy_shared_memory_\(UInt32(truncatingIfNeeded: baseID * numbersPerBase))"
    }

    /// Deletes the shared memory and the sockets of Envoys that have ended.
    static func forget(baseID: Int, _ socketPath: String?) {
        unlink(memoryPath(baseID))
        guard let socketPath else { return }
        for role in ["parent", "child", "udp_parent", "udp_child"] {
            for epoch in 0..<processes {
                unlink(Self.socketPath(socketPath, role, baseID: baseID, epoch: epoch))
            }
        }
    }

    /// Forgets that a successor loaded its configuration, as it has ended without having done so.
    ///
    /// Envoy refuses to start beside one that loads, and does not notice the end of it.
    static func forgetLoading(baseID: Int, _ logger: Logger) {
        let path = memoryPath(baseID)
        guard let file = try? Descriptor.open(path, O_RDWR) else { return }
        guard file.status.size == memoryBytes,
            file.read(at: 0, count: 8) == [UInt8(memoryBytes), 0, 0, 0, 0, 0, 0, 0]
        else {
            logger.warning(
                "cannot clear what a failed takeover left; until the proxy is started anew no other can",
                metadata: [
                    "path": "\(path)", "bytes": "\(file.status.size)", "expected": "\(memoryBytes)",
                ]
            )
            return
        }
        let flags: UInt64 = 0
        _ = withUnsafeBytes(of: flags) {
            pwrite(file.number, $0.baseAddress, 8, off_t(flagsOffset))
        }
    }

    /// Where the flags are in the shared memory, of which the first is "somebody loads": after size,
    /// version and two locks.
    private static let flagsOffset = 16 + 2 * MemoryLayout<pthread_mutex_t>.size
    static let memoryBytes = flagsOffset + 8
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
    init?(_ socketPath: String?, baseID: Int, epoch: Int, _ watcher: DescriptorWatcher) {
        let type = SOCK_DGRAM.rawValue | SOCK_CLOEXEC.rawValue | SOCK_NONBLOCK.rawValue
        socket = Descriptor(Glibc.socket(AF_UNIX, Int32(type), 0))
        self.watcher = watcher
        let path = HotRestart.socketPath(socketPath, "parent", baseID: baseID, epoch: epoch)
        guard socket.number >= 0 else { return nil }
        if !path.hasPrefix("@") {
            // The file stays when who answered there ends.
            guard Self.withAddress(path, { connect(socket.number, $0, $1) }) != 0,
                errno == ENOENT || errno == ECONNREFUSED
            else { return nil }
            unlink(path)
        }
        guard Self.withAddress(path, { bind(socket.number, $0, $1) }) == 0 else { return nil }
        if !path.hasPrefix("@") { chmod(path, 0o600) }
        // It may have asked, and got no answer.
        let child = HotRestart.socketPath(socketPath, "child", baseID: baseID, epoch: epoch + 1)
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

    /// The address of a path; that of an abstract one begins with `@`.
    private static func withAddress<Result>(
        _ path: String,
        _ body: (UnsafePointer<sockaddr>, socklen_t) -> Result
    ) -> Result {
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        withUnsafeMutableBytes(of: &address.sun_path) { bytes in
            for (index, byte) in path.utf8.prefix(bytes.count - 1).enumerated() {
                bytes[index] = byte
            }
            if bytes.first == UInt8(ascii: "@") { bytes[0] = 0 }
        }
        // In Envoy's names the zeros up to the end count.
        let size = MemoryLayout<sockaddr_un>.size
        return withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { body($0, socklen_t(size)) }
        }
    }
}
