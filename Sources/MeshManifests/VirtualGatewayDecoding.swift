import MeshModel

extension Fields {
    /// `spec` of the VirtualGateway `metadata`, whose annotations say what is traced.
    func virtualGateway(_ metadata: Metadata, _ traceSampling: TraceSampling) -> VirtualGatewaySpec?
    {
        VirtualGatewaySpec(
            awsName: awsName(default: "\(metadata.name)_\(metadata.namespace)"),
            namespaceSelector: selector("namespaceSelector"),
            podSelector: selector("podSelector"),
            gatewayRouteSelector: selector("gatewayRouteSelector"),
            listeners: listeners(of: .virtualGateway, .required) ?? [],
            backendDefaults: object("backendDefaults") { $0.clientPolicy() },
            accessLog: accessLog(),
            meshRef: designatedReference("meshRef"),
            traceSampling: traceSampling
        )
    }
}
