import EnvoyAPI
import GRPCCore
import GRPCNIOTransportHTTP2Posix
import GRPCProtobuf
import Glibc
import Logging
import MeshModel
import ServiceLifecycle

@testable import XDSServer

typealias DeltaRequest = Envoy_Service_Discovery_V3_DeltaDiscoveryRequest
typealias Delta = Envoy_Service_Discovery_V3_DeltaDiscoveryResponse

/// One delta stream as a client sees it.
struct TestClient {
    struct Ended: Error {}

    let requests: AsyncStream<DeltaRequest>.Continuation
    private var responses: RPCAsyncSequence<Delta, any Error>.AsyncIterator

    fileprivate init(
        _ requests: AsyncStream<DeltaRequest>.Continuation,
        _ responses: RPCAsyncSequence<Delta, any Error>
    ) {
        self.requests = requests
        self.responses = responses.makeAsyncIterator()
    }

    func send(_ request: DeltaRequest) { requests.yield(request) }

    /// The next response; an error when the stream ended, the status when that is one.
    mutating func next() async throws -> Delta {
        guard let response = try await responses.next(isolation: #isolation) else { throw Ended() }
        return response
    }

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

/// Runs a service on a new socket while `body` runs, then shuts it down gracefully.
func withService<Result: Sendable>(
    _ store: SnapshotStore,
    body: @Sendable (String) async throws -> Result
) async throws -> Result {
    let path = try temporaryFolder() + "/run/xds.sock"
    let logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
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

/// Opens a stream with `token` while `body` runs.
func withClient<Result: Sendable>(
    _ path: String,
    token: String?,
    windowBytes: Int = 8 << 20,
    body: @Sendable @escaping (inout TestClient) async throws -> Result
) async throws -> Result {
    let transport = try HTTP2ClientTransport.Posix(
        target: .unixDomainSocket(path: path),
        transportSecurity: .plaintext,
        config: .defaults { $0.http2.targetWindowSize = windowBytes }
    )
    var metadata = Metadata()
    if let token { metadata.addString("Bearer \(token)", forKey: "authorization") }
    return try await withGRPCClient(transport: transport) { client in
        let (requests, continuation) = AsyncStream.makeStream(of: DeltaRequest.self)
        return try await client.bidirectionalStreaming(
            request: StreamingClientRequest(metadata: metadata) { writer in
                for await request in requests { try await writer.write(request) }
            },
            descriptor: AggregatedDiscovery.delta,
            serializer: ProtobufSerializer<DeltaRequest>(),
            deserializer: ProtobufDeserializer<Delta>(),
            options: .defaults
        ) { response in
            defer { continuation.finish() }
            var client = TestClient(continuation, response.messages)
            return try await body(&client)
        }
    }
}

func temporaryFolder() throws -> String {
    var template = Array("/tmp/heddle-xds-XXXXXX".utf8CString)
    guard mkdtemp(&template) != nil else { throw TestClient.Ended() }
    return String(decoding: template.dropLast().map(UInt8.init(bitPattern:)), as: UTF8.self)
}
