import Foundation
import MeshModel
import MeshTesting
import Testing
import Yams

/// What an API server keeps of the examples' objects, and of the statuses that Heddle writes.
@Suite(.enabled(if: kubernetesIsExpected), .timeLimit(.minutes(5)))
struct CustomResourceExampleTests {
    static let manifests = ["canary/mesh.yaml", "gateway/mesh.yaml", "gateway/policies.yaml"]

    @Test(arguments: manifests)
    func `examples are applied, and nothing of them is lost`(_ name: String) async throws {
        let server = try await ClusterServer.withDefinitions()
        let folder = packageFolder.appending(path: "Manifests/examples")
        let text = try String(contentsOf: folder.appending(path: name), encoding: .utf8)
        try await server.apply(text)
        try await expectKept(text, on: server, atLeast: 1)
    }

    private func expectKept(
        _ text: String,
        on server: KubernetesServer,
        atLeast count: Int
    ) async throws {
        let documents = try Yams.load_all(yaml: text).compactMap { $0 }
        #expect(documents.count >= count)
        for document in documents {
            let data = try JSONSerialization.data(withJSONObject: document)
            let object = try JSONDecoder().decode(JSONValue.self, from: data)
            guard let spec = object["spec"] else { continue }
            let kind = try CustomResourceTable().kind(try #require(object["kind"]?.string))
            let metadata = try #require(object["metadata"])
            let path = kind.path(in: metadata["namespace"]?.string ?? "default")
            let name = try #require(metadata["name"]?.string)
            let kept = try JSONValue(text: try await server.request("GET", "\(path)/\(name)"))
            #expect(kept["spec"] == spec, "\(kind.name) \(name)")
        }
    }

    @Test func `what the page on gateways shows is applied, and nothing of it is lost`()
        async throws
    {
        let server = try await ClusterServer.withDefinitions()
        let namespace = try await server.makeNamespace()
        let page = packageFolder.appending(
            path: "Sources/MeshDaemon/Documentation.docc/Gateways.md"
        )
        let text = try String(contentsOf: page, encoding: .utf8)
        let blocks = text.components(separatedBy: "```yaml\n").dropFirst()
            .compactMap { $0.components(separatedBy: "\n```").first }
            .filter { $0.contains("appmesh.k8s.aws/") }
        let yaml = blocks.joined(separator: "\n---\n")
            .replacing("namespace: shop", with: "namespace: \(namespace)")
        try await server.apply(yaml)
        try await expectKept(yaml, on: server, atLeast: 2)
    }

    /// The golden cases have every field that `plan` writes.
    @Test func `what Heddle says in a status is kept`() async throws {
        let server = try await ClusterServer.withDefinitions()
        let kinds = try CustomResourceTable().kinds
        var stored: [String: JSONValue] = [:]
        for kind in kinds {
            let name = "status-\(UUID().uuidString.lowercased())"
            let body = try kind.object(name).text
            let answer = try await server.request("POST", kind.path(in: "default"), body)
            stored[kind.name] = try JSONValue(text: answer)
        }
        var seen: Set<JSONValue> = []
        var count: [String: Int] = [:]
        for (id, status) in try Self.goldenStatuses() {
            let name = String(id.prefix { $0 != " " })
            guard let kind = kinds.first(where: { $0.name == name }), var object = stored[name],
                seen.insert([.string(name), status]).inserted
            else { continue }
            object["status"] = status
            let stored = try #require(object["metadata"]?["name"]?.string)
            let path = "\(kind.path(in: "default"))/\(stored)/status?dryRun=All"
            let answer = try await server.request("PUT", path, try object.text)
            let kept = try JSONValue(text: answer)["status"]
            #expect(kept == status.withoutNulls, "\(id)")
            count[name, default: 0] += 1
        }
        for kind in kinds { #expect(count[kind.name, default: 0] > 0, "\(kind.name)") }
    }

    /// The statuses of all golden cases, by kind and name.
    private static func goldenStatuses() throws -> [(String, JSONValue)] {
        let cases = packageFolder.appending(path: "Tests/GoldenTests/Cases")
        return try FileManager.default.contentsOfDirectory(atPath: cases.path).sorted().flatMap {
            let data = try Data(contentsOf: cases.appending(path: "\($0)/status.json"))
            return try JSONDecoder().decode([String: JSONValue].self, from: data)
                .sorted { $0.key < $1.key }.map { ($0.key, $0.value) }
        }
    }

    @Test func `kubectl has App Mesh's columns, and more when asked`() async throws {
        let server = try await ClusterServer.withDefinitions()
        let namespace = try await server.makeNamespace()
        try await server.apply(
            """
            apiVersion: appmesh.k8s.aws/v1beta2
            kind: VirtualNode
            metadata: {name: blue}
            """,
            namespace: namespace
        )
        let path = "/apis/appmesh.k8s.aws/v1beta2/namespaces/\(namespace)/virtualnodes/blue/status"
        let status = #"""
            {"status": {"virtualNodeARN": "arn:blue", "sidecarCount": 3, "readySidecarCount": 2,
            "conditions": [{"type": "ProxiesReady", "status": "False"},
            {"type": "VirtualNodeActive", "status": "True", "reason": "Active"}]}}
            """#
        try await server.request("PATCH", path, status, type: "application/merge-patch+json")
        let rows = try await server.kubectl("get", "virtualnodes", "-n", namespace)
        #expect(rows.contains(/NAME +ARN +AGE\nblue +arn:blue +\d+s/))
        let wide = try await server.kubectl("get", "virtualnodes", "-n", namespace, "-o", "wide")
        #expect(wide.contains(/NAME +ARN +AGE +ACTIVE +REASON +PROXIES +READY\n/))
        #expect(wide.contains(/blue +arn:blue +\d+s +True +Active +3 +2/))
        let all = try await server.kubectl("get", "all", "-n", namespace)
        #expect(all.contains("virtualnode.appmesh.k8s.aws/blue"))
    }

    @Test func `the definitions are what their script makes`() async throws {
        let script = packageFolder.appending(path: "Manifests/crds/generate.py").path
        let result = try await runCommand("/usr/bin/env", ["python3", script, "--check"])
        #expect(result.status == 0, "\(result.output)")
    }
}

extension JSONValue {
    /// The value as a server stores it, in which no member is null.
    fileprivate var withoutNulls: JSONValue {
        switch self {
        case .object(let members):
            .object(members.filter { $0.value != .null }.mapValues(\.withoutNulls))
        case .array(let values): .array(values.map(\.withoutNulls))
        case .null, .bool, .integer, .number, .string: self
        }
    }
}
