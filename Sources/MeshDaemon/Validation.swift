public import MeshModel
public import MeshPlan
internal import MeshSources

/// What `heddle validate` found.
public struct ValidationReport: Sendable {
    /// Every problem and note, sorted by file and line.
    public var diagnostics: [Diagnostic]
    /// How many objects are valid, of those that were read.
    public var objectCount: Int

    /// Whether no problem is an error.
    public var isValid: Bool { !diagnostics.contains { $0.severity == .error } }

    /// The last line: `14 objects, 2 errors, 1 warning`.
    public var summary: String {
        func counted(_ count: Int, _ name: String) -> String {
            "\(count) \(name)\(count == 1 ? "" : "s")"
        }
        let errors = diagnostics.count { $0.severity == .error }
        let warnings = diagnostics.count { $0.severity == .warning }
        return [
            counted(objectCount, "object"), counted(errors, "error"), counted(warnings, "warning"),
        ]
        .joined(separator: ", ")
    }
}

/// Reads and plans the manifests in `paths`, files or folders, and reports all problems at once.
///
/// Files that contradict each other in a Namespace or Mesh, as examples side by side, are checked
/// apart; any other object that is there twice is a problem.
public func validate(paths: [String], options: PlanOptions = PlanOptions()) -> ValidationReport {
    var diagnostics: Set<Diagnostic> = []
    var objects: Set<ObjectPlace> = []
    for world in loadAlternatives(paths: paths) {
        diagnostics.formUnion(plan(world, nowSeconds: 0, options: options).diagnostics)
        objects.formUnion(
            world.objects.map { ObjectPlace(id: $0.id, file: $0.manifest.file ?? "") }
        )
    }
    return ValidationReport(diagnostics: diagnostics.sorted(), objectCount: objects.count)
}

private struct ObjectPlace: Hashable {
    var id: ObjectID
    var file: String
}
