import EnvoyAPI
import GRPCCore
import GRPCNIOTransportHTTP2Posix
import GRPCProtobuf
import Glibc
import MeshModel
import MeshTelemetry
import MeshTesting
import NIOCore
import Synchronization
import Testing

@Suite(.timeLimit(.minutes(1))) struct OpenTelemetryReceiverTests {
    private typealias Response = Opentelemetry_Proto_Collector_Trace_V1_ExportTraceServiceResponse
    private let board = ReceivedBoard()
    private let warnings = TelemetryWarnings()

    private func receiver(_ address: TelemetryEndpoint) -> OpenTelemetryReceiver {
        OpenTelemetryReceiver(
            address: address,
            clock: QuickClock(),
            logger: warnings.logger,
            onListen: { $0.eventLoop.makeSucceededVoidFuture() },
            take: board.take
        )
    }

    /// Runs `body` with a client that waits until the receiver listens.
    private func client(
        of address: TelemetryEndpoint,
        compression: CompressionAlgorithm = .none,
        _ body: @escaping @Sendable (GRPCClient<HTTP2ClientTransport.Posix>) async throws -> Void
    ) async throws {
        let transport = try HTTP2ClientTransport.Posix(
            target: .ipv4(address: address.host, port: Int(address.port.number)),
            transportSecurity: .plaintext,
            config: .defaults {
                $0.backoff.initial = .milliseconds(20)
                $0.backoff.max = .milliseconds(100)
                $0.compression.enabledAlgorithms = .all
                $0.compression.algorithm = compression
            }
        )
        try await withGRPCClient(transport: transport) { try await body($0) }
    }

    private static let export = MethodDescriptor(
        fullyQualifiedService: "opentelemetry.proto.collector.trace.v1.TraceService",
        method: "Export"
    )

    private func send(
        _ request: OpenTelemetrySpans.Request,
        _ client: GRPCClient<HTTP2ClientTransport.Posix>
    ) async throws -> Response {
        var options = CallOptions.defaults
        options.waitForReady = true
        return try await client.unary(
            request: ClientRequest(message: request),
            descriptor: OpenTelemetryReceiverTests.export,
            serializer: ProtobufSerializer<OpenTelemetrySpans.Request>(),
            deserializer: ProtobufDeserializer<Response>(),
            options: options
        ) { try $0.message }
    }

    private func spans(_ count: Int) -> [Span] {
        var random = RandomSpans(seed: 1)
        return random.trace(count).map { span in
            var span = span
            span.attributes["http.status_code"] = span.status.map(String.init)
            return span
        }
    }

    @Test(arguments: [CompressionAlgorithm.none, .gzip])
    func `spans that come over gRPC are handed on`(compression: CompressionAlgorithm) async throws {
        let address = try freeEndpoint()
        let receiver = receiver(address)
        let spans = spans(100)
        try await running([receiver]) {
            try await client(of: address, compression: compression) { client in
                let response = try await send(OpenTelemetrySpans.request(of: spans), client)
                #expect(!response.hasPartialSuccess)
            }
        }
        #expect(Set(board.spans) == Set(spans))
        #expect(receiver.counts.received == 100)
        #expect(warnings.lines == [])
    }

    @Test func `the client is told of spans that were refused`() async throws {
        let address = try freeEndpoint()
        let receiver = receiver(address)
        var spans = spans(10)
        spans[3].traceID = ""
        spans[4].spanID = "xyz"
        let request = OpenTelemetrySpans.request(of: spans)
        try await running([receiver]) {
            try await client(of: address) { client in
                let response = try await send(request, client)
                #expect(response.partialSuccess.rejectedSpans == 2)
                #expect(response.partialSuccess.errorMessage.hasSuffix("or zero"))
            }
        }
        #expect(board.spans.count == 8)
        #expect(receiver.counts.malformed == 2)
    }

    @Test func `what is no request, or too long, is refused and ends nothing`() async throws {
        let address = try freeEndpoint()
        let receiver = receiver(address)
        let spans = spans(1)
        try await running([receiver]) {
            try await client(of: address) { client in
                _ = try await send(OpenTelemetrySpans.request(of: spans), client)
                #expect(try await code([0xff, 0xff, 0xff], client) == .invalidArgument)
                #expect(try await code([UInt8](repeating: 0, count: 2 << 20), client) != nil)
                _ = try await send(OpenTelemetrySpans.request(of: spans), client)
            }
        }
        #expect(receiver.counts.received == 2)
        #expect(receiver.counts.malformed == 1)
    }

    /// The code of the error with which `bytes` are answered.
    private func code(
        _ bytes: [UInt8],
        _ client: GRPCClient<HTTP2ClientTransport.Posix>
    ) async throws -> RPCError.Code? {
        try await client.unary(
            request: ClientRequest(message: bytes),
            descriptor: OpenTelemetryReceiverTests.export,
            serializer: PlainBytes(),
            deserializer: ProtobufDeserializer<Response>(),
            options: .defaults
        ) { response in
            do {
                _ = try response.message
                return nil
            } catch let error as RPCError {
                return error.code
            }
        }
    }

    @Test func `where the address is taken there is one warning, and it listens once it is free`()
        async throws
    {
        let address = try freeEndpoint()
        let (first, second) = (receiver(address), receiver(address))
        let request = OpenTelemetrySpans.request(of: spans(1))
        try await running([first]) {
            try await client(of: address) { _ = try await send(request, $0) }
            try await running([second]) {
                try await poll({ warnings.lines.count }, until: { $0 == 1 })
                try await client(of: address) { _ = try await send(request, $0) }
            }
        }
        #expect(first.counts.received == 2)
        #expect(second.counts == ReceiverCounts())
        try await running([second]) {
            try await client(of: address) { _ = try await send(request, $0) }
        }
        #expect(second.counts.received == 1)
        #expect(
            warnings.lines == [
                """
                cannot listen for OpenTelemetry spans over gRPC, and tries again; stop the other process \
                or pass --otlp-address
                """
            ]
        )
    }
}

private struct PlainBytes: MessageSerializer {
    func serialize<Bytes: GRPCContiguousBytes>(_ message: [UInt8]) throws -> Bytes {
        Bytes(message)
    }
}
