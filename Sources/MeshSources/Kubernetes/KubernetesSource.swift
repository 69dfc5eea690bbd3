public import KubernetesAPI
public import Logging
public import MeshModel
public import ServiceLifecycle

/// Watches a cluster and tells what world its objects and Pods describe, each time they change.
///
/// A burst of changes is one world. The first world comes when every kind has been listed, so that a
/// half cluster never takes anything away from a proxy. A kind that can't be listed for lack of rights or
/// of its CRD holds the others up for a moment only; one that can't for other reasons does until it can.
/// A list that fails later takes nothing away.
///
/// What can't be read is a diagnostic of the world, and one line in the log for as long as it lasts.
public struct KubernetesSource: Service {
    /// How patient a source is.
    public struct Timing: Hashable, Sendable {
        /// A burst has ended when nothing happened for this long.
        public var quiet: Duration
        /// A burst has ended too when it has gone on for this long.
        public var limit: Duration
        /// For how long the first world waits for a kind that may not be listed, or is not known.
        public var deniedPatience: Duration

        /// Makes a timing.
        public init(
            quiet: Duration = .milliseconds(20),
            limit: Duration = .milliseconds(200),
            deniedPatience: Duration = .seconds(3)
        ) {
            self.quiet = quiet
            self.limit = limit
            self.deniedPatience = deniedPatience
        }
    }

    /// The kinds of objects that are read, beside Pods and Kubernetes nodes.
    public static let kinds = Kind.allCases.filter { $0 != .workload }

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
        self.logger = logger
        let resources = Self.kinds.map { KubernetesResource($0) } + [.pods, .nodes]
        board = ClusterBoard(
            ReadingState(resources, deniedPatience: timing.deniedPatience),
            Burst(quiet: timing.quiet, limit: timing.limit),
            time,
            logger
        )
    }

    /// What is known of the Pods now.
    public var currentPods: [ProxyID: ProcessObservation] { board.processes }

    /// Whether the first world was told.
    public var isReady: Bool { board.isPublished }

    /// Watches until shutdown or cancellation, and ends `worlds` and `pods` then.
    public func run() async throws {
        await cancelWhenGracefulShutdown {
            await withTaskGroup { group in
                for kind in Self.kinds {
                    let informer = informer(MeshDocument.self, KubernetesResource(kind))
                    group.addTask { await informer.run { board.take($0, of: kind) } }
                }
                let nodes = informer(KubernetesNode.self, .nodes)
                group.addTask { await nodes.run { board.take($0) } }
                group.addTask { await podInformer.run { board.take($0) } }
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
