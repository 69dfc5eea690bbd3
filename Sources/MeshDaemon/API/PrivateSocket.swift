import Glibc

/// A Unix socket that only its owner may connect to, from its first moment.
///
/// It is bound inside a directory of mode 0700, gets mode 0600 there, and then moves to its place,
/// where it replaces a stale one. So nobody meets it with wider permissions.
struct PrivateSocket: Sendable {
    /// Where it ends up.
    let path: String
    /// Where to bind it.
    var bindPath: String { "\(directory)/s" }

    private var directory: String { "\(path).d" }

    /// Makes the directory to bind in.
    ///
    /// Throws `APIServiceError.socketInUse` when someone listens at `path`.
    init(path: String) throws(APIServiceError) {
        self.path = path
        guard !Self.isAnswered(path) else { throw .socketInUse(path) }
        guard mkdir(directory, 0o700) == 0 || errno == EEXIST, chmod(directory, 0o700) == 0 else {
            throw failure()
        }
        // What a daemon left that ended between binding and moving.
        _ = unlink(bindPath)
    }

    /// Moves the bound socket to its place.
    func publish() throws(APIServiceError) {
        guard chmod(bindPath, 0o600) == 0, rename(bindPath, path) == 0 else { throw failure() }
        _ = rmdir(directory)
    }

    /// Removes the socket.
    func remove() {
        _ = unlink(path)
        _ = unlink(bindPath)
        _ = rmdir(directory)
    }

    private func failure() -> APIServiceError {
        .socket(path: path, problem: String(cString: strerror(errno)))
    }

    /// Whether someone listens at `path`.
    private static func isAnswered(_ path: String) -> Bool {
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        let isFitting = withUnsafeMutableBytes(of: &address.sun_path) { bytes in
            guard path.utf8.count < bytes.count else { return false }
            bytes.copyBytes(from: path.utf8)
            return true
        }
        let descriptor = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
        guard isFitting, descriptor >= 0 else { return false }
        defer { close(descriptor) }
        return withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { pointer in
                connect(descriptor, pointer, socklen_t(MemoryLayout<sockaddr_un>.size)) == 0
            }
        }
    }
}
