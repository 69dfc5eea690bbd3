internal import FoundationEssentials
public import KubernetesAPI
internal import MeshManifests
public import MeshModel

/// Of a Pod what a mesh needs; the rest is dropped as it arrives.
public struct Pod: KubernetesObject, Decodable, Hashable {
    /// Name, namespace, uid, times, labels, and the annotations of App Mesh and Heddle.
    public var metadata: ObjectMetadata
    /// `status.podIP`.
    public var address: String?
    /// The rest of `status.podIPs`.
    public var otherAddresses: [String] = []
    /// `spec.nodeName`.
    public var nodeName: String?
    /// `status.phase`, such as `Running`.
    public var phase: String
    /// Whether its condition `Ready` is True.
    public var isReady: Bool
    /// `spec.hostNetwork`.
    public var usesHostNetwork: Bool
    /// The container that runs Envoy; nil when there is none.
    public var proxy: ProxyContainer?

    /// A container or init container named `envoy`, the injector's or the owner's.
    public struct ProxyContainer: Hashable, Sendable {
        /// What it asks for.
        public var resources: SidecarResources
        /// Whether it has the token by which Heddle's proxies prove themselves.
        public var hasToken = false
        /// How often it was started again.
        public var restarts = 0
        /// When it started, in seconds since 1970; nil while it does not run.
        public var startTimeSeconds: Int?
        /// Why it ended last.
        public var lastError: String?
        /// Whether it ended last as it went over its memory limit.
        public var wasOutOfMemory = false
        /// Whether it waits to be started again.
        public var isBackingOff = false
    }

    /// Whether it is of a mesh's concern: it has a network of its own, and has not ended.
    public var isWorkload: Bool {
        !usesHostNetwork && phase != "Succeeded" && phase != "Failed"
    }

    /// The Workload that stands for it; nil when `isWorkload` is false.
    ///
    /// Its readiness is no part of it, but of `process`.
    public func workload(zone: String?) -> Workload? {
        guard isWorkload else { return nil }
        return Workload(
            metadata: Metadata(
                name: metadata.name,
                namespace: metadata.namespace ?? "default",
                uid: metadata.uid ?? "",
                creationTimestampSeconds: metadata.creationTimestamp.flatMap(seconds) ?? 0,
                labels: metadata.labels ?? [:],
                annotations: metadata.annotations ?? [:]
            ),
            spec: WorkloadSpec(
                sidecar: proxy?.resources ?? SidecarResources(),
                pod: PodPlacement(
                    uid: metadata.uid ?? "",
                    address: address,
                    otherAddresses: otherAddresses,
                    nodeName: nodeName,
                    zone: zone,
                    proxy: proxy.map { $0.hasToken ? PodProxy.heddle : .other } ?? .absent
                )
            )
        )
    }

    /// Where the Pod is in its life, as if it were a process of Heddle's own.
    ///
    /// A Pod that is being deleted takes no new requests, whether or not it is still ready.
    public var process: ProcessObservation {
        let phase: ProcessObservation.Phase =
            if metadata.deletionTimestamp != nil {
                .draining
            } else if !isWorkload {
                .stopped
            } else if isReady {
                .running
            } else if proxy?.isBackingOff == true {
                .backingOff
            } else {
                .starting
            }
        return ProcessObservation(
            phase: phase,
            restarts: proxy?.restarts ?? 0,
            startTimeSeconds: proxy?.startTimeSeconds
                ?? metadata.creationTimestamp.flatMap(seconds),
            lastError: proxy?.lastError,
            failures: proxy?.isBackingOff == true ? proxy?.restarts ?? 0 : 0,
            outOfMemoryKills: proxy?.wasOutOfMemory == true ? 1 : 0
        )
    }
}

/// The Workload that stands for the Pod of a manifest or a dump.
///
/// - Parameters:
///   - document: The Pod as `kubectl get pod -o json` shows it.
///   - zone: The zone of its Kubernetes node.
/// - Returns: The Workload; nil when the document is no Pod, or one that is of no mesh's concern as it
///   has ended or shares the network of its Kubernetes node.
public func workload(ofPod document: JSONValue, zone: String? = nil) -> Workload? {
    Pod(document)?.workload(zone: zone)
}

extension Pod {
    /// Reads the Pod of a manifest or a dump; nil when it is none.
    public init?(_ document: JSONValue) {
        guard document["kind"] == "Pod", document["apiVersion"] == "v1",
            let data = try? JSONEncoder().encode(document),
            let pod = try? JSONDecoder().decode(Pod.self, from: data)
        else { return nil }
        self = pod
    }

