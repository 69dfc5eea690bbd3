import MeshModel

/// `heddle logs`: what a proxy or its application wrote.
public struct LogsCommand: Sendable {
    /// Whose log.
    public enum Container: String, Sendable {
        case proxy = "envoy"
        case application
    }

    /// The Workload's name; of an access log a virtual node's or virtual gateway's, too.
    public var name: String
    /// `-n`; nil chooses.
    public var namespace: String?
    /// Whose log; nil is the application if Heddle runs one, else the proxy.
    public var container: Container?
    /// `--access`.
    public var isAccessLog = false
    /// `-f`.
    public var isFollowing = false
    /// `--tail`; nil is all.
    public var tailLines: Int?

    /// Makes the command for the Workload `name`.
    public init(name: String) { self.name = name }

    /// Runs the command.
    public func run(
        _ transport: any LocalAPITransport,
        _ console: Console
    ) async throws -> ExitStatus {
        let client = LocalAPIClient(transport: transport)
        // NAMESPACE/NAME, as other commands print and take it.
        let parts = name.split(separator: "/", maxSplits: 1).map(String.init)
        let name = parts.count == 2 ? parts[1] : name
        let own = parts.count == 2 ? parts[0] : namespace
        let namespace = try await namespaceOrOnlyOne(own, client)
        guard !isAccessLog else {
            try await printAccessLog("/accesslog/\(namespace)/\(name)", client, console)
            return .ok
        }
        let path = LocalAPIClient.path(.workload, namespace: namespace, name: name)
        let workload = try await client.document(path)
        let hasApplication = workload["spec"]?["command"]?.array?.isEmpty == false
        let container = container ?? (hasApplication ? .application : .proxy)
        if container == .application, !hasApplication {
            throw ClientFailure(
                .badNews,
                "Workload \(namespace)/\(name): spec.command is empty, so Heddle does not run its "
                    + "application; see its own log, or pass --proxy"
            )
        }
        var target = "\(path)/log?container=\(container.rawValue)"
        if let tailLines { target += "&tailLines=\(tailLines)" }
        if isFollowing { target += "&follow=true" }
        try await client.text(target) { console.print(String(decoding: $0, as: UTF8.self)) }
        return .ok
    }

    /// Who calls writes into access logs, so that a terminal gets nothing that it would obey.
    private func printAccessLog(
        _ path: String,
        _ client: LocalAPIClient,
        _ console: Console
    ) async throws {
        var query: [String] = []
        if let tailLines { query.append("tailLines=\(tailLines)") }
        if isFollowing { query.append("follow=true") }
        let target = query.isEmpty ? path : "\(path)?\(query.joined(separator: "&"))"
        try await client.lines(target) { lines in
            let text = lines.map { line in
                let text = String(decoding: line, as: UTF8.self)
                return (console.isTerminal ? text.printableWithTabs : text) + "\n"
            }
            console.print(text.joined())
        }
    }
}
