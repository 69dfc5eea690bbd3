internal import MeshModel

/// What objects ask for and proxies do not do: one diagnostic for each feature, however many objects
/// use it.
///
func featuresWithoutEffect(in resolution: Resolution) -> [Diagnostic] {
    let world = resolution.world
    var uses = FeatureUses(noun: resolution.options.instanceNoun)
    for mesh in world.meshes.values.sorted(by: { $0.reference < $1.reference })
    where resolution.options.isInCluster && mesh.spec.healthChecks == .once {
        uses.note("once", mesh, "metadata.annotations[\"heddle.dev/health-checks\"]")
    }
    for node in world.virtualNodes.values.sorted(by: { $0.reference < $1.reference }) {
        if case .awsCloudMap = node.spec.serviceDiscovery {
            if resolution.instances[node.reference] == nil {
                uses.note("awsCloudMap", node, "spec.serviceDiscovery")
            }
        } else if node.spec.podSelector != nil, resolution.workloads[node.id] == nil {
            uses.note("podSelector", node, "spec")
        }
        for (index, listener) in node.spec.listeners.enumerated() {
            let field = "spec.listeners[\(index)]"
            if listener.outlierDetection != nil, resolution.instances[node.reference] == nil,
                case .dns(_, .loadBalancer, _) = node.spec.serviceDiscovery
            {
                uses.note("outlierDetection", node, field)
            }
        }
    }
    for gateway in world.virtualGateways.values.sorted(by: { $0.reference < $1.reference }) {
        if resolution.workloads[gateway.id] == nil { uses.note("VirtualGateway", gateway, "") }
        for (index, listener) in gateway.spec.listeners.enumerated() {
            if listener.healthCheck != nil {
                uses.note("healthCheck", gateway, "spec.listeners[\(index)]")
            }
        }
    }
    return uses.diagnostics
}

/// The features that are read, checked and not acted upon, with what happens instead.
private let effects: [String: (severity: Diagnostic.Severity, instead: String)] = [
    "podSelector": (.note, "it selects no Workload, so that callers look up its DNS name"),
    "healthCheck": (.note, "no proxy of the mesh calls a gateway"),
    "outlierDetection": (
        .note,
        "callers see one endpoint behind the DNS name; responseType: ENDPOINTS shows them each"
    ),
    "awsCloudMap": (
        .note,
        "no Workload answers for it, and Cloud Map itself is not asked, so that it has no endpoints"
    ),
    "once": (
        .note,
        "what a proxy finds out is known to one replica alone, so that callers do the health checks"
    ),
    "VirtualGateway": (.note, "it selects no Workload, so that none of its proxies runs"),
]

private struct FeatureUses {
    private struct Use {
        var first: Diagnostic
        var count: Int
    }

    /// What an instance of an application is called.
    let noun: String
    private var uses: [String: Use] = [:]

    init(noun: String) { self.noun = noun }

    mutating func note<Spec: ObjectSpec>(_ feature: String, _ object: Object<Spec>, _ field: String)
    {
        if uses[feature] != nil {
            uses[feature]?.count += 1
        } else if let effect = effects[feature] {
            let name = Spec.kind.rawValue == feature ? "" : "\(feature): "
            let first = object.diagnostic(
                effect.severity,
                field,
                "\(name)has no effect here: "
                    + effect.instead.split(separator: "Workload", omittingEmptySubsequences: false)
                    .joined(separator: noun)
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
