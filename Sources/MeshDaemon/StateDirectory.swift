internal import FoundationEssentials
internal import Glibc
internal import MeshModel
internal import MeshPlan

/// The folder in which a daemon keeps what outlives it; one daemon at a time.
final class StateDirectory: Sendable {
    /// Absolute path.
    let path: String
    private let lock: Int32

    /// Opens the folder, made if it is not there, readable by its owner only.
    ///
    /// - Throws: `DaemonError` when it can't be made or another daemon has it.
    init(_ path: String) throws {
        let path = absolutePath(path)
        self.path = path
        // The longest socket's name, while it is bound.
        guard path.utf8.count + "/api.sock.d/s".utf8.count < 108 else {
            throw DaemonError(
                "the state directory \(path) has a path of \(path.utf8.count) bytes, and sockets in "
                    + "it may have 107 in all; pass a shorter --state-dir"
            )
        }
        try makeFolder(path)
        guard chmod(path, 0o700) == 0 else {
            throw DaemonError(
                "cannot use the state directory \(path): \(systemError()); pass another --state-dir"
            )
        }
        let file = open("\(path)/lock", O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
        guard file >= 0 else {
            throw DaemonError(
                "cannot use the state directory \(path): \(systemError()); pass another --state-dir"
            )
        }
        guard flock(file, LOCK_EX | LOCK_NB) == 0 else {
            let holder = (try? String(contentsOfFile: "\(path)/lock", encoding: .utf8)) ?? ""
            close(file)
            let by = holder.isEmpty ? "" : " (pid \(holder))"
            throw DaemonError(
                "another heddle\(by) runs on the state directory \(path); stop it or pass another "
                    + "--state-dir"
            )
        }
        let pid = Array(String(getpid()).utf8)
        _ = ftruncate(file, 0)
        _ = pwrite(file, pid, pid.count, 0)
        lock = file
    }

    deinit { close(lock) }

    /// The Unix socket of the xDS server.
    var xdsSocketPath: String { "\(path)/xds.sock" }
    /// The Unix socket of the local API.
    var apiSocketPath: String { MeshDaemon.apiSocketPath(stateDirectory: path) }

    /// The addresses that proxies were given.
    ///
    /// - Throws: `DaemonError` when the file is there and is not what `save` wrote.
    func addresses() throws -> [ProxyID: ProxyAddresses] {
        let file = "\(path)/addresses.json"
        guard let bytes = FileManager.default.contents(atPath: file) else { return [:] }
        guard let members = try? JSONDecoder().decode(JSONValue.self, from: bytes).object else {
            throw DaemonError(
                "cannot read the addresses of proxies in \(file): not a JSON object; mend it, or "
                    + "remove it and let all proxies have new ones"
            )
        }
        var addresses: [ProxyID: ProxyAddresses] = [:]
        for (name, value) in members {
            let parts = name.split(separator: "/", maxSplits: 1).map(String.init)
            guard parts.count == 2, let ingress = value["ingress"]?.string,
                let egress = value["egress"]?.string
            else { continue }
            let proxy = ProxyID(ObjectReference(namespace: parts[0], name: parts[1]))
            addresses[proxy] = ProxyAddresses(ingress: ingress, egress: egress)
        }
        return addresses
    }

    /// Writes the addresses that proxies were given, for the next daemon.
    ///
    /// - Throws: `DaemonError` when the file can't be written.
    func save(_ addresses: [ProxyID: ProxyAddresses]) throws {
        var members: [String: JSONValue] = [:]
        for (proxy, pair) in addresses {
            members[proxy.description] = [
                "ingress": .string(pair.ingress), "egress": .string(pair.egress),
            ]
        }
        let file = "\(path)/addresses.json"
        do {
            let text = try JSONValue.object(members).prettyText + "\n"
            try Data(text.utf8).write(to: URL(fileURLWithPath: file), options: .atomic)
            chmod(file, 0o600)
        } catch {
            throw DaemonError("cannot write \(file): \(error); make room or mend its permissions")
        }
    }
}

private func makeFolder(_ path: String) throws {
    do {
        try FileManager.default.createDirectory(
            atPath: path,
            withIntermediateDirectories: true,
            attributes: [.posixPermissions: 0o700]
        )
    } catch {
        throw DaemonError(
            "cannot make the state directory \(path): \(error); pass another --state-dir"
        )
    }
}

/// What the last failed system call says.
private func systemError() -> String { String(cString: strerror(errno)) }

/// `path` as seen from the working directory; proxies start in folders of their own.
func absolutePath(_ path: String) -> String {
    path.hasPrefix("/") ? path : "\(FileManager.default.currentDirectoryPath)/\(path)"
}
