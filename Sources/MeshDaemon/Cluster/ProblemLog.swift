internal import Logging
internal import MeshModel

/// Logs each problem of the mesh when it appears, and when it is gone.
///
/// Conditions and Events tell the same to who owns the objects; this is for who looks after Heddle.
struct ProblemLog {
    /// How many lines one plan may add: more of them tell less.
    static let limit = 20

    private var known: Set<Diagnostic> = []

    /// Logs what is new in `diagnostics`, and which errors they no longer hold.
    mutating func log(_ diagnostics: [Diagnostic], _ logger: Logger) {
        let now = Set(diagnostics)
        let added = diagnostics.filter { !known.contains($0) }
        for diagnostic in added.prefix(Self.limit) {
            let level: Logger.Level =
                switch diagnostic.severity {
                case .error: .error
                case .warning: .warning
                case .note: .info
                }
            logger.log(level: level, "problem", metadata: ["problem": "\(diagnostic.message)"])
        }
        if added.count > Self.limit {
            let count = added.count - Self.limit
            logger.warning("more problems, see the conditions", metadata: ["count": "\(count)"])
        }
        let mended = known.subtracting(now).filter { $0.severity == .error }.sorted()
        for diagnostic in mended.prefix(Self.limit) {
            logger.notice("mended", metadata: ["problem": "\(diagnostic.message)"])
        }
        known = now
    }
}
