internal import MeshModel

/// The fields of `status` that belong to the object's kind.
func fields(
    of object: MeshObject,
    _ resolution: Resolution,
    _ plan: Plan,
    _ observations: Observations
) -> [String: JSONValue] {
    func arn(_ field: String, _ suffix: String) -> [String: JSONValue] {
        guard let mesh = resolution.mesh(of: object.id) else { return [:] }
        return [field: .string(resourceARN(mesh.spec.awsName + suffix))]
    }
    switch object {
    case .namespace, .backendGroup, .trafficPolicy: return [:]
    case .certificateMapping(let mapping):
        return [
            "arn": .string(mapping.spec.arn), "source": .string(mapping.spec.source.description),
        ]
    case .mesh(let mesh): return ["meshARN": .string(resourceARN(mesh.spec.awsName))]
    case .virtualNode(let node):
        return arn("virtualNodeARN", "/virtualNode/\(node.spec.awsName)")
    case .virtualService(let service):
        return arn("virtualServiceARN", "/virtualService/\(service.spec.awsName)")
    case .virtualGateway(let gateway):
        return arn("virtualGatewayARN", "/virtualGateway/\(gateway.spec.awsName)")
    case .gatewayRoute(let route):
        guard let gateway = resolution.gateways[route.reference] else { return [:] }
        return arn(
            "gatewayRouteARN",
            "/virtualGateway/\(gateway.spec.awsName)/gatewayRoute/\(route.spec.awsName)"
        )
    case .virtualRouter(let router):
        let path = "/virtualRouter/\(router.spec.awsName)"
        var fields = arn("virtualRouterARN", path)
        if let mesh = resolution.mesh(of: router.id) {
            fields["routeARNs"] = .object(
                Dictionary(
                    router.spec.routes.map { route in
                        let name = "\(mesh.spec.awsName)\(path)/route/\(route.name)"
                        return (route.name, .string(resourceARN(name)))
                    },
                    uniquingKeysWith: { first, _ in first }
                )
            )
        }
        return fields
    case .workload(let workload):
        return fields(of: workload, resolution, plan, observations)
    }
}

/// An identifier of the form that App Mesh gave its resources, in a region and account of no one.
private func resourceARN(_ path: String) -> String {
    "arn:aws:appmesh:local:000000000000:mesh/\(path)"
}

private func fields(
    of workload: Workload,
    _ resolution: Resolution,
    _ plan: Plan,
    _ observations: Observations
) -> [String: JSONValue] {
    let id = ProxyID(workload.reference)
    let observation = observations.proxies[id]
    var sidecar = processFields(observation?.process)
    sidecar["upgrades"] = .integer(observation?.process?.upgrades ?? 0)
    sidecar["envoyVersion"] = observation?.process?.version.map(JSONValue.string)
    sidecar["version"] = observation?.xds.acknowledgedVersion.map(JSONValue.string)
    var fields: [String: JSONValue] = [:]
    if let proxy = plan.proxies[id] {
        fields["nodeID"] = .string(proxy.nodeID)
        let owner = proxy.owner.kind == .virtualGateway ? "virtualGateway" : "virtualNode"
        fields[owner] = .string(proxy.owner.name)
        if let mesh = resolution.mesh(of: proxy.owner) {
            fields["mesh"] = .string(mesh.metadata.name)
        }
        if !proxy.addresses.ingress.isEmpty {
            sidecar["ingressAddress"] = .string(proxy.addresses.ingress)
        }
        sidecar["egressAddress"] = .string(proxy.addresses.egress)
        sidecar["ingressPorts"] = .array(proxy.ingressPorts.map { .integer(Int($0.number)) })
        sidecar["resources"] = resourcesDocument(
            proxy.resources,
            plan.sizing[id],
            observation?.usage,
            includesReasons: true
        )
        sidecar["egressPorts"] = .array(proxy.egressPorts.map { .integer(Int($0.number)) })
        if proxy.application != nil {
            fields["application"] = .object(processFields(observation?.application))
        }
    }
    let xds = observation?.xds ?? XDSObservation()
    sidecar["connected"] = .bool(xds.isConnected)
    sidecar["sync"] = .object(
        Dictionary(
            uniqueKeysWithValues: ResourceType.allCases.map { type in
                (type.rawValue, .string((xds.sync[type] ?? .notSent).rawValue))
            }
        )
    )
    sidecar["refusals"] = .array(
        xds.refusals.map { refusal in
            [
                "type": .string(refusal.type.rawValue),
                "resource": .string(refusal.resource),
                "version": .string(refusal.version),
                "keptVersion": refusal.keptVersion.map(JSONValue.string) ?? .null,
                "message": .string(refusal.message),
                "objects": .array(refusal.objects.map { .string($0.description) }),
            ]
        }
    )
    fields["sidecar"] = .object(sidecar)
    return fields
}

private func processFields(_ process: ProcessObservation?) -> [String: JSONValue] {
    guard let process else { return ["phase": "Pending", "restarts": 0] }
    var fields: [String: JSONValue] = [
        "phase": .string(process.phase.rawValue),
        "restarts": .integer(process.restarts),
    ]
    if let pid = process.pid { fields["pid"] = .integer(pid) }
    if let start = process.startTimeSeconds {
        fields["startTime"] = .string(timestamp(secondsSince1970: start))
    }
    if let error = process.lastError { fields["lastError"] = .string(error) }
    return fields
}
