internal import MeshManifests
internal import MeshModel

extension MigratingCluster {
    /// What the installed definitions of App Mesh's kinds have and have not, against Heddle's own.
    mutating func checkCustomResources() {
        let definitions = cluster.all("CustomResourceDefinition", in: "apiextensions.k8s.io")
        for definition in definitions {
            let spec = definition["spec"]
            guard spec?["group"]?.string == Kind.mesh.group,
                let name = spec?["names"]?["kind"]?.string, let kind = Kind(rawValue: name)
            else { continue }
            checkStoredVersions(definition)
            checkFields(of: definition, kind)
        }
        checkCanaryControllers(definitions)
    }

    private mutating func checkStoredVersions(_ definition: JSONValue) {
        let stored = (definition.value(at: "status.storedVersions")?.array ?? [])
            .compactMap(\.string)
        guard stored.contains(where: { $0 != Kind.mesh.version }) else { return }
        report(
            MigrationFinding(
                .blocks,
                .customResources,
                definition.migrationObject,
                field: "status.storedVersions",
                value: stored.joined(separator: ", "),
                "objects may be stored in a version that Heddle's definition does not have, and the API "
                    + "server refuses a definition without it",
                remedy:
                    "write each object anew in \(Kind.mesh.version), as kubectl replace does, then "
                    + "patch the definition's status.storedVersions to [\(Kind.mesh.version)]"
            )
        )
    }

    private mutating func checkFields(of definition: JSONValue, _ kind: Kind) {
        let version = (definition.value(at: "spec.versions")?.array ?? []).first {
            $0["name"]?.string == kind.version
        }
        guard let schema = version?.value(at: "schema.openAPIV3Schema.properties.spec") else {
            return
        }
        let installed = schemaPaths(schema, at: "spec")
        let known = fields(of: kind).filter { $0.hasPrefix("spec.") }
        let missing = known.subtracting(installed).subtracting(Self.fieldsOfFiles).sorted()
        if !missing.isEmpty {
            report(
                MigrationFinding(
                    .changes,
                    .customResources,
                    definition.migrationObject,
                    field: "spec.versions",
                    value: listed(missing),
                    "the API server drops fields that Heddle has and App Mesh has not, and parts of the "
                        + "status, while App Mesh's definition is installed",
                    remedy:
                        "kubectl apply --server-side --force-conflicts -f Charts/heddle/crds/, as Helm "
                        + "changes no definition that is there"
                )
            )
        }
        let unknown = installed.subtracting(known).sorted()
        if !unknown.isEmpty {
            report(
                MigrationFinding(
                    .changes,
                    .customResources,
                    definition.migrationObject,
                    field: "spec.versions",
                    value: listed(unknown),
                    "the installed definition has fields that Heddle has not, which it ignores",
                    remedy: "see whether objects use them: they are reported as unknown fields"
                )
            )
        }
    }

    /// Fields that Heddle reads in files and a definition need not have, as its own have not: some are of
    /// AWS' API alone, or in the definition of another kind, and the decoder of references has a
    /// namespace, which that of a Mesh can't have.
    private static let fieldsOfFiles: Set = [
        "spec.meshRef.namespace", "spec.listeners[].tls.validation.trust.acm",
        "spec.listeners[].tls.validation.trust.acm.certificateAuthorityARNs",
        "spec.serviceDiscovery.awsCloudMap.ipPreference",
        "spec.serviceDiscovery.dns.ipPreference",
    ]

    private func listed(_ paths: [String]) -> String {
        paths.prefix(3).joined(separator: ", ")
            + (paths.count > 3 ? " and \(paths.count - 3) more" : "")
    }

    /// Tools that change weights and selectors of App Mesh's objects, which goes on.
    private mutating func checkCanaryControllers(_ definitions: [JSONValue]) {
        let tools = ["rollouts.argoproj.io": "Argo Rollouts", "canaries.flagger.app": "Flagger"]
        for definition in definitions {
            guard let tool = tools[definition.name] else { continue }
            report(
                MigrationFinding(
                    .works,
                    .canary,
                    definition.migrationObject,
                    value: tool,
                    "it changes weights, podSelectors and whole objects of App Mesh, and Heddle follows at "
                        + "once"
                )
            )
        }
    }
}

/// The fields below `schema`, as `fields(of:)` has them: a list without brackets, and what is in its
/// elements after `[]`.
private func schemaPaths(_ schema: JSONValue, at path: String) -> Set<String> {
    var paths: Set<String> = []
    for (key, member) in schema["properties"]?.object ?? [:] {
        let field = "\(path).\(key)"
        paths.insert(field)
        paths.formUnion(schemaPaths(member, at: field))
        if let items = member["items"] { paths.formUnion(schemaPaths(items, at: "\(field)[]")) }
    }
    return paths
}
