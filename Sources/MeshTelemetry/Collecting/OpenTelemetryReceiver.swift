internal import EnvoyAPI
internal import GRPCCore
internal import GRPCNIOTransportHTTP2Posix
internal import GRPCProtobuf
public import Logging
public import MeshModel
public import NIOCore
public import ServiceLifecycle
internal import SwiftProtobuf
internal import Synchronization

/// Takes spans as an OpenTelemetry collector does, OTLP over gRPC.
public final class OpenTelemetryReceiver: Service, Sendable {
    private let listening: Listening
    private let address: TelemetryEndpoint
    private let service: TraceService
    private let onListen: @Sendable (any Channel) -> EventLoopFuture<Void>
    private let connections = ConnectionLimit()

    /// Makes a receiver, which listens once it runs.
    ///
    /// - Parameters:
    ///   - address: Where it listens; anyone who reaches that can send spans.
    ///   - clock: For pauses.
    ///   - logger: Where trouble is told.
    ///   - onListen: Gets the listening channel, to have it rest when descriptors run out.
    ///   - take: Takes what came; it must not wait.
    public init(
        address: TelemetryEndpoint = .openTelemetry,
        clock: some Clock<Duration> = ContinuousClock(),
        logger: Logger,
        onListen: @escaping @Sendable (any Channel) -> EventLoopFuture<Void>,
        take: @escaping @Sendable (ReceivedSpans) -> Void
    ) {
        self.address = address
        self.onListen = onListen
        service = TraceService(logger: logger, take: take)
        listening = Listening(
            purpose: "OpenTelemetry spans over gRPC",
            address: address,
            flag: "--otlp-address",
            logger: logger,
            sleep: { try await clock.sleep(for: $0) }
        )
    }

    /// What became of what was sent.
    public var counts: ReceiverCounts { service.counter.current }

    /// Receives until graceful shutdown, which takes at most two seconds.
    ///
    /// An address that is taken is tried again.
    public func run() async throws { try await listening.run(serve) }

    private func serve(_ listens: @escaping @Sendable () -> Void) async throws {
        let port = Int(address.port.number)
        let place = try NIOCore.SocketAddress.makeAddressResolvingHost(address.host, port: port)
        let host = place.ipAddress ?? address.host
        let server = GRPCServer(
            transport: .http2NIOPosix(
                address: place.protocol == .inet6
                    ? .ipv6(host: host, port: port) : .ipv4(host: host, port: port),
                transportSecurity: .plaintext,
                config: configuration
            ),
            services: [service]
        )
        try await withThrowingTaskGroup { group in
            group.addTask { try await server.serve() }
            group.addTask {
                _ = try await server.listeningAddress
                listens()
                try await gracefulShutdown()
                server.beginGracefulShutdown()
                try await Task.sleep(for: OpenTelemetryReceiver.graceTime + .milliseconds(500))
            }
            defer { group.cancelAll() }
            try await group.next()
        }
    }

    private static let graceTime = Duration.milliseconds(1500)

    private var configuration: HTTP2ServerTransport.Posix.Config {
        .defaults { configuration in
            configuration.connection.maxGraceTime = OpenTelemetryReceiver.graceTime
            configuration.connection.maxIdleTime = .seconds(600)
            configuration.http2.maxConcurrentStreams = 2
            configuration.rpc.maxRequestPayloadSize = 1 << 20
            configuration.compression.enabledAlgorithms = .all
            configuration.channelDebuggingCallbacks.onBindTCPListener = onListen
            configuration.channelDebuggingCallbacks.onAcceptTCPConnection = connections.accept
        }
    }
}

/// How many clients may be connected: each may have some megabytes under way.
private final class ConnectionLimit: Sendable {
    private static let limit = 512
    private let open = Atomic(0)

    @Sendable func accept(_ channel: any Channel) -> EventLoopFuture<Void> {
        let isAllowed = open.add(1, ordering: .relaxed).newValue <= ConnectionLimit.limit
        channel.closeFuture.whenComplete { _ in self.open.subtract(1, ordering: .relaxed) }
        return isAllowed ? channel.eventLoop.makeSucceededVoidFuture() : channel.close()
    }
}

/// `opentelemetry.proto.collector.trace.v1.TraceService`.
private struct TraceService: RegistrableRPCService {
    static let service = ServiceDescriptor(
        fullyQualifiedService: "opentelemetry.proto.collector.trace.v1.TraceService"
    )
    static let export = MethodDescriptor(service: service, method: "Export")

    typealias Response = Opentelemetry_Proto_Collector_Trace_V1_ExportTraceServiceResponse

    let counter = ReceiverCounter()
    let logger: Logger
    let take: @Sendable (ReceivedSpans) -> Void
    /// How many requests are worked on at once, each of up to 4 MiB.
    private let turns = Turns(limit: 8)

    init(logger: Logger, take: @escaping @Sendable (ReceivedSpans) -> Void) {
        self.logger = logger
        self.take = take
    }

    func registerMethods<Transport: ServerTransport>(with router: inout RPCRouter<Transport>) {
        router.registerHandler(
            forMethod: TraceService.export,
            deserializer: ExportDeserializer(counter: counter),
            serializer: ProtobufSerializer<Response>()
        ) { request, _ in
            // One message, as the method is unary.
            var messages = request.messages.makeAsyncIterator()
            guard let message = try await messages.next(isolation: #isolation) else {
                throw RPCError(code: .invalidArgument, message: "the request is empty")
            }
            guard turns.begin() else {
                counter.add(dropped: 1)
                throw RPCError(code: .unavailable, message: "too many requests at once; try again")
            }
            defer { turns.end() }
            return StreamingServerResponse(single: ServerResponse(message: export(message)))
        }
    }

    private func export(_ request: OpenTelemetrySpans.Request) -> Response {
        let received = OpenTelemetrySpans.received(request)
        counter.add(received: received.spans.count, malformed: received.rejected)
        if !received.spans.isEmpty { take(ReceivedSpans(spans: received.spans)) }
        var response = Response()
        if received.rejected > 0 {
            response.partialSuccess.rejectedSpans = Int64(received.rejected)
            response.partialSuccess.errorMessage = received.reason.map(\.description) ?? ""
            logger.debug(
                "spans are malformed",
                metadata: ["count": "\(received.rejected)"]
            )
        }
        return response
    }
}

/// Counts what is no such message.
private struct ExportDeserializer: MessageDeserializer {
    let counter: ReceiverCounter

    func deserialize<Bytes: GRPCContiguousBytes>(
        _ bytes: Bytes
    ) throws -> OpenTelemetrySpans.Request {
        do {
            return try ProtobufDeserializer<OpenTelemetrySpans.Request>().deserialize(bytes)
        } catch {
            counter.add(malformed: 1)
            throw RPCError(code: .invalidArgument, message: "the request is no such message")
        }
    }
}

private final class Turns: Sendable {
    private let limit: Int
    private let taken = Atomic(0)

    init(limit: Int) { self.limit = limit }

    func begin() -> Bool {
        guard taken.add(1, ordering: .relaxed).newValue <= limit else {
            taken.subtract(1, ordering: .relaxed)
            return false
        }
        return true
    }

    func end() { taken.subtract(1, ordering: .relaxed) }
}
