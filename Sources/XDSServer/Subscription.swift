internal import MeshModel
internal import MeshPlan

/// What one stream asked for, and has, of one type.
struct Subscription: Sendable {
    /// A response that was sent and not yet answered.
    struct InFlight: Sendable {
        var nonce: String
        var resources: [EncodedResource]
        var removed: [String]
    }

    /// Whether a request of this type came.
    var isOpen = false
    /// Whether everything is asked for.
    var isWildcard = false
    /// What is asked for by name.
    var names: Set<String> = []
    /// What the proxy has.
    var held: [String: EncodedResource] = [:]
    /// Versions that the proxy said it has, and that are not known here.
    var claimed: [String: String] = [:]
    /// What must be answered even when the proxy has it already.
    var demanded: Set<String> = []
    /// What may differ from what the proxy shall have; everything else does not.
    var unchecked: Set<String> = []
    /// The response that waits for its answer.
    var inFlight: InFlight?
    /// Names that Envoy refused together without saying which: each group is sent by itself.
    var suspects: [[String]] = []
    /// Whether what is held changed since it last equalled what shall be held.
    var isUnsettled = false

    /// Whether `name` is asked for.
    func wants(_ name: String) -> Bool { isWildcard || names.contains(name) }

    /// Whether the proxy has `name`, in whatever version.
    func has(_ name: String) -> Bool { held[name] != nil || claimed[name] != nil }

    /// Takes the names that a request adds and drops.
    ///
    /// A name asked for again is answered again, as a proxy may have dropped what it had. In a
    /// stream's first request the versions that the proxy has say what needs no answer.
    mutating func change(subscribe: [String], unsubscribe: [String], isFirst: Bool) {
        for name in subscribe where name != "*" {
            names.insert(name)
            unchecked.insert(name)
            if !isFirst || claimed[name] == nil { demanded.insert(name) }
        }
        if subscribe.contains("*") { isWildcard = true }
        for name in unsubscribe where name != "*" {
            names.remove(name)
            forget(name)
            // The protocol has the server tell what a wildcard still covers.
            if isWildcard { unchecked.insert(name) }
        }
        if unsubscribe.contains("*") {
            isWildcard = false
            for name in Set(held.keys).union(claimed.keys) where !names.contains(name) {
                forget(name)
            }
        }
    }

    /// Notes that the proxy has `resource`.
    mutating func hold(_ resource: EncodedResource) {
        guard wants(resource.name) else { return }
        claimed[resource.name] = nil
        held[resource.name] = resource
        isUnsettled = true
    }

    /// Notes that the proxy does not have `name`.
    mutating func drop(_ name: String) {
        claimed[name] = nil
        held[name] = nil
        isUnsettled = true
    }

    private mutating func forget(_ name: String) {
        drop(name)
        demanded.remove(name)
        unchecked.remove(name)
    }
}
