internal import HTTPClient

/// Carries requests to the local API.
///
/// Errors: `ClientFailure.noDaemon` when nobody listens.
public protocol LocalAPITransport: Sendable {
    /// The whole answer to `GET target`.
    func response(_ target: String, accept: String) async throws -> LocalAPIResponse

    /// The answer to `GET target`, its body piece by piece if the status is 200.
    ///
    /// - Returns: The status, and the body if the status is not 200.
    func stream(
        _ target: String,
        accept: String,
        onPart: ([UInt8]) async throws -> Void
    ) async throws -> LocalAPIResponse

    /// The answer to `POST target` without a body, however long it takes, piece by piece if the
    /// status is 200.
    ///
    /// - Returns: The status, and the body if the status is not 200.
    func post(
        _ target: String,
        onPart: ([UInt8]) async throws -> Void
    ) async throws -> LocalAPIResponse
}

extension LocalAPITransport {
    /// The whole answer to `POST target` without a body, however long it takes.
    func post(_ target: String) async throws -> LocalAPIResponse {
        var body: [UInt8] = []
        let response = try await post(target) { body += $0 }
        return response.status == 200 ? LocalAPIResponse(status: 200, body: body) : response
    }
}

/// An answer of the local API.
public struct LocalAPIResponse: Sendable {
    /// The HTTP status.
    public var status: Int
    /// The body.
    public var body: [UInt8]

    /// Makes an answer.
    public init(status: Int, body: [UInt8] = []) {
        self.status = status
        self.body = body
    }
}

/// Reaches the local API through its Unix socket.
public struct SocketTransport: LocalAPITransport {
    private let client = HTTPClient()
    private let socketPath: String

    /// A transport to the daemon that listens on `socketPath`.
    public init(socketPath: String) { self.socketPath = socketPath }

    /// The whole answer to `GET target`.
    public func response(_ target: String, accept: String) async throws -> LocalAPIResponse {
        var body: [UInt8] = []
        let response = try await stream("GET", target, accept: accept, timeout: .seconds(30)) {
            body += $0
        }
        return response.status == 200 ? LocalAPIResponse(status: 200, body: body) : response
    }

    /// The answer to `GET target`, its body piece by piece if the status is 200.
    public func stream(
        _ target: String,
        accept: String,
        onPart: ([UInt8]) async throws -> Void
    ) async throws -> LocalAPIResponse {
        try await stream("GET", target, accept: accept, timeout: nil, onPart: onPart)
    }

    /// The answer to `POST target` without a body, however long it takes, piece by piece if the
    /// status is 200.
    public func post(
        _ target: String,
        onPart: ([UInt8]) async throws -> Void
    ) async throws -> LocalAPIResponse {
        try await stream("POST", target, accept: "*/*", timeout: nil, onPart: onPart)
    }

    private func stream(
        _ method: String,
        _ target: String,
        accept: String,
        timeout: Duration?,
        onPart: ([UInt8]) async throws -> Void
    ) async throws -> LocalAPIResponse {
        let request = HTTPRequest(
            method,
            "http://localhost\(target)",
            unixSocketPath: socketPath,
            headers: [HTTPField("Accept", accept)],
            timeout: timeout
        )
        do {
            let response = try await client.stream(request)
            var body: [UInt8] = []
            for try await part in response.body {
                if response.head.status == 200 { try await onPart(part) } else { body += part }
            }
            return LocalAPIResponse(status: response.head.status, body: body)
        } catch let error as HTTPError where error.kind == .cannotConnect {
            throw ClientFailure.noDaemon(socketPath: socketPath)
        }
    }
}
