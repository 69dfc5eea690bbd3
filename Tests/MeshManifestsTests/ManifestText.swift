import MeshManifests
import MeshModel

/// Decodes `text` as the file `demo.yaml` in `/srv/demo`.
func decode(_ text: String) -> ManifestFile {
    decodeManifests(Array(text.utf8), path: "demo.yaml", folder: "/srv/demo")
}

/// The lines that the command line would print about `text`.
func reports(_ text: String) -> [String] { decode(text).diagnostics.map(\.description) }

/// The document of an object in the namespace `demo`, `spec` being indented by two spaces.
///
/// The first line of `spec` is line 5.
func manifest(_ kind: String, _ name: String, _ spec: String) -> String {
    let group = Kind(rawValue: kind)?.apiVersion ?? Kind.mesh.apiVersion
    let namespace = Kind(rawValue: kind)?.isNamespaced == false ? "" : ", namespace: demo"
    let body = spec.split(separator: "\n", omittingEmptySubsequences: false).map { "  \($0)" }
    return """
        apiVersion: \(group)
        kind: \(kind)
        metadata: {name: \(name)\(namespace)}
        spec:
        \(body.joined(separator: "\n"))

        """
}

extension ManifestFile {
    /// The only object, if it is a virtual node.
    var node: VirtualNode? {
        guard objects.count == 1, case .virtualNode(let node) = objects[0] else { return nil }
        return node
    }

    /// The only object, if it is a virtual router.
    var router: VirtualRouter? {
        guard objects.count == 1, case .virtualRouter(let router) = objects[0] else { return nil }
        return router
    }

    /// The only object, if it is a gateway route.
    var gatewayRoute: GatewayRoute? {
        guard objects.count == 1, case .gatewayRoute(let route) = objects[0] else { return nil }
        return route
    }

    /// The only object, if it is a mesh.
    var mesh: Mesh? {
        guard objects.count == 1, case .mesh(let mesh) = objects[0] else { return nil }
        return mesh
    }

    /// The only object, if it is a traffic policy.
    var policy: TrafficPolicy? {
        guard objects.count == 1, case .trafficPolicy(let policy) = objects[0] else { return nil }
        return policy
    }

    /// The only object, if it is a certificate mapping.
    var mapping: CertificateMapping? {
        guard objects.count == 1, case .certificateMapping(let mapping) = objects[0] else {
            return nil
        }
        return mapping
    }

    /// The only object, if it is a virtual gateway.
    var gateway: VirtualGateway? {
        guard objects.count == 1, case .virtualGateway(let gateway) = objects[0] else { return nil }
        return gateway
    }

    /// The only object, if it is a workload.
    var workload: Workload? {
        guard objects.count == 1, case .workload(let workload) = objects[0] else { return nil }
        return workload
    }
}
