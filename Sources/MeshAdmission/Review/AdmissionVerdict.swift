internal import FoundationEssentials
public import MeshModel

/// What is said of an object.
public struct AdmissionVerdict: Hashable, Sendable {
    /// Whether the object may pass.
    public enum Decision: Hashable, Sendable {
        /// It may, changed by `patch`.
        case allowed(patch: [PatchOperation])
        /// It may not, for the reason that kubectl shows.
        case refused(message: String)
    }

    /// Whether it may pass.
    public var decision: Decision
    /// What is noteworthy about the object, for whoever applies it.
    public var warnings: [String]
    /// Whether a world that has more objects could decide otherwise: what was applied just before may
    /// not have arrived yet.
    public var dependsOnWorld: Bool

    /// Makes a verdict.
    public init(_ decision: Decision, warnings: [String] = [], dependsOnWorld: Bool = false) {
        self.decision = decision
        self.warnings = warnings
        self.dependsOnWorld = dependsOnWorld
    }

    /// Whether the object may pass.
    public var isAllowed: Bool {
        switch decision {
        case .allowed: true
        case .refused: false
        }
    }

    /// The AdmissionReview that answers the request `uid`.
    ///
    /// A refusal has code 403, as what the App Mesh controller refused had. The server shows at most
    /// 4,096 characters of warnings, so there are at most 15 of 256 each.
    public func review(uid: String) -> JSONValue {
        var response: JSONValue = ["uid": .string(uid), "allowed": .bool(isAllowed)]
        switch decision {
        case .allowed(let operations):
            if !operations.isEmpty {
                let patch = JSONValue.array(operations.map(\.document))
                // What a JSONValue holds can be written as JSON, but for numbers that JSON has not.
                if let bytes = try? JSONEncoder().encode(patch) {
                    response["patchType"] = "JSONPatch"
                    response["patch"] = .string(bytes.base64EncodedString())
                }
            }
        case .refused(let message):
            response["status"] = [
                "code": 403, "reason": "Forbidden", "message": .string(message),
            ]
        }
        let shown = Self.bounded(warnings)
        if !shown.isEmpty { response["warnings"] = .array(shown.map { .string($0) }) }
        return [
            "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": response,
        ]
    }

    private static func bounded(_ warnings: [String]) -> [String] {
        let limit = 15
        var shown = warnings.prefix(limit).map { warning in
            warning.unicodeScalars.count <= 256
                ? warning
                : String(String.UnicodeScalarView(warning.unicodeScalars.prefix(255))) + "…"
        }
        if warnings.count > limit {
            shown[limit - 1] = "\(warnings.count - limit + 1) more warnings"
        }
        return shown
    }
}

/// What comes of a request to a webhook.
public enum AdmissionAnswer: Hashable, Sendable {
    /// The verdict of the request `uid`, upon an object of the kind `kind`.
    case verdict(AdmissionVerdict, uid: String, kind: String)
    /// There is no such webhook.
    case noSuchPath
    /// The document is none that can be answered.
    case malformed(String)
    /// The objects by which to decide have not been read yet.
    case unready
}
