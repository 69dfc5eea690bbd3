import GRPCCore
import GRPCNIOTransportHTTP2Posix
import Synchronization
import Testing

/// A gRPC application of the test's own, which answers each message at once and says by which node.
final class EchoServer: RegistrableRPCService {
    /// What is served, every service with every method.
    private static let services = ["Echo", "Echoes", "Other", "Missing", "Unrouted"]
    private static let methods = ["Say", "Call"]

    /// The virtual node that it stands behind.
    let node: String
    /// The codes with which the next calls are refused.
    let refusals = Mutex<[RPCError.Code]>([])
    /// How many calls have come.
    let calls = Mutex(0)
    /// Whether it says that it is healthy.
    let isHealthy = Mutex(true)
    /// When its health was checked; the stream tells of each change.
    let checks = Mutex<[ContinuousClock.Instant]>([])
    private let checked = AsyncStream.makeStream(
        of: Void.self,
        bufferingPolicy: .bufferingNewest(1)
    )
    /// Tells of each call that was cancelled; one with "x-wait" waits for that.
    let cancelled = AsyncStream.makeStream(of: Void.self, bufferingPolicy: .bufferingNewest(1))

    private init(node: String) {
        self.node = node
    }

    /// Runs `body` while each of `nodes` is served on a port of its own.
    static func run(
        _ nodes: [String],
        _ body: ([EchoServer], [Int]) async throws -> Void
    ) async throws {
        try await withThrowingTaskGroup { group in
            let applications = nodes.map(EchoServer.init)
            let servers = applications.map { application in
                GRPCServer(
                    transport: HTTP2ServerTransport.Posix(
                        address: .ipv4(host: "127.0.0.1", port: 0),
                        transportSecurity: .plaintext
                    ),
                    services: [application]
                )
            }
            var ports: [Int] = []
            for server in servers {
                group.addTask { try await server.serve() }
                ports.append(try await server.listeningAddress?.ipv4?.port ?? 0)
            }
            try await body(applications, ports)
            for server in servers { server.beginGracefulShutdown() }
            try await group.waitForAll()
        }
    }

    func registerMethods<Transport: ServerTransport>(with router: inout RPCRouter<Transport>) {
        registerHealth(with: &router)
        for service in EchoServer.services {
            for method in EchoServer.methods {
                router.registerHandler(
                    forMethod: MethodDescriptor(
                        fullyQualifiedService: "echo.\(service)",
                        method: method
                    ),
                    deserializer: Text(),
                    serializer: Text()
                ) { request, context in
                    try self.refuse()
                    if request.metadata.contains(where: { $0.key == "x-wait" }) {
                        try await context.cancellation.cancelled
                        self.cancelled.continuation.yield()
                    }
                    return self.echo(request)
                }
            }
        }
    }

    /// The standard health service; its answer is one field, 1 for serving and 2 for not.
    private func registerHealth<Transport: ServerTransport>(
        with router: inout RPCRouter<Transport>
    ) {
        router.registerHandler(
            forMethod: MethodDescriptor(
                fullyQualifiedService: "grpc.health.v1.Health",
                method: "Check"
            ),
            deserializer: Text(),
            serializer: Text()
        ) { _, _ in
            self.checks.withLock { $0.append(.now) }
            self.checked.continuation.yield()
            let status = self.isHealthy.withLock { $0 } ? "\u{1}" : "\u{2}"
            return StreamingServerResponse { writer in
                try await writer.write("\u{8}\(status)")
                return [:]
            }
        }
    }

    /// Waits until its health was checked twice more.
    func nextChecks() async {
        let last = checks.withLock { $0.count + 2 }
        var changes = checked.stream.makeAsyncIterator()
        while checks.withLock({ $0.count }) < last { await changes.next() }
    }

    private func refuse() throws {
        calls.withLock { $0 += 1 }
        let code = refusals.withLock { $0.isEmpty ? nil : $0.removeFirst() }
        if let code { throw RPCError(code: code, message: "not now") }
    }

    /// The message "fail" fails the call.
    private func echo(_ request: StreamingServerRequest<String>) -> StreamingServerResponse<String>
    {
        StreamingServerResponse(metadata: ["x-node": "\(node)"]) { [node] writer in
            var count = 0
            for try await message in request.messages {
                guard message != "fail" else {
                    throw RPCError(
                        code: .dataLoss,
                        message: "verlören: 100 %",
                        metadata: ["x-answered": "\(count)"]
                    )
                }
                try await writer.write("\(node): \(message)")
                count += 1
            }
            return ["x-answered": "\(count)", "x-raw-bin": .binary([0, 255])]
        }
    }
}

