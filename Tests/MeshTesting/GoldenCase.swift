public import Foundation
public import MeshModel
public import MeshPlan

/// A folder `GoldenTests/Cases/<name>`: manifests in `in.yaml`, and what is planned for them.
public struct GoldenCase: Sendable, CustomStringConvertible {
    /// The rule that the case shows.
    public var name: String
    /// The folder.
    public var folder: URL

    /// The name.
    public var description: String { name }

    /// Where all cases are.
    public static let root = URL(fileURLWithPath: #filePath)
        .deletingLastPathComponent().deletingLastPathComponent()
        .appendingPathComponent("GoldenTests/Cases")

    /// All cases, by name.
    public static let all: [GoldenCase] = {
        let folders =
            (try? FileManager.default.contentsOfDirectory(
                at: root,
                includingPropertiesForKeys: nil
            )) ?? []
        return folders.map { GoldenCase(name: $0.lastPathComponent, folder: $0) }
            .sorted { $0.name < $1.name }
    }()

    /// The objects of `in.yaml`.
    public func world() throws -> World {
        let file = folder.appendingPathComponent("in.yaml")
        return World(yaml: try String(contentsOf: file, encoding: .utf8))
    }

    /// The plan for the case's world, at the beginning of time and with nothing observed.
    public func plan() throws -> Plan {
        let world = try world()
        let isInCluster = world.workloads.values.contains { $0.spec.pod != nil }
        return MeshPlan.plan(
            world,
            nowSeconds: 0,
            options: PlanOptions(isInCluster: isInCluster)
        )
    }

    /// The files beside `in.yaml` that show `plan`, by their paths within the folder.
    public func files(of plan: Plan) throws -> [String: String] {
        var files: [String: String] = [:]
        for (id, proxy) in plan.proxies {
            let proxyFolder = "\(id.workload.namespace).\(id.workload.name)"
            for type in ResourceType.allCases {
                let resources = proxy.snapshot[type].sorted { $0.key < $1.key }
                guard !resources.isEmpty else { continue }
                let array = JSONValue.array(try resources.map { try $0.value.json })
                let name = type == .secrets ? "file_secrets" : type.rawValue
                files["\(proxyFolder)/\(name).json"] = try array.prettyText + "\n"
            }
            if !proxy.secrets.isEmpty {
                let sources = proxy.secrets.mapValues { JSONValue.string("\($0)") }
                files["\(proxyFolder)/secrets.json"] =
                    try JSONValue.object(sources).prettyText + "\n"
            }
            if proxy.statistics?.dogStatsD != nil {
                // The tags alone are in every bootstrap.
                let document = try staticConfiguration(of: proxy).json
                let members = ["stats_config", "stats_sinks"].map { ($0, document[$0] ?? .null) }
                files["\(proxyFolder)/statistics.json"] =
                    try JSONValue.object(Dictionary(uniqueKeysWithValues: members)).prettyText
                    + "\n"
            }
            if !proxy.probes.isEmpty {
                let specifier = healthCheckSpecifier(
                    for: proxy.probes,
                    reportingInterval: .seconds(1)
                )
                let path = "\(proxyFolder)/health_checks.json"
                files[path] = try specifier.json.prettyText + "\n"
            }
        }
        let statuses = plan.statuses.map { ($0.key.description, $0.value.document) }
        let document = JSONValue.object(Dictionary(uniqueKeysWithValues: statuses))
        files["status.json"] = try document.prettyText + "\n"
        if !plan.diagnostics.isEmpty {
            let lines = plan.diagnostics.map { $0.description + "\n" }
            files["diagnostics.txt"] = lines.joined()
        }
        return files
    }

    /// The paths within the folder of every file there.
    public func presentFiles() throws -> Set<String> {
        let paths = try FileManager.default.subpathsOfDirectory(atPath: folder.path)
        return Set(
            paths.filter { path in
                var isFolder: ObjCBool = false
                let full = folder.appendingPathComponent(path).path
                return FileManager.default.fileExists(atPath: full, isDirectory: &isFolder)
                    && !isFolder.boolValue
            }
        )
    }
}
