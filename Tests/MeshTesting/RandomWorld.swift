public import MeshModel

extension World {
    /// A world of these objects.
    public init(objects: some Sequence<MeshObject>) {
        self.init()
        for object in objects { insert(object) }
    }

    /// The object `id`; nil removes it.
    public subscript(id: ObjectID) -> MeshObject? {
        get { objects.first { $0.id == id } }
        set {
            let others = objects.filter { $0.id != id }
            let problems = diagnostics
            self = World(objects: others + [newValue].compactMap { $0 })
            diagnostics = problems
        }
    }
}

/// Makes worlds of a few meshes, namespaces and objects, of whose references some lead nowhere.
public struct RandomWorld {
    /// Where chance comes from.
    public var generator: SeededGenerator
    private let namespaces = ["n0", "n1", "n2"]
    let ports = [80, 8080, 9000, 15000, 15001].compactMap { Port($0) }

    /// A generator of worlds that follow from `seed`.
    public init(seed: UInt64) { generator = SeededGenerator(seed: seed) }

    /// The next world.
    public mutating func world() -> World {
        World(objects: objects())
    }

    /// The objects of the next world, each once.
    public mutating func objects() -> [MeshObject] {
        var objects = ["m0", "m1"].map { mesh($0) }
        for name in Self.mappingNames where generator.chance(80) {
            objects.append(certificateMapping(name))
        }
        for namespace in namespaces {
            let metadata = Metadata(
                name: namespace,
                labels: ["mesh": generator.pick(["m0", "m1"])]
            )
            if generator.chance(95) {
                objects.append(.namespace(Namespace(metadata: metadata, spec: NamespaceSpec())))
            }
            for index in 0..<4 {
                let kinds: [Kind] = [
                    .virtualNode, .virtualService, .virtualRouter, .workload, .gatewayRoute,
                    .trafficPolicy,
                ]
                for kind in kinds where generator.chance(75) {
                    objects.append(object(kind, "o\(index)", in: namespace))
                }
            }
            for kind in [Kind.backendGroup, .virtualGateway] where generator.chance(50) {
                objects.append(object(kind, "g0", in: namespace))
            }
        }
        return objects
    }

    /// Another spec, or labels, for the object `old`, of the next generation.
    public mutating func edited(_ old: MeshObject) -> MeshObject {
        var new =
            switch old.id.kind {
            case .mesh: mesh(old.id.name)
            case .certificateMapping: certificateMapping(old.id.name)
            case .namespace, .virtualGateway, .gatewayRoute, .virtualService, .virtualRouter,
                .virtualNode, .backendGroup, .workload, .trafficPolicy:
                object(old.id.kind, old.id.name, in: old.id.namespace)
            }
        new.metadata.generation = old.metadata.generation + 1
        return new
    }

    /// An object of a kind that is within a namespace.
    public mutating func object(_ kind: Kind, _ name: String, in namespace: String) -> MeshObject {
        let metadata = Metadata(name: name, namespace: namespace)
        switch kind {
        case .virtualNode:
            return .virtualNode(VirtualNode(metadata: metadata, spec: node(name, namespace)))
        case .virtualService:
            return .virtualService(
                VirtualService(metadata: metadata, spec: service(name, namespace))
            )
        case .virtualRouter:
            return .virtualRouter(VirtualRouter(metadata: metadata, spec: router(name, namespace)))
        case .backendGroup:
            let members = (0..<3).map { _ in reference(namespace) }
            let spec = BackendGroupSpec(virtualServices: members)
            return .backendGroup(BackendGroup(metadata: metadata, spec: spec))
        case .workload:
            var metadata = metadata
            let other = generator.pick(["o0", "o1", "o2", "o3", "edge"])
            metadata.labels = ["app": generator.chance(60) ? name : other]
            return .workload(Workload(metadata: metadata, spec: workload()))
        case .virtualGateway:
            let spec = gateway(name, namespace)
            return .virtualGateway(VirtualGateway(metadata: metadata, spec: spec))
        case .gatewayRoute:
            let spec = gatewayRoute(name, namespace)
            return .gatewayRoute(GatewayRoute(metadata: metadata, spec: spec))
        case .trafficPolicy:
            return .trafficPolicy(TrafficPolicy(metadata: metadata, spec: policy(namespace)))
        case .namespace, .mesh, .certificateMapping:
            preconditionFailure("random worlds have no \(kind) in a namespace")
        }
    }

    private mutating func mesh(_ name: String) -> MeshObject {
        var spec = MeshSpec(
            awsName: name,
            namespaceSelector: LabelSelector(matchLabels: ["mesh": name]),
            egressFilter: generator.pick(MeshSpec.EgressFilter.allCases),
            ipPreference: generator.pick(IPPreference.allCases),
            alwaysAllowed: generator.pick([[], [.amazonWebServices]]),
            healthChecks: generator.pick(HealthCheckMode.allCases)
        )
        identitySettings(of: &spec)
        return .mesh(Mesh(metadata: Metadata(name: name), spec: spec))
    }

    mutating func number(_ range: ClosedRange<Int>) -> Int {
        Int.random(in: range, using: &generator)
    }

