import FoundationEssentials
import Glibc
import MeshModel

/// The files of one proxy, in `<state>/proxies/<namespace>/<name>`, which only we may enter.
struct ProxyFolder: Hashable, Sendable {
    /// The folder.
    let path: String
    /// Where Envoy's admin interface listens; elsewhere when the folder's path is too long.
    let adminSocketPath: String

    init(of proxy: ProxyID, stateDirectory: String) {
        let names = [proxy.workload.namespace, proxy.workload.name].map(Self.fileName)
        path = "\(Self.parent(stateDirectory))/\(names[0])/\(names[1])"
        adminSocketPath = SocketFolder.path(for: "\(path)/admin.sock", stateDirectory)
    }

    /// The folder of all proxies' folders.
    static func parent(_ stateDirectory: String) -> String { "\(stateDirectory)/proxies" }

    var bootstrapPath: String { "\(path)/bootstrap.json" }
    var tokenPath: String { "\(path)/token" }
    var recordPath: String { "\(path)/process.json" }

    /// The output of a process.
    func logPath(_ kind: ProcessKind) -> String { "\(path)/\(kind.rawValue).log" }

    /// Makes the folders.
    func make() throws {
        try Files.makeFolder(path)
        guard chmod(path, 0o700) == 0 else { throw SystemError("cannot protect \(path)") }
        if !adminSocketPath.hasPrefix(path) { try SocketFolder.make(of: adminSocketPath) }
    }

    /// Deletes all of it.
    func delete() {
        unlink(adminSocketPath)
        Files.deleteFolder(path)
    }

    /// The proxy's token: the one kept, else a new one.
    func token() throws -> String {
        let kept = Files.read(tokenPath).map { String(decoding: $0, as: UTF8.self) } ?? ""
        if kept.count == 64, kept.allSatisfy(\.isHexDigit) { return kept }
        var generator = SystemRandomNumberGenerator()
        let token = (0..<4).map { _ in hexadecimal(generator.next()) }.joined()
        try Files.write(Array(token.utf8), to: tokenPath)
        return token
    }

    /// Writes down which processes run.
    func write(_ record: ProcessRecord) throws {
        try Files.write(Array(try JSONEncoder().encode(record)), to: recordPath)
    }

    /// A name that cannot leave its folder, whatever a manifest says.
    private static func fileName(_ name: String) -> String {
        let safe = name.map { $0 == "/" || $0 == "\0" ? "_" : $0 }
        return safe.first == "." || safe.isEmpty ? "_" + String(safe) : String(safe)
    }
}

/// The content of `process.json`: which processes a daemon left running, for the next daemon.
struct ProcessRecord: Hashable, Codable, Sendable {
    /// The kernel's number for this boot; start times are of one boot.
    var boot = ProcessRecord.currentBoot
    var envoy: ProcessIdentity?
    var application: ProcessIdentity?

    static let currentBoot =
        Files.read("/proc/sys/kernel/random/boot_id")
        .map { String(decoding: $0.prefix(36), as: UTF8.self) } ?? ""

    /// The record in a proxy's folder, if it is of this boot.
    static func read(_ folder: String) -> ProcessRecord? {
        guard let bytes = Files.read("\(folder)/process.json"),
            let record = try? JSONDecoder().decode(ProcessRecord.self, from: Data(bytes)),
            record.boot == currentBoot
        else { return nil }
        return record
    }
}

/// The short folder for sockets of a state directory that lies too deep.
///
/// The kernel takes 107 bytes for the path of a Unix socket.
enum SocketFolder {
    private static let limitBytes = 107

    /// `preferred`, or a short path of its own when it is too long.
    static func path(for preferred: String, _ stateDirectory: String) -> String {
        guard preferred.utf8.count > limitBytes else { return preferred }
        let folder = "heddle-\(geteuid())-\(hash(stateDirectory))"
        let short = "\(folder)/\(hash(preferred)).sock"
        if let runtime = getenv("XDG_RUNTIME_DIR").map({ String(cString: $0) }),
            runtime.hasPrefix("/"), "\(runtime)/\(short)".utf8.count <= limitBytes
        {
            return "\(runtime)/\(short)"
        }
        return "/tmp/\(short)"
    }

    /// Makes the folder of `socketPath`, and refuses one that others may write to.
    static func make(of socketPath: String) throws {
        guard let slash = socketPath.lastIndex(of: "/") else { return }
        let folder = String(socketPath[..<slash])
        try Files.makeFolder(folder)
        var status = stat()
        guard lstat(folder, &status) == 0, status.st_mode & S_IFMT == S_IFDIR,
            status.st_uid == geteuid(), status.st_mode & 0o077 == 0
        else {
            let attempt = "cannot trust the folder \(folder), which others own or may enter"
            throw SystemError(attempt, code: EPERM)
        }
    }

    /// FNV-1a.
    private static func hash(_ text: String) -> String {
        hexadecimal(
            text.utf8.reduce(0xcbf2_9ce4_8422_2325 as UInt64) { hash, byte in
                (hash ^ UInt64(byte)) &* 0x100_0000_01b3
            }
        )
    }
}

/// 16 digits.
private func hexadecimal(_ number: UInt64) -> String {
    let digits = String(number, radix: 16)
    return String(repeating: "0", count: 16 - digits.count) + digits
}
