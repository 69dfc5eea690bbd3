import MeshModel

/// A request that cannot be answered: what Kubernetes calls a `Status` with `status: Failure`.
///
/// Wording and reasons are Kubernetes', since kubectl and client libraries act upon them.
struct APIFailure: Error, Hashable {
    /// The HTTP status.
    var code: Int
    /// Kubernetes' word for the problem, such as `NotFound`.
    var reason: String
    /// The sentence that kubectl prints.
    var message: String
    /// What the request was about.
    var details: JSONValue = [:]

    /// No such object.
    static func notFound(_ kind: Kind, name: String) -> APIFailure {
        let resource = kind.group.isEmpty ? kind.plural : "\(kind.plural).\(kind.group)"
        var details: JSONValue = ["name": .string(name), "kind": .string(kind.plural)]
        if !kind.group.isEmpty { details["group"] = .string(kind.group) }
        return APIFailure(
            code: 404,
            reason: "NotFound",
            message: "\(resource) \"\(name)\" not found",
            details: details
        )
    }

    /// No such path.
    static let noResource = APIFailure(
        code: 404,
        reason: "NotFound",
        message: "the server could not find the requested resource"
    )

    /// The path exists, and only GET is served.
    static let methodNotAllowed = APIFailure(
        code: 405,
        reason: "MethodNotAllowed",
        message: "the server does not allow this method on the requested resource"
    )

    /// None of the media types asked for is served.
    static let notAcceptable = APIFailure(
        code: 406,
        reason: "NotAcceptable",
        message: "only the following media types are accepted: application/json"
    )

    /// A parameter cannot be read.
    static func badRequest(_ message: String) -> APIFailure {
        APIFailure(code: 400, reason: "BadRequest", message: message)
    }

    /// Changes since `version` are no longer known; the client lists again.
    static func expired(version: Int, oldest: Int) -> APIFailure {
        APIFailure(
            code: 410,
            reason: "Expired",
            message: "too old resource version: \(version) (\(oldest))"
        )
    }

    /// The request's `Host` is a name, which a page on the web could have pointed here.
    static func forbiddenHost(_ host: String) -> APIFailure {
        APIFailure(
            code: 403,
            reason: "Forbidden",
            message: "host \"\(host)\" is not served; use an IP address or localhost"
        )
    }

    /// The request comes from another host, for which only health and metrics are.
    static let forbiddenPeer = APIFailure(
        code: 403,
        reason: "Forbidden",
        message: "only /healthz, /readyz and /metrics are served to other hosts; use kubectl "
            + "port-forward"
    )

    /// Something failed on our side.
    static func internalError(_ message: String) -> APIFailure {
        APIFailure(code: 500, reason: "InternalError", message: message)
    }

    /// The `Status` object.
    var document: JSONValue {
        [
            "kind": "Status", "apiVersion": "v1", "metadata": [:], "status": "Failure",
            "message": .string(message), "reason": .string(reason), "details": details,
            "code": .integer(code),
        ]
    }
}
