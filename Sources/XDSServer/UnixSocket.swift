internal import Glibc

/// Why the server cannot listen.
struct ListenError: Error, CustomStringConvertible {
    var path: String
    var problem: String

    var description: String { "cannot listen on \(path) for xDS: \(problem)" }
}

/// A Unix socket that only this user can connect to.
enum UnixSocket {
    /// Listens at `path`, in place of a socket that nobody listens on any more.
    ///
    /// The socket has mode 0600. Its folder is made with mode 0700 when it does not exist; one that
    /// exists is left as it is.
    ///
    /// - Returns: the listening descriptor.
    /// - Throws: `ListenError`.
    static func listen(path: String) throws(ListenError) -> CInt {
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        let limit = MemoryLayout.size(ofValue: address.sun_path) - 1
        guard path.utf8.count <= limit else {
            throw ListenError(
                path: path,
                problem: "the path has \(path.utf8.count) bytes and a socket's at most \(limit)"
            )
        }
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path.utf8) }
        try makeFolder(of: path)
        try removeStaleSocket(path, address)
        let descriptor = try makeSocket(path)
        // Nobody can connect before it listens, and so before it has its mode. A umask would hold
        // for the files of other threads, too.
        let isBound = withSocketAddress(address) { bind(descriptor, $0, $1) } == 0
        guard isBound, chmod(path, 0o600) == 0 else {
            let code = errno
            close(descriptor)
            throw ListenError(path: path, problem: message(code))
        }
        raiseBacklog(descriptor)
        return descriptor
    }

    /// Lets many proxies connect at once: NIO's backlog is 128, without a setting for it.
    static func raiseBacklog(_ descriptor: CInt) { _ = Glibc.listen(descriptor, 4096) }

    private static func makeSocket(_ path: String) throws(ListenError) -> CInt {
        let type = CInt(SOCK_STREAM.rawValue) | CInt(SOCK_CLOEXEC.rawValue)
        let descriptor = socket(AF_UNIX, type, 0)
        guard descriptor >= 0 else { throw ListenError(path: path, problem: message(errno)) }
        return descriptor
    }

    private static func makeFolder(of path: String) throws(ListenError) {
        guard let slash = path.lastIndex(of: "/"), slash > path.startIndex else { return }
        let folder = String(path[..<slash])
        guard access(folder, F_OK) != 0 else { return }
        try makeFolder(of: folder)
        guard mkdir(folder, 0o700) == 0 || errno == EEXIST else {
            throw ListenError(path: path, problem: "cannot make \(folder): \(message(errno))")
        }
    }

    /// Removes the socket of a process that ended, and throws when somebody listens on it.
    private static func removeStaleSocket(
        _ path: String,
        _ address: sockaddr_un
    ) throws(ListenError) {
        var status = stat()
        guard lstat(path, &status) == 0 else { return }
        guard status.st_mode & S_IFMT == S_IFSOCK else {
            throw ListenError(path: path, problem: "a file that is no socket is in its place")
        }
        let probe = try makeSocket(path)
        defer { close(probe) }
        guard withSocketAddress(address, { connect(probe, $0, $1) }) != 0 else {
            throw ListenError(
                path: path,
                problem: "address in use; stop the process that listens there, or use another path"
            )
        }
        guard unlink(path) == 0 || errno == ENOENT else {
            let problem = "cannot replace the old socket: \(message(errno))"
            throw ListenError(path: path, problem: problem)
        }
    }

    private static func withSocketAddress(
        _ address: sockaddr_un,
        _ body: (UnsafePointer<sockaddr>, socklen_t) -> CInt
    ) -> CInt {
        withUnsafePointer(to: address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                body($0, socklen_t(MemoryLayout<sockaddr_un>.size))
            }
        }
    }

    /// What the system says of `code`, as it goes on after a colon.
    static func message(_ code: CInt) -> String {
        let text = String(cString: strerror(code))
        return text.prefix(1).lowercased() + text.dropFirst()
    }
}
