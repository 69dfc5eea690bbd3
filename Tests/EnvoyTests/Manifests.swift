/// Manifests for tests: a mesh "demo" with a caller and nodes that answer with their names.
enum Manifests {
    static func mesh(egressFilter: String = "DROP_ALL") -> String {
        """
        apiVersion: v1
        kind: Namespace
        metadata: {name: demo, labels: {mesh: demo}}
        ---
        apiVersion: appmesh.k8s.aws/v1beta2
        kind: Mesh
        metadata: {name: demo}
        spec:
          namespaceSelector: {matchLabels: {mesh: demo}}
          egressFilter: {type: \(egressFilter)}

        """
    }

    /// A virtual node that one workload serves on port 8080, its application on `appPort`.
    static func served(
        _ name: String,
        appPort: String,
        protocol listenerProtocol: String = "http",
        port: Int = 8080,
        backends: [String] = []
    ) -> String {
        let mode = listenerProtocol == "tcp" ? ", MODE: tcp" : ""
        return node(name, protocol: listenerProtocol, port: port, backends: backends) + """
            ---
            apiVersion: heddle.dev/v1alpha1
            kind: Workload
            metadata: {name: \(name), namespace: demo, labels: {app: \(name)}}
            spec:
              command: [python3, app.py]
              env: {NAME: \(name), PORT: "\(appPort)"\(mode)}
              ports: {\(port): \(appPort)}

            """
    }

    /// A virtual node whose application runs already, on `appPort` of 127.0.0.1; without a port it
    /// only calls others.
    static func running(
        _ name: String,
        appPort: Int? = nil,
        protocol listenerProtocol: String,
        backends: [String] = []
    ) -> String {
        node(name, protocol: listenerProtocol, backends: backends) + """
            ---
            apiVersion: heddle.dev/v1alpha1
            kind: Workload
            metadata: {name: \(name), namespace: demo, labels: {app: \(name)}}
            spec: {address: 127.0.0.1, ports: {\(appPort.map { "8080: \($0)" } ?? "")}}

            """
    }

    static func node(
        _ name: String,
        protocol listenerProtocol: String = "http",
        port: Int = 8080,
        backends: [String] = []
    ) -> String {
        """
        ---
        apiVersion: appmesh.k8s.aws/v1beta2
        kind: VirtualNode
        metadata: {name: \(name), namespace: demo}
        spec:
          podSelector: {matchLabels: {app: \(name)}}
          listeners: [{portMapping: {port: \(port), protocol: \(listenerProtocol)}}]
          serviceDiscovery: {dns: {hostname: \(name).demo.svc.cluster.local}}
          backends: [\(backends.map { "{virtualService: {virtualServiceRef: {name: \($0)}}}" }
              .joined(separator: ", "))]

        """
    }

    /// A virtual service that the node of the same name provides.
    static func service(_ name: String) -> String {
        """
        ---
        apiVersion: appmesh.k8s.aws/v1beta2
        kind: VirtualService
        metadata: {name: \(name), namespace: demo}
        spec: {provider: {virtualNode: {virtualNodeRef: {name: \(name)}}}}

        """
    }

    /// A virtual service with a router and `routes`, in YAML's flow style.
    static func routed(
        _ name: String,
        port: Int = 8080,
        protocol listenerProtocol: String = "http",
        routes: String
    )
        -> String
    {
        """
        ---
        apiVersion: appmesh.k8s.aws/v1beta2
        kind: VirtualService
        metadata: {name: \(name), namespace: demo}
        spec: {provider: {virtualRouter: {virtualRouterRef: {name: \(name)}}}}
        ---
        apiVersion: appmesh.k8s.aws/v1beta2
        kind: VirtualRouter
        metadata: {name: \(name), namespace: demo}
        spec:
          listeners: [{portMapping: {port: \(port), protocol: \(listenerProtocol)}}]
          routes: [\(routes)]

        """
    }

    /// A route of every request to `targets` by weight.
    static func route(
        _ targets: KeyValuePairs<String, Int>,
        match: String = "{prefix: /}"
    ) -> String {
        let list = targets.map { "{virtualNodeRef: {name: \($0.key)}, weight: \($0.value)}" }
        return "{name: all, httpRoute: {match: \(match), action: {weightedTargets: "
            + "[\(list.joined(separator: ", "))]}}}"
    }
}
