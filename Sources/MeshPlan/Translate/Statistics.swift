internal import EnvoyAPI
public import MeshModel
internal import SwiftProtobuf

/// What a proxy says with each of its statistics, and where it sends them.
///
/// Both stand in the bootstrap, so that a change of them is a restart of Envoy without a lost request.
public struct ProxyStatistics: Hashable, Codable, Sendable {
    /// Tags by their names, as App Mesh gave them with `ENABLE_ENVOY_STATS_TAGS`.
    public var tags: [String: String]
    /// Where statistics go as DogStatsD; nil is nowhere.
    public var dogStatsD: DogStatsDAddress?

    /// Makes a choice.
    public init(tags: [String: String] = [:], dogStatsD: DogStatsDAddress? = nil) {
        self.tags = tags
        self.dogStatsD = dogStatsD
    }

    init(of node: VirtualNode, in mesh: Mesh) {
        self.init("appmesh.virtual_node", node.spec.awsName, in: mesh)
    }

    init(of gateway: VirtualGateway, in mesh: Mesh) {
        self.init("appmesh.virtual_gateway", gateway.spec.awsName, in: mesh)
    }

    private init(_ tag: String, _ name: String, in mesh: Mesh) {
        self.init(
            tags: ["appmesh.mesh": mesh.spec.awsName, tag: name],
            dogStatsD: mesh.spec.dogStatsD
        )
    }
}

extension Envoy_Config_Bootstrap_V3_Bootstrap {
    /// Gives statistics their tags and their sink.
    mutating func report(_ statistics: ProxyStatistics) throws {
        statsConfig.statsTags = statistics.tags.sorted { $0.key < $1.key }.map { name, value in
            var tag = Envoy_Config_Metrics_V3_TagSpecifier()
            tag.tagName = name
            tag.fixedValue = value
            return tag
        }
        guard let address = statistics.dogStatsD else { return }
        // A sink gets its statistics while Heddle is away too: every 5 s, as in App Mesh.
        statsFlush = nil
        var sink = Envoy_Config_Metrics_V3_DogStatsdSink()
        switch address {
        case .udp(let endpoint):
            sink.address = socketAddress(endpoint.host, UInt32(endpoint.port.number))
            sink.address.socketAddress.protocol = .udp
        case .unixSocket(let path): sink.address.pipe.path = path
        }
        var result = Envoy_Config_Metrics_V3_StatsSink()
        result.name = "envoy.stat_sinks.dog_statsd"
        result.typedConfig = try packed(sink)
        statsSinks = [result]
    }
}
