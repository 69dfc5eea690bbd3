public import KubernetesAPI
public import Logging
public import MeshModel
public import ServiceLifecycle

/// Watches a cluster and tells what world its objects and Pods describe, each time they change.
///
/// A burst of changes is one world. The first world comes when every kind has been listed, so that a
/// half cluster never takes anything away from a proxy. Only a kind that takes no proxy, route or
/// endpoint with it (`dispensable`) holds the others up for a moment only when it can't be listed, for
/// lack of rights or of its CRD. A list that fails later takes nothing away.
///
/// What can't be read is a diagnostic of the world, and one line in the log for as long as it lasts.
public struct KubernetesSource: Service {
    /// How patient a source is.
    public struct Timing: Hashable, Sendable {
        /// A burst has ended when nothing happened for this long.
        public var quiet: Duration
        /// A burst has ended too when it has gone on for this long.
        public var limit: Duration
        /// For how long the first world waits for a dispensable kind that may not be listed, or is not
        /// known.
        public var deniedPatience: Duration
        /// For how long the first world waits for a dispensable kind that can't be listed for other
        /// reasons.
        public var unavailablePatience: Duration
        /// How often it is logged what the first world waits for.
        public var reminder: Duration

        /// Makes a timing.
        public init(
            quiet: Duration = .milliseconds(20),
            limit: Duration = .milliseconds(200),
            deniedPatience: Duration = .seconds(3),
            unavailablePatience: Duration = .seconds(60),
            reminder: Duration = .seconds(30)
        ) {
            self.quiet = quiet
            self.limit = limit
            self.deniedPatience = deniedPatience
            self.unavailablePatience = unavailablePatience
            self.reminder = reminder
        }
    }

    /// The kinds of objects that are read, beside Pods and Kubernetes nodes.
    public static let kinds = Kind.allCases.filter { $0 != .workload }

    /// App Mesh has BackendGroups since its version 1.5 only, Heddle's own kinds refine what the others
    /// say, and Kubernetes nodes are read for their zones.
    private static let dispensable =
        Set(
            [Kind.backendGroup, .trafficPolicy, .certificateMapping].map { KubernetesResource($0) }
        )
        .union([.nodes])

    /// The worlds, the newest only; each Pod that a mesh may select is a Workload in them.
    public let worlds: AsyncStream<World>
    /// Readiness and the like of the Pods, the newest only.
    ///
    /// It changes far more often than the world. What is known of a new Pod is told before the world
    /// that has it, and `currentPods` has it by then.
    public let pods: AsyncStream<[ProxyID: ProcessObservation]>

    let board: ClusterBoard
    let client: KubernetesClient
    private let world: AsyncStream<World>.Continuation
    private let processes: AsyncStream<[ProxyID: ProcessObservation]>.Continuation
    private let time: SteadyTime
    private let reminder: Duration
    private let logger: Logger

    /// Makes a source of all objects of a cluster.
    ///
    /// - Parameters:
    ///   - client: Asks the API.
    ///   - timing: How patient it is.
    ///   - time: The clock for that.
    ///   - logger: Where each spell of trouble is logged.
    public init(
        client: KubernetesClient,
        timing: Timing = Timing(),
        time: SteadyTime = .system,
        logger: Logger
    ) {
        (worlds, world) = AsyncStream.makeStream(bufferingPolicy: .bufferingNewest(1))
        (pods, processes) = AsyncStream.makeStream(bufferingPolicy: .bufferingNewest(1))
        self.client = client
        self.time = time
        reminder = timing.reminder
        self.logger = logger
        let resources = Self.kinds.map { KubernetesResource($0) } + [.pods, .nodes]
        let patience = ReadingState.Patience(
            denied: timing.deniedPatience,
            unavailable: timing.unavailablePatience
        )
        board = ClusterBoard(
            ReadingState(resources, dispensable: Self.dispensable, patience: patience),
            Burst(quiet: timing.quiet, limit: timing.limit),
            time,
            logger
        )
    }

    /// What is known of the Pods now.
    public var currentPods: [ProxyID: ProcessObservation] { board.processes }

    /// What is known of each kind; the first world waits for those that are essential to be listed.
    public var readings: [KubernetesReading] { board.readings }

    /// Watches until shutdown or cancellation, and ends `worlds` and `pods` then.
    public func run() async throws {
        await cancelWhenGracefulShutdown {
            await withTaskGroup { group in
                for kind in Self.kinds where kind != .namespace {
                    let informer = informer(MeshDocument.self, KubernetesResource(kind))
                    group.addTask { await informer.run { board.take($0, of: kind) } }
                }
                let namespaces = informer(NamespaceDocument.self, KubernetesResource(.namespace))
                group.addTask {
                    await namespaces.run { board.take($0.map(\.document), of: .namespace) }
                }
                let nodes = informer(KubernetesNode.self, .nodes)
                group.addTask { await nodes.run { board.take($0) } }
                group.addTask { await podInformer.run { board.take($0) } }
                group.addTask {
                    while !Task.isCancelled, !board.isPublished {
                        await time.sleep(reminder)
                        board.logWaiting()
                    }
                }
                for await _ in board.begun {
                    while let remaining = board.remaining, remaining > .zero {
                        await time.sleep(remaining)
                        if Task.isCancelled { break }
                    }
                    if let again = publish() {
                        group.addTask {
                            await time.sleep(again)
                            board.publishSoon()
                        }
                    }
                }
                group.cancelAll()
            }
        }
        world.finish()
        processes.finish()
    }

    private func publish() -> Duration? {
        let (publication, again) = board.publish()
        // Who is told of a world asks at once whether its Pods are ready.
        if let observations = publication.processes { processes.yield(observations) }
        if let next = publication.world { world.yield(next) }
        return again
    }

    private func informer<Object: KubernetesObject>(
        _ type: Object.Type,
        _ resource: KubernetesResource
    ) -> Informer<Object> {
        Informer(type, client: client, resource: resource, logger: quietLogger)
    }

    /// Pods that have ended are left to the server.
    private var podInformer: Informer<Pod> {
        Informer(
            client: client,
            resource: .pods,
            fieldSelector: "status.phase!=Succeeded,status.phase!=Failed",
            logger: quietLogger
        )
    }

    /// Trouble is logged here, as one line for a server that does not answer whatever it is asked.
    private var quietLogger: Logger {
        var logger = logger
        if logger.logLevel > .debug { logger.logLevel = .error }
        return logger
    }
}
