import MeshModel
import MeshPlan
import MeshTesting
import Testing

@Suite struct ForbiddenPortTests {
    private let world = World(
        demo: """
            apiVersion: appmesh.k8s.aws/v1beta2
            kind: VirtualNode
            metadata: {name: web, namespace: demo}
            spec:
              podSelector: {matchLabels: {app: web}}
              listeners:
                - {portMapping: {port: 80, protocol: http}}
                - {portMapping: {port: 8080, protocol: http}}
              serviceDiscovery: {dns: {hostname: web.demo}}
              backends: [{virtualService: {virtualServiceRef: {name: web}}}]
            ---
            apiVersion: appmesh.k8s.aws/v1beta2
            kind: VirtualService
            metadata: {name: web, namespace: demo}
            spec: {provider: {virtualNode: {virtualNodeRef: {name: web}}}}
            ---
            apiVersion: heddle.dev/v1alpha1
            kind: Workload
            metadata: {name: web, namespace: demo, labels: {app: web}}
            """
    )

    @Test func `without root a proxy leaves out the ports that only root may have`() throws {
        let plan = plan(world, nowSeconds: 0, options: PlanOptions(lowestPort: Port(1024)))
        let proxy = try #require(plan.proxies.values.first)
        #expect(proxy.ingressPorts.map(\.number) == [15000, 8080])
        #expect(proxy.egressPorts.map(\.number) == [15001, 8080])
        let problems = plan.diagnostics.filter { $0.severity != .note }
        #expect(problems.map(\.severity) == [.error, .warning])
        #expect(problems.first?.field == "spec.listeners[0].portMapping.port")
        #expect(problems.last?.field == "spec.backends")
    }

    @Test func `root may have every port`() throws {
        let proxy = try #require(plan(world, nowSeconds: 0).proxies.values.first)
        #expect(proxy.ingressPorts.map(\.number) == [15000, 80, 8080])
    }

    @Test(arguments: [true, false])
    func `without root a gateway has a low port under another number, if it has one`(
        _ isMapped: Bool
    ) throws {
        let world = World(
            demo: """
                apiVersion: appmesh.k8s.aws/v1beta2
                kind: VirtualGateway
                metadata: {name: edge, namespace: demo}
                spec:
                  namespaceSelector: {}
                  podSelector: {matchLabels: {app: edge}}
                  listeners: [{portMapping: {port: 80, protocol: http}}]
                ---
                apiVersion: heddle.dev/v1alpha1
                kind: Workload
                metadata: {name: edge, namespace: demo, labels: {app: edge}}
                spec: \(isMapped ? "{address: 0.0.0.0, ports: {80: 8080}}" : "{}")
                """
        )
        let plan = plan(world, nowSeconds: 0, options: PlanOptions(lowestPort: Port(1024)))
        let proxy = try #require(plan.proxies.values.first)
        #expect(proxy.ingressPorts == [])
        #expect(proxy.snapshot[.listeners].keys.contains("lds_ingress_0.0.0.0_80") == isMapped)
        let errors = plan.diagnostics.filter { $0.severity == .error }
        #expect(errors.isEmpty == isMapped)
    }
}
