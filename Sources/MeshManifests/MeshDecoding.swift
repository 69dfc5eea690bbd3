import MeshModel

extension Fields {
    /// `spec` of the Mesh `metadata`, whose annotations say more.
    func mesh(_ metadata: Metadata, _ annotations: MeshAnnotations) -> MeshSpec? {
        let filter: MeshSpec.EgressFilter? = object("egressFilter") { filter in
            filter.choice("type", .required, [.allowAll, .dropAll])
        }
        let preference: IPPreference? = object("meshServiceDiscovery") { discovery in
            // The API has two more, which App Mesh's webhook refuses for a mesh.
            discovery.choice("ipPreference", .optional, [.ipv4Only, .ipv6Only])
        }
        return MeshSpec(
            awsName: awsName(default: metadata.name),
            namespaceSelector: selector("namespaceSelector"),
            egressFilter: filter ?? .dropAll,
            meshOwner: string("meshOwner", length: 12...12),
            ipPreference: preference,
            alwaysAllowed: annotations.alwaysAllowed ?? [.amazonWebServices],
            healthChecks: annotations.healthChecks ?? .callers,
            mutualTLS: annotations.mutualTLS,
            accessControl: annotations.accessControl,
            trustDomain: annotations.trustDomain,
            tracing: annotations.tracing,
            export: annotations.export ?? TelemetryExport(),
            dogStatsD: annotations.dogStatsD
        )
    }
}
