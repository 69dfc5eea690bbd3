import EnvoyAPI
import Foundation
import GRPCCore
import GRPCNIOTransportHTTP2Posix
import GRPCProtobuf
import MeshTesting
import SwiftProtobuf
import Synchronization

/// An SDS server of the tests' own, which serves as a SPIRE agent does: each secret on a stream of its
/// own, state of the world, and anew when it changes.
final class SecretServer: RegistrableRPCService {
    private typealias Request = Envoy_Service_Discovery_V3_DiscoveryRequest
    private typealias Response = Envoy_Service_Discovery_V3_DiscoveryResponse
    private typealias Secret = Envoy_Extensions_TransportSockets_Tls_V3_Secret

    private struct State {
        var secrets: [String: Secret] = [:]
        var version = 0
        var streams: [Int: AsyncStream<Event>.Continuation] = [:]
        var opened = 0
    }

    private enum Event {
        case asked([String])
        case changed
    }

    private let state = Mutex(State())

    private init() {}

    /// Runs `body` while the Unix socket `path` is served.
    static func run(_ path: String, _ body: (SecretServer) async throws -> Void) async throws {
        let service = SecretServer()
        let server = GRPCServer(
            transport: HTTP2ServerTransport.Posix(
                address: .unixDomainSocket(path: path),
                transportSecurity: .plaintext
            ),
            services: [service]
        )
        try await withThrowingTaskGroup { group in
            group.addTask { try await server.serve() }
            _ = try await server.listeningAddress
            try await body(service)
            group.cancelAll()
        }
    }

    /// Serves a certificate from now on, in place of the one before.
    func serve(_ certificate: TestCertificate, as name: String) throws {
        var secret = Secret()
        secret.tlsCertificate.certificateChain.inlineBytes = try bytes(certificate.chain)
        secret.tlsCertificate.privateKey.inlineBytes = try bytes(certificate.key)
        serve(secret, as: name)
    }

    /// Serves trust in an authority from now on.
    func serve(_ authority: TestAuthority, as name: String) throws {
        var secret = Secret()
        secret.validationContext.trustedCa.inlineBytes = try bytes(authority.certificate)
        serve(secret, as: name)
    }

    private func bytes(_ path: String) throws -> Data {
        try Data(contentsOf: URL(fileURLWithPath: path))
    }

    private func serve(_ secret: Secret, as name: String) {
        state.withLock { state in
            state.secrets[name] = secret
            state.secrets[name]?.name = name
            state.version += 1
            for stream in state.streams.values { stream.yield(.changed) }
        }
    }

    func registerMethods<Transport: ServerTransport>(with router: inout RPCRouter<Transport>) {
        router.registerHandler(
            forMethod: MethodDescriptor(
                fullyQualifiedService: "envoy.service.secret.v3.SecretDiscoveryService",
                method: "StreamSecrets"
            ),
            deserializer: ProtobufDeserializer<Request>(),
            serializer: ProtobufSerializer<Response>()
        ) { request, _ in
            StreamingServerResponse { writer in
                try await self.stream(request, writer)
                return [:]
            }
        }
    }

    private func stream(
        _ request: StreamingServerRequest<Request>,
        _ writer: RPCWriter<Response>
    ) async throws {
        let (events, continuation) = AsyncStream.makeStream(of: Event.self)
        let number = state.withLock { state in
            state.opened += 1
            state.streams[state.opened] = continuation
            return state.opened
        }
        defer { state.withLock { _ = $0.streams.removeValue(forKey: number) } }
        try await withThrowingTaskGroup { group in
            group.addTask {
                defer { continuation.finish() }
                for try await message in request.messages where message.responseNonce.isEmpty {
                    continuation.yield(.asked(message.resourceNames))
                }
            }
            var names: [String] = []
            for await event in events {
                if case .asked(let asked) = event { names = asked }
                if let response = try response(names) { try await writer.write(response) }
            }
            try await group.waitForAll()
        }
    }

    /// The secrets of these names; nil when there is none yet.
    private func response(_ names: [String]) throws -> Response? {
        let (secrets, version) = state.withLock { state in
            (names.compactMap { state.secrets[$0] }, "\(state.version)")
        }
        guard !secrets.isEmpty else { return nil }
        var response = Response()
        response.versionInfo = version
        response.nonce = version
        response.typeURL =
            "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret"
        response.resources = try secrets.map { secret in
            var resource = Google_Protobuf_Any()
            resource.typeURL = response.typeURL
            resource.value = try secret.serializedData()
            return resource
        }
        return response
    }
}
