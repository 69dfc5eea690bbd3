internal import EnvoyAPI
internal import GRPCCore
internal import GRPCProtobuf
internal import Logging

/// `envoy.service.health.v3.HealthDiscoveryService`: proxies check their applications for all
/// callers, and report.
struct HealthDiscovery: RegistrableRPCService {
    static let service = ServiceDescriptor(
        fullyQualifiedService: "envoy.service.health.v3.HealthDiscoveryService"
    )
    static let stream = MethodDescriptor(service: service, method: "StreamHealthCheck")

    typealias Request = Envoy_Service_Health_V3_HealthCheckRequestOrEndpointHealthResponse
    typealias Response = Envoy_Service_Health_V3_HealthCheckSpecifier

    let store: SnapshotStore
    let authentication: any Authentication
    let logger: Logger

    func registerMethods<Transport: ServerTransport>(with router: inout RPCRouter<Transport>) {
        router.registerHandler(
            forMethod: HealthDiscovery.stream,
            deserializer: ProtobufDeserializer<Request>(),
            serializer: ProtobufSerializer<Response>()
        ) { request, context in
            let opened = try await authentication.stream(
                request.metadata,
                context,
                logger: logger,
                open: { store.openHealth($0) }
            )
            let stream = opened.stream
            let claim = opened.claim
            var logger = logger
            logger[metadataKey: "proxy"] = "\(stream.proxy)"
            return StreamingServerResponse { [logger] writer in
                try await stream.serve(request.messages, writer, logger: logger) { request in
                    let id = request.healthCheckRequest.node.id
                    if let ending = claim?.refusal(of: id, logger: logger) {
                        return stream.end(ending)
                    }
                    switch request.requestType {
                    // Who it is, the token says; what it can check, the plan knows.
                    case .healthCheckRequest, nil: break
                    case .endpointHealthResponse(let report): stream.received(report)
                    }
                }
                return [:]
            }
        }
    }
}
