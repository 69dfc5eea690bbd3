/// Manifests for tests: a mesh "demo" with a caller and nodes that answer with their names.
enum Manifests {
    static func mesh(
        _ name: String = "demo",
        egressFilter: String = "DROP_ALL",
        annotations: String = ""
    ) -> String {
        """
        ---
        apiVersion: v1
        kind: Namespace
        metadata: {name: \(name), labels: {mesh: \(name)}}
        ---
        apiVersion: appmesh.k8s.aws/v1beta2
        kind: Mesh
        metadata: {name: \(name), annotations: {\(annotations)}}
        spec:
          namespaceSelector: {matchLabels: {mesh: \(name)}}
          egressFilter: {type: \(egressFilter)}

        """
    }

    /// A virtual node that one workload serves on port 8080, its application on `appPort`.
    static func served(
        _ name: String,
        appPort: String,
        protocol listenerProtocol: String = "http",
        port: Int = 8080,
        listener: String = "",
        backends: [String] = [],
        rest: String = ""
    ) -> String {
        node(
            name,
            protocol: listenerProtocol,
            port: port,
            listener: listener,
            backends: backends,
            rest: rest
        )
            + workload(
                name,
                of: name,
                appPort: appPort,
                port: port,
                mode: listenerProtocol == "tcp" ? "tcp" : "http"
            )
    }

    /// A workload of the virtual node `node`, its application on `appPort`.
    static func workload(
        _ name: String,
        of node: String,
        appPort: String,
        port: Int = 8080,
        mode: String = "http",
        sidecar: String = ""
    ) -> String {
        """
        ---
        apiVersion: heddle.dev/v1alpha1
        kind: Workload
        metadata: {name: \(name), namespace: demo, labels: {app: \(node)}}
        spec:
          command: [python3, app.py]
          env: {NAME: \(name), PORT: "\(appPort)", MODE: \(mode)}
          ports: {\(port): \(appPort)}
          \(sidecar.isEmpty ? "" : "sidecar: {\(sidecar)}")

        """
    }

    /// A virtual node whose application runs already, on `appPort` of 127.0.0.1; without a port it
    /// only calls others.
    static func running(
        _ name: String,
        appPort: Int? = nil,
        protocol listenerProtocol: String = "http",
        backends: [String] = [],
        rest: String = ""
    ) -> String {
        node(name, protocol: listenerProtocol, backends: backends, rest: rest)
            + runningWorkload(name, of: name, appPort: appPort)
    }

    /// A workload of the virtual node `node` whose application runs already.
    static func runningWorkload(
        _ name: String,
        of node: String,
        appPort: (any CustomStringConvertible)? = nil,
        port: Int = 8080
    ) -> String {
        """
        ---
        apiVersion: heddle.dev/v1alpha1
        kind: Workload
        metadata: {name: \(name), namespace: demo, labels: {app: \(node)}}
        spec: {address: 127.0.0.1, ports: {\(appPort.map { "\(port): \($0)" } ?? "")}}

        """
    }

    /// A virtual node; `listener` adds fields to its listener, in YAML's flow style, and `rest` to its
    /// `spec`.
    static func node(
        _ name: String,
        protocol listenerProtocol: String = "http",
        port: any CustomStringConvertible = 8080,
        hostname: String? = nil,
        listener: String = "",
        backends: [String] = [],
        rest: String = ""
    ) -> String {
        """
        ---
        apiVersion: appmesh.k8s.aws/v1beta2
        kind: VirtualNode
        metadata: {name: \(name), namespace: demo}
        spec:
          podSelector: {matchLabels: {app: \(name)}}
          listeners: [{portMapping: {port: \(port), protocol: \(listenerProtocol)}, \(listener)}]
          serviceDiscovery: {dns: {hostname: \(hostname ?? "\(name).demo.svc.cluster.local")}}
          backends: [\(backends.map { "{virtualService: {virtualServiceRef: {name: \($0)}}}" }
              .joined(separator: ", "))]
          \(rest)

        """
    }

