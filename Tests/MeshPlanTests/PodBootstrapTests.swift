import Foundation
import MeshModel
import MeshPlan
import Testing

/// The configuration with which the proxy of a Pod starts.
@Suite struct `Bootstrap of a Pod's proxy` {
    private func parameters(
        _ change: (inout PodBootstrapParameters) -> Void = { _ in }
    ) throws -> PodBootstrapParameters {
        var parameters = PodBootstrapParameters(
            xdsHost: "heddle.heddle-system.svc",
            xdsPort: try #require(Port(18000)),
            serverName: "heddle.heddle-system.svc",
            rootCertificates: "the root",
            tokenPath: "/var/run/secrets/heddle.dev/token"
        )
        change(&parameters)
        return parameters
    }

    private func bootstrap(
        _ change: (inout PodBootstrapParameters) -> Void = { _ in }
    ) throws -> JSONValue {
        let text = try podBootstrap(nodeID: "mesh/m/virtualNode/blue", parameters(change))
        return try JSONDecoder().decode(JSONValue.self, from: Data(text.utf8))
    }

    @Test func `the admin interface stays within the Pod, and its agent's port is open`() throws {
        let bootstrap = try bootstrap()
        let admin = bootstrap["admin"]?["address"]?["socket_address"]
        #expect(admin?["address"] == "127.0.0.1")
        #expect(admin?["port_value"] == 9901)
        let listeners = bootstrap["static_resources"]?["listeners"]?.array ?? []
        #expect(listeners.count == 1)
        #expect(listeners.first?["address"]?["socket_address"]?["address"] == "0.0.0.0")
        #expect(listeners.first?["address"]?["socket_address"]?["port_value"] == 9902)
    }

    @Test func `without a drain there is no path for it`() throws {
        let secret = "0123456789abcdef"
        let with = try podBootstrap(
            nodeID: "n",
            parameters { $0.drain = .init(secret: secret) }
        )
        #expect(with.contains("/drain/\(secret)"))
        #expect(with.contains("drain_listeners"))
        let without = try podBootstrap(nodeID: "n", parameters())
        #expect(!without.contains("drain_listeners"))
    }

    @Test(arguments: ["short", "0123456789abcde/..", "0123456789abcde\"", ""])
    func `a drain's secret is plain and long`(secret: String) throws {
        let parameters = try parameters { $0.drain = .init(secret: secret) }
        let error = #expect(throws: PodBootstrapError.self) {
            try podBootstrap(nodeID: "n", parameters)
        }
        #expect(error?.description.hasPrefix("drain.secret: ") == true)
        // The message goes where the secret must not.
        if !secret.isEmpty { #expect(error?.description.contains(secret) == false) }
    }

    @Test(arguments: ["relative", "/a\nb", ""])
    func `a token's path is absolute`(path: String) throws {
        let parameters = try parameters { $0.tokenPath = path }
        let error = #expect(throws: PodBootstrapError.self) {
            try podBootstrap(nodeID: "n", parameters)
        }
        #expect(error?.description.hasPrefix("tokenPath ") == true)
    }

    @Test func `a path with quotes stays one string of the script`() throws {
        let text = try podBootstrap(nodeID: "n", parameters { $0.tokenPath = #"/a"b\c"# })
        #expect(text.contains(#"io.open(\"/a\\\"b\\\\c\")"#))
    }

    @Test(arguments: [("10.0.0.1", "IP_ADDRESS"), ("::1", "IP_ADDRESS"), ("heddle.svc", "DNS")])
    func `the server is known by its name or its address`(name: String, type: String) throws {
        let bootstrap = try bootstrap { $0.serverName = name }
        let cluster = bootstrap["static_resources"]?["clusters"]?.array?.first
        let tls = cluster?["transport_socket"]?["typed_config"]
        let context = tls?["common_tls_context"]?["validation_context"]
        let matcher = context?["match_typed_subject_alt_names"]?.array?.first
        #expect(matcher?["san_type"]?.string == type)
        #expect(matcher?["matcher"]?["exact"]?.string == name)
        #expect((tls?["sni"]?.string == name) == (type == "DNS"))
    }
}
