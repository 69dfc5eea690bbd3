internal import FoundationEssentials
public import KubernetesAPI
public import Logging
internal import MeshModel
public import ServiceLifecycle
internal import Synchronization

/// Keeps in the webhook configurations of the cluster the root by which its server knows ours.
///
/// A chart does not know the root: whoever puts its manifests in place of what is there, or makes them
/// anew, takes it away. That is mended at once. Only the replica that leads writes.
public struct CABundleKeeper: Service {
    private static let resources = [KubernetesResource.mutatingWebhooks, .validatingWebhooks]
    private static let longestPause = Duration.seconds(60)

    private let client: KubernetesClient
    private let name: String
    private let roots: @Sendable () -> String?
    private let leadershipEnd: @Sendable () -> ContinuousClock.Instant?
    private let firstPause: Duration
    private let logger: Logger
    private let signals: AsyncStream<Void>
    private let signal: AsyncStream<Void>.Continuation

    /// Makes a keeper of the configurations `name`, validating and mutating.
    ///
    /// - Parameters:
    ///   - client: Asks the API.
    ///   - name: The name of both configurations.
    ///   - roots: The root certificates now, in PEM; nil while there are none.
    ///   - leadershipEnd: Until when this replica leads; nil when it does not.
    ///   - firstPause: The pause after a first failure, which doubles.
    ///   - logger: Where to report to.
    public init(
        client: KubernetesClient,
        name: String = "heddle",
        roots: @escaping @Sendable () -> String?,
        leadershipEnd: @escaping @Sendable () -> ContinuousClock.Instant?,
        firstPause: Duration = .seconds(1),
        logger: Logger
    ) {
        self.client = client
        self.name = name
        self.roots = roots
        self.leadershipEnd = leadershipEnd
        self.firstPause = firstPause
        self.logger = logger
        (signals, signal) = AsyncStream.makeStream(bufferingPolicy: .bufferingNewest(1))
    }

    /// Has the keeper look again, as there are other roots or another leader.
    public func look() { signal.yield() }

    /// Runs until a graceful shutdown or cancellation.
    public func run() async throws {
        await cancelWhenGracefulShutdown {
            await withDiscardingTaskGroup { group in
                let present = PresentConfigurations()
                for resource in Self.resources {
                    let informer = informer(of: resource)
                    group.addTask {
                        await informer.run { event in
                            present.take(event, of: resource)
                            signal.yield()
                        }
                    }
                }
                var failures: [KubernetesResource: Failure] = [:]
                for await _ in signals {
                    for resource in Self.resources {
                        guard let configuration = present.configuration(of: resource),
                            let pause = await mend(configuration, resource, &failures[resource])
                        else { continue }
                        group.addTask {
                            try? await Task.sleep(for: pause)
                            signal.yield()
                        }
                    }
                }
                group.cancelAll()
            }
        }
    }

    private func informer(of resource: KubernetesResource) -> Informer<WebhookConfiguration> {
        Informer(
            client: client,
            resource: resource,
            fieldSelector: "metadata.name=\(name)",
            logger: logger
        )
    }

    /// Writes that failed, one after the other.
    private struct Failure {
        var count = 0
        /// When to try again.
        var due = ContinuousClock.now
    }

    /// Writes the roots where they are not, if this replica may; gives the pause after a failure.
    private func mend(
        _ configuration: WebhookConfiguration,
        _ resource: KubernetesResource,
        _ failure: inout Failure?
    ) async -> Duration? {
        guard let roots = roots(), let end = leadershipEnd(), end > .now,
            failure.map({ $0.due <= .now }) ?? true
        else { return nil }
        let bundle = Data(roots.utf8).base64EncodedString()
        let operations = configuration.patch(to: bundle)
        guard !operations.isEmpty else {
            failure = nil
            return nil
        }
        do {
            let key = configuration.metadata.key
            try await client.patch(resource, key, .json, operations, deadline: end)
            failure = nil
            logger.info(
                "wrote the root certificates to the webhooks",
                metadata: ["kind": "\(resource.kind)", "name": "\(name)"]
            )
            return nil
        } catch let error as KubernetesError where error.isConflict || error.code == 422 {
            // It has changed since; its new state comes with the watch.
            return nil
        } catch {
            guard !Task.isCancelled else { return nil }
            if failure == nil {
                logger.warning(
                    "cannot write the root certificates to the webhooks",
                    metadata: ["kind": "\(resource.kind)", "name": "\(name)", "error": "\(error)"]
                )
            }
            var next = failure ?? Failure()
            let pause = min(firstPause * (1 << min(next.count, 16)), Self.longestPause)
            next.count += 1
            next.due = .now + pause
            failure = next
            return pause
        }
    }
}

/// The configurations that there are now.
private final class PresentConfigurations: Sendable {
    private let all = Mutex<[KubernetesResource: WebhookConfiguration]>([:])

    func configuration(of resource: KubernetesResource) -> WebhookConfiguration? {
        all.withLock { $0[resource] }
    }

    func take(_ event: InformerEvent<WebhookConfiguration>, of resource: KubernetesResource) {
        all.withLock { all in
            switch event {
            case .replaced(let objects): all[resource] = objects.values.first
            case .changed(let object): all[resource] = object
            case .deleted: all[resource] = nil
            case .failed, .recovered: break
            }
        }
    }
}

/// A configuration of webhooks, as far as the keeper needs it.
struct WebhookConfiguration: KubernetesObject, Decodable {
    /// One of the webhooks.
    struct Webhook: Decodable, Sendable {
        /// How to reach it.
        struct ClientConfiguration: Decodable, Sendable {
            /// Root certificates in PEM, in base 64.
            var caBundle: String?
        }

        var clientConfig: ClientConfiguration
    }

    var metadata: ObjectMetadata
    var webhooks: [Webhook]?

    /// The operations (RFC 6902) that give `bundle` to each webhook that has another; none when all
    /// have it.
    ///
    /// They hold for just this version of the configuration.
    func patch(to bundle: String) -> [JSONValue] {
        let changes = (webhooks ?? []).enumerated().filter { $1.clientConfig.caBundle != bundle }
            .map { index, _ -> JSONValue in
                [
                    "op": "add", "path": .string("/webhooks/\(index)/clientConfig/caBundle"),
                    "value": .string(bundle),
                ]
            }
        guard !changes.isEmpty, let version = metadata.resourceVersion else { return changes }
        return [
            ["op": "test", "path": "/metadata/resourceVersion", "value": .string(version)]
        ] + changes
    }
}

extension KubernetesResource {
    /// Configurations of webhooks that change objects.
    static let mutatingWebhooks = webhooks("mutating", "Mutating")
    /// Configurations of webhooks that refuse objects.
    static let validatingWebhooks = webhooks("validating", "Validating")

    private static func webhooks(_ plural: String, _ kind: String) -> KubernetesResource {
        KubernetesResource(
            group: "admissionregistration.k8s.io",
            version: "v1",
            plural: "\(plural)webhookconfigurations",
            kind: "\(kind)WebhookConfiguration",
            isNamespaced: false
        )
    }
}
