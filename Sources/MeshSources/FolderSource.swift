import Glibc
public import Logging
public import MeshManifests
public import MeshModel
public import ServiceLifecycle

/// Watches folders of manifests and tells what world they describe, each time they change.
///
/// Sub-folders count, links to folders and files are followed, and files of editors and hidden
/// files do not count. A burst of changes is one world. A file is read when its writer has closed
/// it, and decoded only when its content changed.
///
/// The files are read on a thread of their own, as reading blocks.
public struct FolderSource: Service {
    /// Decodes the bytes of the file `path`, which stands in `folder`, an absolute path.
    public typealias Decode =
        @Sendable (_ bytes: [UInt8], _ path: String, _ folder: String) -> ManifestFile

    /// Decodes App Mesh's manifests and Heddle's own.
    public static let manifests: Decode = { decodeManifests($0, path: $1, folder: $2) }

    /// The worlds, the newest only; the first comes at once, even when there are no manifests.
    public let worlds: AsyncStream<World>

    private let continuation: AsyncStream<World>.Continuation
    private let paths: [String]
    private let excluded: String?
    private let decode: Decode
    private let now: @Sendable () -> Duration
    private let quiet: Duration
    private let limit: Duration
    private let logger: Logger

    /// Makes a source of the folders and files `paths`.
    ///
    /// - Parameters:
    ///   - paths: Folders, and single files.
    ///   - excluded: A folder that is left out, though it may be in one of them.
    ///   - decode: Reads objects from a file's bytes.
    ///   - now: The time since 1970.
    ///   - quiet: A burst has ended when nothing happened for this long,
    ///   - limit: or when it has gone on for this long.
    ///   - logger: Where each reading is logged.
    public init(
        paths: [String],
        excluded: String? = nil,
        decode: @escaping Decode = manifests,
        now: @escaping @Sendable () -> Duration = timeSince1970,
        quiet: Duration = .milliseconds(20),
        limit: Duration = .milliseconds(200),
        logger: Logger
    ) {
        (worlds, continuation) = AsyncStream.makeStream(bufferingPolicy: .bufferingNewest(1))
        self.paths = paths.map(withoutTrailingSlash)
        self.excluded = excluded
        self.decode = decode
        self.now = now
        self.quiet = quiet
        self.limit = limit
        self.logger = logger
    }

    /// Watches until shutdown or cancellation, and ends `worlds` then.
    public func run() async throws {
        defer { continuation.finish() }
        let stop = try StopSignal()
        try await withTaskCancellationHandler {
            try await withGracefulShutdownHandler {
                try await onOwnThread { watch(until: stop) }
            } onGracefulShutdown: {
                stop.send()
            }
        } onCancel: {
            stop.send()
        }
    }

    private func watch(until stop: StopSignal) {
        let watch = FolderWatch()
        var reader = FolderReader(decode: decode)
        var events = InotifyEvents()
        var burst = Burst(quiet: quiet, limit: limit)
        publish(
            &reader,
            watch.scan(paths, excluded: excluded),
            events: events,
            notes: watch.notes,
            isFirst: true
        )
        while true {
            let everySecond: Duration? = watch.failures.isEmpty ? nil : .seconds(1)
            let timeout = burst.remaining(at: steadyTime()) ?? everySecond
            let isOver = !stop.wait(for: watch.descriptor, upTo: timeout)
            if stop.isSent { return }
            for event in watch.events() where events.take(event) { burst.event(at: steadyTime()) }
            if isOver, burst.remaining(at: steadyTime()) == nil { burst.event(at: steadyTime()) }
            guard burst.remaining(at: steadyTime()) == .zero else { continue }
            let scan = watch.scan(paths, excluded: excluded)
            // Who makes a folder writes files into it next, perhaps before it was watched.
            if watch.hasNewFolders, burst.prolong(at: steadyTime()) { continue }
            publish(&reader, scan, events: events, notes: watch.notes)
            events.scanned()
            burst.end()
        }
    }

    private func publish(
        _ reader: inout FolderReader,
        _ scan: FolderScan,
        events: InotifyEvents,
        notes: [Diagnostic],
        isFirst: Bool = false
    ) {
        let changed = reader.take(
            scan,
            mustRead: { events.haveOverflowed || $0.watched.map(events.written.contains) ?? false },
            mustWait: { $0.watched.map(events.beingWritten.contains) ?? false },
            notes: notes
        )
        guard changed || isFirst else { return }
        let world = reader.world(at: now())
        logger.info(
            "manifests read",
            metadata: [
                "files": "\(scan.files.count)", "objects": "\(world.objects.count)",
                "errors": "\(world.diagnostics.count { $0.severity == .error })",
            ]
        )
        continuation.yield(world)
    }
}

/// The world that the files in `paths`, folders and single files, describe at this moment.
public func loadWorld(
    paths: [String],
    decode: @escaping FolderSource.Decode = FolderSource.manifests,
    now: Duration = timeSince1970()
) -> World {
    var reader = FolderReader(decode: decode)
    _ = reader.take(FolderScan(roots: paths.map(withoutTrailingSlash)) { _, _ in nil })
    return reader.world(at: now)
}

/// The worlds that the files in `paths` can make: one, unless files contradict each other.
///
/// Where several files say different things of a Namespace or Mesh, each of them is in a world of its
/// own, with the files that contradict none; warnings of the first world say so.
public func loadAlternatives(
    paths: [String],
    decode: @escaping FolderSource.Decode = FolderSource.manifests,
    now: Duration = timeSince1970()
) -> [World] {
    var reader = FolderReader(decode: decode)
    _ = reader.take(FolderScan(roots: paths.map(withoutTrailingSlash)) { _, _ in nil })
    return reader.alternatives(at: now)
}

/// The time since 1970 by the system's clock.
public func timeSince1970() -> Duration { time(of: CLOCK_REALTIME) }

/// The time by a clock that is never set.
private func steadyTime() -> Duration { time(of: CLOCK_MONOTONIC) }

private func time(of clock: clockid_t) -> Duration {
    var time = timespec()
    clock_gettime(clock, &time)
    return .seconds(time.tv_sec) + .nanoseconds(time.tv_nsec)
}
