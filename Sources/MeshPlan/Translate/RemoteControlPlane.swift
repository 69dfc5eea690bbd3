internal import EnvoyAPI
internal import MeshModel
internal import SwiftProtobuf

/// The cluster of the control plane as a Pod's proxy reaches it: TLS 1.3, and a token that is read anew
/// for each stream.
func remoteControlPlane(
    _ parameters: PodBootstrapParameters
) throws -> Envoy_Config_Cluster_V3_Cluster {
    var options = Envoy_Extensions_Upstreams_Http_V3_HttpProtocolOptions()
    // A half-open connection is noticed within 20 s.
    options.explicitHTTPConfig.http2ProtocolOptions.connectionKeepalive.interval = .init(
        .seconds(15)
    )
    options.explicitHTTPConfig.http2ProtocolOptions.connectionKeepalive.timeout = .init(.seconds(5))
    options.httpFilters = [try proving(tokenFile: parameters.tokenPath), try upstreamCodec()]
    var cluster = Envoy_Config_Cluster_V3_Cluster()
    cluster.name = controlPlaneCluster
    cluster.type = .strictDns
    cluster.dnsLookupFamily = .v4Preferred
    // Its name may not be there yet when the first Pods are.
    cluster.dnsFailureRefreshRate.baseInterval = .init(.milliseconds(250))
    cluster.dnsFailureRefreshRate.maxInterval = .init(.seconds(2))
    cluster.connectTimeout = .init(.seconds(5))
    cluster.typedExtensionProtocolOptions[httpProtocolOptionsName] = try packed(options)
    cluster.transportSocket.name = "envoy.transport_sockets.tls"
    cluster.transportSocket.typedConfig = try packed(tls(parameters))
    var endpoint = Envoy_Config_Endpoint_V3_LbEndpoint()
    endpoint.endpoint.address = socketAddress(
        parameters.xdsHost,
        UInt32(parameters.xdsPort.number)
    )
    var locality = Envoy_Config_Endpoint_V3_LocalityLbEndpoints()
    locality.lbEndpoints = [endpoint]
    cluster.loadAssignment.clusterName = controlPlaneCluster
    cluster.loadAssignment.endpoints = [locality]
    return cluster
}

/// TLS by which the proxy knows the control plane.
private func tls(
    _ parameters: PodBootstrapParameters
) -> Envoy_Extensions_TransportSockets_Tls_V3_UpstreamTlsContext {
    var context = Envoy_Extensions_TransportSockets_Tls_V3_UpstreamTlsContext()
    var name = Envoy_Extensions_TransportSockets_Tls_V3_SubjectAltNameMatcher()
    name.sanType = parameters.serverName.isIPAddress ? .ipAddress : .dns
    name.matcher.exact = parameters.serverName
    // There is no server name of an address (RFC 6066, 3).
    if !parameters.serverName.isIPAddress { context.sni = parameters.serverName }
    context.commonTlsContext.tlsParams.tlsMinimumProtocolVersion = .tlsv13
    context.commonTlsContext.tlsParams.tlsMaximumProtocolVersion = .tlsv13
    context.commonTlsContext.alpnProtocols = ["h2"]
    context.commonTlsContext.validationContext.trustedCa.inlineString = parameters.rootCertificates
    context.commonTlsContext.validationContext.matchTypedSubjectAltNames = [name]
    return context
}

/// A filter that puts the token in the file `path` into every request, and who of several Envoys in one
/// Pod, one after the other, sends it.
///
/// Kubelet replaces the token in its file, at 80 % of its life at the latest.
private func proving(
    tokenFile path: String
) throws -> Envoy_Extensions_Filters_Network_HttpConnectionManager_V3_HttpFilter {
    var lua = Envoy_Extensions_Filters_Http_Lua_V3_Lua()
    // The script is loaded once in each thread; ADS and HDS are both of the main thread. Neither a
    // file that is not there nor an empty one is an error here: the control plane answers what is missing.
    lua.defaultSourceCode.inlineString = """
        local envoy = os.time() .. "-" .. tostring({}):gsub("[^%w]", "")
        function envoy_on_request(handle)
          local headers = handle:headers()
          headers:replace("\(envoyHeader)", envoy)
          local file = io.open(\(luaQuoted(path)))
          if file == nil then return end
          local token = file:read("*a")
          file:close()
          if token == nil then return end
          token = token:gsub("%s+$", "")
          headers:replace("authorization", "Bearer " .. token)
        end
        """
    var filter = Envoy_Extensions_Filters_Network_HttpConnectionManager_V3_HttpFilter()
    filter.name = "envoy.filters.http.lua"
    filter.typedConfig = try packed(lua)
    return filter
}

/// The metadata of a stream by which one Envoy of a Pod is told from the next.
public let envoyHeader = "heddle-envoy"

/// `text` as a string of Lua.
func luaQuoted(_ text: String) -> String {
    var result = "\""
    for scalar in text.unicodeScalars {
        if scalar == "\"" || scalar == "\\" { result += "\\" }
        result.unicodeScalars.append(scalar)
    }
    return result + "\""
}

extension String {
    /// Whether it is an IPv4 or IPv6 address; no DNS name has a colon or ends in a digit's label.
    fileprivate var isIPAddress: Bool {
        contains(":") || split(separator: ".").last.map { Int($0) != nil } == true
    }
}
