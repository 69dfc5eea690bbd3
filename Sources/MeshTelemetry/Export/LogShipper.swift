internal import FoundationEssentials
internal import NIOPosix
internal import Synchronization

/// Follows access logs, and sends their lines with one exporter of one mesh.
///
/// Lines are read when there is room for them: what waits for a receiver that is down waits in its
/// file. Places are kept in a file, so that a restart goes on where the last line was sent.
final class LogShipper: Sendable {
    private static let look: Duration = .seconds(1)
    private static let chunksAtOnce = 16

    private struct State {
        var sources: [String: LogSource] = [:]
        var isFinishing = false
    }

    /// What the reading thread alone uses.
    private struct Reading {
        var tails: [String: LogTail] = [:]
        /// Of what is followed, and of other files that are there; nil before it was read.
        var kept: [String: KeptPlace]?
        /// As in the file.
        var written: [String: KeptPlace] = [:]
        /// Those that `kept` is of.
        var saved: [String: LogPlace] = [:]
        /// How many files were begun to be followed; lines of one that is followed again are told
        /// from those before by that.
        var count = 0

        /// The tail of a file, which is followed from now on.
        mutating func tail(_ path: String, _ kept: KeptPlace?) -> LogTail {
            if let tail = tails[path] { return tail }
            count += 1
            return LogTail(path, from: kept, generation: count << 32)
        }

        /// Ends to follow all but `sources`, whose places stay known as long as there is a file.
        mutating func follow(_ sources: [String: LogSource], _ shipped: ShippedPlaces) {
            guard Set(tails.keys) != Set(sources.keys) else { return }
            for (path, tail) in tails where sources[path] == nil {
                if let place = shipped[path], let last = tail.kept(place) { kept?[path] = last }
                tails[path] = nil
                saved[path] = nil
            }
            shipped.follow(Set(sources.keys))
            kept = kept?.filter { sources[$0.key] != nil || LogFile.inode($0.key) != nil }
        }
    }

    let queue: ExportQueue<LogItem>
    private let shipped: ShippedPlaces
    private let state = Mutex(State())
    private let reading = Mutex(Reading())
    private let changed: Signal
    private let time: ExportTime
    private let placesPath: String

    /// Makes a shipper.
    ///
    /// - Parameters:
    ///   - limits: How much may wait.
    ///   - placesPath: The file in which places are kept.
    ///   - time: Time and chance.
    ///   - send: Sends a request.
    init(
        _ limits: ExportLimits,
        placesPath: String,
        time: ExportTime,
        send: @escaping ExportQueue<LogItem>.Send
    ) {
        let (shipped, changed) = (ShippedPlaces(), Signal())
        self.changed = changed
        self.shipped = shipped
        self.time = time
        self.placesPath = placesPath
        queue = ExportQueue(
            limits,
            time: time,
            settled: { items in
                shipped.add(items)
                // There may be room for more.
                changed.set()
            },
            send: send
        )
    }

    /// Follows these files from now on, by their paths.
    func follow(_ sources: [String: LogSource]) {
        let isNew = state.withLock { state in
            defer { state.sources = sources }
            return state.sources != sources
        }
        if isNew { changed.set() }
    }

    /// Reads no more; what was read is sent.
    func finish() {
        state.withLock { $0.isFinishing = true }
        changed.set()
    }

    /// Follows and sends until `finish`, or the task is cancelled.
    func run(reported: @escaping @Sendable () -> Void) async {
        await withTaskGroup { group in
            group.addTask { await self.queue.run(reported: reported) }
            var saved = time.now()
            while !Task.isCancelled, !state.withLock({ $0.isFinishing }) {
                let hasMore = await readOnce()
                if time.now() - saved >= Self.look {
                    await save()
                    saved = time.now()
                }
                if !hasMore { await changed.wait(atMost: Self.look, time) }
            }
            queue.finish()
            await group.waitForAll()
        }
        await save()
    }

    // MARK: On a thread that may block

    /// Reads some of each file, as long as there is room; whether there was something and room is left.
    private func readOnce() async -> Bool {
        let sources = state.withLock { $0.sources }
        let now = time.wallSeconds()
        return await blocking { self.read(sources, now) }
    }

    private func read(_ sources: [String: LogSource], _ now: Double) -> Bool {
        reading.withLock { reading in
            if reading.kept == nil {
                reading.written = Self.load(placesPath)
                reading.kept = reading.written
            }
            reading.follow(sources, shipped)
            let kept = reading.kept ?? [:]
            var hasMore = false
            // In another order each time, so that one file does not keep others waiting.
            for (path, source) in sources.shuffled() {
                var tail = reading.tail(path, kept[path])
                for _ in 0..<Self.chunksAtOnce {
                    // A chunk has fewer lines than the other half takes.
                    guard !queue.isHalfFull else { break }
                    let lines = tail.next()
                    hasMore = hasMore || !lines.isEmpty
                    if lines.isEmpty { break }
                    queue.add(
                        lines.filter { !source.isMixed || !ProxyOutput.isEnvoysOwn($0.bytes) }
                            .map { LogItem($0, of: source, readSeconds: now) }
                    )
                }
                reading.tails[path] = tail
            }
            return hasMore && !queue.isHalfFull
        }
    }

    private func save() async { await blocking { self.saveNow() } }

    /// Writes places that have changed.
    private func saveNow() {
        reading.withLock { reading in
            guard var kept = reading.kept else { return }
            let places = shipped.all
            for (path, place) in places where reading.saved[path] != place {
                guard let tail = reading.tails[path], let new = tail.kept(place) else { continue }
                kept[path] = new
            }
            reading.saved = places
            reading.kept = kept
            guard kept != reading.written else { return }
            reading.written = kept
            let folder = placesPath.split(separator: "/", omittingEmptySubsequences: false)
                .dropLast().joined(separator: "/")
            try? FileManager.default.createDirectory(
                atPath: folder,
                withIntermediateDirectories: true,
                attributes: [.posixPermissions: 0o700]
            )
            let encoder = JSONEncoder()
            encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
            guard let data = try? encoder.encode(kept) else { return }
            try? data.write(to: URL(filePath: placesPath), options: .atomic)
        }
    }

    private static func load(_ path: String) -> [String: KeptPlace] {
        guard let data = FileManager.default.contents(atPath: path) else { return [:] }
        return (try? JSONDecoder().decode([String: KeptPlace].self, from: data)) ?? [:]
    }

    private func blocking<Value: Sendable>(
        _ work: @escaping @Sendable () -> Value
    ) async -> Value {
        await withCheckedContinuation { continuation in
            NIOThreadPool.singleton.submit { _ in continuation.resume(returning: work()) }
        }
    }
}

/// Up to where lines were sent, by the path of their file; of files that are followed.
private final class ShippedPlaces: Sendable {
    private let state = Mutex((places: [String: LogPlace](), followed: Set<String>()))

    /// All that is known.
    var all: [String: LogPlace] { state.withLock(\.places) }

    subscript(path: String) -> LogPlace? { state.withLock { $0.places[path] } }

    /// Forgets all other files.
    func follow(_ paths: Set<String>) {
        state.withLock { state in
            state.followed = paths
            state.places = state.places.filter { paths.contains($0.key) }
        }
    }

    /// Takes lines that were sent or dropped.
    func add(_ items: [LogItem]) {
        state.withLock { state in
            for item in items where state.followed.contains(item.source.path) {
                let path = item.source.path
                state.places[path] = max(state.places[path] ?? item.place, item.place)
            }
        }
    }
}