/// Calls to an `EchoServer`.
struct EchoClient: Sendable {
    private let client: GRPCClient<HTTP2ClientTransport.Posix>

    /// The answer to a call.
    struct Answer: Sendable {
        var message: String
        var metadata: Metadata
        var trailers: Metadata
    }

    /// Runs `body` with a client that connects to a port and calls with an authority.
    static func run(
        _ address: String,
        port: Int,
        authority: String,
        _ body: (EchoClient) async throws -> Void
    ) async throws {
        let transport = try HTTP2ClientTransport.Posix(
            target: .ipv4(address: address, port: port),
            transportSecurity: .plaintext,
            config: .defaults { $0.http2.authority = authority }
        )
        try await withGRPCClient(transport: transport) { try await body(EchoClient(client: $0)) }
    }

    /// The answer to one message.
    func say(
        _ message: String,
        to path: String = "Echo/Say",
        metadata: Metadata = [:]
    ) async throws -> Answer {
        try await client.unary(
            request: ClientRequest(message: message, metadata: metadata),
            descriptor: method(path),
            serializer: Text(),
            deserializer: Text(),
            options: .defaults
        ) { response in
            try Answer(
                message: response.message,
                metadata: response.metadata,
                trailers: response.trailingMetadata
            )
        }
    }

    /// Opens a stream in both directions while `body` runs.
    func chat(
        _ body: @Sendable @escaping (inout Chat) async throws -> Void
    ) async throws {
        let (messages, continuation) = AsyncStream.makeStream(of: String.self)
        try await client.bidirectionalStreaming(
            request: StreamingClientRequest { writer in
                for await message in messages { try await writer.write(message) }
            },
            descriptor: method("Echo/Call"),
            serializer: Text(),
            deserializer: Text(),
            options: .defaults
        ) { response in
            defer { continuation.finish() }
            var chat = Chat(continuation, try response.accepted.get().bodyParts)
            try await body(&chat)
        }
    }

    private func method(_ path: String) -> MethodDescriptor {
        let parts = path.split(separator: "/").map(String.init)
        return MethodDescriptor(fullyQualifiedService: "echo.\(parts[0])", method: parts[1])
    }
}

/// One stream in both directions.
struct Chat {
    typealias BodyPart = StreamingClientResponse<String>.Contents.BodyPart

    private let messages: AsyncStream<String>.Continuation
    private var parts: RPCAsyncSequence<BodyPart, any Error>.AsyncIterator

    fileprivate init(
        _ messages: AsyncStream<String>.Continuation,
        _ parts: RPCAsyncSequence<BodyPart, any Error>
    ) {
        self.messages = messages
        self.parts = parts.makeAsyncIterator()
    }

    /// The answer to `message`, nil when the stream ended instead.
    mutating func exchange(_ message: String) async throws -> String? {
        messages.yield(message)
        guard case .message(let answer) = try await parts.next(isolation: #isolation) else {
            return nil
        }
        return answer
    }

    /// Ends the client's side; the trailers, nil when a message came instead.
    mutating func end() async throws -> Metadata? {
        messages.finish()
        guard case .trailingMetadata(let trailers) = try await parts.next(isolation: #isolation)
        else { return nil }
        return trailers
    }
}

/// Expects a call to end with `code`.
@discardableResult
func expect(
    _ code: RPCError.Code,
    sourceLocation: Testing.SourceLocation = #_sourceLocation,
    _ call: () async throws -> Any
) async -> RPCError? {
    let error = await #expect(throws: RPCError.self, sourceLocation: sourceLocation) {
        _ = try await call()
    }
    #expect(error?.code == code, "\(error?.message ?? "")", sourceLocation: sourceLocation)
    return error
}

/// Messages are text without an encoding around it.
private struct Text: MessageSerializer, MessageDeserializer {
    func serialize<Bytes: GRPCContiguousBytes>(_ message: String) -> Bytes { Bytes(message.utf8) }

    func deserialize<Bytes: GRPCContiguousBytes>(_ bytes: Bytes) -> String {
        bytes.withUnsafeBytes { String(decoding: $0, as: UTF8.self) }
    }
}