    /// A virtual service that a node provides, by default the one of the same name.
    static func service(_ name: String, by node: String? = nil) -> String {
        """
        ---
        apiVersion: appmesh.k8s.aws/v1beta2
        kind: VirtualService
        metadata: {name: \(name), namespace: demo}
        spec: {provider: {virtualNode: {virtualNodeRef: {name: \(node ?? name)}}}}

        """
    }

    /// A virtual service with a router and `routes`, in YAML's flow style.
    static func routed(
        _ name: String,
        port: Int = 8080,
        protocol listenerProtocol: String = "http",
        routes: String...
    )
        -> String
    {
        routed(name, listeners: [port: listenerProtocol], routes: routes)
    }

    /// A virtual service with a router that listens on several ports.
    static func routed(
        _ name: String,
        listeners: KeyValuePairs<Int, String>,
        routes: [String]
    ) -> String {
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
          listeners: [\(listeners.map { "{portMapping: {port: \($0.key), protocol: \($0.value)}}" }
              .joined(separator: ", "))]
          routes: [\(routes.joined(separator: ", "))]

        """
    }

    /// A route to `targets` by weight, of every request unless `match` says else; `rest` adds fields.
    static func route(
        _ targets: KeyValuePairs<String, Int>,
        name: String = "all",
        type: String = "httpRoute",
        priority: Int? = nil,
        match: String = "{prefix: /}",
        targetPort: Int? = nil,
        rest: String = ""
    ) -> String {
        let port = targetPort.map { ", port: \($0)" } ?? ""
        let list = targets.map {
            "{virtualNodeRef: {name: \($0.key)}, weight: \($0.value)\(port)}"
        }
        return "{name: \(name), \(priority.map { "priority: \($0), " } ?? "")"
            + "\(type): {match: \(match), action: {weightedTargets: "
            + "[\(list.joined(separator: ", "))]}, \(rest)}}"
    }

    /// A virtual gateway and its workload, both called `name`.
    ///
    /// `listener` adds fields to its listeners, and `rest` to its `spec`.
    static func gateway(
        _ name: String = "gateway",
        listeners: KeyValuePairs<Int, String>,
        listener: String = "",
        rest: String = ""
    ) -> String {
        let list = listeners.map {
            "{portMapping: {port: \($0.key), protocol: \($0.value)}, \(listener)}"
        }
        return """
            ---
            apiVersion: appmesh.k8s.aws/v1beta2
            kind: VirtualGateway
            metadata: {name: \(name), namespace: demo}
            spec:
              namespaceSelector: {matchLabels: {mesh: demo}}
              podSelector: {matchLabels: {app: \(name)}}
              listeners: [\(list.joined(separator: ", "))]
              \(rest)
            ---
            apiVersion: heddle.dev/v1alpha1
            kind: Workload
            metadata: {name: \(name), namespace: demo, labels: {app: \(name)}}

            """
    }

    /// A gateway route to a virtual service.
    static func gatewayRoute(
        _ name: String,
        to service: String,
        port: Int? = nil,
        type: String = "httpRoute",
        priority: Int? = nil,
        match: String,
        rewrite: String = ""
    ) -> String {
        """
        ---
        apiVersion: appmesh.k8s.aws/v1beta2
        kind: GatewayRoute
        metadata: {name: \(name), namespace: demo}
        spec:
          \(priority.map { "priority: \($0)" } ?? "")
          \(type):
            match: \(match)
            action:
              target: {\(port.map { "port: \($0), " } ?? "")virtualService: {virtualServiceRef: {name: \(service)}}}
              \(rewrite.isEmpty ? "" : "rewrite: {\(rewrite)}")

        """
    }

    /// A traffic policy for objects, each as `Kind/name`, with one feature or several.
    static func policy(_ name: String, for targets: String..., features: String) -> String {
        let references = targets.map { target in
            let parts = target.split(separator: "/")
            let routes = parts.count > 2 ? ", routes: [\(parts[2])]" : ""
            return "{kind: \(parts[0]), name: \(parts[1])\(routes)}"
        }
        return """
            ---
            apiVersion: heddle.dev/v1alpha1
            kind: TrafficPolicy
            metadata: {name: \(name), namespace: demo}
            spec: {targetRefs: [\(references.joined(separator: ", "))], \(features)}

            """
    }
}
