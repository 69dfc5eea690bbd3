internal import FoundationEssentials
internal import Glibc

/// A file that is read.
final class LogFile: Sendable {
    let inode: UInt64
    private let descriptor: Int32

    /// Opens it; nil where that is not possible, for what is no ordinary file, and for one that is
    /// replaced at this very moment.
    init?(_ path: String) {
        guard let before = Self.inode(path) else { return nil }
        let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
        guard descriptor >= 0 else { return nil }
        guard Self.inode(path) == before else {
            close(descriptor)
            return nil
        }
        self.descriptor = descriptor
        inode = before
    }

    deinit { close(descriptor) }

    /// Which ordinary file has a name now.
    static func inode(_ path: String) -> UInt64? {
        let path =
            (try? FileManager.default.destinationOfSymbolicLink(atPath: path)) == nil
            ? path : URL(filePath: path).resolvingSymlinksInPath().path(percentEncoded: false)
        guard let attributes = try? FileManager.default.attributesOfItem(atPath: path),
            attributes[.type] as? FileAttributeType == .typeRegular
        else { return nil }
        return attributes[.systemFileNumber] as? UInt64
    }

    /// How many bytes it has.
    var size: Int { max(0, Int(lseek(descriptor, 0, SEEK_END))) }

    /// Up to `count` bytes from `offset` on; none past the end.
    func read(at offset: Int, count: Int) -> [UInt8] {
        guard count > 0, offset >= 0 else { return [] }
        return Array(unsafeUninitializedCapacity: count) { buffer, filled in
            filled = max(0, pread(descriptor, buffer.baseAddress, count, off_t(offset)))
        }
    }

    /// Whether `tail` is what it has before `offset`.
    func holds(_ tail: [UInt8], before offset: Int) -> Bool {
        offset >= tail.count && size >= offset
            && read(at: offset - tail.count, count: tail.count) == tail
    }
}
