import FoundationEssentials
import Glibc
import MeshModel

/// The files of one proxy, in `<state>/proxies/<namespace>/<name>`, which only we may enter.
struct ProxyFolder: Hashable, Sendable {
    /// The folder.
    let path: String
    private let stateDirectory: String

    init(of proxy: ProxyID, stateDirectory: String) {
        let names = [proxy.workload.namespace, proxy.workload.name].map(Self.fileName)
        path = "\(Self.parent(stateDirectory))/\(names[0])/\(names[1])"
        self.stateDirectory = stateDirectory
    }

    /// The folder of all proxies' folders.
    static func parent(_ stateDirectory: String) -> String { "\(stateDirectory)/proxies" }

    /// Where an Envoy's admin interface listens; elsewhere when the folder's path is too long.
    func adminSocketPath(_ slot: EnvoySlot) -> String {
        let name =
            switch slot {
            case .first: "admin.sock"
            case .second: "admin-2.sock"
            case .standalone: "standalone.sock"
            }
        return SocketFolder.path(for: "\(path)/\(name)", stateDirectory)
    }

    /// What the paths of the sockets begin with at which Envoys of the proxy speak with one another.
    ///
    /// Envoy adds `_udp_parent_` and a number.
    var restartSocketPath: String {
        SocketFolder.path(for: "\(path)/restart", stateDirectory, ending: 32)
    }

    /// What an Envoy starts with.
    func bootstrapPath(_ slot: EnvoySlot) -> String {
        switch slot {
        case .first: "\(path)/bootstrap.json"
        case .second: "\(path)/bootstrap-2.json"
        case .standalone: "\(path)/standalone.json"
        }
    }

    var recordPath: String { "\(path)/process.json" }
    /// Starts an Envoy by hand.
    var runPath: String { "\(path)/run" }
    /// What Envoy says of a bootstrap that it only checks.
    var checkLogPath: String { "\(path)/check.log" }

    /// The output of a process.
    func logPath(_ kind: ProcessKind) -> String { "\(path)/\(kind.rawValue).log" }

    /// Makes the folders.
    func make() throws {
        try Files.makeFolder(path)
        guard chmod(path, 0o700) == 0 else { throw SystemError("cannot protect \(path)") }
        let socketPaths = EnvoySlot.allCases.map(adminSocketPath) + [restartSocketPath]
        for socketPath in socketPaths where !socketPath.hasPrefix(path) {
            try SocketFolder.make(of: socketPath)
        }
    }

    /// Deletes all of it.
    func delete() {
        for slot in EnvoySlot.allCases { unlink(adminSocketPath(slot)) }
        HotRestart.deleteSockets(restartSocketPath)
        Files.deleteFolder(path)
    }

    /// A token for one start of an Envoy.
    static func newToken() -> String {
        var generator = SystemRandomNumberGenerator()
        return (0..<4).map { _ in hexadecimal(generator.next()) }.joined()
    }

    /// Writes down which processes run.
    func write(_ record: ProxyRecord) throws {
        var record = record
        record.stateDirectory = stateDirectory
        try Files.write(Array(try JSONEncoder().encode(record)), to: recordPath)
    }

    /// The folders of all proxies.
    static func all(_ stateDirectory: String) -> [String] {
        let parent = parent(stateDirectory)
        return Files.names(in: parent).flatMap { namespace in
            Files.names(in: "\(parent)/\(namespace)").map { "\(parent)/\(namespace)/\($0)" }
        }
    }

    /// A name that cannot leave its folder, whatever a manifest says.
    private static func fileName(_ name: String) -> String {
        let safe = name.map { $0 == "/" || $0 == "\0" ? "_" : $0 }
        return safe.first == "." || safe.isEmpty ? "_" + String(safe) : String(safe)
    }
}

/// The short folder for sockets of a state directory that lies too deep.
///
/// The kernel takes 107 bytes for the path of a Unix socket.
enum SocketFolder {
    private static let limitBytes = 107

    /// `preferred`, or a short path of its own when it is too long.
    ///
    /// - Parameters:
    ///   - preferred: The path.
    ///   - stateDirectory: Has a short folder of its own.
    ///   - endingBytes: How much somebody will add to the path.
    /// - Returns: A path with room for that.
    static func path(
        for preferred: String,
        _ stateDirectory: String,
        ending endingBytes: Int = 0
    ) -> String {
        let limitBytes = limitBytes - endingBytes
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

    private static func hash(_ text: String) -> String { Fingerprint([text]).digits }
}
