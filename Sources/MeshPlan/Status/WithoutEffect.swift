internal import MeshModel

/// What objects ask for and proxies do not do: one diagnostic for each feature, however many objects
/// use it.
///
/// What a mesh's security rests on is a warning, the rest a note.
func featuresWithoutEffect(in resolution: Resolution) -> [Diagnostic] {
    let world = resolution.world
    var uses = FeatureUses()
    for node in world.virtualNodes.values.sorted(by: { $0.reference < $1.reference }) {
        if node.spec.podSelector != nil, resolution.workloads[node.reference] == nil {
            uses.note("podSelector", node, "spec")
        }
        for (index, listener) in node.spec.listeners.enumerated() {
            let field = "spec.listeners[\(index)]"
            if listener.healthCheck != nil { uses.note("healthCheck", node, field) }
            if listener.outlierDetection != nil { uses.note("outlierDetection", node, field) }
            if listener.connectionPool != nil { uses.note("connectionPool", node, field) }
            if let tls = listener.tls, tls.mode != .disabled { uses.note("tls", node, field) }
        }
        if node.spec.accessLog != nil { uses.note("logging", node, "spec") }
        if node.spec.backendDefaults != nil
            || node.spec.backends.contains(where: { $0.clientPolicy != nil })
        {
            uses.note("clientPolicy", node, "spec")
        }
    }
    for gateway in world.virtualGateways.values.sorted(by: { $0.reference < $1.reference }) {
        uses.note("VirtualGateway", gateway, "")
    }
    for route in world.gatewayRoutes.values.sorted(by: { $0.reference < $1.reference }) {
        uses.note("GatewayRoute", route, "")
    }
    for policy in world.trafficPolicies.values.sorted(by: { $0.reference < $1.reference }) {
        uses.note("TrafficPolicy", policy, "")
    }
    return uses.diagnostics
}

/// The features that are read, checked and not acted upon, with what happens instead.
private let effects: [String: (severity: Diagnostic.Severity, instead: String)] = [
    "podSelector": (.note, "it selects no Workload, so that callers look up its DNS name"),
    "healthCheck": (.note, "every endpoint whose proxy runs counts as healthy"),
    "outlierDetection": (.note, "no endpoint is ejected"),
    "connectionPool": (.note, "connections are not limited"),
    "tls": (.warning, "the listener takes plaintext"),
    "clientPolicy": (.warning, "backends are called in plaintext"),
    "logging": (.note, "no access log is written"),
    "VirtualGateway": (.note, "no gateway runs"),
    "GatewayRoute": (.note, "no gateway runs"),
    "TrafficPolicy": (.warning, "no policy acts"),
]

private struct FeatureUses {
    private struct Use {
        var first: Diagnostic
        var count: Int
    }

    private var uses: [String: Use] = [:]

    mutating func note<Spec: ObjectSpec>(_ feature: String, _ object: Object<Spec>, _ field: String)
    {
        if uses[feature] != nil {
            uses[feature]?.count += 1
        } else if let effect = effects[feature] {
            let name = Spec.kind.rawValue == feature ? "" : "\(feature): "
            let first = object.diagnostic(
                effect.severity,
                field,
                "\(name)has no effect here: \(effect.instead)"
            )
            uses[feature] = Use(first: first, count: 1)
        }
    }

    var diagnostics: [Diagnostic] {
        uses.values.map { use in
            var diagnostic = use.first
            if use.count > 1 { diagnostic.problem += " (and \(use.count - 1) more)" }
            return diagnostic
        }
    }
}

extension MeshObject {
    /// Why the object as a whole must not pass for one that is in force; nil when it may.
    ///
    /// A security control that is off is more than a note: a node that asks for TLS is not active.
    var withoutEffect: (reason: String, message: String)? {
        switch self {
        case .virtualGateway, .gatewayRoute: ("NotSupported", "No gateway runs here.")
        case .trafficPolicy: ("NotSupported", "No policy acts here.")
        case .virtualNode(let node):
            if node.spec.listeners.contains(where: { $0.tls?.mode == .strict }) {
                ("TLSNotApplied", "It asks for TLS, and its listener takes plaintext.")
            } else if node.spec.backendDefaults?.enforce == true
                || node.spec.backends.contains(where: { $0.clientPolicy?.enforce == true })
            {
                ("TLSNotApplied", "It asks for TLS, and its backends are called in plaintext.")
            } else {
                nil
            }
        case .mesh, .namespace, .virtualService, .virtualRouter, .backendGroup, .workload: nil
        }
    }
}
