import MeshModel

/// `heddle sizing`: what proxies should ask for, and why; `--apply` writes it into the manifests.
public struct SizingCommand: Sendable {
    /// `-o`.
    public enum Format: String, CaseIterable, Sendable {
        case table
        case json
        case yaml
    }

    /// `NAMESPACE/NAME`, or names alone; empty is all.
    public var names: [String] = []
    /// `-n`; nil is all namespaces.
    public var namespace: String?
    /// `-o`.
    public var format = Format.table
    /// `--verbose`: every reason.
    public var isVerbose = false
    /// `--apply`, and how; nil only reports.
    public var application: Application?

    /// How recommendations are written into manifests.
    public struct Application: Hashable, Sendable {
        /// `--dry-run`: only prints what would change.
        public var isDryRun: Bool
        /// `--include-forecasts`: also what was not measured.
        public var includesForecasts: Bool

        /// Makes it.
        public init(isDryRun: Bool = false, includesForecasts: Bool = false) {
            self.isDryRun = isDryRun
            self.includesForecasts = includesForecasts
        }
    }

    /// Makes the command for all proxies.
    public init() {}

    /// Runs the command; `badNews` if a proxy that was measured may run short, or with `--apply` if
    /// something that was to change did not.
    public func run(
        _ transport: any LocalAPITransport,
        _ console: Console
    ) async throws -> ExitStatus {
        let client = LocalAPIClient(transport: transport)
        let selection = ProxySelection(names: names, namespace: namespace)
        let report = SizingReport(proxies: try await selection.proxies(client).proxies)
        if let application { return apply(application, report, console) }
        switch format {
        case .table:
            if report.proxies.isEmpty {
                let place = namespace.map { " in namespace \($0)" } ?? ""
                console.note("No proxies\(place): no Workload has one.")
            } else {
                let isColoured = console.isColoured
                console.print(report.text(isVerbose: isVerbose, isColoured: isColoured))
            }
        case .json: console.print(JSONText.pretty(report.document) + "\n")
        case .yaml: console.print(try yamlText(report.document))
        }
        return report.isAnyShort ? .badNews : .ok
    }

    private func apply(
        _ application: Application,
        _ report: SizingReport,
        _ console: Console
    ) -> ExitStatus {
        var edits = SizingEdits(report, application)
        edits.make { console.progress("editing the manifest of \($0) ...") }
        console.progress(nil)
        for file in edits.changed { console.print(file.diff) }
        if !application.isDryRun { edits.write() }
        for refusal in edits.refusals.sorted(by: { $0.proxy < $1.proxy }) {
            console.note("proxy \(refusal.proxy): left as it is: \(refusal.reason)")
        }
        console.note(edits.summary)
        return edits.refusals.isEmpty ? .ok : .badNews
    }
}
