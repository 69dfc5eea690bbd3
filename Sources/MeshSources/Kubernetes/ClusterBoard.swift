internal import KubernetesAPI
internal import Logging
internal import MeshModel
internal import Synchronization

/// What is known of a cluster, between the informers that tell it and those who read it.
final class ClusterBoard: Sendable {
    fileprivate struct State {
        var cluster = ClusterWorld()
        var reading: ReadingState
        var burst: Burst
        /// What the next publication has to tell.
        var news = (world: true, processes: true)
        var isPublished = false
        /// What the writer cannot write.
        var writing: [Diagnostic] = []
        /// What the writer has not seen yet; nil without a writer.
        var changed: Set<ObjectID>?
    }

    /// What a publication tells.
    struct Publication {
        var world: World?
        var processes: [ProxyID: ProcessObservation]?
    }

    private let state: Mutex<State>
    private let time: SteadyTime
    private let logger: Logger
    /// A signal that a burst has begun.
    let begun: AsyncStream<Void>
    private let beginning: AsyncStream<Void>.Continuation
    /// A signal that something is there for the writer to see.
    let written: AsyncStream<Void>
    private let writing: AsyncStream<Void>.Continuation

    init(_ reading: ReadingState, _ burst: Burst, _ time: SteadyTime, _ logger: Logger) {
        state = Mutex(State(reading: reading, burst: burst))
        self.time = time
        self.logger = logger
        (begun, beginning) = AsyncStream.makeStream(bufferingPolicy: .bufferingNewest(1))
        (written, writing) = AsyncStream.makeStream(bufferingPolicy: .bufferingNewest(1))
    }

    // MARK: Informers

    func take(_ event: InformerEvent<MeshDocument>, of kind: Kind) {
        take(event, of: KubernetesResource(kind)) { $0.take(event, of: kind) }
    }

    func take(_ event: InformerEvent<Pod>) {
        take(event, of: .pods) { $0.take(event) }
    }

    func take(_ event: InformerEvent<KubernetesNode>) {
        take(event, of: .nodes) { $0.take(event) }
    }

    private func take<Object: KubernetesObject>(
        _ event: InformerEvent<Object>,
        of resource: KubernetesResource,
        _ apply: (inout ClusterWorld) -> ClusterWorld.Change
    ) {
        let now = time.now()
        let (lines, hasNews, concernsWriter) = state.withLock { state in
            let before = state.reading.diagnostics
            var change = ClusterWorld.Change()
            var lines: [LogLine] = []
            var isListed = false
            switch event {
            case .replaced:
                state.reading.didList(resource)
                isListed = true
                change = apply(&state.cluster)
            case .changed, .deleted: change = apply(&state.cluster)
            case .failed(let error): lines = state.reading.didFail(resource, error, at: now)
            case .recovered: lines = state.reading.didRecover(resource)
            }
            let isTold = state.reading.diagnostics != before
            change.world = change.world || isTold
            if isTold { state.changed?.formUnion(state.cluster.world.meshes.values.map(\.id)) }
            state.changed?.formUnion(change.objects)
            state.news.world = state.news.world || change.world
            state.news.processes = state.news.processes || change.processes
            // Until the first world each list may be the last that it waited for, and each failure
            // begins a wait.
            let hasNews =
                change.world || change.processes
                || !state.isPublished && (isListed || isTold || !lines.isEmpty)
            if hasNews { state.burst.event(at: now) }
            let concernsWriter = !(state.changed?.isEmpty ?? true) || change.world
            return (lines, hasNews, concernsWriter)
        }
        for line in lines { logger.log(line) }
        if hasNews { beginning.yield() }
        if concernsWriter { writing.yield() }
    }

    // MARK: Publication

    /// How long the burst goes on; nil when there is none.
    var remaining: Duration? { state.withLock { $0.burst.remaining(at: time.now()) } }

