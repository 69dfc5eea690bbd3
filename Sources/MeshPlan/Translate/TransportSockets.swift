internal import EnvoyAPI
internal import MeshModel
internal import SwiftProtobuf

/// The TLS of a listener.
///
/// Whoever proves an identity does so on each connection: sessions are not resumed, as they would
/// outlive the certificate that they began with.
///
/// - Parameters:
///   - tls: What the listener does.
///   - protocol: Its protocol: HTTP of both versions is offered over ALPN, nothing over TCP.
/// - Returns: The transport socket.
/// - Throws: What SwiftProtobuf throws.
func transportSocket(
    for tls: ServerTLS,
    _ protocol: ListenerProtocol
) throws -> Envoy_Config_Core_V3_TransportSocket {
    var context = Envoy_Extensions_TransportSockets_Tls_V3_DownstreamTlsContext()
    context.commonTlsContext.tlsCertificateSdsSecretConfigs = [secretConfiguration(tls.certificate)]
    if let validation = tls.validation {
        context.commonTlsContext.check(validation)
        context.requireClientCertificate = .init(true)
        context.disableStatelessSessionResumption = true
        context.disableStatefulSessionResumption = true
    }
    switch `protocol` {
    case .http, .http2, .grpc: context.commonTlsContext.alpnProtocols = ["h2", "http/1.1"]
    case .tcp: break
    }
    return try tlsSocket(context)
}

/// The TLS of calls.
///
/// Up to TLS 1.3, where Envoy's callers stop at 1.2 unless told otherwise.
func transportSocket(
    for tls: CallerTLS,
    _ protocol: ListenerProtocol
) throws -> Envoy_Config_Core_V3_TransportSocket {
    var context = Envoy_Extensions_TransportSockets_Tls_V3_UpstreamTlsContext()
    context.commonTlsContext.tlsParams.tlsMaximumProtocolVersion = .tlsv13
    if let certificate = tls.certificate {
        context.commonTlsContext.tlsCertificateSdsSecretConfigs = [
            secretConfiguration(certificate)
        ]
        context.maxSessionKeys = .init(0)
    }
    if let validation = tls.validation { context.commonTlsContext.check(validation) }
    if let serverName = tls.serverName { context.sni = serverName }
    switch `protocol` {
    case .http2, .grpc: context.commonTlsContext.alpnProtocols = ["h2"]
    case .http, .tcp: break
    }
    return try tlsSocket(context)
}

private func tlsSocket(_ context: some Message) throws -> Envoy_Config_Core_V3_TransportSocket {
    var socket = Envoy_Config_Core_V3_TransportSocket()
    socket.name = "envoy.transport_sockets.tls"
    socket.typedConfig = try packed(context)
    return socket
}

extension Envoy_Extensions_TransportSockets_Tls_V3_CommonTlsContext {
    /// Checks the certificates of peers.
    fileprivate mutating func check(_ validation: PeerValidation) {
        let trust = secretConfiguration(validation.trust)
        guard !validation.names.isEmpty else {
            validationContextSdsSecretConfig = trust
            return
        }
        combinedValidationContext.validationContextSdsSecretConfig = trust
        combinedValidationContext.defaultValidationContext.matchTypedSubjectAltNames =
            validation.names.map(matcher)
    }
}

/// A name of which one must be in a peer's certificate.
///
/// Envoy lets wildcard certificates pass where it compares DNS names exactly, which suits a host name,
/// and by App Mesh's rule no name of a list: hence the expression.
private func matcher(
    _ name: PeerName
) -> Envoy_Extensions_TransportSockets_Tls_V3_SubjectAltNameMatcher {
    var result = Envoy_Extensions_TransportSockets_Tls_V3_SubjectAltNameMatcher()
    let text: String
    switch name {
    case .exact(let name), .hostname(let name): text = name
    }
    result.matcher.exact = text
    if text.contains("://") {
        result.sanType = .uri
    } else if text.contains("@") {
        result.sanType = .email
    } else if text.contains(":") || text.allSatisfy({ $0.isNumber || $0 == "." }) {
        result.sanType = .ipAddress
    } else {
        result.sanType = .dns
        if case .exact = name { result.matcher.safeRegex.regex = escaped(text) }
    }
    return result
}

