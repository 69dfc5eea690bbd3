/// How fields of `appmesh.k8s.aws/v1beta1` that `spec` uses are written in v1beta2.
///
/// Each is a phrase such as `spec.serviceDiscovery.dns.hostName is now hostname`.
func legacyFields(of spec: YAMLNode, path: String = "spec") -> [String] {
    switch spec.content {
    case .scalar: return []
    case .sequence(let nodes):
        return nodes.enumerated().flatMap { legacyFields(of: $1, path: "\(path)[\($0)]") }
    case .mapping(let entries):
        return entries.flatMap { entry in
            let field = "\(path).\(entry.key)"
            let own = successor(of: entry.key, in: path).map { ["\(field) \($0)"] } ?? []
            return own + legacyFields(of: entry.value, path: field)
        }
    }
}

private func successor(of key: String, in path: String) -> String? {
    switch key {
    case "hostName": return "is now hostname"
    case "cloudMap": return "is now awsCloudMap, its attributes a list of key and value"
    case "perRetryTimeoutMillis", "perRetryTimeoutValue", "perRetryTimeoutUnit":
        return "is now perRetryTimeout with unit and value"
    case "http", "http2", "grpc", "tcp":
        // The same words are listener protocols elsewhere.
        let isRoute = path.hasSuffix("]") && path.contains("routes[")
        return isRoute ? "is now \(key)Route" : nil
    case "serviceDiscoveryType": return "is gone"
    case "meshName": return "is gone; the mesh's namespaceSelector decides"
    case "virtualRouter": return path == "spec" ? "is now an object of its own" : nil
    case "routes": return path == "spec" ? "belongs to a VirtualRouter" : nil
    case _ where key.hasSuffix("Arn"): return "is now \(key.dropLast(3))ARN"
    case _ where key.hasSuffix("Arns"): return "is now \(key.dropLast(4))ARNs"
    default: return nil
    }
}
