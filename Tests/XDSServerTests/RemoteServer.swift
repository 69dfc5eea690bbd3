import EnvoyAPI
import FoundationEssentials
import GRPCCore
import GRPCNIOTransportHTTP2Posix
import Logging
import MeshIdentity
import MeshModel
import MeshPlan
import MeshTesting
import ServiceLifecycle
import SwiftProtobuf
import Synchronization

@testable import XDSServer

/// The server for proxies elsewhere, as the tests of it see it.
struct RemoteServer: Sendable {
    let port: Int
    let authority: TestAuthority
    let connections: ConnectionRegistry
    /// What is presented to connections from now on.
    let certificate: CurrentCertificate
    let reviews: ReviewedTokens
    /// Who asked for which service.
    let opened: OpenedStreams

    /// Opens a stream while `body` runs.
    func withStream<Request: Message, Response: Message, Result: Sendable>(
        _ method: MethodDescriptor,
        token: String? = nil,
        client: TestCertificate? = nil,
        metadata extra: [String: String] = [:],
        body: @Sendable @escaping (inout StreamClient<Request, Response>) async throws -> Result
    ) async throws -> Result {
        let trust = TLSConfig.TrustRootsSource.certificates([
            .file(path: authority.certificate, format: .pem)
        ])
        let security: HTTP2ClientTransport.Posix.TransportSecurity =
            if let client {
                .mTLS(
                    certificateChain: [.file(path: client.chain, format: .pem)],
                    privateKey: .file(path: client.key, format: .pem)
                ) { $0.trustRoots = trust }
            } else {
                .tls { $0.trustRoots = trust }
            }
        let transport = try HTTP2ClientTransport.Posix(
            target: .ipv4(address: "127.0.0.1", port: port),
            transportSecurity: security,
            config: .defaults { $0.http2.authority = "localhost" }
        )
        var metadata = GRPCCore.Metadata()
        if let token { metadata.addString("Bearer \(token)", forKey: "authorization") }
        for (name, value) in extra { metadata.addString(value, forKey: name) }
        return try await XDSServerTests.withStream(
            transport,
            method,
            metadata: metadata,
            body: body
        )
    }

    /// Opens an ADS stream while `body` runs.
    func withClient<Result: Sendable>(
        token: String? = nil,
        client: TestCertificate? = nil,
        metadata: [String: String] = [:],
        body: @Sendable @escaping (inout TestClient) async throws -> Result
    ) async throws -> Result {
        try await withStream(
            AggregatedDiscovery.delta,
            token: token,
            client: client,
            metadata: metadata,
            body: body
        )
    }

    /// The error with which an ADS stream ends that says it is from `node`.
    func refusal(
        token: String? = nil,
        client: TestCertificate? = nil,
        metadata: [String: String] = [:],
        node: String = "mesh/m/virtualNode/blue"
    ) async throws -> RPCError? {
        do {
            try await withClient(token: token, client: client, metadata: metadata) { stream in
                stream.send(firstRequest(.clusters, node: node))
                _ = try await stream.next()
            }
            return nil
        } catch let error as RPCError {
            return error
        }
    }
}

/// The streams that were asked for.
final class OpenedStreams: ServerInterceptor {
    struct Stream: Hashable, Sendable {
        var service: String
        var envoy: String
    }

    private let streams = Mutex<[Stream]>([])

    var value: [Stream] { streams.withLock { $0 } }

    func clear() { streams.withLock { $0 = [] } }

    @concurrent func intercept<Input: Sendable, Output: Sendable>(
        request: StreamingServerRequest<Input>,
        context: ServerContext,
        next:
            @concurrent @Sendable (
                StreamingServerRequest<Input>, ServerContext
            ) async throws -> StreamingServerResponse<Output>
    ) async throws -> StreamingServerResponse<Output> {
        let envoy = Array(request.metadata[stringValues: envoyHeader]).first ?? ""
        let service = context.descriptor.service.fullyQualifiedService
        streams.withLock { $0.append(Stream(service: service, envoy: envoy)) }
        return try await next(request, context)
    }
}

