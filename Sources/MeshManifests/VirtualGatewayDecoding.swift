import MeshModel

extension Fields {
    /// `spec` of the VirtualGateway `metadata`.
    func virtualGateway(_ metadata: Metadata) -> VirtualGatewaySpec? {
        VirtualGatewaySpec(
            awsName: awsName(default: "\(metadata.name)_\(metadata.namespace)"),
            namespaceSelector: selector("namespaceSelector"),
            podSelector: selector("podSelector"),
            gatewayRouteSelector: selector("gatewayRouteSelector"),
            listeners: listeners(of: .virtualGateway, .required) ?? [],
            backendDefaults: object("backendDefaults") { $0.clientPolicy() },
            accessLog: accessLog(),
            meshRef: designatedReference("meshRef")
        )
    }
}
