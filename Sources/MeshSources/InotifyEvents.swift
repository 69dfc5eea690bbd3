import Glibc

/// One event, as inotify tells it.
struct InotifyEvent: Hashable, Sendable {
    let watch: Int32
    let mask: UInt32
    /// Empty when the event is of the watched folder itself.
    let name: String

    func has(_ flags: Int32...) -> Bool { flags.contains { mask & UInt32(bitPattern: $0) != 0 } }
}

/// What the events since the last scan say: which files were written, and which still are.
///
/// A file is read when its writer closes it, not while it grows.
struct InotifyEvents {
    /// Files that changed since the last scan, whatever their signatures say.
    private(set) var written: Set<WatchedName> = []
    /// Files that somebody writes to.
    private(set) var beingWritten: Set<WatchedName> = []
    /// True when events were lost, so that every file may have changed.
    private(set) var haveOverflowed = false

    /// Events that a watch asks for.
    static let mask =
        IN_CREATE | IN_MODIFY | IN_CLOSE_WRITE | IN_ATTRIB | IN_MOVED_FROM | IN_MOVED_TO | IN_DELETE
        | IN_DELETE_SELF | IN_MOVE_SELF

    /// Takes an event.
    ///
    /// - Returns: whether it asks for a scan.
    mutating func take(_ event: InotifyEvent) -> Bool {
        let file = WatchedName(watch: event.watch, name: event.name)
        if event.has(IN_Q_OVERFLOW) {
            haveOverflowed = true
            beingWritten = []
            return true
        }
        if event.has(IN_IGNORED) {
            forget(watch: event.watch)
            return false
        }
        if event.has(IN_DELETE_SELF, IN_MOVE_SELF) { return true }
        guard concernsManifests(event.name) else { return false }
        if event.has(IN_ISDIR) { return true }
        if event.has(IN_MODIFY) {
            if isManifest(event.name) { beingWritten.insert(file) }
            return false
        }
        beingWritten.remove(file)
        guard isManifest(event.name) else {
            // It may be a link to a folder that comes or goes.
            return event.has(IN_CREATE, IN_MOVED_FROM, IN_MOVED_TO, IN_DELETE)
        }
        written.insert(file)
        return true
    }

    /// Begins anew after a scan has read what was written.
    mutating func scanned() {
        written = []
        haveOverflowed = false
    }

    private mutating func forget(watch: Int32) {
        written = written.filter { $0.watch != watch }
        beingWritten = beingWritten.filter { $0.watch != watch }
    }
}

/// Finds the end of a burst: some quiet time after its last event, and at the latest a fixed time
/// after its first.
struct Burst {
    let quiet: Duration
    let limit: Duration
    private var first: Duration?
    private var last = Duration.zero

    init(quiet: Duration, limit: Duration) {
        self.quiet = quiet
        self.limit = limit
    }

    /// Takes an event at `now`, the time of any steady clock.
    mutating func event(at now: Duration) {
        first = first ?? now
        last = now
    }

    /// The time left until the burst has ended; nil when there is none.
    func remaining(at now: Duration) -> Duration? {
        guard let first else { return nil }
        return max(min(last + quiet, first + limit) - now, .zero)
    }

    /// Lets the burst go on for another quiet time.
    ///
    /// - Returns: false when its limit has come.
    mutating func prolong(at now: Duration) -> Bool {
        guard let first, now < first + limit else { return false }
        last = now
        return true
    }

    /// Ends the burst.
    mutating func end() { first = nil }
}
