import Foundation
import KubernetesAPI
import Logging
import MeshIdentity
import MeshModel
import MeshTesting
import ServiceLifecycle
import Testing

@testable import MeshDaemon

/// The root in a Secret, on a real API server.
@Suite(.timeLimit(.minutes(3)), .enabled(if: kubernetesFolder != nil || kubernetesIsExpected))
struct `Cluster's authority` {
    private func folder() throws -> String {
        let path = "/tmp/heddle-authority-\(UUID().uuidString)"
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
        return path
    }

    private func client(_ server: KubernetesServer) throws -> KubernetesClient {
        KubernetesClient(try .kubeconfig(path: server.kubeconfig), logger: quiet)
    }

    private func authority(
        _ server: KubernetesServer,
        _ namespace: String,
        in folder: String
    ) async throws -> ClusterAuthority {
        try await ClusterAuthority(
            secret: ObjectKey(namespace: namespace, name: "heddle-ca"),
            client: try client(server),
            stateDirectory: folder,
            now: { .seconds(Date.now.timeIntervalSince1970) },
            logger: quiet
        )
    }

    private func copy(_ authority: ClusterAuthority) throws -> String {
        try String(contentsOfFile: authority.files.certificateChain, encoding: .utf8)
    }

    @Test func `replicas that begin at once have one root, which one of them made`() async throws {
        let server = try await KubernetesServer.shared()
        let namespace = try await server.makeNamespace()
        let copies = try await withThrowingTaskGroup { group in
            for _ in 0..<4 {
                group.addTask {
                    try copy(try await authority(server, namespace, in: try folder()))
                }
            }
            return try await group.reduce(into: Set()) { $0.insert($1) }
        }
        #expect(copies.count == 1)
        let type = try await server.kubectl(
            "-n",
            namespace,
            "get",
            "secret",
            "heddle-ca",
            "-o",
            "jsonpath={.type}"
        )
        #expect(type == "kubernetes.io/tls")
        // A later one takes it too.
        #expect(copies.contains(try copy(try await authority(server, namespace, in: try folder()))))
    }

    @Test(arguments: [
        ("tls.crt=garbage", "tls.key=garbage", "there is no PEM in it"),
        ("tls.crt=", "tls.key=", "there is no PEM in it"),
        ("other=x", "tls.key=x", "there is no tls.crt; put the certificate of a CA in tls.crt"),
    ])
    func `garbage in the Secret is told, and stays`(
        certificate: String,
        key: String,
        problem: String
    ) async throws {
        let server = try await KubernetesServer.shared()
        let namespace = try await server.makeNamespace()
        try await server.kubectl(
            "-n",
            namespace,
            "create",
            "secret",
            "generic",
            "heddle-ca",
            "--from-literal=\(certificate)",
            "--from-literal=\(key)"
        )
        func version() async throws -> String {
            try await server.kubectl(
                "-n",
                namespace,
                "get",
                "secret",
                "heddle-ca",
                "-o",
                "jsonpath={.metadata.resourceVersion}"
            )
        }
        let before = try await version()
        let error = await #expect(throws: IdentityError.self) {
            try await authority(server, namespace, in: try folder())
        }
        #expect(error?.description.hasPrefix("Secret \(namespace)/heddle-ca: ") == true)
        #expect(error?.description.contains(problem) == true, "\(error?.description ?? "")")
        #expect(try await version() == before)
    }

    @Test func `a user's root is taken, changes are followed, and what is deleted is put back`()
        async throws
    {
        let server = try await KubernetesServer.shared()
        let namespace = try await server.makeNamespace()
        let folder = try folder()
        func replace(_ name: String) async throws -> String {
            let path = "\(folder)/\(name)"
            _ = try await TestAuthority(name, in: folder)
            let text = try await server.kubectl(
                "-n",
                namespace,
                "create",
                "secret",
                "tls",
                "heddle-ca",
                "--cert=\(path).pem",
                "--key=\(path).key",
                "--dry-run=client",
                "-o",
                "json"
            )
            try await server.apply(text)
            return try String(contentsOfFile: "\(path).pem", encoding: .utf8)
        }
        let first = try await replace("first")
        let authority = try await authority(server, namespace, in: folder)
        #expect(try copy(authority).hasPrefix(first))
        let group = ServiceGroup(services: [authority], logger: quiet)
        try await withThrowingTaskGroup { tasks in
            tasks.addTask { try await group.run() }
            let second = try await replace("second")
            try await poll {
                try copy(authority)
            } until: {
                $0.hasPrefix(second)
            }
            // What is of no use is not taken.
            try await server.kubectl(
                "-n",
                namespace,
                "patch",
                "secret",
                "heddle-ca",
                "-p",
                #"{"data":{"tls.key":"eA=="}}"#
            )
            try await server.kubectl("-n", namespace, "delete", "secret", "heddle-ca")
            try await poll {
                try? await server.kubectl(
                    "-n",
                    namespace,
                    "get",
                    "secret",
                    "heddle-ca",
                    "-o",
                    "jsonpath={.metadata.labels}"
                )
            } until: {
                $0?.contains("heddle") == true
            }
            #expect(try copy(authority).hasPrefix(second))
            await group.triggerGracefulShutdown()
            try await tasks.waitForAll()
        }
    }
}

private let quiet = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
