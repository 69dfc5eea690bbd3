import Synchronization

@testable import MeshDaemon

/// Carries requests to a handler in this process: the API without HTTP.
struct HandlerTransport: LocalAPITransport {
    var handler: APIHandler

    func response(_ target: String, accept: String) async throws -> LocalAPIResponse {
        var body: [UInt8] = []
        let response = try await stream(target, accept: accept) { body += $0 }
        return response.status == 200 ? LocalAPIResponse(status: 200, body: body) : response
    }

    func post(
        _ target: String,
        onPart: ([UInt8]) async throws -> Void
    ) async throws -> LocalAPIResponse {
        try await answer(
            APIRequest(method: "POST", target: target, isFromSocket: true),
            onPart: onPart
        )
    }

    func stream(
        _ target: String,
        accept: String,
        onPart: ([UInt8]) async throws -> Void
    ) async throws -> LocalAPIResponse {
        try await answer(
            APIRequest(target: target, accept: accept, isFromSocket: true),
            onPart: onPart
        )
    }

    private func answer(
        _ request: APIRequest,
        onPart: ([UInt8]) async throws -> Void
    ) async throws -> LocalAPIResponse {
        let response = await handler.respond(to: request)
        switch response.body {
        case .bytes(let bytes):
            if response.status == 200 { try await onPart(bytes) }
            return LocalAPIResponse(status: response.status, body: bytes)
        case .stream(let stream):
            try await stream(onPart)
            return LocalAPIResponse(status: response.status)
        }
    }
}

/// Keeps what a command prints.
final class Recorder: Sendable {
    private let texts = Mutex((output: "", notes: ""))

    /// What was printed.
    var output: String { texts.withLock { $0.output } }
    /// What was noted beside it.
    var notes: String { texts.withLock { $0.notes } }

    /// A console that prints here.
    func console(
        onPrint: @escaping @Sendable (String) -> Void = { _ in },
        onProgress: @escaping @Sendable (String?) -> Void = { _ in }
    ) -> Console {
        Console(
            nowSeconds: { testNowSeconds },
            print: { text in
                self.texts.withLock { $0.output += text }
                onPrint(text)
            },
            note: { text in self.texts.withLock { $0.notes += text + "\n" } },
            progress: onProgress
        )
    }
}
