import FoundationEssentials
import Glibc

/// A file of text that is replaced as a whole: whoever reads it sees the old text or the new one.
struct EditedFile {
    /// What it is called.
    let path: String
    /// What it says.
    let text: String
    /// The file itself, with links followed.
    private let realPath: String
    /// What it was like when it was read.
    private let before: stat

    /// Reads the file at `path`.
    init(path: String) throws(ClientFailure) {
        guard let real = realpath(path, nil) else { throw Self.failure("read", path) }
        defer { free(real) }
        realPath = String(cString: real)
        self.path = path
        var status = stat()
        guard stat(realPath, &status) == 0 else { throw Self.failure("read", path) }
        guard status.st_mode & S_IFMT == S_IFREG else {
            throw ClientFailure(.badNews, "cannot edit \(path): it is no file")
        }
        before = status
        do {
            let data = try Data(contentsOf: URL(filePath: realPath))
            guard let text = String(validating: data, as: UTF8.self) else {
                throw ClientFailure(.badNews, "cannot edit \(path): it is not UTF-8")
            }
            self.text = text
        } catch let failure as ClientFailure {
            throw failure
        } catch {
            throw ClientFailure(.badNews, "cannot read \(path): \(error)")
        }
    }

    /// Puts `text` in its place, with the mode and the owner that it has.
    ///
    /// A file that somebody has changed in between stays as it is.
    func replace(with text: String) throws(ClientFailure) {
        let folder = realPath.prefix(through: realPath.lastIndex(of: "/") ?? realPath.startIndex)
        let name = realPath.dropFirst(folder.count)
        // A hidden name is no manifest.
        var template = Array("\(folder).\(name).XXXXXX".utf8CString)
        let descriptor = mkstemp(&template)
        guard descriptor >= 0 else { throw Self.failure("write beside", path) }
        let temporary = String(
            decoding: template.dropLast().map(UInt8.init(bitPattern:)),
            as: UTF8.self
        )
        var isKept = false
        defer {
            close(descriptor)
            if !isKept { unlink(temporary) }
        }
        guard write(text, to: descriptor), fsync(descriptor) == 0 else {
            throw Self.failure("write", path)
        }
        var status = stat()
        guard fstat(descriptor, &status) == 0 else { throw Self.failure("write", path) }
        if status.st_uid != before.st_uid || status.st_gid != before.st_gid,
            fchown(descriptor, before.st_uid, before.st_gid) != 0
        {
            throw ClientFailure(
                .badNews,
                "cannot edit \(path): it belongs to another user or group, and would not any more; "
                    + "run the command as its owner"
            )
        }
        guard fchmod(descriptor, before.st_mode & 0o7777) == 0 else {
            throw Self.failure("write", path)
        }
        guard isUnchanged else {
            throw ClientFailure(
                .badNews,
                "cannot edit \(path): it has changed in the meantime; run the command again"
            )
        }
        guard rename(temporary, realPath) == 0 else { throw Self.failure("replace", path) }
        isKept = true
    }

    private var isUnchanged: Bool {
        var now = stat()
        return stat(realPath, &now) == 0 && now.st_ino == before.st_ino
            && now.st_dev == before.st_dev && now.st_size == before.st_size
            && now.st_mtim.tv_sec == before.st_mtim.tv_sec
            && now.st_mtim.tv_nsec == before.st_mtim.tv_nsec
    }

    private func write(_ text: String, to descriptor: Int32) -> Bool {
        var bytes = Array(text.utf8)[...]
        while !bytes.isEmpty {
            let count = bytes.withUnsafeBytes { Glibc.write(descriptor, $0.baseAddress, $0.count) }
            guard count > 0 || (count < 0 && errno == EINTR) else { return false }
            bytes = bytes.dropFirst(max(count, 0))
        }
        return true
    }

    private static func failure(_ verb: String, _ path: String) -> ClientFailure {
        ClientFailure(.badNews, "cannot \(verb) \(path): \(String(cString: strerror(errno)))")
    }
}
