internal import MeshModel
public import MeshPlan

/// What a proxy elsewhere has to prove to get its snapshot and secrets.
public struct RemoteProxy: Hashable, Sendable {
    /// What its `node.id` must be, or the ARN that ends in it.
    public var nodeID: String
    /// `metadata.uid` of its Pod: the token of a Pod that had its name before is of no use.
    public var podUID: String
    /// The SPIFFE ID of its virtual node or gateway; nil while that has no certificate of Heddle's, and
    /// then a client certificate proves nothing.
    public var spiffeID: String?

    /// Makes a description.
    public init(nodeID: String, podUID: String, spiffeID: String? = nil) {
        self.nodeID = nodeID
        self.podUID = podUID
        self.spiffeID = spiffeID
    }

    /// The proxy of `plan`, in the Pod with `podUID`.
    public init(_ plan: ProxyPlan, podUID: String) {
        let own = plan.secrets.values.compactMap { secret -> String? in
            guard case .certificate(.issued(let identity)) = secret, identity.owner == plan.owner
            else { return nil }
            return identity.uri
        }
        self.init(nodeID: plan.nodeID, podUID: podUID, spiffeID: own.min())
    }

    /// Whether an Envoy that calls itself `id` may be this proxy.
    func isCalled(_ id: String) -> Bool {
        id == nodeID || id.hasPrefix("arn:") && id.hasSuffix(":\(nodeID)")
    }
}
