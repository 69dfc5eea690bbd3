internal import FoundationEssentials
internal import KubernetesAPI
internal import Logging
public import MeshPlan

/// `heddle migrate check`: what works, what changes and what blocks when Heddle takes over.
public struct MigrateCheckCommand: Sendable {
    /// `-o`.
    public enum Format: String, CaseIterable, Sendable {
        case text
        case json
    }

    /// Files and folders of a dump, `-` for standard input; empty reads a cluster.
    public var paths: [String] = []
    /// `--kubeconfig`.
    public var kubeconfig: String?
    /// `--context`.
    public var context: String?
    /// `-o`.
    public var format = Format.text
    /// `--all`.
    public var isComplete = false
    /// What Heddle is to run with.
    public var options = PlanOptions(isInCluster: true)

    /// Makes the command for the cluster that a kubeconfig names.
    public init() {}

    /// Runs the command; `badNews` if something blocks, or could not be looked at.
    public func run(_ console: Console) async throws -> ExitStatus {
        let cluster = try paths.isEmpty ? await live(console) : clusterDump(paths: paths)
        let report = migrationReport(of: cluster, options: options)
        guard cluster.hasMesh || cluster.isLive else {
            throw ClientFailure(
                .usage,
                "no object of appmesh.k8s.aws in \(cluster.source); dump them with "
                    + "\"kubectl get meshes,virtualnodes,... -A -o yaml\""
            )
        }
        switch format {
        case .text:
            let text = MigrationText(
                report: report,
                isComplete: isComplete,
                isColoured: console.isColoured
            )
            console.print(text.text)
        case .json:
            let encoder = JSONEncoder()
            encoder.outputFormatting = [.sortedKeys, .prettyPrinted, .withoutEscapingSlashes]
            let data = try encoder.encode(report)
            console.print(String(decoding: data, as: UTF8.self) + "\n")
        }
        return report.isClear ? .ok : .badNews
    }

    private func live(_ console: Console) async throws -> ClusterDocuments {
        do {
            let configuration = try configuration()
            var options = KubernetesClient.Options(version: heddleVersion)
            // Somebody waits for the answer.
            options.requestTimeout = .seconds(15)
            let client = KubernetesClient(
                configuration,
                options: options,
                logger: Logger(label: "heddle", factory: { _ in SwiftLogNoOpLogHandler() })
            )
            defer { console.progress(nil) }
            return try await ClusterDocuments.reading(
                client,
                source: context ?? configuration.server,
                nowSeconds: console.nowSeconds(),
                progress: console.progress
            )
        } catch let error as KubernetesError {
            let isUsage = error.kind == .credentials
            throw ClientFailure(isUsage ? .usage : .noDaemon, error.description)
        }
    }

    private func configuration() throws -> KubernetesConfiguration {
        if kubeconfig == nil, context == nil, let own = try KubernetesConfiguration.inCluster() {
            return own
        }
        return try KubernetesConfiguration.kubeconfig(path: kubeconfig, context: context)
    }
}

extension ClusterDocuments {
    /// Whether there is an object of App Mesh.
    fileprivate var hasMesh: Bool { documents.contains { $0.group == "appmesh.k8s.aws" } }
}
