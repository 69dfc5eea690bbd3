import MeshModel
import MeshPlan
import MeshTesting
import Testing

/// What a bootstrap says of statistics.
@Suite struct ProxyStatisticsTests {
    private func bootstrap(_ statistics: ProxyStatistics?) throws -> JSONValue {
        let parameters = BootstrapParameters(
            xdsSocketPath: "/x",
            adminSocketPath: "/a",
            token: "t",
            statistics: statistics
        )
        return try MeshPlan.bootstrap(nodeID: "n", parameters).json
    }

    private func statistics(_ annotations: String) -> [ProxyID: ProxyStatistics?] {
        let world = World(
            yaml: """
                apiVersion: v1
                kind: Namespace
                metadata: {name: demo, labels: {mesh: demo}}
                ---
                apiVersion: appmesh.k8s.aws/v1beta2
                kind: Mesh
                metadata: {name: demo, annotations: {\(annotations)}}
                spec: {awsName: shop, namespaceSelector: {matchLabels: {mesh: demo}}}
                ---
                apiVersion: appmesh.k8s.aws/v1beta2
                kind: VirtualNode
                metadata: {namespace: demo, name: blue}
                spec: {podSelector: {matchLabels: {app: blue}}}
                ---
                apiVersion: heddle.dev/v1alpha1
                kind: Workload
                metadata: {namespace: demo, name: blue, labels: {app: blue}}
                ---
                apiVersion: appmesh.k8s.aws/v1beta2
                kind: VirtualGateway
                metadata: {namespace: demo, name: edge}
                spec:
                  namespaceSelector: {matchLabels: {mesh: demo}}
                  podSelector: {matchLabels: {app: edge}}
                  listeners: [{portMapping: {port: 8088, protocol: http}}]
                ---
                apiVersion: heddle.dev/v1alpha1
                kind: Workload
                metadata: {namespace: demo, name: edge, labels: {app: edge}}
                """
        )
        return plan(world, nowSeconds: 0).proxies.mapValues(\.statistics)
    }

    private func proxy(_ name: String) -> ProxyID {
        ProxyID(ObjectReference(namespace: "demo", name: name))
    }

    @Test func `statistics bear App Mesh's tags`() throws {
        let all = statistics("")
        let blue = ["appmesh.mesh": "shop", "appmesh.virtual_node": "blue_demo"]
        #expect(all[proxy("blue")] == ProxyStatistics(tags: blue))
        let edge = ["appmesh.mesh": "shop", "appmesh.virtual_gateway": "edge_demo"]
        #expect(all[proxy("edge")] == ProxyStatistics(tags: edge))
        let document = try bootstrap(ProxyStatistics(tags: blue))
        #expect(
            document["stats_config"]?["stats_tags"] == [
                ["tag_name": "appmesh.mesh", "fixed_value": "shop"],
                ["tag_name": "appmesh.virtual_node", "fixed_value": "blue_demo"],
            ]
        )
        #expect(document["stats_sinks"] == nil)
    }

    @Test func `a proxy of an earlier version has no tags`() throws {
        let document = try bootstrap(nil)
        #expect(document["stats_config"] == nil)
        #expect(document["stats_sinks"] == nil)
    }

    @Test func `DogStatsD is a sink of every proxy of the mesh`() throws {
        for statistics in statistics("heddle.dev/dogstatsd: 'unix:/run/dsd.sock'").values {
            let address = try bootstrap(statistics)["stats_sinks"]?.array?.first?["typed_config"]?[
                "address"
            ]
            #expect(address == ["pipe": ["path": "/run/dsd.sock"]])
        }
        for statistics in statistics("heddle.dev/dogstatsd: '127.0.0.1:8125'").values {
            let address = try bootstrap(statistics)["stats_sinks"]?.array?.first?["typed_config"]?[
                "address"
            ]?["socket_address"]
            #expect(address?["protocol"] == "UDP")
            #expect(address?["address"] == "127.0.0.1")
            #expect(address?["port_value"] == 8125)
        }
    }
}