/// An expression that matches `text` alone; RE2 takes a backslash before punctuation of ASCII only.
private func escaped(_ text: String) -> String {
    text.unicodeScalars.reduce(into: "") { result, scalar in
        let isPunctuation =
            scalar.isASCII && !scalar.properties.isAlphabetic
            && scalar.properties.numericType == nil
        result += (isPunctuation ? "\\" : "") + String(scalar)
    }
}

/// Where a proxy takes a secret from.
///
/// One that does not come holds up what needs it for two seconds and then takes no connection until
/// it does; the rest of the proxy goes on.
private func secretConfiguration(
    _ secret: SecretReference
) -> Envoy_Extensions_TransportSockets_Tls_V3_SdsSecretConfig {
    var result = Envoy_Extensions_TransportSockets_Tls_V3_SdsSecretConfig()
    result.name = secret.name
    if secret.isExternal {
        var service = Envoy_Config_Core_V3_GrpcService()
        service.envoyGrpc.clusterName = externalSecretsCluster
        result.sdsConfig.apiConfigSource.apiType = .grpc
        result.sdsConfig.apiConfigSource.transportApiVersion = .v3
        result.sdsConfig.apiConfigSource.grpcServices = [service]
        result.sdsConfig.resourceApiVersion = .v3
    } else {
        result.sdsConfig = aggregatedDiscovery
    }
    result.sdsConfig.initialFetchTimeout = Google_Protobuf_Duration(.seconds(2))
    return result
}

/// App Mesh's name for the cluster of the SDS server on the host.
let externalSecretsCluster = "static_cluster_sds_unix_socket"

extension Envoy_Config_Cluster_V3_Cluster {
    /// Calls over what `security` says.
    mutating func secure(_ security: CallerSecurity, _ protocol: ListenerProtocol) throws {
        switch security {
        case .plaintext: break
        case .unavailable:
            type = .static
            clearEdsClusterConfig()
            loadAssignment = MeshPlan.loadAssignment(name, [])
        case .tls(let tls):
            switch `protocol` {
            case .http2, .grpc:
                // They agree on HTTP/2 by ALPN, whatever the check would speak.
                for index in healthChecks.indices where healthChecks[index].isOfHTTP {
                    healthChecks[index].httpHealthCheck.codecClientType = .http2
                }
            case .http, .tcp: break
            }
            let socket = try MeshPlan.transportSocket(for: tls, `protocol`)
            guard tls.isByEndpoint else {
                transportSocket = socket
                return
            }
            var match = Envoy_Config_Cluster_V3_Cluster.TransportSocketMatch()
            match.name = "tls"
            match.match.fields[takesTLS] = "true"
            match.transportSocket = socket
            transportSocketMatches = [match]
        }
    }
}

extension Envoy_Config_Core_V3_HealthCheck {
    fileprivate var isOfHTTP: Bool {
        if case .httpHealthCheck = healthChecker { true } else { false }
    }
}

extension Envoy_Config_Core_V3_Metadata {
    /// Says of an endpoint that it takes TLS.
    static let ofTLSEndpoint: Envoy_Config_Core_V3_Metadata = {
        var fields = Google_Protobuf_Struct()
        fields.fields[takesTLS] = "true"
        var metadata = Envoy_Config_Core_V3_Metadata()
        metadata.filterMetadata["envoy.transport_socket_match"] = fields
        return metadata
    }()
}

private let takesTLS = "tls"

/// The listener filter that finds out whether a client speaks TLS.
///
/// - Parameter ports: The ports on which it looks; on others a server may speak first.
/// - Returns: The filter.
/// - Throws: What SwiftProtobuf throws.
func tlsInspector(on ports: [Port]) throws -> Envoy_Config_Listener_V3_ListenerFilter {
    typealias Predicate = Envoy_Config_Listener_V3_ListenerFilterChainMatchPredicate
    let predicates = ports.map { port in
        var predicate = Predicate()
        predicate.destinationPortRange.start = Int32(port.number)
        predicate.destinationPortRange.end = Int32(port.number) + 1
        return predicate
    }
    var inspected = Predicate()
    if predicates.count == 1 {
        inspected = predicates[0]
    } else {
        inspected.orMatch.rules = predicates
    }
    var filter = Envoy_Config_Listener_V3_ListenerFilter()
    filter.name = "envoy.filters.listener.tls_inspector"
    filter.typedConfig = try packed(
        Envoy_Extensions_Filters_Listener_TlsInspector_V3_TlsInspector()
    )
    filter.filterDisabled.notMatch = inspected
    return filter
}
