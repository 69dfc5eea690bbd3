internal import EnvoyAPI
internal import GRPCCore
internal import GRPCProtobuf
internal import Logging
internal import MeshModel

/// `envoy.service.discovery.v3.AggregatedDiscoveryService`, its delta method.
///
/// Written by hand, as generated code would encode each resource for each stream.
struct AggregatedDiscovery: RegistrableRPCService {
    static let service = ServiceDescriptor(
        fullyQualifiedService: "envoy.service.discovery.v3.AggregatedDiscoveryService"
    )
    static let delta = MethodDescriptor(service: service, method: "DeltaAggregatedResources")
    static let stateOfTheWorld = MethodDescriptor(
        service: service,
        method: "StreamAggregatedResources"
    )

    typealias Request = Envoy_Service_Discovery_V3_DeltaDiscoveryRequest

    let store: SnapshotStore
    let authentication: any Authentication
    let logger: Logger

    func registerMethods<Transport: ServerTransport>(with router: inout RPCRouter<Transport>) {
        router.registerHandler(
            forMethod: AggregatedDiscovery.delta,
            deserializer: ProtobufDeserializer<Request>(),
            serializer: DeltaResponseSerializer()
        ) { request, context in
            let opened = try await authentication.stream(
                request.metadata,
                context,
                logger: logger,
                open: { store.open($0) }
            )
            var stream = opened.stream
            let claim = opened.claim
            var logger = logger
            logger[metadataKey: "proxy"] = "\(stream.proxy)"
            stream.logger = logger
            let unknown = UnknownTypes()
            return StreamingServerResponse { [stream, logger] writer in
                try await stream.serve(request.messages, writer, logger: logger) { request in
                    if let ending = claim?.refusal(of: request.node.id, logger: logger) {
                        return stream.end(ending)
                    }
                    if stream.received(request) { return }
                    if let ending = unknown.note(request.typeURL, logger) { stream.end(ending) }
                }
                return [:]
            }
        }
        router.registerHandler(
            forMethod: AggregatedDiscovery.stateOfTheWorld,
            deserializer: ProtobufDeserializer<Envoy_Service_Discovery_V3_DiscoveryRequest>(),
            serializer: DeltaResponseSerializer()
        ) { _, _ in
            throw RPCError(
                code: .unimplemented,
                message: """
                    only delta xDS is served: set api_type to DELTA_GRPC in the bootstrap's ads_config
                    """
            )
        }
    }
}
