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
    let logger: Logger

    func registerMethods<Transport: ServerTransport>(with router: inout RPCRouter<Transport>) {
        router.registerHandler(
            forMethod: AggregatedDiscovery.delta,
            deserializer: ProtobufDeserializer<Request>(),
            serializer: DeltaResponseSerializer()
        ) { request, _ in
            let stream = try authenticate(request.metadata)
            return StreamingServerResponse { writer in
                try await serve(stream, request.messages, writer)
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

    /// Opens the stream of the proxy whose token the metadata carries.
    private func authenticate(_ metadata: GRPCCore.Metadata) throws -> ProxyChannel.Stream {
        let scheme = "Bearer "
        let values = Array(metadata[stringValues: "authorization"])
        let problem: String
        if values.count == 1, values[0].hasPrefix(scheme) {
            let token = String(values[0].dropFirst(scheme.count))
            if let stream = store.open(token: token) { return stream }
            problem = "the token belongs to no proxy"
        } else {
            problem = "no token: send one as metadata \"authorization: Bearer <token>\""
        }
        logger.warning("xDS stream refused", metadata: ["reason": "\(problem)"])
        throw RPCError(code: .unauthenticated, message: problem)
    }

    /// Serves one stream until either side ends it.
    private func serve(
        _ stream: ProxyChannel.Stream,
        _ requests: RPCAsyncSequence<Request, any Error>,
        _ writer: RPCWriter<DeltaResponse>
    ) async throws {
        let proxy = stream.channel.proxy
        logger.debug("xDS stream opened", metadata: ["proxy": "\(proxy)"])
        defer {
            stream.close()
            logger.debug("xDS stream ended", metadata: ["proxy": "\(proxy)"])
        }
        // gRPC does not cancel this task when the client goes away, and a write to a client that
        // does not read never returns: so both children are cancelled as soon as `ending` tells.
        let ending = await withRPCCancellationHandler {
            await withTaskGroup { group in
                group.addTask { await receive(requests, stream) }
                group.addTask { await send(to: writer, stream) }
                var endings = stream.ending.makeAsyncIterator()
                let ending = await endings.next()
                group.cancelAll()
                return ending
            }
        } onCancelRPC: {
            stream.close()
        }
        if let error = ending?.error { throw error }
    }

    private func receive(
        _ requests: RPCAsyncSequence<Request, any Error>,
        _ stream: ProxyChannel.Stream
    ) async {
        do {
            for try await request in requests where !stream.received(request) {
                logger.notice(
                    "xDS request of a type that is not served",
                    metadata: ["proxy": "\(stream.channel.proxy)", "type": "\(request.typeURL)"]
                )
            }
        } catch {
            logEnd(error, stream)
        }
        stream.close()
    }

    private func send(to writer: RPCWriter<DeltaResponse>, _ stream: ProxyChannel.Stream) async {
        do {
            for await _ in stream.changes {
                while let response = stream.nextResponse() { try await writer.write(response) }
            }
        } catch {
            logEnd(error, stream)
        }
        stream.close()
    }

    private func logEnd(_ error: any Error, _ stream: ProxyChannel.Stream) {
        guard !(error is CancellationError) else { return }
        logger.debug(
            "xDS stream broke",
            metadata: ["proxy": "\(stream.channel.proxy)", "error": "\(error)"]
        )
    }
}

extension ProxyChannel.Ending {
    /// What the client hears; nil when it closed the stream itself.
    fileprivate var error: RPCError? {
        switch self {
        case .closed: nil
        case .replaced:
            RPCError(code: .aborted, message: "a newer stream of the same proxy took over")
        case .removed: RPCError(code: .notFound, message: "the proxy was removed")
        case .revoked: RPCError(code: .unauthenticated, message: "the proxy's token was revoked")
        case .shutdown: RPCError(code: .unavailable, message: "the control plane is stopping")
        }
    }
}
