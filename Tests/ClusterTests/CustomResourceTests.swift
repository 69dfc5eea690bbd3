import Foundation
import MeshModel
import MeshTesting
import Testing

/// What the definitions of the custom resources take and refuse, at a real API server.
@Suite(.enabled(if: kubernetesIsExpected), .timeLimit(.minutes(5)))
struct CustomResourceTests {
    static let kinds =
        ["Mesh", "VirtualNode", "VirtualService", "VirtualRouter", "VirtualGateway"]
        + ["GatewayRoute", "BackendGroup", "TrafficPolicy", "CertificateMapping"]

    @Test func `every kind of the table is tested, and all that there are`() throws {
        #expect(try CustomResourceTable().kinds.map(\.name) == Self.kinds)
    }

    @Test(arguments: kinds)
    func `each field of spec is taken and refused as the table says`(_ name: String) async throws {
        let kind = try CustomResourceTable().kind(name)
        let server = try await ClusterServer.withDefinitions()
        let path = kind.path(in: "default") + "?dryRun=All"
        try await check(kind.cases(of: "spec"), atLeast: 30) { fields in
            var object = kind.object("case")
            object["spec"] = nil
            for (key, value) in fields.object ?? [:] { object[key] = value }
            return try await server.request("POST", path, object.text)
        }
    }

    @Test(arguments: kinds)
    func `each field of status is taken and refused as the table says`(
        _ name: String
    ) async throws {
        let kind = try CustomResourceTable().kind(name)
        let server = try await ClusterServer.withDefinitions()
        let name = "status-\(UUID().uuidString.lowercased())"
        let stored = try await server.request(
            "POST",
            kind.path(in: "default"),
            kind.object(name).text
        )
        let object = try JSONValue(text: stored)
        let path = "\(kind.path(in: "default"))/\(name)/status?dryRun=All"
        try await check(kind.cases(of: "status"), atLeast: 20) { fields in
            var object = object
            object["status"] = fields["status"]
            return try await server.request("PUT", path, object.text)
        }
    }

    @Test(arguments: kinds)
    func `fields beside spec are kept of App Mesh's kinds alone`(_ name: String) async throws {
        let kind = try CustomResourceTable().kind(name)
        let server = try await ClusterServer.withDefinitions()
        var object = kind.object("beside")
        object["unknown"] = ["a": [1]]
        let path = kind.path(in: "default") + "?dryRun=All"
        let answer = try JSONValue(text: try await server.request("POST", path, object.text))
        #expect(answer["unknown"] == (kind.isOpen ? ["a": [1]] : nil))
        #expect(kind.isOpen == (kind.apiVersion == "appmesh.k8s.aws/v1beta2"))
    }

    /// Tries all cases, some at once.
    private func check(
        _ cases: [CustomResourceCase],
        atLeast count: Int,
        _ send: @escaping @Sendable (JSONValue) async throws -> String
    ) async throws {
        #expect(cases.count >= count)
        #expect(Set(cases.map(\.outcome)).contains(.refused))
        try await withThrowingTaskGroup(of: Void.self) { group in
            for (index, attempt) in cases.enumerated() {
                if index >= 8 { try await group.next() }
                group.addTask { try await Self.check(attempt, send) }
            }
            try await group.waitForAll()
        }
    }

    private static func check(
        _ attempt: CustomResourceCase,
        _ send: @Sendable (JSONValue) async throws -> String
    ) async throws {
        let name = "\(attempt.path), \(attempt.what)"
        do {
            let answer = try JSONValue(text: try await send(attempt.fields))
            let top = attempt.path.prefix { $0 != "." && $0 != "[" }
            let (sent, kept) = (attempt.fields[String(top)], answer[String(top)])
            switch attempt.outcome {
            case .kept: #expect(kept == sent, "\(name)")
            case .pruned:
                #expect(kept != nil && kept == sent?.without("unknown"), "\(name)")
            case .refused: Issue.record("\(name): it was taken")
            }
        } catch let refusal as KubernetesRefusal {
            // Older servers leave out the index of an element.
            let field = attempt.path.replacing("[]", with: "")
            let text = refusal.text.replacing(/\[\d+\]/, with: "")
            let isAbout = refusal.status == 422 && text.contains(field)
            #expect(attempt.outcome == .refused && isAbout, "\(name): \(refusal)")
        }
    }
}

extension CustomResourceTable.Kind {
    /// An object with no more than it must have.
    func object(_ name: String) -> JSONValue {
        var object: JSONValue = [
            "apiVersion": .string(apiVersion), "kind": .string(self.name),
            "metadata": ["name": .string(name)],
        ]
        for field in fields where field.isRequired {
            object[field.name] =
                cases(of: field.name).first { $0.what == "the least of it" }?
                .fields[field.name]
        }
        return object
    }
}

extension JSONValue {
    /// The value that `text` is.
    init(text: String) throws {
        self = try JSONDecoder().decode(JSONValue.self, from: Data(text.utf8))
    }

    /// The value as JSON.
    var text: String {
        get throws { String(decoding: try JSONEncoder().encode(self), as: UTF8.self) }
    }

    /// All that is no object or list, by its path: numbers as text, since 0 and 0.0 are equal.
    var flattened: [String: String] {
        switch self {
        case .object(let members): Self.flattened(members.map { ($0.key, $0.value) })
        case .array(let elements): Self.flattened(elements.enumerated().map { ("\($0)", $1) })
        case .number(let number): ["": "\(number)"]
        case .integer(let number): ["": "\(Double(number))"]
        case .null, .bool, .string: ["": "\(self)"]
        }
    }

    private static func flattened(_ members: [(String, JSONValue)]) -> [String: String] {
        members.reduce(into: [:]) { flat, member in
            for (path, value) in member.1.flattened { flat["\(member.0).\(path)"] = value }
        }
    }

    /// The value without members of this name, however deep they are.
    fileprivate func without(_ name: String) -> JSONValue {
        switch self {
        case .object(let members):
            .object(members.filter { $0.key != name }.mapValues { $0.without(name) })
        case .array(let elements): .array(elements.map { $0.without(name) })
        case .null, .bool, .integer, .number, .string: self
        }
    }
}
