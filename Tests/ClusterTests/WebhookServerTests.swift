import Foundation
import HTTPClient
import Logging
import MeshAdmission
import MeshDaemon
import MeshModel
import MeshTesting
import ServiceLifecycle
import Synchronization
import Testing

/// The webhooks' server, asked by whoever reaches it.
@Suite(.timeLimit(.minutes(2)))
struct WebhookServerTests {
    private static let mesh = """
        {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": {"uid": "u1", \
        "operation": "CREATE", "kind": {"kind": "Mesh"}, \
        "object": {"metadata": {"name": "demo"}}}}
        """
    private static let path = "/mutate-appmesh-k8s-aws-v1beta2-mesh"

    @Test func `a review is answered`() async throws {
        try await withServer { server in
            let answer = try await server.post(Self.path, Self.mesh)
            #expect(answer.status == 200)
            let document = try JSONDecoder().decode(JSONValue.self, from: Data(answer.text.utf8))
            #expect(document["response"]?["uid"] == "u1")
            #expect(document["response"]?["allowed"] == true)
            #expect(document["response"]?["patch"]?.string?.isEmpty == false)
            let status1 = try await server.get("/healthz").status
            #expect(status1 == 200)
        }
    }

    @Test func `what can't be understood is refused, and nothing ends`() async throws {
        try await withServer { server in
            let bodies = [
                "", "{", "[1]", "null", "\u{0}", String(repeating: "[", count: 100_000),
                String(repeating: "[[],", count: 100_000), "{\"apiVersion\": 1}",
                Self.mesh.replacing("Mesh\"}", with: "Pod\"}"), Self.mesh + "x",
            ]
            for body in bodies {
                let status2 = try await server.post(Self.path, body).status
                #expect(status2 == 400)
            }
            let status3 = try await server.post("/mutate", Self.mesh).status
            #expect(status3 == 404)
            let status4 = try await server.get(Self.path).status
            #expect(status4 == 405)
            let status5 = try await server.post(Self.path, Self.mesh).status
            #expect(status5 == 200)
        }
    }

    @Test func `a body beyond the limit is refused`() async throws {
        try await withServer { server in
            let large = String(repeating: " ", count: (4 << 20) + 1)
            // The connection may end before all of it is sent.
            if let answer = try? await server.post(Self.path, large) {
                #expect(answer.status == 413)
            }
            let allowed = Self.mesh + String(repeating: " ", count: 3 << 20)
            let status6 = try await server.post(Self.path, allowed).status
            #expect(status6 == 200)
        }
    }

    @Test func `what takes objects waits until they are read`() async throws {
        try await withServer { server in
            let pod = Self.mesh.replacing("\"Mesh\"", with: "\"Pod\"")
            let unready = try await server.post("/mutate-v1-pod", pod)
            #expect(unready.status == 503)
            server.world.show(World())
            let status7 = try await server.post("/mutate-v1-pod", pod).status
            #expect(status7 == 200)
        }
    }

    @Test func `an object waits for what was applied just before`() async throws {
        try await withServer { server in
            server.world.show(World())
            let node = Self.mesh.replacing("\"Mesh\"", with: "\"VirtualNode\"")
                .replacing(#""name": "demo""#, with: #""name": "blue", "namespace": "demo""#)
            async let answer = server.post("/mutate-appmesh-k8s-aws-v1beta2-virtualnode", node)
            // It was asked in vain, and waits.
            try await poll({ server.world.readerCount }) { $0 == 1 }
            server.world.show(World(demo: ""))
            let document = try JSONDecoder().decode(
                JSONValue.self,
                from: Data(try await answer.text.utf8)
            )
            #expect(document["response"]?["allowed"] == true)
        }
    }

    @Test(arguments: [WebhookServer.TLSVersion.tls12, .tls13])
    func `an old version of TLS is not spoken`(minimum: WebhookServer.TLSVersion) async throws {
        try await withServer(minimum) { server in
            func speaks(_ version: String) async throws -> Bool {
                let script =
                    "exec openssl s_client -connect 127.0.0.1:\(server.port) \(version) </dev/null"
                let output = try await runCommand("/bin/sh", ["-c", script]).output
                return output.contains("BEGIN CERTIFICATE")
            }
            let speaks11 = try await speaks("-tls1_1 -cipher DEFAULT@SECLEVEL=0")
            #expect(!speaks11)
            let speaks12 = try await speaks("-tls1_2")
            #expect(speaks12 == (minimum == .tls12))
            let speaks13 = try await speaks("-tls1_3")
            #expect(speaks13)
        }
    }

    // MARK: Parts

    /// A server that runs for a test.
    private final class Running: Sendable {
        let world = NewestWorld()
        let listening = Mutex<Int?>(nil)
        let authority: String
        private let client = HTTPClient()

        init(authority: String) { self.authority = authority }

        var port: Int { listening.withLock { $0 } ?? 0 }

        func post(_ path: String, _ body: String) async throws -> HTTPResponse {
            try await send("POST", path, Array(body.utf8))
        }

        func get(_ path: String) async throws -> HTTPResponse { try await send("GET", path, nil) }

        private func send(
            _ method: String,
            _ path: String,
            _ body: [UInt8]?
        ) async throws -> HTTPResponse {
            let request = HTTPRequest(
                method,
                "https://localhost:\(port)\(path)",
                headers: [HTTPField("Content-Type", "application/json")],
                body: body,
                certificateAuthorityFile: authority
            )
            return try await client.response(to: request)
        }
    }

    private func withServer(
        _ minimum: WebhookServer.TLSVersion = .tls12,
        _ use: @Sendable (Running) async throws -> Void
    ) async throws {
        let folder = FileManager.default.temporaryDirectory
            .appendingPathComponent("heddle-webhooks-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        let authority = try await TestAuthority("webhooks", in: folder.path)
        let issued = try await authority.issue("server", for: ["localhost"])
        let certificate = WebhookCertificate(
            chain: try String(contentsOfFile: issued.chain, encoding: .utf8),
            privateKey: try String(contentsOfFile: issued.key, encoding: .utf8)
        )
        let running = Running(authority: authority.certificate)
        let settings = InjectionSettings()
        let server = WebhookServer(
            address: HostAndPort(host: "127.0.0.1", port: 0),
            minimumVersion: minimum,
            controller: AdmissionController(settings: settings) { _ in "{}" },
            certificate: { certificate },
            world: running.world,
            patience: .seconds(60),
            logger: Logger(label: "webhooks") { _ in SwiftLogNoOpLogHandler() }
        ) { port in running.listening.withLock { $0 = port } }
        let group = ServiceGroup(
            configuration: ServiceGroupConfiguration(
                services: [.init(service: server)],
                logger: Logger(label: "group") { _ in SwiftLogNoOpLogHandler() }
            )
        )
        try await withThrowingTaskGroup(of: Void.self) { tasks in
            tasks.addTask { try await group.run() }
            try await poll({ running.listening.withLock { $0 } }) { $0 != nil }
            try await use(running)
            await group.triggerGracefulShutdown()
            try await tasks.waitForAll()
        }
    }
}
