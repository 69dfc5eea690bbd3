import CProcess
import Glibc
public import MeshModel

extension EnvoySupervisor {
    /// The log of a process in chunks: its last `tailLines` lines, or all of it when nil.
    ///
    /// With `follow` the stream goes on with what is appended, from the start after the file was
    /// truncated or replaced, and ends when it is deleted. Chunks are read when they
    /// are asked for, so memory is bounded. The stream of a proxy without a log is empty.
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

/// Reads a log from a place near its end on.
actor LogReader {
    private static let chunkBytes = 64 * 1024

    private let path: String
    private let changes: FolderChanges?
    private var file: Descriptor?
    private var offset = 0

    /// Opens the log; with `changes` it goes on after the end.
    init(path: String, tailLines: Int?, changes: FolderChanges?) {
        self.path = path
        self.changes = changes
        file = try? Descriptor.open(path, O_RDONLY)
        if let file, let tailLines { offset = Self.start(ofLast: tailLines, in: file) }
    }

    /// The next chunk; nil at the end, or when the task is cancelled.
    func next() async -> [UInt8]? {
        while !Task.isCancelled {
            if let file {
                // A file that became shorter was truncated.
                if file.status.size < offset { offset = 0 }
                let bytes = file.read(at: offset, count: Self.chunkBytes)
                offset += bytes.count
                if !bytes.isEmpty { return bytes }
            }
            guard let changes else { return nil }
            if reopen() { continue }
            // Our file was deleted, and none has taken its place.
            if file != nil, access(path, F_OK) != 0 { return nil }
            guard await changes.next() else { return nil }
        }
        return nil
    }

    /// Opens the file that has taken the place of ours; false when there is none.
    private func reopen() -> Bool {
        guard let newest = try? Descriptor.open(path, O_RDONLY),
            newest.status.inode != file?.status.inode
        else { return false }
        file = newest
        offset = 0
        return true
    }

    /// Where the last `count` lines start; a last line without a newline counts.
    static func start(ofLast count: Int, in file: Descriptor) -> Int {
        let size = file.status.size
        guard count > 0 else { return size }
        var end = size
        var newlines = 0
        while end > 0 {
            let start = max(0, end - chunkBytes)
            let block = file.read(at: start, count: end - start)
            for index in block.indices.reversed() where block[index] == UInt8(ascii: "\n") {
                // The newline at the very end closes the last line.
                if start + index == size - 1 { continue }
                newlines += 1
                if newlines == count { return start + index + 1 }
            }
            end = start
        }
        return 0
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
