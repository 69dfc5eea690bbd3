import MeshModel

/// Whose listeners are decoded: nodes have more fields.
enum ListenerHolder {
    case virtualNode
    case virtualGateway
}

/// The protocols of listeners; App Mesh's gateways lack tcp, and Heddle's have it.
private let protocols: [ListenerProtocol] = [.grpc, .http, .http2, .tcp]

extension Fields {
    /// `listeners` of a node or gateway, on ports of their own.
    func listeners(of holder: ListenerHolder, _ presence: Presence = .optional) -> [ListenerSpec]? {
        var lines: [Port: Int] = [:]
        return objects("listeners", presence) { fields in
            let listener = fields.listener(of: holder)
            fields.checkUnique(listener?.portMapping.port, &lines)
            return listener
        }
    }

    /// Reports a listener on a port that an earlier one has.
    func checkUnique(_ port: Port?, _ lines: inout [Port: Int]) {
        guard let port else { return }
        let members = entry("portMapping")?.value.entries ?? []
        let line = members.first { $0.key == "port" }?.line ?? line
        if let first = lines.updateValue(line, forKey: port) {
            report.error(
                path(of: "portMapping") + ".port",
                line: line,
                "duplicate listener port \(port)\(lineWords(first))",
                "give each listener its own port"
            )
        }
    }

    /// `portMapping`.
    func portMapping() -> PortMapping? {
        object("portMapping", .required) { fields in
            let port = fields.port("port", .required)
            let `protocol` = fields.choice("protocol", .required, protocols)
            guard let port, let `protocol` else { return nil }
            return PortMapping(port: port, protocol: `protocol`)
        }
    }

    private func listener(of holder: ListenerHolder) -> ListenerSpec? {
        let mapping = portMapping()
        let healthCheck = object("healthCheck") { $0.healthCheck(of: holder, mapping) }
        let pool = object("connectionPool") { $0.connectionPool(mapping?.protocol) }
        let tls = listenerTLS()
        var outlierDetection: OutlierDetection?
        var timeout: Timeouts?
        switch holder {
        case .virtualNode:
            outlierDetection = object("outlierDetection") { $0.outlierDetection() }
            timeout = object("timeout") { $0.listenerTimeouts(mapping?.protocol) }
        case .virtualGateway:
            if case .tcp = pool, mapping?.protocol == .tcp {
                error(
                    "connectionPool",
                    "a gateway's TCP connections go straight to their node",
                    "limit them in the node's connectionPool"
                )
            }
        }
        return mapping.map {
            ListenerSpec(
                portMapping: $0,
                healthCheck: healthCheck,
                outlierDetection: outlierDetection,
                connectionPool: pool,
                timeout: timeout ?? Timeouts(),
                tls: tls
            )
        }
    }

    private func healthCheck(of holder: ListenerHolder, _ mapping: PortMapping?) -> HealthCheck? {
        let healthy = integer(
            "healthyThreshold",
            holder == .virtualNode ? .required : .optional,
            in: 2...10
        )
        let unhealthy = integer("unhealthyThreshold", .required, in: 2...10)
        let interval = integer("intervalMillis", .required, in: 5000...300_000)
        let timeout = integer("timeoutMillis", .required, in: 2000...60_000)
        let path = oneLine("path")
        let port = port("port")
        let `protocol` = choice("protocol", .required, protocols)
        if let port, let mapping, port != mapping.port {
            report.warning(
                self.path(of: "port"),
                line: line(of: "port"),
                "health checks go to port \(port), and the listener has port \(mapping.port)",
                "App Mesh asks for the listener's port; use \(mapping.port) or remove it"
            )
        }
        if `protocol` == .grpc, mapping?.protocol == .http || mapping?.protocol == .tcp {
            report.warning(
                self.path(of: "protocol"),
                line: line(of: "protocol"),
                "the health of the listener is not checked: gRPC asks over HTTP/2, and its protocol is "
                    + (mapping?.protocol.rawValue ?? ""),
                "use the listener's protocol, or http"
            )
        }
        guard let unhealthy, let interval, let timeout, let `protocol` else { return nil }
        return HealthCheck(
            healthyThreshold: healthy ?? 2,
            unhealthyThreshold: unhealthy,
            interval: .milliseconds(interval),
            timeout: .milliseconds(timeout),
            path: path,
            port: port,
            protocol: `protocol`
        )
    }

    private func outlierDetection() -> OutlierDetection? {
        let errors = integer("maxServerErrors", .required, in: Fields.counts)
        let interval = duration("interval", .required)
        let ejection = duration("baseEjectionDuration", .required)
        let percent = integer("maxEjectionPercent", .required, in: 0...100)
        for (key, duration) in [("interval", interval), ("baseEjectionDuration", ejection)]
        where duration == .zero {
            error(key, "the duration is 0", "give at least 1 ms")
        }
        guard let errors, let interval, let ejection, let percent else { return nil }
        return OutlierDetection(
            maxServerErrors: errors,
            interval: interval,
            baseEjectionDuration: ejection,
            maxEjectionPercent: percent
        )
    }

    private func connectionPool(_ listenerProtocol: ListenerProtocol?) -> ConnectionPool? {
        union(protocols.map(\.rawValue))
        checkMember("connectionPool", is: listenerProtocol)
        let http = object("http") { fields -> ConnectionPool? in
            let pending = fields.integer("maxPendingRequests", in: Fields.counts)
            return fields.integer("maxConnections", .required, in: Fields.counts).map {
                .http(maxConnections: $0, maxPendingRequests: pending)
            }
        }
        let http2 = object("http2") { fields in
            fields.integer("maxRequests", .required, in: Fields.counts)
        }
        let grpc = object("grpc") { fields in
            fields.integer("maxRequests", .required, in: Fields.counts)
        }
        let tcp = object("tcp") { $0.integer("maxConnections", .required, in: Fields.counts) }
        return http ?? http2.map { .http2(maxRequests: $0) } ?? grpc.map { .grpc(maxRequests: $0) }
            ?? tcp.map { .tcp(maxConnections: $0) }
    }

    private func listenerTimeouts(_ listenerProtocol: ListenerProtocol?) -> Timeouts? {
        union(protocols.map(\.rawValue))
        checkMember("timeout", is: listenerProtocol)
        let tcp = object("tcp") { Timeouts(idle: $0.duration("idle")) }
        let others = ["http", "http2", "grpc"].compactMap { key in object(key) { $0.timeouts() } }
        return tcp ?? others.first
    }

    /// `perRequest` and `idle`.
    func timeouts() -> Timeouts {
        Timeouts(perRequest: duration("perRequest"), idle: duration("idle"))
    }

    /// Reports a member of a union by protocol that is not the listener's.
    private func checkMember(_ name: String, is listenerProtocol: ListenerProtocol?) {
        let given = protocols.filter { has($0.rawValue) }
        guard let listenerProtocol, given.count == 1, given[0] != listenerProtocol else { return }
        error(
            given[0].rawValue,
            "the \(name) is for \(given[0].rawValue), and the listener's protocol is "
                + listenerProtocol.rawValue,
            "put it under \(quoted(listenerProtocol.rawValue))"
        )
    }
}

/// ` (first on line 12)`; nothing when the line is not known.
func lineWords(_ line: Int) -> String { line > 0 ? " (first on line \(line))" : "" }
