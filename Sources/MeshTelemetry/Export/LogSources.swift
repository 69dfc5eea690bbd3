internal import MeshModel

extension MeshTopology {
    /// Whose access logs are where, by mesh and path.
    ///
    /// Lines of a file that proxies of several nodes write to cannot be told apart: they go to a stream
    /// of the file's own.
    ///
    /// - Parameters:
    ///   - meshes: Whose proxies are looked at.
    ///   - processLog: The file with a proxy's output, where `/dev/stdout` leads; nil where there is none.
    /// - Returns: No file of which nothing can be read, such as `/dev/null`.
    func logSources(
        of meshes: Set<ObjectID>,
        processLog: (ProxyID) -> String?
    ) -> [ObjectID: [String: LogSource]] {
        guard !meshes.isEmpty else { return [:] }
        var writers: [ObjectID: [String: Set<Writer>]] = [:]
        for (id, proxy) in proxies {
            guard let declared = proxy.accessLogPath, meshes.contains(proxy.mesh) else { continue }
            let isMixed = ProxyOutput.isOutput(declared)
            guard let path = isMixed ? processLog(id) : declared, !path.hasPrefix("/dev/") else {
                continue
            }
            let writer = Writer(
                meshName: proxy.meshName,
                owner: proxy.owner,
                name: proxy.ownerName,
                isMixed: isMixed
            )
            writers[proxy.mesh, default: [:]][path, default: []].insert(writer)
        }
        return writers.mapValues { files in
            Dictionary(uniqueKeysWithValues: files.map { ($0, Self.source($0, Array($1))) })
        }
    }

    private struct Writer: Hashable {
        var meshName: String
        var owner: ObjectID
        var name: String
        var isMixed: Bool
    }

    private static func source(_ path: String, _ writers: [Writer]) -> LogSource {
        let isMixed = writers.contains(where: \.isMixed)
        guard writers.count == 1, let writer = writers.first else {
            let attributes = ["appmesh.mesh": writers.first?.meshName ?? ""]
            return LogSource(path: path, stream: path, attributes: attributes, isMixed: isMixed)
        }
        let isGateway = writer.owner.kind == .virtualGateway
        return LogSource(
            path: path,
            stream: writer.owner.reference.description,
            attributes: [
                "appmesh.mesh": writer.meshName,
                isGateway ? "appmesh.virtual_gateway" : "appmesh.virtual_node": writer.name,
                "service.name": "\(writer.meshName)/\(writer.name)",
                "service.namespace": writer.owner.namespace,
            ],
            isMixed: isMixed
        )
    }
}
