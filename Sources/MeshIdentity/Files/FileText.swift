internal import Glibc

/// Why a file is of no use.
struct FileFailure: Error, Hashable, Sendable {
    /// The system's number of the problem; 0 when the content is wrong.
    var code: Int32 = 0
    /// What is wrong with the file, and the remedy; never a part of it.
    var text: String
}

/// Reading of small text files.
enum FileText {
    /// No chain, bundle or key is larger; a mistaken path to something huge must not fill memory.
    static let limit = 4 << 20

    /// The text of the file `path`.
    static func read(_ path: String) throws(FileFailure) -> String {
        // Not blocking, as the path may be a pipe without a writer.
        let file = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
        guard file >= 0 else { throw FileFailure(errno) }
        defer { close(file) }
        var bytes: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 1 << 16)
        while true {
            let count = Glibc.read(file, &chunk, chunk.count)
            if count == 0 { break }
            if count < 0 {
                if errno == EINTR { continue }
                throw FileFailure(errno)
            }
            bytes += chunk[..<count]
            guard bytes.count <= limit else {
                throw FileFailure(text: "it is larger than 4 MiB; is the path right?")
            }
        }
        guard let text = String(validating: bytes, as: UTF8.self) else {
            throw FileFailure(text: "it is no text; give PEM")
        }
        return text
    }
}

extension FileFailure {
    /// A call of the system failed with `code`.
    init(_ code: Int32) {
        let remedy =
            switch code {
            case ENOENT: "; put a file there"
            case EACCES, EPERM: "; let the user \(geteuid()) read it and enter its folders"
            default: ""
            }
        self.init(code: code, text: "cannot read it: \(systemError(code))\(remedy)")
    }
}

/// Tells one content of a file from another without reading it.
///
/// A change of permissions counts too, as it may make a file readable. Links are followed, so a link
/// that is turned to another file counts.
struct FileStamp: Hashable, Sendable {
    private let device: UInt
    private let inode: UInt
    private let size: Int
    private let mode: UInt32
    private let modified: Int
    private let changed: Int

    /// The stamp of the file `path` at present; nil when there is none or it can't be seen.
    init?(_ path: String) {
        var status = stat()
        guard stat(path, &status) == 0 else { return nil }
        device = status.st_dev
        inode = status.st_ino
        size = status.st_size
        mode = status.st_mode
        modified = status.st_mtim.tv_sec &* 1_000_000_000 &+ status.st_mtim.tv_nsec
        changed = status.st_ctim.tv_sec &* 1_000_000_000 &+ status.st_ctim.tv_nsec
    }
}
