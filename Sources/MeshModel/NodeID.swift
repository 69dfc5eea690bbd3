extension Mesh {
    /// How node ids name the mesh: `mesh/<awsName>`, with its owner where it is shared.
    public var resourceName: String {
        "mesh/\(spec.awsName)" + (spec.meshOwner.map { "@\($0)" } ?? "")
    }
}

extension VirtualNode {
    /// `node.id` of its proxies in `mesh`, App Mesh's resource name.
    ///
    /// Guarantee: the injector's and the planner's are the same, or the proxy would be refused.
    public func nodeID(in mesh: Mesh) -> String {
        "\(mesh.resourceName)/virtualNode/\(spec.awsName)"
    }
}

extension VirtualGateway {
    /// `node.id` of its proxies in `mesh`, App Mesh's resource name.
    public func nodeID(in mesh: Mesh) -> String {
        "\(mesh.resourceName)/virtualGateway/\(spec.awsName)"
    }
}
