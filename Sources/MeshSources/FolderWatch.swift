import Glibc
import MeshModel

/// The watches on folders, by inotify.
///
/// Belongs to one thread.
final class FolderWatch {
    /// Becomes readable when there are events; -1 when the system has no watch left to give.
    let descriptor: Int32
    /// Folders for which the system has no watch left; path "" stands for all of them.
    private(set) var failures: [PathProblem] = []
    /// Whether the last scan came to folders that were not watched before.
    private(set) var hasNewFolders = false

    /// Which names of each watch matter.
    private enum Names {
        case every
        case only(Set<String>)
    }
    private var watches: [Int32: Names] = [:]
    private var scanned: [Int32: Names] = [:]

    init() {
        descriptor = inotify_init1(Int32(IN_CLOEXEC) | Int32(IN_NONBLOCK))
        if descriptor < 0 { failures = [PathProblem(path: "", code: errno)] }
    }

    deinit {
        if descriptor >= 0 { close(descriptor) }
    }

    /// Scans `roots` but for the folder `excluded`, and watches every folder met, and none else.
    func scan(_ roots: [String], excluded: String?) -> FolderScan {
        scanned = [:]
        if descriptor >= 0 { failures = [] }
        let scan = FolderScan(roots: roots, excluded: excluded) { self.watch($0, $1) }
        hasNewFolders = scanned.keys.contains { watches[$0] == nil }
        for watch in watches.keys where scanned[watch] == nil {
            inotify_rm_watch(descriptor, watch)
        }
        watches = scanned
        return scan
    }

    private func watch(_ folder: String, _ name: String?) -> Int32? {
        guard descriptor >= 0 else { return nil }
        let mask = UInt32(InotifyEvents.mask) | UInt32(IN_ONLYDIR)
        let watch = inotify_add_watch(descriptor, folder, mask)
        guard watch >= 0 else {
            // Whatever else is wrong with a folder, listing it tells.
            if errno == ENOSPC || errno == ENOMEM {
                failures.append(PathProblem(path: folder, code: errno))
            }
            return nil
        }
        switch (scanned[watch], name) {
        case (.only(let names), let name?): scanned[watch] = .only(names.union([name]))
        case (nil, let name?): scanned[watch] = .only([name])
        case (.every, _), (_, nil): scanned[watch] = .every
        }
        return watch
    }

    /// Takes the events that have come up, and returns those that matter.
    func events() -> [InotifyEvent] {
        var events: [InotifyEvent] = []
        let capacity = 64 << 10
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: capacity, alignment: 8)
        defer { buffer.deallocate() }
        while descriptor >= 0 {
            let count = read(descriptor, buffer.baseAddress, capacity)
            guard count > 0 else { break }
            events += inotifyEvents(in: UnsafeRawBufferPointer(rebasing: buffer[..<count]))
        }
        return events.filter { event in
            switch watches[event.watch] {
            case .every: true
            case .only(let names): names.contains(event.name) || event.name.isEmpty
            case nil: event.has(IN_Q_OVERFLOW, IN_IGNORED)
            }
        }
    }

    /// A warning when folders are not watched.
    var notes: [Diagnostic] {
        guard let failure = failures.first else { return [] }
        var what = failure.path.isEmpty ? "folders" : failure.path
        if failures.count > 1 { what += " and \(failures.count - 1) others" }
        let limit = failure.path.isEmpty ? "max_user_instances" : "max_user_watches"
        return [
            Diagnostic(
                .warning,
                problem: "cannot watch \(what): \(failure.reason); looks every second instead",
                remedy: "raise fs.inotify.\(limit)"
            )
        ]
    }
}

/// The events in a buffer that inotify filled.
private func inotifyEvents(in buffer: UnsafeRawBufferPointer) -> [InotifyEvent] {
    var events: [InotifyEvent] = []
    var offset = 0
    let header = MemoryLayout<inotify_event>.size
    while offset + header <= buffer.count {
        let event = buffer.loadUnaligned(fromByteOffset: offset, as: inotify_event.self)
        let end = min(offset + header + Int(event.len), buffer.count)
        // The name is filled up with zeros.
        let name = buffer[(offset + header)..<end].prefix { $0 != 0 }
        let text = String(decoding: name, as: UTF8.self)
        events.append(InotifyEvent(watch: event.wd, mask: event.mask, name: text))
        offset = end
    }
    return events
}
