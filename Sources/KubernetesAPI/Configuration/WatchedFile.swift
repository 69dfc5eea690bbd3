internal import Glibc
internal import Synchronization

/// A file of credentials or certificates is not larger.
let credentialFileLimit = 4 * 1024 * 1024

/// Why a file can't be read.
struct FileProblem: Error {
    /// `no such file or directory`.
    var reason: String
}

/// The contents of the file at `path`, which may have `limit` bytes.
func readFile(_ path: String, limit: Int) throws(FileProblem) -> [UInt8] {
    let file = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
    guard file >= 0 else { throw FileProblem(reason: lastSystemError()) }
    defer { close(file) }
    var status = stat()
    guard fstat(file, &status) == 0 else { throw FileProblem(reason: lastSystemError()) }
    guard status.st_mode & S_IFMT == S_IFREG else { throw FileProblem(reason: "it is no file") }
    var bytes: [UInt8] = []
    var buffer = [UInt8](repeating: 0, count: 16 * 1024)
    while true {
        let count = read(file, &buffer, buffer.count)
        if count < 0, errno == EINTR { continue }
        guard count >= 0 else { throw FileProblem(reason: lastSystemError()) }
        guard count > 0 else { return bytes }
        guard bytes.count + count <= limit else {
            throw FileProblem(reason: "it is larger than \(limit) bytes")
        }
        bytes += buffer[..<count]
    }
}

/// Whether there is anything at `path`.
func isThere(_ path: String) -> Bool { access(path, F_OK) == 0 }

/// The reason of the last system call that failed, as messages begin it.
func lastSystemError() -> String {
    let text = String(cString: strerror(errno))
    return text.prefix(1).lowercased() + text.dropFirst()
}

/// A file that is read again when it is another or has changed.
final class WatchedFile: Sendable {
    /// What differs when a file was written or replaced.
    private struct Stamp: Equatable {
        var device: UInt
        var inode: UInt
        var size: Int
        var seconds: Int
        var nanoseconds: Int

        /// Nil when there is no such file.
        init?(_ path: String) {
            var status = stat()
            guard stat(path, &status) == 0 else { return nil }
            device = UInt(status.st_dev)
            inode = UInt(status.st_ino)
            size = Int(status.st_size)
            seconds = status.st_mtim.tv_sec
            nanoseconds = status.st_mtim.tv_nsec
        }
    }

    private struct State {
        var stamp: Stamp?
        var bytes: [UInt8]?
    }

    let path: String
    private let state = Mutex(State())

    init(_ path: String) { self.path = path }

    /// The contents as they are now; those read last while the file is not there or empty.
    ///
    /// - Throws: `FileProblem` when they could never be read.
    func contents() throws(FileProblem) -> [UInt8] {
        let stamp = Stamp(path)
        let known = state.withLock { $0 }
        if let bytes = known.bytes, stamp == nil || stamp == known.stamp { return bytes }
        do throws(FileProblem) {
            let bytes = try readFile(path, limit: credentialFileLimit)
            guard !bytes.isEmpty else { throw FileProblem(reason: "it is empty") }
            state.withLock { $0 = State(stamp: stamp, bytes: bytes) }
            return bytes
        } catch {
            // It is being replaced; what was read before is as good as it was.
            if let bytes = known.bytes { return bytes }
            throw error
        }
    }

    /// Forgets what was read, so that it is read again in any case.
    func forget() { state.withLock { $0.stamp = nil } }
}
