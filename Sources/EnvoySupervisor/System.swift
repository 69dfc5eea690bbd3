import Glibc

/// A system call that failed.
struct SystemError: Error, CustomStringConvertible {
    /// What was tried: `cannot write /state/token`.
    var attempt: String
    /// The error number.
    var code: Int32

    init(_ attempt: String, code: Int32 = errno) {
        self.attempt = attempt
        self.code = code
    }

    var description: String { "\(attempt): \(Self.text(code))" }

    /// `no such file or directory`.
    static func text(_ code: Int32) -> String {
        let text = String(cString: strerror(code))
        return text.prefix(1).lowercased() + text.dropFirst()
    }
}

/// An open file descriptor, closed when nobody holds it any more.
final class Descriptor: Sendable {
    let number: Int32

    init(_ number: Int32) { self.number = number }

    deinit { close(number) }

    /// Opens a file; it is not passed on to child processes.
    static func open(_ path: String, _ flags: Int32, mode: mode_t = 0o600) throws -> Descriptor {
        let number = Glibc.open(path, flags | O_CLOEXEC, mode)
        guard number >= 0 else { throw SystemError("cannot open \(path)") }
        return Descriptor(number)
    }

    /// Reads up to `count` bytes at `offset`; none at the end.
    func read(at offset: Int, count: Int) -> [UInt8] {
        [UInt8](unsafeUninitializedCapacity: count) { buffer, initialized in
            initialized = max(0, pread(number, buffer.baseAddress, count, off_t(offset)))
        }
    }

    /// Whether it is an ordinary file.
    var isRegular: Bool {
        var status = stat()
        return fstat(number, &status) == 0 && status.st_mode & S_IFMT == S_IFREG
    }

    /// The file's size and number (inode).
    var status: (size: Int, inode: UInt64) {
        var status = stat()
        guard fstat(number, &status) == 0 else { return (0, 0) }
        return (Int(status.st_size), UInt64(status.st_ino))
    }
}

/// What the supervisor does with small files.
enum Files {
    /// Makes a folder that only we may enter, with those above it.
    static func makeFolder(_ path: String) throws {
        if mkdir(path, 0o700) == 0 || errno == EEXIST { return }
        guard errno == ENOENT, let slash = path.lastIndex(of: "/"), slash != path.startIndex else {
            throw SystemError("cannot make the folder \(path)")
        }
        try makeFolder(String(path[..<slash]))
        guard mkdir(path, 0o700) == 0 || errno == EEXIST else {
            throw SystemError("cannot make the folder \(path)")
        }
    }

    /// The whole file; nil when it cannot be read.
    static func read(_ path: String, limit: Int = 1024 * 1024) -> [UInt8]? {
        // A pipe in the place of a file keeps nobody waiting.
        guard let file = try? Descriptor.open(path, O_RDONLY | O_NONBLOCK) else { return nil }
        // Files in /proc have no size, so read to the end.
        var bytes: [UInt8] = []
        while bytes.count < limit {
            let more = file.read(at: bytes.count, count: 64 * 1024)
            if more.isEmpty { break }
            bytes += more
        }
        return bytes
    }

    /// Whether there is a file there, and no device, pipe or folder; links are followed.
    static func isRegular(_ path: String) -> Bool {
        var status = stat()
        return stat(path, &status) == 0 && status.st_mode & S_IFMT == S_IFREG
    }

    /// Writes a file that only we may read; others see the old file or the new one whole.
    static func write(_ bytes: [UInt8], to path: String) throws {
        // On a full disk what is there already can still be used.
        if read(path) == bytes { return }
        let temporary = path + ".new"
        unlink(temporary)
        let file = try Descriptor.open(temporary, O_WRONLY | O_CREAT | O_EXCL)
        var rest = bytes[...]
        while !rest.isEmpty {
            let count = rest.withUnsafeBytes { Glibc.write(file.number, $0.baseAddress, $0.count) }
            if count < 0, errno == EINTR { continue }
            guard count >= 0 else { throw SystemError("cannot write \(temporary)") }
            rest = rest.dropFirst(count)
        }
        guard rename(temporary, path) == 0 else { throw SystemError("cannot write \(path)") }
    }

    /// The names in a folder, sorted, without dotfiles.
    static func names(in folder: String) -> [String] {
        guard let stream = opendir(folder) else { return [] }
        defer { closedir(stream) }
        var names: [String] = []
        while let entry = readdir(stream) {
            let name = withUnsafeBytes(of: &entry.pointee.d_name) { bytes in
                String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
            }
            if !name.hasPrefix(".") { names.append(name) }
        }
        return names.sorted()
    }

    /// Deletes a folder and the files in it; what is no file stays.
    ///
    /// Of a link only itself is deleted, and nothing of what it leads to.
    static func deleteFolder(_ path: String) {
        var status = stat()
        guard lstat(path, &status) == 0 else { return }
        guard status.st_mode & S_IFMT == S_IFDIR else {
            unlink(path)
            return
        }
        for name in names(in: path) { unlink("\(path)/\(name)") }
        rmdir(path)
    }
}
