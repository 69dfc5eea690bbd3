import MeshModel

/// `heddle logs`: what a proxy or its application wrote.
public struct LogsCommand: Sendable {
    /// Whose log.
    public enum Container: String, Sendable {
        case proxy = "envoy"
        case application
    }

    /// The Workload's name.
    public var name: String
    /// `-n`; nil chooses.
    public var namespace: String?
    /// Whose log; nil is the application if Heddle runs one, else the proxy.
    public var container: Container?
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
        let namespace = try await namespaceOrOnlyOne(namespace, client)
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
}
