internal import EnvoyAPI
internal import MeshModel
internal import SwiftProtobuf

/// What an ingress listener is made from.
struct IngressListener: Hashable {
    /// App Mesh's name for it, whatever its address.
    static let name = "lds_ingress_0.0.0.0_15000"

    /// Where it listens.
    var place: ListeningPlace
    /// The node's listeners, at least one.
    var listeners: [ListenerSpec]
    /// The names of the clusters of the application, by listener port.
    var clusters: [Port: String]
    /// The node's access log.
    var accessLog: AccessLog?
    /// How requests are traced; nil is not at all.
    var tracing: ProxyTracing?
    /// What is done about TLS, by listener port; plaintext where nothing is said.
    var securities: [Port: ListenerSecurity] = [:]
    /// Who may connect by TCP, of those who prove who they are, by listener port.
    var callers: [Port: AccessControl] = [:]

    /// Lets in by TCP those only that `control` names.
    ///
    /// Of HTTP the routes know.
    mutating func control(_ control: AccessControl) {
        for mapping in listeners.map(\.portMapping) where mapping.protocol == .tcp {
            guard case .tls(var tls) = securities[mapping.port], tls.isAccessControlled else {
                continue
            }
            callers[mapping.port] = control
            guard control.isEnforced, let names = tls.validation?.names else { continue }
            tls.validation?.names = control.names(among: names)
            securities[mapping.port] = .tls(tls)
        }
    }

    /// Where it listens: on 15000, as in App Mesh, and without redirection on the ports of the node's
    /// listeners.
    var sockets: [ListeningSocket] {
        place.ingressSockets(
            for: [.ingress] + listeners.map(\.portMapping.port).filter { $0 != .ingress }.sorted()
        )
    }
}

/// The listener that takes requests for the application.
///
/// It has one filter chain for each listener of the node, by port. A connection to 15000 itself is closed, unless a listener has it.
func listener(for ingress: IngressListener) throws -> Envoy_Config_Listener_V3_Listener {
    var listener = Envoy_Config_Listener_V3_Listener()
    listener.name = IngressListener.name
    listener.trafficDirection = .inbound
    listener.bind(ingress.sockets)
    if ingress.place.isPod { listener.listenerFilters = [try originalDestination()] }
    listener.filterChains = try ingress.listeners.flatMap { spec in
        try filterChains(of: spec, ingress)
    }
    try listener.inspect(
        Dictionary(
            uniqueKeysWithValues: ingress.listeners.map { spec in
                let port = spec.portMapping.port
                return (port, (spec.portMapping.protocol, ingress.securities[port] ?? .plaintext))
            }
        )
    )
    return listener
}

/// What answers on one listener of the node, over TLS and in plaintext.
private func filterChains(
    of spec: ListenerSpec,
    _ ingress: IngressListener
) throws -> [Envoy_Config_Listener_V3_FilterChain] {
    let mapping = spec.portMapping
    let statPrefix =
        ingress.listeners.count == 1
        ? "ingress" : "ingress.\(mapping.protocol.rawValue).\(mapping.port)"
    let chain = filterChain("ingress_\(mapping.protocol.rawValue)_\(mapping.port)", mapping.port)
    let security = ingress.securities[mapping.port] ?? .plaintext
    return try filterChains(chain, security, mapping.protocol) { tls in
        switch mapping.protocol {
        case .http, .http2, .grpc:
            let manager = HTTPConnectionManager(
                statPrefix: statPrefix,
                routes: RouteConfigurationName.ingress(mapping.port),
                idleTimeout: spec.timeout.idle,
                normalizesPaths: true,
                direction: .inbound,
                accessLog: ingress.accessLog,
                tracing: ingress.tracing,
                tls: tls
            )
            return [try manager.filter()]
        case .tcp:
            let control = tls == nil ? nil : ingress.callers[mapping.port]
            let proxy = try tcpProxy(
                statPrefix: statPrefix,
                clusters: [(ingress.clusters[mapping.port] ?? "", 1)],
                idleTimeout: spec.timeout.idle,
                direction: .inbound,
                accessLog: ingress.accessLog,
                tls: tls,
                accessControl: control
            )
            guard let control, !control.isEnforced else { return [proxy] }
            return [try control.shadowFilter(statPrefix: statPrefix), proxy]
        }
    }
}

/// `chain` as `security` has it: for TLS, for plaintext, for each, or for nothing.
///
/// The chain for TLS is the same whether plaintext is taken beside it or not, so that a mesh turns
/// strict without a connection lost.
func filterChains(
    _ chain: Envoy_Config_Listener_V3_FilterChain,
    _ security: ListenerSecurity,
    _ protocol: ListenerProtocol,
    filters: (ServerTLS?) throws -> [Envoy_Config_Listener_V3_Filter]
) throws -> [Envoy_Config_Listener_V3_FilterChain] {
    switch security {
    case .unavailable: return []
    case .plaintext:
        var chain = chain
        chain.filters = try filters(nil)
        return [chain]
    case .tls(let tls):
        var secure = chain
        secure.filterChainMatch.transportProtocol = "tls"
        secure.transportSocket = try transportSocket(for: tls, `protocol`)
        secure.filters = try filters(tls)
        guard tls.takesPlaintext else { return [secure] }
        var plain = chain
        plain.name += "_plaintext"
        plain.filterChainMatch.transportProtocol = "raw_buffer"
        plain.filters = try filters(nil)
        return [secure, plain]
    }
}