    /// Reads a Pod as the API server has it.
    public init(from decoder: any Decoder) throws {
        let document = try PodDocument(from: decoder)
        metadata = document.metadata
        metadata.keepOwn()
        let spec = document.spec
        let status = document.status
        let first = status?.podIP.flatMap { $0.isEmpty ? nil : $0 }
        address = first
        otherAddresses = (status?.podIPs ?? []).compactMap(\.ip)
            .filter { !$0.isEmpty && $0 != first }
        nodeName = spec?.nodeName
        phase = status?.phase ?? "Pending"
        isReady =
            status?.conditions?.contains { $0.type == "Ready" && $0.status == "True" } ?? false
        usesHostNetwork = spec?.hostNetwork ?? false
        let containers = (spec?.containers ?? []) + (spec?.initContainers ?? [])
        guard let container = containers.first(where: { $0.name == proxyContainerName }) else {
            return
        }
        proxy = ProxyContainer(resources: container.sidecarResources)
        let mounts = container.volumeMounts ?? []
        proxy?.hasToken = mounts.contains { $0.mountPath == PodProxy.tokenFolder }
        let statuses = (status?.containerStatuses ?? []) + (status?.initContainerStatuses ?? [])
        if let status = statuses.first(where: { $0.name == proxyContainerName }) {
            proxy?.take(status)
        }
    }
}

/// How App Mesh's injector names the container of Envoy.
private let proxyContainerName = "envoy"

extension Pod.ProxyContainer {
    fileprivate mutating func take(_ status: PodDocument.ContainerStatus) {
        restarts = status.restartCount ?? 0
        startTimeSeconds = status.state?.running?.startedAt.flatMap(seconds)
        isBackingOff = status.state?.waiting?.reason == "CrashLoopBackOff"
        guard let ended = status.state?.terminated ?? status.lastState?.terminated else { return }
        wasOutOfMemory = ended.reason == "OOMKilled"
        lastError =
            wasOutOfMemory
            ? "killed at its memory limit"
            : ended.signal.flatMap { $0 == 0 ? nil : "killed by signal \($0)" }
                ?? "exited with code \(ended.exitCode ?? 0)"
    }
}

extension ObjectMetadata {
    /// Drops what is of no concern of a mesh.
    fileprivate mutating func keepOwn() {
        generation = nil
        finalizers = nil
        annotations = annotations?.filter {
            $0.key.hasPrefix("appmesh.k8s.aws/") || $0.key.hasPrefix("heddle.dev/")
        }
        if annotations?.isEmpty == true { annotations = nil }
    }
}

/// The seconds from 1970 to `text`, a time in RFC 3339.
func seconds(_ text: String) -> Int? {
    (try? Date(text, strategy: .iso8601)).map { Int($0.timeIntervalSince1970) }
}

// MARK: - As the API server writes it

/// The fields of a Pod that are read.
private struct PodDocument: Decodable {
    struct Spec: Decodable {
        var nodeName: String?
        var hostNetwork: Bool?
        var containers: [Container]?
        var initContainers: [Container]?
    }

    struct Container: Decodable {
        struct Resources: Decodable {
            var requests: [String: QuantityText]?
            var limits: [String: QuantityText]?
        }

        struct VolumeMount: Decodable { var mountPath: String? }

        var name: String?
        var resources: Resources?
        var volumeMounts: [VolumeMount]?
    }

    /// A quantity, which manifests may write without quotes.
    struct QuantityText: Decodable {
        var text: String

        init(from decoder: any Decoder) throws {
            let container = try decoder.singleValueContainer()
            if let text = try? container.decode(String.self) {
                self.text = text
            } else if let number = try? container.decode(Int.self) {
                text = String(number)
            } else {
                text = "\(try container.decode(Double.self))"
            }
        }
    }

    struct Status: Decodable {
        struct Condition: Decodable {
            var type: String?
            var status: String?
        }

        struct PodIP: Decodable { var ip: String? }

        var phase: String?
        var podIP: String?
        var podIPs: [PodIP]?
        var conditions: [Condition]?
        var containerStatuses: [ContainerStatus]?
        var initContainerStatuses: [ContainerStatus]?
    }

    struct ContainerStatus: Decodable {
        struct State: Decodable {
            struct Waiting: Decodable { var reason: String? }
            struct Running: Decodable { var startedAt: String? }
            struct Terminated: Decodable {
                var exitCode: Int?
                var signal: Int?
                var reason: String?
            }

            var waiting: Waiting?
            var running: Running?
            var terminated: Terminated?
        }

        var name: String?
        var restartCount: Int?
        var state: State?
        var lastState: State?
    }

    var metadata: ObjectMetadata
    var spec: Spec?
    var status: Status?
}

extension PodDocument.Container {
    /// What the container asks for; App Mesh's advice where it says nothing, but no more than its limit.
    fileprivate var sidecarResources: SidecarResources {
        func amount(_ amounts: [String: PodDocument.QuantityText]?, _ name: String) -> Int? {
            amounts?[name].flatMap { quantity($0.text, inThousandths: name == "cpu") }
                .flatMap { $0 > 0 ? $0 : nil }
        }
        let advice = SidecarResources()
        let cpuLimit = amount(resources?.limits, "cpu")
        let memoryLimit = amount(resources?.limits, "memory")
        return SidecarResources(
            cpuRequestMillicores: amount(resources?.requests, "cpu")
                ?? min(advice.cpuRequestMillicores, cpuLimit ?? .max),
            memoryRequestBytes: amount(resources?.requests, "memory")
                ?? min(advice.memoryRequestBytes, memoryLimit ?? .max),
            cpuLimitMillicores: cpuLimit,
            memoryLimitBytes: memoryLimit
        )
    }
}
