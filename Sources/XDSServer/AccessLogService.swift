internal import EnvoyAPI
internal import GRPCCore
internal import GRPCProtobuf
internal import Logging

/// `envoy.service.accesslog.v3.AccessLogService`: proxies tell of requests and connections that their
/// access control refused, or would have, and of all while they are tapped.
struct AccessLogService: RegistrableRPCService {
    static let service = ServiceDescriptor(
        fullyQualifiedService: "envoy.service.accesslog.v3.AccessLogService"
    )
    static let stream = MethodDescriptor(service: service, method: "StreamAccessLogs")

    typealias Request = Envoy_Service_Accesslog_V3_StreamAccessLogsMessage
    typealias Response = Envoy_Service_Accesslog_V3_StreamAccessLogsResponse

    let store: SnapshotStore
    let authentication: any Authentication
    let logger: Logger

    func registerMethods<Transport: ServerTransport>(with router: inout RPCRouter<Transport>) {
        router.registerHandler(
            forMethod: AccessLogService.stream,
            deserializer: ProtobufDeserializer<Request>(),
            serializer: ProtobufSerializer<Response>()
        ) { request, context in
            let opened = try await authentication.stream(
                request.metadata,
                context,
                logger: logger,
                open: { store.openAccessLog($0) }
            )
            let stream = opened.stream
            let claim = opened.claim
            var logger = logger
            logger[metadataKey: "proxy"] = "\(stream.proxy)"
            return StreamingServerResponse { [logger] writer in
                try await stream.serve(request.messages, writer, logger: logger) { message in
                    if let ending = claim?.refusal(of: message.identifier.node.id, logger: logger) {
                        return stream.end(ending)
                    }
                    stream.received(message, logger: logger)
                }
                return [:]
            }
        }
    }
}
