import MeshManifests
import MeshModel
import Testing

/// What someone sees who made twelve different mistakes in one folder's worth of manifests.
@Suite struct TwelveMistakesTests {
    static let text = """
        apiVersion: appmesh.k8s.aws/v1beta2
        kind: VirtualNode
        metadata:
          name: blue
          namespace: demo
        spec:
          listners: []
          listeners:
            - portMapping:
                port: 70000
                protocol: http
              healthCheck:
                protocol: http
                healthyThreshold: "2"
                unhealthyThreshold: 2
                timeoutMillis: 2000
                intervalMillis: 5000
          backends:
            - virtualService:
                virtualServiceRef: {name: a}
            - virtualService:
                virtualServiceRef: {name: a}
          podSelector:
            matchLabels:
              version: 2
        ---
        apiVersion: appmesh.k8s.aws/v1beta2
        kind: VirtualRouter
        metadata:
          name: colors
          namespace: demo
        spec:
          routes:
            - name: first
              httpRoute:
                match:
                  prefix: paths
                action:
                  weightedTargets:
                    - {virtualNodeRef: {name: blue}, weight: 60}
                    - {virtualNodeRef: {name: red}, weight: 60}
            - name: first
              grpcRoute:
                match: {methodName: Get}
                action:
                  weightedTargets:
                    - weight: 1
        ---
        apiVersion: appmesh.k8s.aws/v1beta2
        kind: VirtualGatway
        metadata:
          name: entry
          namespace: demo
        ---
        apiVersion: v1
        kind: Namespace
        metadata:
          name: demo
        """

    static let expected = """
        demo.yaml:6: error: VirtualNode demo/blue: spec.serviceDiscovery: missing: serviceDiscovery must be specified when a listener is specified; add serviceDiscovery.dns.hostname, or remove listeners
        demo.yaml:7: warning: VirtualNode demo/blue: spec.listners: unknown field "listners" is ignored; did you mean "listeners"?
        demo.yaml:10: error: VirtualNode demo/blue: spec.listeners[0].portMapping.port: 70000 is out of range; use 1 to 65535
        demo.yaml:14: error: VirtualNode demo/blue: spec.listeners[0].healthCheck.healthyThreshold: expected an integer, found the string "2"; remove the quotes
        demo.yaml:21: error: VirtualNode demo/blue: spec.backends[1].virtualService: duplicate backend "demo/a" (first on line 19); remove one
        demo.yaml:25: error: VirtualNode demo/blue: spec.podSelector.matchLabels.version: expected a string, found the number 2; quote it
        demo.yaml:37: error: VirtualRouter demo/colors: spec.routes[0].httpRoute.match.prefix: "paths" does not start with "/"; put "/" before it
        demo.yaml:39: error: VirtualRouter demo/colors: spec.routes[0].httpRoute.action.weightedTargets: the weights add up to 120; use weights that add up to 100 at most
        demo.yaml:42: error: VirtualRouter demo/colors: spec.routes[1].name: duplicate route entries for "first" (first on line 34); rename one
        demo.yaml:44: error: VirtualRouter demo/colors: spec.routes[1].grpcRoute.match.methodName: methodName is given without serviceName; add serviceName
        demo.yaml:47: error: VirtualRouter demo/colors: spec.routes[1].grpcRoute.action.weightedTargets[0]: neither virtualNodeRef nor virtualNodeARN is given; give exactly one
        demo.yaml:50: error: kind: appmesh.k8s.aws/v1beta2 has no kind "VirtualGatway"; did you mean VirtualGateway?
        """

    @Test func `each of twelve mistakes is reported with file line field and remedy`() {
        let file = decode(Self.text)
        #expect(file.objects.map(\.id.description) == ["Namespace demo"])
        #expect(file.diagnostics.allSatisfy { $0.remedy != nil && !$0.field.isEmpty })
        let lines = file.diagnostics.sorted().map(\.description)
        #expect(lines == Self.expected.split(separator: "\n").map(String.init))
        #expect(lines.count == 12)
    }
}
