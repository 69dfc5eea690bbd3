internal import Foundation
internal import MeshManifests
internal import MeshModel

/// Reads a dump: files of `kubectl get ... -o yaml` or `-o json`, folders of them, or standard input.
///
/// - Parameters:
///   - paths: Files and folders; `-` is standard input.
///   - input: Reads standard input; nil reads that of this process.
/// - Returns: What stands in them.
/// - Throws: `ClientFailure` when a file can't be read.
public func clusterDump(
    paths: [String],
    input: (() -> [UInt8])? = nil
) throws -> ClusterDocuments {
    var documents: [JSONValue] = []
    for path in paths {
        for file in try files(at: path) {
            let bytes = try file == "-" ? input?() ?? standardInput() : bytes(of: file)
            let name = file == "-" ? "standard input" : file
            let content = decodeDocuments(bytes, path: name)
            if let problem = content.diagnostics.first {
                throw ClientFailure(.usage, problem.description)
            }
            // Of what is large only the slim form is kept while the next is read.
            documents += content.documents.map(slimmed)
        }
    }
    let names = paths.map { $0 == "-" ? "standard input" : $0 }
    var cluster = ClusterDocuments(source: names.joined(separator: ", "), documents: documents)
    let present = Set(documents.map { "\($0["kind"]?.string ?? "").\($0.group)" })
    cluster.gaps = (MigrationResource.meshKinds + MigrationResource.surroundings)
        .filter { !present.contains("\($0.kind).\($0.group)") && $0.isExpected(in: present) }
        .map {
            MigrationGap(resource: $0.name, reason: "the dump has none", isFailure: false)
        }
    return cluster
}

extension MigrationResource {
    /// Whether it means something that a dump lacks these: most clusters have no Rollout or BackendGroup.
    fileprivate func isExpected(in present: Set<String>) -> Bool {
        switch kind {
        case Kind.backendGroup.rawValue, Kind.trafficPolicy.rawValue, "StatefulSet", "DaemonSet",
            Kind.certificateMapping.rawValue, Kind.virtualGateway.rawValue, "Lease":
            false
        case Kind.gatewayRoute.rawValue: present.contains("VirtualGateway.appmesh.k8s.aws")
        default: true
        }
    }
}

/// The manifests at `path`, which may be a folder; sorted.
private func files(at path: String) throws -> [String] {
    if path == "-" { return ["-"] }
    var isFolder: ObjCBool = false
    guard FileManager.default.fileExists(atPath: path, isDirectory: &isFolder) else {
        throw ClientFailure(.usage, "cannot read \(path): no such file or folder")
    }
    guard isFolder.boolValue else { return [path] }
    let found = FileManager.default.enumerator(atPath: path)?.compactMap { $0 as? String } ?? []
    let files = found.filter { file in
        let isHidden = file.split(separator: "/").contains { $0.hasPrefix(".") }
        return !isHidden && [".yaml", ".yml", ".json"].contains { file.hasSuffix($0) }
    }
    guard !files.isEmpty else {
        throw ClientFailure(.usage, "\(path) has no file that ends in .yaml, .yml or .json")
    }
    return files.sorted().map { path.hasSuffix("/") ? path + $0 : "\(path)/\($0)" }
}

private func bytes(of path: String) throws -> [UInt8] {
    do {
        return Array(try Data(contentsOf: URL(fileURLWithPath: path)))
    } catch {
        throw ClientFailure(.usage, "cannot read \(path): \(error.localizedDescription)")
    }
}

private func standardInput() -> [UInt8] {
    Array(FileHandle.standardInput.readDataToEndOfFile())
}
