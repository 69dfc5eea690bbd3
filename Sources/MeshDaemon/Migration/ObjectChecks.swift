internal import MeshModel
internal import MeshPlan

extension MigratingCluster {
    /// What Heddle itself says of the objects of the mesh: what it refuses, warns of and notes.
    mutating func checkObjects() {
        for diagnostic in plan.diagnostics where diagnostic.object?.kind != .workload {
            // Other checks know of each object what this says of all.
            if diagnostic.problem.contains("has no effect here") { continue }
            if !isOfLegacyVersion(diagnostic.object) { checkDiagnostic(diagnostic) }
        }
        for (id, document) in sortedDocuments where isOfLegacyVersion(id) {
            let diagnostic = plan.diagnostics.first { $0.object == id }
            report(
                MigrationFinding(
                    .blocks,
                    .legacyVersion,
                    MigrationObject(id),
                    field: "apiVersion",
                    value: document["apiVersion"]?.string ?? "",
                    "Heddle and the controllers from version 1 on serve v1beta2 alone",
                    remedy: diagnostic?.remedy ?? "write it as \(id.kind.apiVersion)"
                )
            )
        }
    }

    /// The documents of the mesh's objects, sorted.
    var sortedDocuments: [(id: ObjectID, document: JSONValue)] {
        documents.sorted { $0.key < $1.key }.map { ($0.key, $0.value) }
    }

    private func isOfLegacyVersion(_ id: ObjectID?) -> Bool {
        guard let id, let version = documents[id]?["apiVersion"]?.string else { return false }
        return version == "\(Kind.mesh.group)/v1beta1"
    }

    private mutating func checkDiagnostic(_ diagnostic: Diagnostic) {
        guard !isOfUnknownKind(diagnostic) else { return }
        let object = diagnostic.object.map { MigrationObject($0) }
        let value = valueText(diagnostic)
        if let id = diagnostic.object, let designation = designation(diagnostic) {
            return report(
                MigrationFinding(
                    .blocks,
                    .membership,
                    MigrationObject(id),
                    field: diagnostic.field,
                    value: value,
                    "the \(designation) for which it was made is not there, or is not in use",
                    remedy: "apply that \(designation), or make the object anew without the field"
                )
            )
        }
        if diagnostic.field.contains(".acm."), diagnostic.problem.hasPrefix("nothing stands for") {
            // Reported of every ARN, also where another mistake hides it.
            return
        }
        if diagnostic.severity == .error, diagnostic.field.hasSuffix("ARN"),
            diagnostic.problem.hasPrefix("no ")
        {
            return report(
                MigrationFinding(
                    .blocks,
                    .reference,
                    object,
                    field: diagnostic.field,
                    value: value,
                    "nothing in this mesh has the name in which the ARN ends; of another cluster or "
                        + "account nothing is known here",
                    remedy: "describe it here: a VirtualService of that awsName, and a VirtualNode "
                        + "with serviceDiscovery.dns of where it answers"
                )
            )
        }
        reportAsItIs(diagnostic, object)
    }

    private mutating func reportAsItIs(_ diagnostic: Diagnostic, _ object: MigrationObject?) {
        let wasActive = diagnostic.object.flatMap(wasActive) ?? true
        let effect: MigrationEffect
        let check: MigrationCheckName
        switch diagnostic.severity {
        case .error:
            effect = wasActive ? .blocks : .changes
            check = .invalid
        case .warning:
            effect = .changes
            check = .doubtful
        case .note:
            effect = .works
            check = .noted
        }
        let place = diagnostic.location.map { "\($0): " } ?? ""
        report(
            MigrationFinding(
                effect,
                check,
                object,
                field: diagnostic.field,
                place + diagnostic.problem
                    + (wasActive ? "" : " (it is not active with App Mesh either)"),
                remedy: diagnostic.remedy ?? ""
            )
        )
    }

    /// Whether App Mesh's controller had the object in force; nil when it has not said.
    private func wasActive(_ id: ObjectID) -> Bool? {
        guard let type = id.kind.conditionType,
            let conditions = documents[id]?.value(at: "status.conditions")?.array
        else { return nil }
        return conditions.first { $0["type"]?.string == type }.map { $0["status"] == "True" }
    }

    /// Whether the mistake is that something is missing whose kind could not be read.
    private func isOfUnknownKind(_ diagnostic: Diagnostic) -> Bool {
        Kind.allCases.contains { kind in
            !isKnown(kind)
                && (diagnostic.problem.hasPrefix("no \(kind.rawValue) ")
                    || kind == .virtualGateway
                        && diagnostic.problem.hasPrefix("failed to find matching virtualGateway"))
        }
    }

    /// What was chosen for the object and is not there any more.
    private func designation(_ diagnostic: Diagnostic) -> String? {
        switch diagnostic.field {
        case "spec.meshRef": "mesh"
        case "spec.virtualGatewayRef": "gateway"
        default: nil
        }
    }

    /// What stands in the field, as far as it fits a line.
    private func valueText(_ diagnostic: Diagnostic) -> String {
        guard let id = diagnostic.object, let value = documents[id]?.value(at: diagnostic.field)
        else { return "" }
        switch value {
        case .string(let text): return text
        case .integer(let number): return "\(number)"
        case .object(let members): return members["name"]?.string ?? ""
        case .null, .bool, .number, .array: return ""
        }
    }
}
