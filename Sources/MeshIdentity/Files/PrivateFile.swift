internal import Glibc

/// Files that hold keys: their owner alone reads them, and each is whole whatever happens.
enum PrivateFile {
    /// Puts `text` in place of the file `path`.
    ///
    /// The text is on disk under another name before it takes the place, so a failure or a crash
    /// leaves what was there. One process writes in a folder.
    static func write(_ text: String, to path: String) throws(IdentityError) {
        let new = "\(path).new"
        unlink(new)
        // Only the owner can read it from the first moment on.
        let file = open(new, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0o600)
        guard file >= 0 else { throw cannotWrite(path) }
        guard writeAll(text, to: file), fsync(file) == 0 else {
            let error = cannotWrite(path)
            close(file)
            unlink(new)
            throw error
        }
        close(file)
        guard rename(new, path) == 0 else {
            let error = cannotWrite(path)
            unlink(new)
            throw error
        }
        // Without this the name may be lost with the power.
        let folder = open(parent(of: path), O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard folder >= 0 else { return }
        fsync(folder)
        close(folder)
    }

    /// The text of the file `path`; nil when there is none.
    static func read(_ path: String) throws(IdentityError) -> String? {
        do {
            return try FileText.read(path)
        } catch {
            if error.code == ENOENT { return nil }
            throw IdentityError("\(path): \(error.text)")
        }
    }

    /// Removes the file `path`, if it is there.
    static func remove(_ path: String) throws(IdentityError) {
        guard unlink(path) != 0, errno != ENOENT else { return }
        throw IdentityError("cannot remove \(path): \(systemError()); remove it")
    }

    /// Makes the folder `path`, which its owner alone may enter.
    static func makeFolder(_ path: String) throws(IdentityError) {
        guard mkdir(path, 0o700) == 0 || errno == EEXIST, chmod(path, 0o700) == 0 else {
            throw IdentityError(
                "cannot make the folder \(path): \(systemError()); mend the permissions of "
                    + "\(parent(of: path)) or pass another --state-dir"
            )
        }
    }

    private static func writeAll(_ text: String, to file: Int32) -> Bool {
        var text = text
        return text.withUTF8 { bytes in
            var rest = UnsafeRawBufferPointer(bytes)
            while !rest.isEmpty {
                let count = Glibc.write(file, rest.baseAddress, rest.count)
                if count < 0 {
                    guard errno == EINTR else { return false }
                    continue
                }
                rest = UnsafeRawBufferPointer(rebasing: rest.dropFirst(count))
            }
            return true
        }
    }

    private static func cannotWrite(_ path: String) -> IdentityError {
        let remedy =
            switch errno {
            case ENOSPC, EDQUOT, EFBIG: "make room there"
            default: "mend the permissions of \(parent(of: path))"
            }
        return IdentityError("cannot write \(path): \(systemError()); \(remedy)")
    }
}

/// The folder of the file `path`.
func parent(of path: String) -> String {
    guard let slash = path.lastIndex(of: "/") else { return "." }
    return slash == path.startIndex ? "/" : String(path[..<slash])
}

/// What the last failed system call says.
func systemError(_ code: Int32 = errno) -> String {
    String(cString: strerror(code)).lowercasedFirst
}

extension String {
    /// `no such file or directory`, as it goes on after a colon.
    fileprivate var lowercasedFirst: String { prefix(1).lowercased() + dropFirst() }
}
