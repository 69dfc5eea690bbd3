import MeshModel

extension Fields {
    /// `spec` of the VirtualService `metadata`.
    func virtualService(_ metadata: Metadata) -> VirtualServiceSpec? {
        VirtualServiceSpec(
            awsName: awsName(default: "\(metadata.name).\(metadata.namespace)"),
            provider: object("provider") { $0.provider(metadata.namespace) },
            meshRef: designatedReference("meshRef")
        )
    }

    private func provider(_ namespace: String) -> VirtualServiceSpec.Provider? {
        union(["virtualNode", "virtualRouter"], .optional)
        let node = object("virtualNode") { $0.targetReference("virtualNode", from: namespace) }
        let router = object("virtualRouter") {
            $0.targetReference("virtualRouter", from: namespace)
        }
        return node.map { .virtualNode($0) } ?? router.map { .virtualRouter($0) }
    }

    /// `spec` of the BackendGroup `metadata`.
    func backendGroup(_ metadata: Metadata) -> BackendGroupSpec? {
        let services = objects("virtualservices") {
            $0.objectReference(from: metadata.namespace)
        }
        return BackendGroupSpec(
            virtualServices: services ?? [],
            meshRef: designatedReference("meshRef")
        )
    }
}
