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
    let authentication: Authentication
    let logger: Logger

    func registerMethods<Transport: ServerTransport>(with router: inout RPCRouter<Transport>) {
        router.registerHandler(
            forMethod: AccessLogService.stream,
            deserializer: ProtobufDeserializer<Request>(),
            serializer: ProtobufSerializer<Response>()
        ) { request, _ in
            let stream = try authentication.stream(request.metadata, logger: logger) {
                store.openAccessLog(token: $0)
            }
            var logger = logger
            logger[metadataKey: "proxy"] = "\(stream.proxy)"
            return StreamingServerResponse { [logger] writer in
                try await stream.serve(request.messages, writer, logger: logger) { message in
                    stream.received(message, logger: logger)
                }
                return [:]
            }
        }
    }
}
