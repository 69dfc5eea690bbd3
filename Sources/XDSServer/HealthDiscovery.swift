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
    let authentication: Authentication
    let logger: Logger

    func registerMethods<Transport: ServerTransport>(with router: inout RPCRouter<Transport>) {
        router.registerHandler(
            forMethod: HealthDiscovery.stream,
            deserializer: ProtobufDeserializer<Request>(),
            serializer: ProtobufSerializer<Response>()
        ) { request, _ in
            let stream = try authentication.stream(request.metadata, logger: logger) {
                store.openHealth(token: $0)
            }
            var logger = logger
            logger[metadataKey: "proxy"] = "\(stream.proxy)"
            return StreamingServerResponse { [logger] writer in
                try await stream.serve(request.messages, writer, logger: logger) { request in
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
