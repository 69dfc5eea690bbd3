internal import FoundationEssentials
internal import Glibc
internal import Logging
internal import MeshModel
internal import MeshPlan

/// The folder in which a daemon keeps what outlives it; one daemon at a time.
final class StateDirectory: Sendable {
    /// Absolute path.
    let path: String
    private let lock: Int32
    /// Where the lock was when it was taken.
    private let lockPath: String?
    private let warnings = StorageWarnings()

    /// What the files in it look like: a daemon goes on from one of its own or an older version.
    static let version = 1

    /// Opens the folder, made if it is not there, readable by its owner only.
    ///
    /// - Throws: `DaemonError` when it can't be made or used, another daemon has it, or it is one of a
    ///   newer heddle.
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
        guard chmod(path, 0o700) == 0 else { throw unusable(path, errno) }
        let file = open("\(path)/lock", O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
        guard file >= 0 else { throw unusable(path, errno) }
        guard flock(file, LOCK_EX | LOCK_NB) == 0 else {
            let holder = (try? String(contentsOfFile: "\(path)/lock", encoding: .utf8)) ?? ""
            close(file)
            let by = holder.isEmpty ? "" : " (pid \(holder))"
            throw DaemonError(
                "another heddle\(by) runs on the state directory \(path); stop it or pass another "
                    + "--state-dir"
            )
        }
        do { try checkVersion(in: path) } catch {
            close(file)
            throw error
        }
        let pid = Array(String(getpid()).utf8)
        _ = ftruncate(file, 0)
        _ = pwrite(file, pid, pid.count, 0)
        lock = file
        lockPath = StateDirectory.target(of: file)
    }

    deinit { close(lock) }

    /// Whether the folder is still the one that was opened.
    var isInPlace: Bool {
        StateDirectory.target(of: lock) == lockPath
    }

    /// Where an open file is at present.
    private static func target(of file: Int32) -> String? {
        var bytes = [CChar](repeating: 0, count: Int(PATH_MAX))
        let count = readlink("/proc/self/fd/\(file)", &bytes, bytes.count)
        guard count >= 0 else { return nil }
        return String(decoding: bytes[..<count].map(UInt8.init(bitPattern:)), as: UTF8.self)
    }

    /// Warns, until cancelled, when somebody removes the folder.
    ///
    /// Heddle serves on: streams and proxies that run need none of its files.
    func watch(_ logger: Logger) async {
        var wasInPlace = true
        while (try? await Task.sleep(for: .seconds(2))) != nil {
            let isInPlace = self.isInPlace
            defer { wasInPlace = isInPlace }
            guard !isInPlace, wasInPlace else { continue }
            logger.error(
                """
                state directory removed: what runs goes on, but no proxy or client that comes anew \
                finds its socket; restart heddle
                """,
                metadata: ["path": "\(path)"]
            )
        }
    }

    /// Writes `subject` by `write`, and warns once of each reason why that fails, not each time.
    ///
    /// After a failure it is tried again at most every few seconds.
    ///
    /// - Parameters:
    ///   - subject: What is written, for the log.
    ///   - now: The time.
    ///   - logger: Where to warn.
    ///   - write: Writes it.
    /// - Returns: whether it is written.
    func keep(
        _ subject: String,
        at now: ContinuousClock.Instant = .now,
        _ logger: Logger,
        write: () throws -> Void
    ) -> Bool {
        warnings.attempt(subject, at: now, logger, write: write)
    }

    /// The Unix socket of the xDS server.
    var xdsSocketPath: String { "\(path)/xds.sock" }
    /// The Unix socket of the local API.
    var apiSocketPath: String { MeshDaemon.apiSocketPath(stateDirectory: path) }