    /// Ends the burst, and tells what it brought.
    ///
    /// - Returns: What is new, or nothing while the first world is not complete, and when to ask again
    ///   whether it is.
    func publish() -> (Publication, again: Duration?) {
        let now = time.now()
        let (publication, again, isFirst) = state.withLock { state in
            state.burst.end()
            guard state.isPublished || state.reading.isComplete(at: now) else {
                return (Publication(), state.reading.completion.map { $0 - now }, false)
            }
            var publication = Publication()
            if state.news.world { publication.world = state.whole }
            if state.news.processes { publication.processes = state.cluster.processes }
            defer { state.isPublished = true }
            state.news = (false, false)
            return (publication, nil, !state.isPublished)
        }
        if let world = publication.world {
            logger.log(
                level: isFirst ? .info : .debug,
                "kubernetes objects read",
                metadata: [
                    "pods": "\(world.workloads.count)",
                    "virtualnodes": "\(world.virtualNodes.count)",
                    "errors": "\(world.diagnostics.count { $0.severity == .error })",
                ]
            )
        }
        return (publication, again)
    }

    /// Asks for a publication, for a world that waits no longer.
    func publishSoon() {
        state.withLock { $0.burst.event(at: time.now()) }
        beginning.yield()
    }

    /// What is known of each kind.
    var readings: [KubernetesReading] { state.withLock { $0.reading.readings } }

    /// Logs what the first world waits for.
    func logWaiting() {
        let awaited = readings.filter { $0.isEssential && !$0.isListed }
        guard !isPublished, !awaited.isEmpty else { return }
        let kinds = awaited.map { kind in
            kind.problem.map { "\(kind.resource) (\($0))" } ?? kind.resource
        }
        logger.warning(
            "not ready: kubernetes objects are not listed yet",
            metadata: ["resources": "\(kinds.joined(separator: ", "))"]
        )
    }

    /// Whether a world was published.
    var isPublished: Bool { state.withLock { $0.isPublished } }

    /// What is known of Pods now.
    var processes: [ProxyID: ProcessObservation] { state.withLock { $0.cluster.processes } }

    // MARK: Writer

    /// Has `changes` begin with all objects.
    func beginWriting() {
        state.withLock { $0.changed = Set($0.cluster.live.keys) }
        writing.yield()
    }

    /// The objects that changed on the server since the last call.
    func changes() -> Set<ObjectID> {
        state.withLock { state in
            defer { state.changed = state.changed.map { _ in [] } }
            return state.changed ?? []
        }
    }

    /// What the API server has of `id`; nil when it has none.
    func live(_ id: ObjectID) -> LiveObject? { state.withLock { $0.cluster.live[id] } }

    /// The `metadata.uid` of the Pod `reference`; nil when it is of no mesh's concern.
    func podUID(_ reference: ObjectReference) -> String? {
        state.withLock { $0.cluster.world.workloads[reference]?.metadata.uid }
    }

    /// The objects that keep `id` from being deleted, as App Mesh counts them.
    func members(of id: ObjectID) -> [MemberCount] {
        let world = state.withLock { $0.cluster.world }
        return world.members(of: id)
    }

    /// What is not read or written for lack of rights, or as the cluster does not know it.
    var denials: [Diagnostic] {
        state.withLock { state in
            (state.reading.diagnostics.filter { $0.remedy != nil } + state.writing).sorted()
        }
    }

    /// Tells what the writer cannot write.
    func cannotWrite(_ diagnostics: [Diagnostic]) {
        let hasNews = state.withLock { state in
            guard state.writing != diagnostics else { return false }
            state.writing = diagnostics
            state.news.world = true
            state.changed?.formUnion(state.cluster.world.meshes.values.map(\.id))
            state.burst.event(at: time.now())
            return true
        }
        guard hasNews else { return }
        beginning.yield()
        writing.yield()
    }
}

extension ClusterBoard.State {
    /// The world with all diagnostics.
    fileprivate var whole: World {
        var world = cluster.world
        world.diagnostics = (cluster.diagnostics + reading.diagnostics + writing).sorted()
        return world
    }
}
