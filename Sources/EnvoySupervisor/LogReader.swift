import CProcess
import Glibc
public import MeshModel

extension EnvoySupervisor {
    /// A file that grows, in chunks, in the same way as a process's log: an access log.
    ///
    /// It is empty when there is no such file, or it is no regular one. With `follow` it goes on when
    /// another takes its place, and ends when it is deleted.
    public func text(
        ofFile path: String,
        tailLines: Int? = nil,
        follow: Bool = false
    ) -> AsyncStream<[UInt8]> {
        let folder = path.lastIndex(of: "/").map { String(path[..<$0]) } ?? ""
        guard path.hasPrefix("/"), Files.isRegular(path) else { return AsyncStream { nil } }
        let reader = LogReader(
            path: path,
            tailLines: tailLines,
            changes: follow ? FolderChanges(folder.isEmpty ? "/" : folder, watcher) : nil
        )
        return AsyncStream { await reader.next() }
    }

    /// The log of a process in chunks: its last `tailLines` lines, or all of it when nil.
    ///
    /// With `follow` the stream goes on with what is appended, over rotations, from the start after the
    /// file was truncated or replaced, and ends when it is deleted. Chunks are read when they are
    /// asked for, so memory is bounded. The stream of a proxy without a log is empty.
    public func log(
        of proxy: ProxyID,
        kind: ProcessKind,
        tailLines: Int? = nil,
        follow: Bool = false
    ) -> AsyncStream<[UInt8]> {
        let folder = ProxyFolder(of: proxy, stateDirectory: stateDirectory)
        let reader = LogReader(
            path: folder.logPath(kind),
            tailLines: tailLines,
            changes: follow ? FolderChanges(folder.path, watcher) : nil
        )
        return AsyncStream { await reader.next() }
    }
}

/// Reads a log from a place near its end on, over its rotations (`LogRotation`).
actor LogReader {
    private static let chunkBytes = 64 * 1024
    private static let tailBytes = 64
    /// For how many waits of 5 ms a lock may be a rotation's.
    private static let lockAttempts = 100

    private let path: String
    private let changes: FolderChanges?
    private var file: Descriptor?
    /// The file with what was rotated away, as long as some of it has not been read.
    private var former: Descriptor?
    /// The place in `former` if there is one, else in `file`.
    private var offset = 0
    /// The last bytes before `offset`, by which the place is known in a copy of the file.
    private var tail: [UInt8] = []
    /// Which former file there was when we last looked: another one tells of a rotation.
    private var seen: FileIdentity?

    /// Whether the log is locked, and not for a rotation.
    private var isLockForeign = false

    /// Opens the log; with `changes` it goes on after the end.
    init(path: String, tailLines: Int?, changes: FolderChanges?) {
        self.path = path
        self.changes = changes
        guard let file = Descriptor.log(path) else { return }
        self.file = file
        let begin = { Self.begin(file, path, tailLines: tailLines) }
        // A rotation at this very moment makes a tail inexact, no more.
        (offset, former, seen) = file.unlessRotated(begin) ?? begin()
        let length = min(offset, Self.tailBytes)
        tail = (former ?? file).read(at: offset - length, count: length)
    }

    /// The next chunk; nil at the end, or when the task is cancelled.
    func next() async -> [UInt8]? {
        while !Task.isCancelled {
            if let former {
                let bytes = take(from: former)
                if !bytes.isEmpty { return bytes }
                self.former = nil
                move(to: 0)
            }
            if let file {
                let bytes = await readOn(file)
                if !bytes.isEmpty { return bytes }
                if former != nil { continue }
            }
            guard let changes else { return nil }
            if reopen() { continue }
            // Our file was deleted, and none has taken its place.
            if file != nil, access(path, F_OK) != 0 { return nil }
            guard await changes.next() else { return nil }
        }
        return nil
    }

    /// Waits for a rotation under way, and reads; nothing when there is something in the former file
    /// first.
    private func readOn(_ file: Descriptor) async -> [UInt8] {
        func read() -> [UInt8] {
            followRotation()
            if former != nil { return [] }
            // A file that became shorter was truncated by somebody else.
            if file.status.size < offset { move(to: 0) }
            return take(from: file)
        }
        for _ in 0..<(isLockForeign ? 1 : Self.lockAttempts) {
            if let bytes = file.unlessRotated(read) {
                isLockForeign = false
                return bytes
            }
            try? await Task.sleep(for: .milliseconds(5))
        }
        // No rotation takes that long: it is somebody else's lock, which keeps rotations away.
        isLockForeign = true
        return read()
    }

    /// Where to read first, and which former file there is.
    private static func begin(
        _ file: Descriptor,
        _ path: String,
        tailLines: Int?
    ) -> (offset: Int, former: Descriptor?, seen: FileIdentity?) {
        let formerPath = LogRotation.formerPath(of: path)
        let seen = FileIdentity(formerPath)
        guard let tailLines else { return (0, nil, seen) }
        let start = start(ofLast: tailLines, in: file)
        guard start.missing > 0, let former = Descriptor.log(formerPath) else {
            return (start.offset, nil, seen)
        }
        return (Self.start(ofLast: start.missing, in: former).offset, former, seen)
    }

    /// Reads on.
    private func take(from file: Descriptor) -> [UInt8] {
        let bytes = file.read(at: offset, count: Self.chunkBytes)
        offset += bytes.count
        tail = Array((tail + bytes.suffix(Self.tailBytes)).suffix(Self.tailBytes))
        return bytes
    }

    private func move(to offset: Int) {
        self.offset = offset
        tail = []
    }

    /// Goes on in the former file if ours was rotated since we last looked.
    private func followRotation() {
        let formerPath = LogRotation.formerPath(of: path)
        let identity = FileIdentity(formerPath)
        guard identity != seen else { return }
        seen = identity
        guard let copy = Descriptor.log(formerPath) else { return }
        former = copy
        // A second rotation has overwritten what we were reading, and nothing of this one is known.
        let length = tail.count
        if copy.read(at: offset - length, count: length) != tail { move(to: 0) }
    }

    /// Opens the file that has taken the place of ours; false when there is none.
    private func reopen() -> Bool {
        guard let newest = Descriptor.log(path),
            newest.status.inode != file?.status.inode
        else { return false }
        file = newest
        seen = FileIdentity(LogRotation.formerPath(of: path))
        move(to: 0)
        return true
    }

    /// Where the last `count` lines start, and how many of them the file does not have.
    ///
    /// A last line without a newline counts.
    static func start(ofLast count: Int, in file: Descriptor) -> (offset: Int, missing: Int) {
        let size = file.status.size
        guard count > 0 else { return (size, 0) }
        var end = size
        var newlines = 0
        while end > 0 {
            let start = max(0, end - chunkBytes)
            let block = file.read(at: start, count: end - start)
            for index in block.indices.reversed() where block[index] == UInt8(ascii: "\n") {
                // The newline at the very end closes the last line.
                if start + index == size - 1 { continue }
                newlines += 1
                if newlines == count { return (start + index + 1, 0) }
            }
            end = start
        }
        return (0, count - newlines - (size > 0 ? 1 : 0))
    }
}