    /// The addresses that proxies were given.
    ///
    /// - Throws: `DaemonError` when the file is there and is not what `save` wrote.
    func addresses() throws -> [ProxyID: ProxyAddresses] {
        let file = "\(path)/addresses.json"
        guard access(file, F_OK) == 0 else { return [:] }
        guard let bytes = FileManager.default.contents(atPath: file) else {
            let problem = access(file, R_OK) == 0 ? "not a file" : systemError()
            throw DaemonError(
                "cannot read the addresses of proxies in \(file): \(problem); mend its permissions"
            )
        }
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
            throw cannotWrite(file, error)
        }
    }
}

/// What Foundation's `error` at a write of `file` means: its own words are long and tell no more.
func cannotWrite(_ file: String, _ error: any Error) -> DaemonError {
    let code = (error as? CocoaError)?.underlying as? POSIXError
    let reason = code.map { systemText($0.code.rawValue) } ?? "\(error)"
    return DaemonError("cannot write \(file): \(reason); make room or mend its permissions")
}

private func makeFolder(_ path: String) throws {
    if access(path, F_OK) == 0 {
        guard isFolder(path) || errno != ENOTDIR else {
            throw DaemonError(
                "cannot use the state directory \(path): a file is in its place; remove it or pass "
                    + "another --state-dir"
            )
        }
        return
    }
    guard errno == ENOENT else { throw unusable(path, errno) }
    // One by one, for the system's own reason.
    var folder = ""
    for part in path.split(separator: "/") {
        folder += "/\(part)"
        guard mkdir(folder, 0o700) == 0 || errno == EEXIST else {
            throw DaemonError(
                "cannot make the state directory \(path): \(systemError()); "
                    + remedy(errno, "pass another --state-dir")
            )
        }
    }
}

/// Refuses what a newer heddle wrote, and notes which one writes now.
private func checkVersion(in path: String) throws {
    let file = "\(path)/version"
    let text = (try? String(contentsOfFile: file, encoding: .utf8)) ?? "1"
    let digits = text.filter { !$0.isWhitespace }
    guard let version = Int(digits) else {
        throw DaemonError(
            "cannot read the version of the state directory in \(file): \"\(digits.prefix(20))\" is "
                + "no number; write \(StateDirectory.version) into it if this heddle made it"
        )
    }
    guard version <= StateDirectory.version else {
        throw DaemonError(
            "the state directory \(path) is of version \(version), and this heddle knows up to "
                + "\(StateDirectory.version); run the heddle that wrote it, or pass another --state-dir"
        )
    }
    guard access(file, F_OK) != 0 else { return }
    let descriptor = open(file, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o600)
    guard descriptor >= 0 else { return }
    defer { close(descriptor) }
    let bytes = Array("\(StateDirectory.version)\n".utf8)
    // An absent version is this one: a full disk is told of when it matters.
    if write(descriptor, bytes, bytes.count) != bytes.count { unlink(file) }
}

private func unusable(_ path: String, _ code: Int32) -> DaemonError {
    DaemonError(
        "cannot use the state directory \(path): \(systemText(code)); "
            + remedy(code, "pass another --state-dir")
    )
}

/// What helps against `code`, else `other`.
private func remedy(_ code: Int32, _ other: String) -> String {
    switch code {
    case EACCES, EPERM: "run as its owner or pass another --state-dir"
    case EROFS: "mount it for writing or pass another --state-dir"
    case ENOSPC, EDQUOT: "make room or pass another --state-dir"
    case EMFILE, ENFILE: "allow more open files (ulimit -n)"
    default: other
    }
}

/// Whether `path` is a folder; errno tells why not.
func isFolder(_ path: String) -> Bool {
    let descriptor = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
    guard descriptor >= 0 else { return false }
    close(descriptor)
    return true
}

/// What the last failed system call says.
private func systemError() -> String { systemText(errno) }

private func systemText(_ code: Int32) -> String {
    let text = String(cString: strerror(code))
    return text.prefix(1).lowercased() + text.dropFirst()
}

/// `path` as seen from the working directory; proxies start in folders of their own.
func absolutePath(_ path: String) -> String {
    path.hasPrefix("/") ? path : "\(FileManager.default.currentDirectoryPath)/\(path)"
}
