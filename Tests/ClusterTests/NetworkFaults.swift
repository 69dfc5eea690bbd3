import MeshTesting

/// A network that fails, between a replica and the API server.
struct NetworkFaults {
    /// Connections that are cut, and refused.
    let connections: ConnectionProxy
    /// Behind them, requests that are turned down, and answers that break off.
    let answers: AnswerProxy

    /// A network before `server` in which nothing fails yet.
    init(_ server: KubernetesServer) async throws {
        answers = try await AnswerProxy(server)
        connections = try await ConnectionProxy(answers.endpoint)
    }

    /// The server's address for who goes through this network.
    var endpoint: String { connections.endpoint }

    /// Has no connection come about, and breaks those that are there.
    func disconnect() async throws {
        try await connections.set(.refuse)
        try await connections.cut()
    }

    /// Has everything work again.
    func end() async throws {
        try await answers.set(.none)
        try await connections.set(.serve)
    }
}