    /// An object's name, mostly of the same namespace; some are of objects that do not exist.
    mutating func reference(_ namespace: String) -> ObjectReference {
        let namespace = generator.chance(70) ? namespace : generator.pick(namespaces)
        return ObjectReference(namespace: namespace, name: "o\(number(0...4))")
    }

    mutating func target(_ kind: Kind, _ namespace: String) -> TargetReference {
        let reference = reference(namespace)
        guard generator.chance(10) else { return .object(reference) }
        let separator = kind == .virtualService ? "." : "_"
        let name = "\(reference.name)\(separator)\(reference.namespace)"
        return .arn(awsName: name, arn: "arn:\(name)")
    }

    mutating func mappings(atLeast least: Int = 0) -> [PortMapping] {
        ports.shuffled(using: &generator).prefix(number(least...2)).map {
            PortMapping(port: $0, protocol: generator.pick(ListenerProtocol.allCases))
        }
    }

    private mutating func node(_ name: String, _ namespace: String) -> VirtualNodeSpec {
        let listeners = mappings().map {
            ListenerSpec(portMapping: $0, timeout: timeouts(), tls: listenerTLS(namespace))
        }
        let hostname = "\(name).\(namespace).example.com"
        let type = generator.pick(ServiceDiscovery.DNSResponseType.allCases)
        let group = BackendGroupReference.group(
            ObjectReference(namespace: generator.pick(namespaces), name: "g0")
        )
        let groups: [[BackendGroupReference]] = [
            [], [], [group], [.everything(namespace: namespace)],
        ]
        return VirtualNodeSpec(
            awsName: "\(name)_\(namespace)",
            podSelector: generator.chance(90) ? LabelSelector(matchLabels: ["app": name]) : nil,
            listeners: listeners,
            serviceDiscovery: generator.chance(80)
                ? .dns(hostname: hostname, responseType: type, ipPreference: nil)
                : .awsCloudMap(
                    namespaceName: namespace,
                    serviceName: name,
                    attributes: [:],
                    ipPreference: nil
                ),
            backends: (0..<number(0...3)).map { _ in
                Backend(
                    virtualService: target(.virtualService, namespace),
                    clientPolicy: clientPolicy(namespace)
                )
            },
            backendGroups: generator.pick(groups),
            backendDefaults: clientPolicy(namespace)
        )
    }

    mutating func timeouts() -> Timeouts {
        let times: [Duration?] = [nil, .zero, .milliseconds(1500), .seconds(60)]
        return Timeouts(perRequest: generator.pick(times), idle: generator.pick(times))
    }

    private mutating func service(_ name: String, _ namespace: String) -> VirtualServiceSpec {
        let providers: [VirtualServiceSpec.Provider?] = [
            nil, .virtualNode(target(.virtualNode, namespace)),
            .virtualRouter(target(.virtualRouter, namespace)),
            .virtualRouter(target(.virtualRouter, namespace)),
        ]
        return VirtualServiceSpec(
            awsName: "\(name).\(namespace)",
            provider: generator.pick(providers)
        )
    }

    private mutating func router(_ name: String, _ namespace: String) -> VirtualRouterSpec {
        VirtualRouterSpec(
            awsName: "\(name)_\(namespace)",
            listeners: mappings(),
            routes: (0..<number(0...4)).map { route("r\($0)", namespace) }
        )
    }

    private mutating func route(_ name: String, _ namespace: String) -> RouteSpec {
        let port = generator.chance(20) ? generator.pick(ports) : nil
        let path = generator.pick([
            PathMatch.prefix("/"), .prefix("/a"), .exact("/a"), .regex("/."),
        ])
        let headers = [HeaderMatch(name: "x-a"), HeaderMatch(name: "x-b", match: .prefix("b"))]
        let matches: [RouteSpec.Match] = [
            .http(HTTPRouteMatch(path: path, port: port)),
            .http2(HTTPRouteMatch(path: path, headers: headers, method: .get, port: port)),
            .grpc(GRPCRouteMatch(serviceName: "a.B", metadata: headers, port: port)),
            .tcp(port: port),
        ]
        let policies: [RetryPolicySpec?] = [
            nil, RetryPolicySpec(maxRetries: 0, perRetryTimeout: .zero),
            RetryPolicySpec(
                maxRetries: 3,
                perRetryTimeout: .seconds(1),
                httpEvents: [.serverError]
            ),
        ]
        return RouteSpec(
            name: name,
            priority: generator.chance(50) ? number(0...3) : nil,
            match: generator.pick(matches),
            weightedTargets: (0..<number(1...3)).compactMap { _ in
                Weight(generator.pick([0, 0, 1, 30])).map { weight in
                    WeightedTarget(
                        virtualNode: target(.virtualNode, namespace),
                        weight: weight,
                        port: generator.chance(30) ? generator.pick(ports) : nil
                    )
                }
            },
            retryPolicy: generator.pick(policies),
            timeout: timeouts()
        )
    }

    private mutating func workload() -> WorkloadSpec {
        WorkloadSpec(
            address: generator.pick(["127.0.0.1", "::1"]),
            ports: generator.chance(50) ? [ports[1]: generator.pick(ports)] : [:],
            command: generator.chance(30) ? ["serve"] : [],
            secretMounts: secretMounts()
        )
    }
}
