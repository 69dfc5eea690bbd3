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
    private let present = PresentConfigurations()
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

    /// What is in the way of requests to this replica's webhooks, one line each; none once the API server
    /// has had its roots.
    ///
    /// Who may not read the configurations waits for nothing. A root that takes the place of another
    /// later is no reason either: it comes to all replicas at once, and none would be left.
    public var waiting: [String] {
        guard let roots = roots() else { return ["there is no root for the webhooks yet"] }
        return present.waiting(for: Self.resources, name, certificates(in: roots))
    }

    /// Runs until a graceful shutdown or cancellation.
    public func run() async throws {
        await cancelWhenGracefulShutdown {
            await withDiscardingTaskGroup { group in
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
    private struct State {
        var all: [KubernetesResource: WebhookConfiguration] = [:]
        /// Those that were read, or can't be.
        var settled: Set<KubernetesResource> = []
        /// Whether nothing was waited for once.
        var isDone = false
    }

    private let state = Mutex(State())

    func configuration(of resource: KubernetesResource) -> WebhookConfiguration? {
        state.withLock { $0.all[resource] }
    }

    func take(_ event: InformerEvent<WebhookConfiguration>, of resource: KubernetesResource) {
        state.withLock { state in
            switch event {
            case .replaced(let objects):
                state.all[resource] = objects.values.first
                state.settled.insert(resource)
            case .changed(let object): state.all[resource] = object
            case .deleted: state.all[resource] = nil
            case .failed(let error) where error.isForbidden: state.settled.insert(resource)
            case .failed, .recovered: break
            }
        }
    }

    func waiting(
        for resources: [KubernetesResource],
        _ name: String,
        _ roots: Set<String>
    ) -> [String] {
        state.withLock { state in
            guard !state.isDone else { return [] }
            let lines = resources.compactMap { resource in
                guard state.settled.contains(resource) else {
                    return "\(resource.kind) \(name) is not read yet"
                }
                guard let configuration = state.all[resource], !configuration.trusts(roots) else {
                    return nil
                }
                return
                    "\(resource.kind) \(name) has another root in caBundle than this replica's; who "
                    + "holds the Lease writes it"
            }
            state.isDone = lines.isEmpty
            return lines
        }
    }
}

/// The certificates of a file in PEM, without the spaces and line ends that each writer has of its own.
private func certificates(in file: String) -> Set<String> {
    let parts = file.split(separator: "-----BEGIN CERTIFICATE-----").compactMap {
        $0.firstRange(of: "-----END CERTIFICATE-----").map { end in
            $0[..<end.lowerBound].filter { !$0.isWhitespace }
        }
    }
    return Set(parts)
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

    /// Whether each webhook has all of `roots` in its `caBundle`.
    fileprivate func trusts(_ roots: Set<String>) -> Bool {
        (webhooks ?? []).allSatisfy { webhook in
            guard let bundle = webhook.clientConfig.caBundle,
                let file = Data(base64Encoded: bundle)
            else { return false }
            return roots.isSubset(of: certificates(in: String(decoding: file, as: UTF8.self)))
        }
    }

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
