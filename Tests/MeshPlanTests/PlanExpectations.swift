import MeshModel
import MeshPlan
import Testing

/// Expects `left` and `right` to be equal to the last byte.
func expectEqual(
    _ left: Plan,
    _ right: Plan,
    sourceLocation: Testing.SourceLocation = #_sourceLocation
) {
    #expect(left.statuses == right.statuses, sourceLocation: sourceLocation)
    #expect(left.diagnostics == right.diagnostics, sourceLocation: sourceLocation)
    #expect(left.addresses == right.addresses, sourceLocation: sourceLocation)
    #expect(
        left.proxies.mapValues(Fingerprint.init) == right.proxies.mapValues(Fingerprint.init),
        sourceLocation: sourceLocation
    )
}

/// All that a proxy's plan says.
private struct Fingerprint: Equatable {
    struct Resource: Equatable {
        var type: ResourceType
        var name: String
        var version: String
        var bytes: [UInt8]
        var origins: [ObjectID: Int]
        var endpointsName: String?
    }

    var owner: ObjectID
    var nodeID: String
    var addresses: ProxyAddresses
    var ports: [[Port]]
    var concurrency: Int
    var probes: [Probe]
    var application: ApplicationPlan?
    var resources: [Resource]

    init(_ proxy: ProxyPlan) {
        owner = proxy.owner
        nodeID = proxy.nodeID
        addresses = proxy.addresses
        ports = [proxy.ingressPorts, proxy.egressPorts]
        concurrency = proxy.concurrency
        probes = proxy.probes
        application = proxy.application
        resources = ResourceType.allCases.flatMap { type in
            proxy.snapshot[type].sorted { $0.key < $1.key }.map { name, resource in
                Resource(
                    type: resource.type,
                    name: name,
                    version: resource.version,
                    bytes: resource.payload + resource.deltaEntry,
                    origins: resource.origins,
                    endpointsName: resource.endpointsName
                )
            }
        }
    }
}

/// Expects that what a resource of `snapshot` names is there, that all that is there is named, and
/// what Envoy asks of names, domains and weights.
func expectComplete(_ snapshot: Snapshot, of proxy: ProxyID) throws {
    var clusters: Set<String> = []
    var routes: Set<String> = []
    for type in [ResourceType.listeners, .routes] {
        for resource in snapshot[type].values {
            let json = try resource.json
            clusters.formUnion(json.strings(at: "cluster"))
            for weighted in json.values(at: "weighted_clusters") {
                let targets = weighted["clusters"]?.array ?? []
                clusters.formUnion(targets.compactMap { $0["name"]?.string })
                #expect(targets.contains { ($0["weight"]?.integer ?? 0) > 0 }, "\(proxy)")
            }
            routes.formUnion(json.strings(at: "route_config_name"))
            let domains = json.values(at: "domains").flatMap { $0.array ?? [] }
                .compactMap { $0.string?.lowercased() }
            #expect(Set(domains).count == domains.count, "\(proxy): \(domains)")
            // A port that takes plaintext beside TLS has a chain for each.
            let chains = json.values(at: "filter_chain_match").compactMap { match in
                match["destination_port"].map { [$0, match["transport_protocol"] ?? .null] }
            }
            #expect(Set(chains).count == chains.count, "\(proxy): \(chains)")
        }
    }
    #expect(clusters.isSubset(of: snapshot[.clusters].keys), "\(proxy)")
    #expect(routes == Set(snapshot[.routes].keys), "\(proxy)")
    let endpoints = snapshot[.clusters].values.compactMap(\.endpointsName)
    #expect(Set(endpoints) == Set(snapshot[.endpoints].keys), "\(proxy)")
}

extension JSONValue {
    /// Every value of a member `key`, at any depth.
    func values(at key: String) -> [JSONValue] {
        switch self {
        case .array(let elements): elements.flatMap { $0.values(at: key) }
        case .object(let members):
            [members[key]].compactMap { $0 } + members.values.flatMap { $0.values(at: key) }
        case .null, .bool, .integer, .number, .string: []
        }
    }

    /// Every string at a member `key`, at any depth.
    func strings(at key: String) -> [String] { values(at: key).compactMap(\.string) }
}
