import MeshModel

extension Fields {
    /// `spec` of the VirtualNode `metadata`, whose annotations say what is traced.
    func virtualNode(_ metadata: Metadata, _ traceSampling: TraceSampling) -> VirtualNodeSpec? {
        let listeners = listeners(of: .virtualNode)
        let discovery = object("serviceDiscovery") { $0.serviceDiscovery() }
        if has("listeners"), !has("serviceDiscovery") {
            error(
                "serviceDiscovery",
                "missing: serviceDiscovery must be specified when a listener is specified",
                "add serviceDiscovery.dns.hostname, or remove listeners"
            )
        }
        return VirtualNodeSpec(
            awsName: awsName(default: "\(metadata.name)_\(metadata.namespace)"),
            podSelector: selector("podSelector"),
            listeners: listeners ?? [],
            serviceDiscovery: discovery,
            backends: backends(metadata.namespace),
            backendGroups: backendGroups(metadata.namespace),
            backendDefaults: object("backendDefaults") { $0.clientPolicy() },
            accessLog: accessLog(),
            meshRef: designatedReference("meshRef"),
            traceSampling: traceSampling
        )
    }

    private func serviceDiscovery() -> ServiceDiscovery? {
        union(["dns", "awsCloudMap"])
        let dns = object("dns") { fields -> ServiceDiscovery? in
            let type: ServiceDiscovery.DNSResponseType? = fields.choice("responseType")
            let preference: IPPreference? = fields.choice("ipPreference")
            return fields.oneLine("hostname", .required, length: 1...253).map {
                .dns(
                    hostname: $0,
                    responseType: type ?? .loadBalancer,
                    ipPreference: preference
                )
            }
        }
        let cloudMap = object("awsCloudMap") { $0.cloudMap() }
        return dns ?? cloudMap
    }

    private func cloudMap() -> ServiceDiscovery? {
        let namespaceName = oneLine("namespaceName", .required, length: 1...1024)
        let serviceName = oneLine("serviceName", .required, length: 1...1024)
        let preference: IPPreference? = choice("ipPreference")
        var attributes: [String: String] = [:]
        var lines: [String: Int] = [:]
        _ = objects("attributes") { fields in
            let key = fields.string("key", .required, length: 1...255)
            let value = fields.string("value", .required, length: 1...1024)
            guard let key, let value else { return }
            attributes[key] = value
            let line = fields.line(of: "key")
            if let first = lines.updateValue(line, forKey: key) {
                fields.error(
                    "key",
                    "duplicate attribute \(quoted(key))\(lineWords(first))",
                    "remove one"
                )
            }
        }
        guard let namespaceName, let serviceName else { return nil }
        return .awsCloudMap(
            namespaceName: namespaceName,
            serviceName: serviceName,
            attributes: attributes,
            ipPreference: preference
        )
    }

    private func backends(_ namespace: String) -> [Backend] {
        var lines: [TargetReference: Int] = [:]
        let backends = objects("backends") { backend -> Backend? in
            backend.object("virtualService", .required) { service -> Backend? in
                let policy = service.clientPolicy()
                guard let target = service.targetReference("virtualService", from: namespace) else {
                    return nil
                }
                if let first = lines.updateValue(service.line, forKey: target) {
                    let name = target.description
                    service.error(
                        "",
                        "duplicate backend \(quoted(name))\(lineWords(first))",
                        "remove one"
                    )
                }
                return Backend(virtualService: target, clientPolicy: policy)
            }
        }
        return backends ?? []
    }

    private func backendGroups(_ namespace: String) -> [BackendGroupReference] {
        let groups = objects("backendGroups") { fields in
            fields.objectReference(from: namespace).map { reference in
                reference.name == "*"
                    ? BackendGroupReference.everything(namespace: reference.namespace)
                    : .group(reference)
            }
        }
        return groups ?? []
    }
}

extension TargetReference {
    /// The reference as its author knows it.
    fileprivate var description: String {
        switch self {
        case .object(let reference): reference.description
        case .arn(_, let arn): arn
        }
    }
}
