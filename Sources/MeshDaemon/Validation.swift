internal import MeshManifests
public import MeshModel
internal import MeshPlan
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
public func validate(paths: [String]) -> ValidationReport {
    let world = loadWorld(paths: paths, decode: decodeManifests)
    let plan = plan(world, nowSeconds: 0)
    return ValidationReport(
        diagnostics: plan.diagnostics,
        objectCount: world.objects.count
    )
}
