/// Whom a service account's token proves.
public struct TokenIdentity: Hashable, Sendable {
    /// The namespace of the service account.
    public var namespace: String
    /// The service account.
    public var serviceAccount: String
    /// The Pod that the token is bound to; nil of a token that is bound to none.
    public var podName: String?
    /// That Pod's uid.
    public var podUID: String?

    /// Makes an identity.
    public init(
        namespace: String,
        serviceAccount: String,
        podName: String? = nil,
        podUID: String? = nil
    ) {
        self.namespace = namespace
        self.serviceAccount = serviceAccount
        self.podName = podName
        self.podUID = podUID
    }
}

/// A TokenReview of `authentication.k8s.io/v1`, asked and answered.
struct TokenReview: Codable, Sendable {
    struct Spec: Codable, Sendable {
        var token: String?
        var audiences: [String]?
    }
    struct User: Codable, Sendable {
        var username: String?
        var extra: [String: [String]]?
    }
    struct Status: Codable, Sendable {
        var authenticated: Bool?
        var user: User?
        var audiences: [String]?
    }

    var apiVersion = "authentication.k8s.io/v1"
    var kind = "TokenReview"
    var spec: Spec
    var status: Status?

    init(token: String, audiences: [String]) {
        spec = Spec(token: token, audiences: audiences.isEmpty ? nil : audiences)
    }

    /// Whom the server found; nil when the token proves no service account to any of `audiences`.
    ///
    /// A server that knows no audiences names none: then the token may be meant for the server itself.
    func identity(for audiences: [String]) -> TokenIdentity? {
        guard let status, status.authenticated == true, let user = status.user else { return nil }
        guard audiences.isEmpty || (status.audiences ?? []).contains(where: audiences.contains)
        else { return nil }
        let parts = (user.username ?? "").split(separator: ":", omittingEmptySubsequences: false)
        guard parts.count == 4, parts[0] == "system", parts[1] == "serviceaccount",
            !parts[2].isEmpty, !parts[3].isEmpty
        else { return nil }
        let pod = { (name: String) in user.extra?["authentication.kubernetes.io/pod-\(name)"]?.first
        }
        return TokenIdentity(
            namespace: String(parts[2]),
            serviceAccount: String(parts[3]),
            podName: pod("name"),
            podUID: pod("uid")
        )
    }
}
