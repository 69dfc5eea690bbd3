import HTTPTypes
import Hummingbird
internal import Logging
internal import MeshAdmission
internal import MeshModel
internal import MeshTelemetry
import NIOCore

/// Answers what a Kubernetes API server sends to webhooks.
struct WebhookHandler: Sendable {
    /// An object has 1.5 MiB at most in etcd, and a review may hold two.
    static let bodyLimit = 4 << 20
    /// For how long a body may be on its way.
    static let bodyTime = Duration.seconds(10)

    let controller: AdmissionController
    let world: NewestWorld
    let patience: Duration
    let logger: Logger

    /// The answer to `request`.
    func respond(to request: Request) async -> Response {
        let path = request.uri.path
        if path == "/healthz" { return text(.ok, "ok") }
        guard AdmissionController.paths.contains(path) else {
            return text(.notFound, "no webhook is served at this path")
        }
        guard request.method == .post else {
            return text(.methodNotAllowed, "send an AdmissionReview by POST")
        }
        let body: ByteBuffer
        do {
            body = try await collect(request)
        } catch is TooSlow {
            return text(.requestTimeout, "the body did not arrive in time")
        } catch {
            return text(.contentTooLarge, "the body has more than 4 MiB, or did not arrive whole")
        }
        let bytes = Array(body.readableBytesView)
        guard
            let review = try? BoundedJSON.value(of: bytes[...], depth: 100, values: 400_000)
        else { return refuse("the body is not JSON, or is nested too deep", path) }
        return await answer(review, path)
    }

    private func answer(_ review: JSONValue, _ path: String) async -> Response {
        switch await decided(review, path) {
        case .noSuchPath: return text(.notFound, "no webhook is served at this path")
        case .malformed(let problem): return refuse(problem, path)
        case .unready:
            logger.debug("admission answered", metadata: ["path": "\(path)", "verdict": "unready"])
            return text(.serviceUnavailable, "heddle has not read all objects yet; try again")
        case .verdict(let verdict, let uid, let kind):
            logger.debug(
                "admission answered",
                metadata: [
                    "uid": "\(uid)", "kind": "\(kind)",
                    "verdict": verdict.isAllowed ? "allowed" : "refused",
                ]
            )
            return document(verdict.review(uid: uid))
        }
    }

    /// The answer, for which what was applied just before may yet arrive.
    private func decided(_ review: JSONValue, _ path: String) async -> AdmissionAnswer {
        await world.decision(within: patience) { answer in
            guard case .verdict(let verdict, _, _) = answer else { return true }
            return verdict.isAllowed || !verdict.dependsOnWorld
        } _: { [controller] world in
            controller.answer(to: review, path: path, in: world)
        }
    }

    private struct TooSlow: Error {}

    private func collect(_ request: Request) async throws -> ByteBuffer {
        let body = request.body
        return try await withThrowingTaskGroup(of: ByteBuffer.self) { group in
            group.addTask { try await body.collect(upTo: Self.bodyLimit) }
            group.addTask {
                try await Task.sleep(for: Self.bodyTime)
                throw TooSlow()
            }
            defer { group.cancelAll() }
            guard let collected = try await group.next() else { throw TooSlow() }
            return collected
        }
    }

    private func refuse(_ problem: String, _ path: String) -> Response {
        logger.debug(
            "admission request can't be understood",
            metadata: ["path": "\(path)", "problem": "\(problem)"]
        )
        return text(.badRequest, problem)
    }

    private func text(_ status: HTTPResponse.Status, _ text: String) -> Response {
        Response(
            status: status,
            headers: [.contentType: "text/plain; charset=utf-8"],
            body: ResponseBody(byteBuffer: ByteBuffer(string: text + "\n"))
        )
    }

    private func document(_ document: JSONValue) -> Response {
        Response(
            status: .ok,
            headers: [.contentType: "application/json"],
            body: ResponseBody(byteBuffer: ByteBuffer(bytes: JSONText.compact(document)))
        )
    }
}