/// A first request, which says who sends it.
func firstRequest(_ type: ResourceType, node: String) -> DeltaRequest {
    var first = request(type)
    first.node.id = node
    return first
}

/// The certificate that a test has the server present.
final class CurrentCertificate: Sendable {
    private let current: Mutex<ServingCertificate>

    init(_ certificate: ServingCertificate) { current = Mutex(certificate) }

    var value: ServingCertificate {
        get { current.withLock { $0 } }
        set { current.withLock { $0 = newValue } }
    }
}

/// Tokens as an API server would know them.
final class ReviewedTokens: Sendable {
    struct Down: Error, CustomStringConvertible {
        let description = "connection refused"
    }

    private struct State {
        var pods: [String: PodIdentity] = [:]
        var isDown = false
        var count = 0
    }

    private let state = Mutex(State())

    /// How often one was asked for.
    var count: Int { state.withLock { $0.count } }

    /// Makes a token; it has the form of all.
    func token(
        _ name: String,
        pod: String?,
        uid: String? = nil,
        namespace: String = "demo"
    ) -> String {
        let token = "e30.\(name).c2ln"
        let identity = PodIdentity(
            namespace: namespace,
            serviceAccount: "default",
            podName: pod,
            podUID: pod == nil ? nil : uid ?? "uid of \(pod ?? "")"
        )
        state.withLock { $0.pods[token] = identity }
        return token
    }

    /// Has the API server know no more of a token that was made.
    func forget(_ name: String) { state.withLock { $0.pods["e30.\(name).c2ln"] = nil } }

    func setDown(_ isDown: Bool) { state.withLock { $0.isDown = isDown } }

    func review(_ token: String) throws -> PodIdentity? {
        try state.withLock { state in
            state.count += 1
            if state.isDown { throw Down() }
            return state.pods[token]
        }
    }
}

/// Runs a server on a free port while `body` runs, then shuts it down gracefully.
func withRemoteServer<Result: Sendable>(
    _ store: SnapshotStore,
    limits: ConnectionRegistry.Limits = ConnectionRegistry.Limits(),
    log: LogRecorder = LogRecorder(),
    takesClientCertificates: Bool = false,
    body: @Sendable (RemoteServer) async throws -> Result
) async throws -> Result {
    let authority = try await TestAuthority("root", in: try temporaryFolder())
    let certificate = CurrentCertificate(try await servingCertificate(authority, serial: 1001))
    let tokens = ReviewedTokens()
    let connections = ConnectionRegistry(limits: limits)
    let opened = OpenedStreams()
    let service = try RemoteXDSService(
        .init(
            host: "127.0.0.1",
            port: 0,
            audience: "heddle.dev",
            takesClientCertificates: takesClientCertificates,
            certificate: { certificate.value },
            review: { try tokens.review($0) }
        ),
        store: store,
        logger: log.logger,
        reviews: TokenReviews(review: { try tokens.review($0) }),
        connections: connections,
        interceptors: [opened]
    )
    let server = RemoteServer(
        port: Int(service.port),
        authority: authority,
        connections: connections,
        certificate: certificate,
        reviews: tokens,
        opened: opened
    )
    let group = ServiceGroup(services: [service], logger: log.logger)
    return try await withThrowingTaskGroup { tasks in
        tasks.addTask { try await group.run() }
        let result: Swift.Result<Result, any Error>
        do { result = .success(try await body(server)) } catch { result = .failure(error) }
        await group.triggerGracefulShutdown()
        try await tasks.waitForAll()
        return try result.get()
    }
}

/// A certificate for `localhost`.
func servingCertificate(
    _ authority: TestAuthority,
    serial: Int
) async throws -> ServingCertificate {
    let leaf = try await authority.issue("serving\(serial)", for: ["localhost"], serial: serial)
    func text(_ path: String) throws -> String {
        String(decoding: try Data(contentsOf: URL(filePath: path)), as: UTF8.self)
    }
    return ServingCertificate(
        chain: try text(leaf.chain),
        privateKey: try text(leaf.key),
        authorities: try text(authority.certificate),
        serial: "\(serial)",
        notAfterSeconds: .max
    )
}
