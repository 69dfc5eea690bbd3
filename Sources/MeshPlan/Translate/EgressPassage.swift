internal import EnvoyAPI
internal import MeshModel
internal import SwiftProtobuf

/// What of an application's connections passes a proxy in a Pod, on to where they were meant to go.
struct EgressPassage: Hashable {
    /// Destinations that may be reached in any case.
    var allowed: [AllowedDestination] = []
    /// The cluster through which these are reached.
    var allowedCluster = ""
    /// The cluster through which everything else is; nil when that is closed.
    var otherCluster: String?

    /// The ports on which those of `allowed` that have names are told apart by what a TLS client asks for.
    var inspectedPorts: [Port] {
        Set(allowed.filter { !$0.isAddress }.map(\.port)).sorted()
    }
}

extension AllowedDestination {
    /// Whether it is an IP address, which no TLS client asks for by name.
    var isAddress: Bool {
        host.contains(":") || host.allSatisfy { $0.isNumber || $0 == "." }
    }
}

/// The listener filter that asks the kernel where a redirected connection was meant to go.
func originalDestination() throws -> Envoy_Config_Listener_V3_ListenerFilter {
    var filter = Envoy_Config_Listener_V3_ListenerFilter()
    filter.name = "envoy.filters.listener.original_dst"
    filter.typedConfig = try packed(Envoy_Extensions_Filters_Listener_OriginalDst_V3_OriginalDst())
    return filter
}

extension Envoy_Config_Listener_V3_Listener {
    /// Lets pass what `egress` lets pass, as App Mesh's egress listener did.
    ///
    /// Of a name that is always allowed that is TLS which asks for it. A server that speaks first waits
    /// for nothing: on ports without such names nobody looks at what a client sends.
    mutating func pass(_ egress: EgressListener) throws {
        let passage = egress.passage
        var seen: Set<AllowedDestination> = []
        for destination in passage.allowed where seen.insert(destination).inserted {
            var chain = filterChain(
                "egress_allowed_\(destination.host)_\(destination.port)",
                destination.port
            )
            if destination.isAddress {
                var range = Envoy_Config_Core_V3_CidrRange()
                range.addressPrefix = destination.host
                range.prefixLen = .init(destination.host.contains(":") ? 128 : 32)
                chain.filterChainMatch.prefixRanges = [range]
            } else {
                chain.filterChainMatch.serverNames = [destination.host]
                chain.filterChainMatch.transportProtocol = "tls"
            }
            chain.filters = [try egress.passing(to: passage.allowedCluster)]
            filterChains.append(chain)
        }
        if !passage.inspectedPorts.isEmpty {
            listenerFilters.append(try tlsInspector(on: passage.inspectedPorts))
            continueOnListenerFiltersTimeout = true
        }
        if let cluster = passage.otherCluster {
            var chain = Envoy_Config_Listener_V3_FilterChain()
            chain.name = "egress_mesh-allow-all"
            chain.filters = [try egress.passing(to: cluster)]
            defaultFilterChain = chain
        }
    }
}

extension EgressListener {
    fileprivate func passing(to cluster: String) throws -> Envoy_Config_Listener_V3_Filter {
        try tcpProxy(
            statPrefix: "egress",
            clusters: [(cluster, 1)],
            idleTimeout: nil,
            direction: .outbound,
            accessLog: accessLog
        )
    }
}
