internal import KubernetesAPI
internal import Logging
internal import MeshModel
internal import ServiceLifecycle
internal import Synchronization

/// What proxies refuse, shared among replicas: each tells the others in its entry of one ConfigMap.
///
/// So the replica that writes statuses knows what Envoys said that another one serves. As long as
/// nothing is refused, nothing is written.
final class SharedRefusals: Service {
    private let client: KubernetesClient
    private let key: ObjectKey
    private let replica: String
    private let nowSeconds: @Sendable () -> Int
    private let logger: Logger
    private let state = Mutex(State())
    private let (signals, signal) = AsyncStream.makeStream(
        of: Void.self,
        bufferingPolicy: .bufferingNewest(1)
    )
    private let (arrivals, arrival) = AsyncStream.makeStream(
        of: Void.self,
        bufferingPolicy: .bufferingNewest(1)
    )

    private struct State {
        /// What is in the ConfigMap; nil while that is not known, or there is none.
        var reports: RefusalReports?
        var isThere = false
        var own: [ProxyID: XDSObservation] = [:]
    }

    /// Shares with the other replicas in the ConfigMap `key`, as `replica`.
    init(
        client: KubernetesClient,
        key: ObjectKey,
        replica: String,
        nowSeconds: @escaping @Sendable () -> Int,
        logger: Logger
    ) {
        self.client = client
        self.key = key
        self.replica = replica
        self.nowSeconds = nowSeconds
        self.logger = logger
    }

    /// Tells, to one reader, that others have told something.
    var changes: AsyncStream<Void> { arrivals }

    /// What proxies refuse that other replicas serve.
    var current: [ProxyID: [Refusal]] {
        state.withLock { $0.reports }?
            .refusals(without: replica, nowSeconds: nowSeconds()) ?? [:]
    }

    /// Tells the others what this replica's proxies refuse.
    func tell(_ observations: [ProxyID: XDSObservation]) {
        state.withLock { $0.own = observations }
        signal.yield()
    }

    /// Reads and writes until shutdown or cancellation, and takes back then what was told.
    func run() async throws {
        let informer = Informer(
            RefusalMap.self,
            client: client,
            resource: .configMaps,
            namespace: key.namespace,
            fieldSelector: "metadata.name=\(key.name)",
            logger: logger
        )
        await cancelWhenGracefulShutdown {
            await withTaskGroup { group in
                group.addTask {
                    await informer.run { event in
                        switch event {
                        case .replaced(let all): self.take(all[self.key])
                        case .changed(let map): self.take(map)
                        case .deleted: self.take(nil)
                        case .failed, .recovered: break
                        }
                    }
                }
                group.addTask {
                    // What has not changed is told again before it is held for over.
                    while (try? await Task.sleep(for: .seconds(60))) != nil { self.signal.yield() }
                }
                await self.write()
                group.cancelAll()
            }
        }
        state.withLock { $0.own = [:] }
        try? await writeOnce(until: .now + .seconds(2))
    }

    private func take(_ map: RefusalMap?) {
        state.withLock { state in
            state.isThere = map != nil
            state.reports = RefusalReports(texts: map?.data ?? [:])
        }
        arrival.yield()
        signal.yield()
    }

    private func write() async {
        var backOff = BackOff()
        var isTold = false
        for await _ in signals {
            do {
                try await writeOnce(until: .now + .seconds(10))
                backOff.reset()
                isTold = false
                // Many proxies refuse the same at once.
                try? await Task.sleep(for: .seconds(1))
            } catch {
                // Another replica may have made it at the same time.
                let isConflict = (error as? KubernetesError)?.isConflict ?? false
                if !isTold, !isConflict, !Task.isCancelled {
                    logger.warning(
                        "what proxies refuse is not told to the other replicas",
                        metadata: ["config-map": "\(key)", "error": "\(error)"]
                    )
                    isTold = true
                }
                try? await Task.sleep(for: backOff.next())
                signal.yield()
            }
        }
    }

    private func writeOnce(until deadline: ContinuousClock.Instant) async throws {
        let (reports, isThere, own) = state.withLock { ($0.reports, $0.isThere, $0.own) }
        guard let reports else { return }
        let report = RefusalReport(of: own, nowSeconds: nowSeconds())
        let changes = reports.changes(for: replica, report)
        guard !changes.isEmpty else { return }
        guard isThere else {
            let map = RefusalMap(key, changes.compactMapValues(\.self))
            _ = try await client.create(
                map,
                .configMaps,
                namespace: key.namespace,
                deadline: deadline
            )
            return
        }
        let data = changes.mapValues { $0.map(JSONValue.string) ?? .null }
        try await client.patch(
            .configMaps,
            key,
            .merge,
            ["data": JSONValue.object(data)],
            deadline: deadline
        )
    }
}

/// The ConfigMap, as far as it is read and written here.
private struct RefusalMap: KubernetesObject, Codable {
    var apiVersion: String?
    var kind: String?
    var metadata: ObjectMetadata
    var data: [String: String]?

    init(_ key: ObjectKey, _ data: [String: String]) {
        apiVersion = KubernetesResource.configMaps.apiVersion
        kind = KubernetesResource.configMaps.kind
        metadata = ObjectMetadata(
            name: key.name,
            namespace: key.namespace,
            labels: ["app.kubernetes.io/managed-by": "heddle"]
        )
        self.data = data
    }
}

extension KubernetesResource {
    /// ConfigMaps.
    fileprivate static let configMaps = KubernetesResource(
        version: "v1",
        plural: "configmaps",
        kind: "ConfigMap"
    )
}
