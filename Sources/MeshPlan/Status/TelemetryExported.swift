internal import MeshModel

/// The condition of a Mesh that exports telemetry.
let telemetryExportedType = "TelemetryExported"

/// Whether a mesh's telemetry arrives where it is sent; nil of a mesh that sends none, and of other
/// objects.
func telemetryExported(_ object: MeshObject, _ observations: Observations) -> Condition? {
    guard case .mesh(let mesh) = object, !mesh.spec.export.isEmpty else { return nil }
    let names = mesh.spec.export.names.joined(separator: ", ")
    guard let observation = observations.telemetry[mesh.id] else {
        return Condition(
            type: telemetryExportedType,
            status: .unknown,
            reason: "NotTried",
            message: "Nothing has been sent yet to \(names)."
        )
    }
    guard !observation.problems.isEmpty else {
        return Condition(
            type: telemetryExportedType,
            status: .true,
            reason: "Exported",
            message: "It is sent to \(names)."
        )
    }
    let problems = observation.problems.sorted { $0.key < $1.key }
    return Condition(
        type: telemetryExportedType,
        status: .false,
        reason: observation.isDenied ? "AccessDenied" : "ExportFailed",
        message: problems.map { ended("\($0.key): \($0.value)") }.joined(separator: " ")
    )
}

extension TelemetryExport {
    /// What is exported, as the annotation names it.
    fileprivate var names: [String] {
        [
            xRay ? "x-ray" : nil, cloudWatch ? "cloudwatch" : nil,
            cloudWatchLogs ? "cloudwatch-logs" : nil, openTelemetryURL.map { "otlp=\($0)" },
        ].compactMap { $0 }
    }
}
