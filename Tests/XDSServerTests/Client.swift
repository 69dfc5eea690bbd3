import EnvoyAPI
import FoundationEssentials
import GRPCCore
import GRPCNIOTransportHTTP2Posix
import GRPCProtobuf
import Glibc
import Logging
import MeshModel
import ServiceLifecycle
import SwiftProtobuf
import MeshTesting
import Testing

@testable import XDSServer

typealias DeltaRequest = Envoy_Service_Discovery_V3_DeltaDiscoveryRequest
typealias Delta = Envoy_Service_Discovery_V3_DeltaDiscoveryResponse

typealias HealthRequest = Envoy_Service_Health_V3_HealthCheckRequestOrEndpointHealthResponse
typealias HealthSpecifier = Envoy_Service_Health_V3_HealthCheckSpecifier

typealias LogMessage = Envoy_Service_Accesslog_V3_StreamAccessLogsMessage
typealias LogAnswer = Envoy_Service_Accesslog_V3_StreamAccessLogsResponse

/// One stream as a client sees it.
struct StreamClient<Request: Message, Response: Message> {
    struct Ended: Error {}

    let requests: AsyncStream<Request>.Continuation
    private var responses: RPCAsyncSequence<Response, any Error>.AsyncIterator

    fileprivate init(
        _ requests: AsyncStream<Request>.Continuation,
        _ responses: RPCAsyncSequence<Response, any Error>
    ) {
        self.requests = requests
        self.responses = responses.makeAsyncIterator()
    }

    func send(_ request: Request) { requests.yield(request) }

    /// The next response; an error when the stream ended, the status when that is one.
    mutating func next() async throws -> Response {
        guard let response = try await responses.next(isolation: #isolation) else { throw Ended() }
        return response
    }
}

typealias TestClient = StreamClient<DeltaRequest, Delta>

extension TestClient {
    /// Takes the next response and accepts it.
    mutating func accept() async throws -> Delta {
        let response = try await next()
        var answer = DeltaRequest()
        answer.typeURL = response.typeURL
        answer.responseNonce = response.nonce
        send(answer)
        return response
    }
}

/// Runs a service on a new socket, or at `path`, while `body` runs, then shuts it down gracefully.
func withService<Result: Sendable>(
    _ store: SnapshotStore,
    at path: String? = nil,
    log: LogRecorder = LogRecorder(),
    level: Logger.Level = .warning,
    body: @Sendable (String) async throws -> Result
) async throws -> Result {
    let path = try path ?? temporaryFolder() + "/run/xds.sock"
    var logger = log.logger
    logger.logLevel = level
    let service = try XDSService(socketPath: path, store: store, logger: logger)
    let group = ServiceGroup(services: [service], logger: logger)
    return try await withThrowingTaskGroup { tasks in
        tasks.addTask { try await group.run() }
        let result: Swift.Result<Result, any Error>
        do { result = .success(try await body(path)) } catch { result = .failure(error) }
        await group.triggerGracefulShutdown()
        try await tasks.waitForAll()
        return try result.get()
    }
}

/// Opens an ADS stream with `token` while `body` runs.
func withClient<Result: Sendable>(
    _ path: String,
    token: String?,
    windowBytes: Int = 8 << 20,
    body: @Sendable @escaping (inout TestClient) async throws -> Result
) async throws -> Result {
    try await withStream(
        path,
        AggregatedDiscovery.delta,
        token: token,
        windowBytes: windowBytes,
        body: body
    )
}

/// Opens an HDS stream with `token` while `body` runs.
func withHealthClient<Result: Sendable>(
    _ path: String,
    token: String?,
    body:
        @Sendable @escaping (
            inout StreamClient<HealthRequest, HealthSpecifier>
        ) async throws -> Result
) async throws -> Result {
    try await withStream(path, HealthDiscovery.stream, token: token, body: body)
}

/// Opens an ALS stream with `token` while `body` runs.
func withAccessLog<Result: Sendable>(
    _ path: String,
    token: String?,
    body: @Sendable @escaping (inout StreamClient<LogMessage, LogAnswer>) async throws -> Result
) async throws -> Result {
    try await withStream(path, AccessLogService.stream, token: token, body: body)
}

/// Sends bytes to `method` that are no message of its, until the stream ends.
func withGarbage(_ path: String, _ method: MethodDescriptor, token: String) async throws {
    _ = await #expect(throws: (any Error).self) {
        try await withStream(path, method, token: token) {
            (client: inout StreamClient<Google_Protobuf_BytesValue, HealthSpecifier>) in
            client.send(Google_Protobuf_BytesValue(Data(repeating: 0xff, count: 100)))
            while true { _ = try await client.next() }
        }
    }
}

func withStream<Request: Message, Response: Message, Result: Sendable>(
    _ path: String,
    _ method: MethodDescriptor,
    token: String?,
    windowBytes: Int = 8 << 20,
    body: @Sendable @escaping (inout StreamClient<Request, Response>) async throws -> Result
) async throws -> Result {
    let transport = try HTTP2ClientTransport.Posix(
        target: .unixDomainSocket(path: path),
        transportSecurity: .plaintext,
        config: .defaults { $0.http2.targetWindowSize = windowBytes }
    )
    var metadata = GRPCCore.Metadata()
    if let token { metadata.addString("Bearer \(token)", forKey: "authorization") }
    return try await withStream(transport, method, metadata: metadata, body: body)
}

/// Opens a stream of `method` over `transport` while `body` runs.
func withStream<Request: Message, Response: Message, Result: Sendable>(
    _ transport: HTTP2ClientTransport.Posix,
    _ method: MethodDescriptor,
    metadata: GRPCCore.Metadata,
    body: @Sendable @escaping (inout StreamClient<Request, Response>) async throws -> Result
) async throws -> Result {
    try await withGRPCClient(transport: transport) { client in
        let (requests, continuation) = AsyncStream.makeStream(of: Request.self)
        return try await client.bidirectionalStreaming(
            request: StreamingClientRequest(metadata: metadata) { writer in
                for await request in requests { try await writer.write(request) }
            },
            descriptor: method,
            serializer: ProtobufSerializer<Request>(),
            deserializer: ProtobufDeserializer<Response>(),
            options: .defaults
        ) { response in
            defer { continuation.finish() }
            var client = StreamClient(continuation, response.messages)
            return try await body(&client)
        }
    }
}

func temporaryFolder() throws -> String {
    var template = Array("/tmp/heddle-xds-XXXXXX".utf8CString)
    guard mkdtemp(&template) != nil else { throw TestClient.Ended() }
    return String(decoding: template.dropLast().map(UInt8.init(bitPattern:)), as: UTF8.self)
}
