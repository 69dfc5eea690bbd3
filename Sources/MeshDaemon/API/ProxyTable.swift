import MeshModel

/// What the API calls proxies: a kind that is shown and not declared.
enum Proxies {
    static let apiVersion = Kind.workload.apiVersion
    static let kind = "Proxy"
    static let plural = "proxies"

    /// The path of those in `namespace`, or of all.
    static func path(namespace: String? = nil, name: String? = nil) -> String {
        var path = "/apis/\(apiVersion)"
        if let namespace { path += "/namespaces/\(namespace)" }
        path += "/\(plural)"
        if let name { path += "/\(name)" }
        return path
    }
}

/// A column of the table of proxies, whose cell is made from the API object.
struct ProxyColumn: DocumentColumn {
    var name: String
    var description: String
    /// 0 is always shown, 1 with `-o wide`.
    var priority = 0
    var cell: @Sendable (_ proxy: JSONValue, _ nowSeconds: Int) -> String

    /// All columns after the name.
    static let all = [
        ProxyColumn(name: "Owner", description: "The virtual node or virtual gateway.") {
            proxy,
            _ in
            text(proxy["spec"]?["owner"]?["name"])
        },
        ProxyColumn(name: "State", description: "Running, or what it waits for or lacks.") {
            proxy,
            _ in text(proxy["status"]?["state"])
        },
        ProxyColumn(
            name: "Envoy",
            description: "Envoy's version; outdated when an upgrade would start another."
        ) { proxy, _ in
            let version = proxy["status"]?["envoyVersion"]?.string ?? none
            return proxy["status"]?["outdated"] == true ? "\(version) (outdated)" : version
        },
        ProxyColumn(name: "Restarts", description: "How often it was started again.") { proxy, _ in
            text(proxy["status"]?["restarts"])
        },
        ProxyColumn(name: "Upgrades", description: "How often another took over from it.") {
            proxy,
            _ in text(proxy["status"]?["upgrades"])
        },
        ProxyColumn(name: "CPU", description: "Processor time that it uses.") { proxy, _ in
            text(proxy["status"]?["usage"]?["cpu"])
        },
        ProxyColumn(name: "Memory", description: "Memory that it uses.") { proxy, _ in
            text(proxy["status"]?["usage"]?["memory"])
        },
        ProxyColumn(name: "Age", description: "Time since this Envoy started.") { proxy, now in
            let start = proxy["status"]?["startTime"]?.string.flatMap(secondsSince1970)
            return start.map { humanDuration(seconds: max(0, now - $0)) } ?? none
        },
        ProxyColumn(name: "PID", description: "Envoy's process.", priority: 1) { proxy, _ in
            text(proxy["status"]?["pid"])
        },
        ProxyColumn(name: "Ingress", description: "Where it takes requests.", priority: 1) {
            proxy,
            _ in text(proxy["spec"]?["ingressAddress"])
        },
        ProxyColumn(name: "Egress", description: "Where its application sends.", priority: 1) {
            proxy,
            _ in text(proxy["spec"]?["egressAddress"])
        },
        ProxyColumn(name: "Requests", description: "Requests a second.", priority: 1) { proxy, _ in
            let rate = proxy["status"]?["usage"]?["requestsPerSecond"]?.double
            return rate.map(ResourceQuantity.decimal) ?? none
        },
        ProxyColumn(name: "Connections", description: "Open connections.", priority: 1) {
            proxy,
            _ in text(proxy["status"]?["usage"]?["connections"])
        },
        ProxyColumn(name: "Sizing", description: "What its resources are like.", priority: 1) {
            proxy,
            _ in
            let recommendation = proxy["status"]?["recommendation"]
            let verdict = text(recommendation?["verdict"])
            return recommendation?["forecast"] == true ? "\(verdict) (forecast)" : verdict
        },
        ProxyColumn(name: "Last-Error", description: "Why it last ended.", priority: 1) {
            proxy,
            _ in proxy["status"]?["lastError"]?.string ?? ""
        },
    ]

    /// What an absent value shows as, as in kubectl.
    private static let none = "<none>"

    private static func text(_ value: JSONValue?) -> String { value.map(plainText) ?? none }

    private static let name = ProxyColumn(
        name: "Name",
        description: "Name of the Workload that it stands beside."
    ) { proxy, _ in proxy["metadata"]?["name"]?.string ?? "" }

    static let columns = [name] + all
}
