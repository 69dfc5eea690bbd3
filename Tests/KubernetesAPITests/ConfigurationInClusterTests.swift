import Foundation
import HTTPClient
import Logging
import MeshTesting
import Testing

@testable import KubernetesAPI

/// What a Pod is given.
@Suite(.timeLimit(.minutes(5)))
struct ConfigurationInClusterTests {
    private static let place = [
        "KUBERNETES_SERVICE_HOST": "10.0.0.1", "KUBERNETES_SERVICE_PORT": "443",
    ]

    private static func read(
        _ folder: TestFolder,
        _ environment: [String: String] = place
    ) throws(KubernetesError) -> KubernetesConfiguration? {
        try .inCluster(folder: folder.path, environment: environment)
    }

    private static func fill(_ folder: TestFolder) throws {
        try folder.write("token", "t")
        try folder.write("ca.crt", "PEM")
        try folder.write("namespace", "heddle-system\n")
    }

    @Test func `server, namespace and credentials come from the Pod's folder`() async throws {
        try await TestFolder.use { folder in
            try Self.fill(folder)
            let configuration = try #require(try Self.read(folder))
            #expect(configuration.server == "https://10.0.0.1:443")
            #expect(configuration.namespace == "heddle-system")
            #expect(configuration.user.tokenFile == "\(folder.path)/token")
            #expect(configuration.authorities == .file("\(folder.path)/ca.crt"))
            let address = ["KUBERNETES_SERVICE_HOST": "fd00::1", "KUBERNETES_SERVICE_PORT": "443"]
            #expect(try Self.read(folder, address)?.server == "https://[fd00::1]:443")
        }
    }

    @Test func `outside a cluster there is none`() async throws {
        try await TestFolder.use { folder in
            try Self.fill(folder)
            #expect(try Self.read(folder, [:]) == nil)
            #expect(try Self.read(folder, ["KUBERNETES_SERVICE_HOST": "10.0.0.1"]) == nil)
        }
    }

    @Test func `a Pod without a token is told why`() async throws {
        try await TestFolder.use { folder in
            let error = #expect(throws: KubernetesError.self) { try Self.read(folder) }
            #expect(
                error?.description
                    == "service account: \(folder.path)/token: no such file or directory; does the "
                    + "Pod have automountServiceAccountToken: false?"
            )
        }
    }

    @Test(.enabled(if: kubernetesIsExpected))
    func `a Pod's token is read again as it is replaced`() async throws {
        let server = try await KubernetesServer.shared()
        let namespace = try await server.makeNamespace("pod")
        for account in ["one", "two"] {
            _ = try await server.createServiceAccount(
                namespace,
                account,
                rules: account == "two" ? [.init("", ["configmaps"], ["list"])] : []
            )
        }
        try await TestFolder.use { folder in
            try folder.write("token", try await server.token(namespace, "one"))
            try folder.write("namespace", namespace)
            let authority = try String(
                contentsOfFile: server.certificateAuthority,
                encoding: .utf8
            )
            try folder.write("ca.crt", authority)
            let port = server.server.split(separator: ":").last.map(String.init) ?? ""
            let environment = [
                "KUBERNETES_SERVICE_HOST": "127.0.0.1", "KUBERNETES_SERVICE_PORT": port,
            ]
            let configuration = try #require(try Self.read(folder, environment))
            let client = KubernetesClient(configuration, logger: Logger(label: "test"))
            let list = {
                try await client.list(
                    ClientServerTests.ConfigMap.self,
                    ClientServerTests.configMaps
                )
            }
            let error = await #expect(throws: KubernetesError.self) { try await list() }
            #expect(error?.description.contains("\(namespace):one") == true)
            // As kubelet does it: another file under the name.
            try folder.write("token", try await server.token(namespace, "two") + "\n")
            _ = try await list()
        }
    }
}