extension Descriptor {
    /// Opens a log to read; nil of what is no regular file.
    ///
    /// A folder of logs may be an application's: a pipe in a log's place keeps nobody waiting, and a link
    /// leads nowhere, as what it leads to may be for our eyes only.
    fileprivate static func log(_ path: String) -> Descriptor? {
        guard let file = try? open(path, O_RDONLY | O_NONBLOCK | O_NOFOLLOW), file.isRegular else {
            return nil
        }
        return file
    }
}

/// Tells when files of a folder change (inotify).
final class FolderChanges: Sendable {
    private let token: DescriptorWatcher.Token
    private let watcher: DescriptorWatcher
    private let changes: AsyncStream<Void>
    private let changed: AsyncStream<Void>.Continuation

    /// Watches a folder; nil when there is none.
    init?(_ folder: String, _ watcher: DescriptorWatcher) {
        let descriptor = Descriptor(inotify_init1(Int32(IN_CLOEXEC | IN_NONBLOCK)))
        let mask = IN_MODIFY | IN_CREATE | IN_MOVED_TO | IN_DELETE | IN_DELETE_SELF
        guard inotify_add_watch(descriptor.number, folder, UInt32(mask)) >= 0 else { return nil }
        let (changes, changed) = AsyncStream<Void>.makeStream(bufferingPolicy: .bufferingNewest(1))
        (self.changes, self.changed) = (changes, changed)
        self.watcher = watcher
        token = watcher.watch(descriptor) { token in
            let isGone = Self.takeAll(descriptor)
            changed.yield()
            if isGone {
                watcher.unwatch(token)
                changed.finish()
            }
        }
    }

    deinit { watcher.unwatch(token) }

    /// Waits for a change since the last call; false when there will be none.
    func next() async -> Bool {
        var iterator = changes.makeAsyncIterator()
        return await iterator.next() != nil
    }

    /// Takes all events; whether the folder is gone.
    private static func takeAll(_ descriptor: Descriptor) -> Bool {
        var isGone = false
        let size = 4096
        withUnsafeTemporaryAllocation(byteCount: size, alignment: 8) { buffer in
            while true {
                let count = read(descriptor.number, buffer.baseAddress, size)
                guard count > 0 else { return }
                var offset = 0
                while offset < count {
                    let event = buffer.load(fromByteOffset: offset, as: inotify_event.self)
                    if event.mask & UInt32(IN_DELETE_SELF | IN_IGNORED) != 0 { isGone = true }
                    offset += MemoryLayout<inotify_event>.size + Int(event.len)
                }
            }
        }
        return isGone
    }
}
