internal import FoundationEssentials

/// A Lease of `coordination.k8s.io/v1`.
struct Lease: KubernetesObject, Codable, Hashable {
    /// Who holds it, and since when.
    struct Spec: Codable, Hashable, Sendable {
        /// Nil or empty when nobody does.
        var holderIdentity: String?
        /// For how long it holds after a renewal.
        var leaseDurationSeconds: Int?
        /// When the holder got it, in RFC 3339 with microseconds.
        var acquireTime: String?
        /// When the holder renewed it last; for people, as clocks differ.
        var renewTime: String?
        /// How often the holder changed.
        var leaseTransitions: Int?
    }

    var apiVersion: String? = KubernetesResource.leases.apiVersion
    var kind: String? = KubernetesResource.leases.kind
    var metadata: ObjectMetadata
    var spec: Spec?

    init(_ key: ObjectKey, _ spec: Spec) {
        metadata = ObjectMetadata(name: key.name, namespace: key.namespace)
        self.spec = spec
    }
}

/// `date` as the API writes it in a Lease: always with six digits of a second.
func microTime(_ date: Date) -> String {
    let seconds = date.timeIntervalSince1970.rounded(.down)
    let microseconds = Int((date.timeIntervalSince1970 - seconds) * 1_000_000)
    let digits = "\(1_000_000 + min(microseconds, 999_999))".dropFirst()
    let whole = Date(timeIntervalSince1970: seconds).formatted(.iso8601)
    return "\(whole.dropLast()).\(digits)Z"
}
