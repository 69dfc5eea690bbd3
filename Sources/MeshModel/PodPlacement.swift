/// Where a Workload is that stands for a Pod of a Kubernetes cluster.
///
/// Its proxy runs in the Pod: it listens on 0.0.0.0:15000 and 127.0.0.1:15001, to which the Pod's own
/// rules redirect what comes and goes, as in App Mesh. So all Pods of a virtual node share one
/// configuration, whatever their addresses.
public struct PodPlacement: Hashable, Codable, Sendable {
    /// `metadata.uid` of the Pod.
    public var uid: String
    /// `status.podIP`; nil while it has none.
    public var address: String?
    /// The rest of `status.podIPs`: in a cluster of both families that of the other one.
    public var otherAddresses: [String]
    /// `spec.nodeName`; nil while it is not scheduled.
    public var nodeName: String?
    /// `topology.kubernetes.io/zone` of that Kubernetes node.
    public var zone: String?
    /// Who configures the Envoy in it.
    public var proxy: PodProxy

    /// Whether Heddle does.
    public var hasProxy: Bool { proxy == .heddle }

    /// Whether it has an address of IPv6.
    public var hasIPv6: Bool {
        ([address].compactMap { $0 } + otherAddresses).contains { $0.contains(":") }
    }

    /// Makes a placement.
    public init(
        uid: String,
        address: String? = nil,
        otherAddresses: [String] = [],
        nodeName: String? = nil,
        zone: String? = nil,
        proxy: PodProxy = .heddle
    ) {
        self.uid = uid
        self.address = address
        self.otherAddresses = otherAddresses
        self.nodeName = nodeName
        self.zone = zone
        self.proxy = proxy
    }
}

/// Who configures the Envoy in a Pod.
public enum PodProxy: String, Hashable, Codable, Sendable {
    /// Heddle: the injector made it, or made it of the owner's.
    case heddle
    /// App Mesh, before its Pods were Heddle's, or whoever made it.
    case other
    /// There is none.
    case absent

    /// The folder in which a proxy of Heddle's has the token by which it proves itself, and no other has.
    public static let tokenFolder = "/var/run/secrets/heddle.dev/token"
}