extension Envoy_Config_Listener_V3_Listener {
    /// Finds out what clients speak on the ports where TLS is spoken.
    ///
    /// Where the server speaks first in plaintext, a client that says nothing for a second is taken for
    /// one that speaks no TLS. So it is set where plaintext is not taken too, or a mesh that turns strict
    /// would have a new listener, and lose connections.
    mutating func inspect(
        _ ports: [Port: (protocol: ListenerProtocol, security: ListenerSecurity)]
    ) throws {
        var inspected: [Port] = []
        for (port, (proto, security)) in ports {
            guard case .tls = security else { continue }
            inspected.append(port)
            guard proto == .tcp else { continue }
            listenerFiltersTimeout = Google_Protobuf_Duration(.seconds(1))
            continueOnListenerFiltersTimeout = true
        }
        guard !inspected.isEmpty else { return }
        listenerFilters.append(try tlsInspector(on: inspected.sorted()))
    }
}

/// What an egress listener is made from.
struct EgressListener: Hashable {
    /// App Mesh's name for it, whatever its address.
    static let name = "lds_egress_0.0.0.0_15001"

    /// What answers on one port beside 15001.
    enum Chain: Hashable {
        /// HTTP, by the routes of that port.
        case http
        /// One virtual service for every connection.
        case tcp([ResolvedTarget], idleTimeout: Duration?)
    }

    /// Where it listens.
    var place: ListeningPlace
    /// What answers on the backends' ports; 15001 itself is always an HTTP proxy.
    var chains: [Port: Chain]
    /// What of a Pod passes to where the application meant to go.
    var passage = EgressPassage()
    /// Whether requests may be forwarded by their host on every port of HTTP; on 15001 an
    /// application's proxy does so in any case.
    var forwardsEverywhere = false
    /// Whether a gateway's routes end here, and no application's.
    var servesGateway = false
    /// The access log of the node or gateway.
    var accessLog: AccessLog?
    /// How requests are traced; nil is not at all.
    var tracing: ProxyTracing?

    /// The ports on which it answers.
    var ports: [Port] { [.egress] + chains.keys.filter { $0 != .egress }.sorted() }
    /// Where it listens.
    var sockets: [ListeningSocket] { place.egressSockets(for: ports) }
}

/// The listener that takes the application's requests: on each backend's port, and on
/// 15001 for all of them as an HTTP proxy.
///
/// In a Pod everything that the application sends arrives here. What is for no backend and may not pass
/// is closed.
func listener(for egress: EgressListener) throws -> Envoy_Config_Listener_V3_Listener {
    var listener = Envoy_Config_Listener_V3_Listener()
    listener.name = EgressListener.name
    listener.trafficDirection = .outbound
    listener.bind(egress.sockets)
    if egress.place.isPod { listener.listenerFilters = [try originalDestination()] }
    listener.filterChains = try egress.ports.map { port in
        var chain: Envoy_Config_Listener_V3_FilterChain
        switch port == .egress ? .http : egress.chains[port] ?? .http {
        case .http:
            chain = filterChain("egress_http_\(port)", port)
            let manager = HTTPConnectionManager(
                statPrefix: "egress",
                routes: RouteConfigurationName.egress(port),
                isForwardProxy: !egress.servesGateway
                    && (port == .egress || egress.forwardsEverywhere),
                direction: .outbound,
                accessLog: egress.accessLog,
                tracing: egress.tracing
            )
            chain.filters = [try manager.filter()]
        case .tcp(let targets, let idleTimeout):
            chain = filterChain("egress_tcp_\(port)", port)
            chain.filters = [
                try tcpProxy(
                    statPrefix: "egress",
                    clusters: merged(targets),
                    idleTimeout: idleTimeout,
                    direction: .outbound,
                    accessLog: egress.accessLog,
                    hashesSource: hashesSource(of: targets)
                )
            ]
        }
        return chain
    }
    try listener.pass(egress)
    return listener
}

func filterChain(_ name: String, _ port: Port) -> Envoy_Config_Listener_V3_FilterChain {
    var chain = Envoy_Config_Listener_V3_FilterChain()
    chain.name = name
    chain.filterChainMatch.destinationPort = .init(UInt32(port.number))
    return chain
}

extension Envoy_Config_Listener_V3_Listener {
    /// Listens on `sockets`, of which there is at least one.
    mutating func bind(_ sockets: [ListeningSocket]) {
        let addresses = sockets.map { socketAddress($0.address, UInt32($0.port.number)) }
        address = addresses[0]
        additionalAddresses = addresses.dropFirst().map {
            var additional = Envoy_Config_Listener_V3_AdditionalAddress()
            additional.address = $0
            return additional
        }
    }
}

/// An address and port on which a proxy listens.
struct ListeningSocket: Hashable {
    var address: String
    var port: Port
}
