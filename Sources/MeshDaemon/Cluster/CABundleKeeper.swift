internal import FoundationEssentials
public import KubernetesAPI
public import Logging
internal import MeshModel
public import ServiceLifecycle
internal import Synchronization

/// Keeps in the webhook configurations of the cluster the root by which its server knows ours.
///
/// A chart does not know the root, so each of its upgrades takes it away; that is mended at once. Only
/// the replica that leads writes.
public struct CABundleKeeper: Service {
    private let client: KubernetesClient
    private let name: String
    private let roots: @Sendable () -> String?
    private let leadershipEnd: @Sendable () -> ContinuousClock.Instant?
    private let interval: Duration
    private let logger: Logger

    /// Makes a keeper of the configurations `name`, validating and mutating.
    ///
    /// - Parameters:
    ///   - client: Asks the API.
    ///   - name: The name of both configurations.
    ///   - roots: The root certificates now, in PEM; nil while there are none.
    ///   - leadershipEnd: Until when this replica leads; nil when it does not.
    ///   - interval: How often to look whether roots or leadership changed.
    ///   - logger: Where to report to.
    public init(
        client: KubernetesClient,
        name: String = "heddle",
        roots: @escaping @Sendable () -> String?,
        leadershipEnd: @escaping @Sendable () -> ContinuousClock.Instant?,
        interval: Duration = .seconds(2),
        logger: Logger
    ) {
        self.client = client
        self.name = name
        self.roots = roots
        self.leadershipEnd = leadershipEnd
        self.interval = interval
        self.logger = logger
    }

    /// Runs until a graceful shutdown or cancellation.
    public func run() async throws {
        await cancelWhenGracefulShutdown {
            await withTaskGroup(of: Void.self) { group in
                for resource in [KubernetesResource.mutatingWebhooks, .validatingWebhooks] {
                    group.addTask { await keep(resource) }
                }
            }
        }
    }

    private func keep(_ resource: KubernetesResource) async {
        let present = PresentConfiguration()
        let (signals, signal) = AsyncStream.makeStream(
            of: Void.self,
            bufferingPolicy: .bufferingNewest(1)
        )
        let informer = Informer(
            WebhookConfiguration.self,
            client: client,
            resource: resource,
            fieldSelector: "metadata.name=\(name)",
            logger: logger
        )
        await withTaskGroup(of: Void.self) { group in
            group.addTask {
                await informer.run { event in
                    switch event {
                    case .replaced(let all): present.value.withLock { $0 = all.values.first }
                    case .changed(let object): present.value.withLock { $0 = object }
                    case .deleted: present.value.withLock { $0 = nil }
                    case .failed(let error):
                        logger.warning(
                            "cannot watch webhook configurations",
                            metadata: ["kind": "\(resource.kind)", "error": "\(error)"]
                        )
                    case .recovered: break
                    }
                    signal.yield()
                }
                signal.finish()
            }
            group.addTask {
                while (try? await Task.sleep(for: interval)) != nil { signal.yield() }
            }
            for await _ in signals {
                guard let configuration = present.value.withLock({ $0 }) else { continue }
                await mend(configuration, resource)
            }
            group.cancelAll()
        }
    }

    /// Writes the roots where they are not, if this replica may.
    private func mend(_ configuration: WebhookConfiguration, _ resource: KubernetesResource) async {
        guard let roots = roots(), let end = leadershipEnd() else { return }
        let bundle = Data(roots.utf8).base64EncodedString()
        let operations = configuration.patch(to: bundle)
        guard !operations.isEmpty else { return }
        do {
            try await client.patch(
                resource,
                configuration.metadata.key,
                .json,
                operations,
                deadline: end
            )
            logger.info(
                "wrote the root certificates to the webhooks",
                metadata: ["kind": "\(resource.kind)", "name": "\(name)"]
            )
        } catch let error as KubernetesError where error.isConflict || error.code == 422 {
            // It has changed since; its new state comes with the watch.
        } catch {
            logger.warning(
                "cannot write the root certificates to the webhooks",
                metadata: ["kind": "\(resource.kind)", "name": "\(name)", "error": "\(error)"]
            )
        }
    }
}

/// The configuration that there is now.
private final class PresentConfiguration: Sendable {
    let value = Mutex<WebhookConfiguration?>(nil)
}

/// A configuration of webhooks, as far as the keeper needs it.
struct WebhookConfiguration: KubernetesObject {
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
