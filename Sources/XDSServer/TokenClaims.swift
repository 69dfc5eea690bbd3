internal import FoundationEssentials

/// What a token of a service account says of itself; nothing of it is proved.
struct TokenClaims: Hashable, Sendable {
    var audiences: [String]
    /// When it ends, since 1970; nil when it does not say.
    var endSeconds: Double?
    /// The Pod and the service account that it is said to be of; nil of a token of none.
    var identity: PodIdentity?

    /// Reads the claims of a JSON Web Token; nil when it has none.
    init?(_ token: String) {
        guard token.utf8.count <= TokenReviews.Limits().tokenBytes else { return nil }
        let parts = token.split(separator: ".", omittingEmptySubsequences: false)
        guard parts.count == 3, let payload = Data(base64URL: parts[1]),
            let claims = try? JSONDecoder().decode(Payload.self, from: payload)
        else { return nil }
        audiences = claims.audiences.names
        endSeconds = claims.endSeconds
        identity = claims.bound.map {
            PodIdentity(
                namespace: $0.namespace,
                serviceAccount: $0.serviceaccount?.name ?? "",
                podName: $0.pod?.name,
                podUID: $0.pod?.uid
            )
        }
    }

    /// Whether the token may be for `audience` at a time; API servers take it a minute longer, and clocks
    /// differ.
    func mayBe(for audience: String, at nowSeconds: Double) -> Bool {
        audiences.contains(audience) && endSeconds.map { nowSeconds < $0 + 300 } ?? true
    }
}

private struct Payload: Decodable {
    struct Audiences: Decodable {
        var names: [String]

        init(from decoder: any Decoder) throws {
            let container = try decoder.singleValueContainer()
            // One audience may stand without a list.
            if let list = try? container.decode([String].self) {
                names = list
            } else {
                names = [try container.decode(String.self)]
            }
        }
    }

    struct Bound: Decodable {
        var namespace: String
        var serviceaccount: Named?
        var pod: Named?
    }

    struct Named: Decodable {
        var name: String
        var uid: String
    }

    enum CodingKeys: String, CodingKey {
        case audiences = "aud"
        case endSeconds = "exp"
        case bound = "kubernetes.io"
    }

    var audiences: Audiences
    var endSeconds: Double?
    var bound: Bound?
}

extension Data {
    fileprivate init?(base64URL text: Substring) {
        var plain = text.replacing("-", with: "+").replacing("_", with: "/")
        plain += String(repeating: "=", count: (4 - plain.utf8.count % 4) % 4)
        self.init(base64Encoded: String(plain))
    }
}
