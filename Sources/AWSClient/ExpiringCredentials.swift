internal import FoundationEssentials
internal import Synchronization

/// An endpoint that gives credentials which end after some hours.
protocol CredentialsEndpoint: Sendable {
    /// The JSON document with the credentials; nil when there is no such endpoint here.
    ///
    /// Errors: `AWSCredentialsProblem`, or `CancellationError`.
    func document() async throws -> [UInt8]?

    /// What is wrong with the endpoint, and what to do about it.
    func problem(_ reason: String) -> AWSCredentialsProblem
}

/// The credentials of an endpoint, kept until shortly before they end.
final class ExpiringCredentials: Sendable {
    /// New ones are asked for when the old end within this.
    private static let renewalSeconds = 300

    private struct Kept {
        var credentials: AWSCredentials
        var endSeconds: Int
    }

    private struct Document: Decodable {
        var accessKeyID: String
        var secretAccessKey: String
        var token: String?
        var expiration: String?

        enum CodingKeys: String, CodingKey {
            case accessKeyID = "AccessKeyId"
            case secretAccessKey = "SecretAccessKey"
            case token = "Token"
            case expiration = "Expiration"
        }
    }

    private let endpoint: any CredentialsEndpoint
    private let now: @Sendable () -> Int
    private let kept = Mutex<Kept?>(nil)

    /// Makes a keeper; `now` is the time in seconds since 1970.
    init(of endpoint: any CredentialsEndpoint, now: @escaping @Sendable () -> Int) {
        self.endpoint = endpoint
        self.now = now
    }

    /// Those kept, or new ones when they are about to end; nil when there is no such endpoint.
    func credentials() async throws -> AWSCredentials? {
        let old = kept.withLock { $0 }
        if let old, now() + Self.renewalSeconds < old.endSeconds { return old.credentials }
        let usable = old.flatMap { now() < $0.endSeconds ? $0.credentials : nil }
        do {
            guard let new = try await ask() else { return usable }
            kept.withLock { $0 = new }
            return new.credentials
        } catch let error as AWSCredentialsProblem {
            guard let usable else { throw error }
            return usable
        }
    }

    private func ask() async throws -> Kept? {
        guard let bytes = try await endpoint.document() else { return nil }
        guard let document = try? JSONDecoder().decode(Document.self, from: Data(bytes)) else {
            throw endpoint.problem("its answer has not AccessKeyId and SecretAccessKey")
        }
        let end = document.expiration.flatMap { try? Date.ISO8601FormatStyle().parse($0) }
        return Kept(
            credentials: AWSCredentials(
                accessKeyID: document.accessKeyID,
                secretAccessKey: document.secretAccessKey,
                sessionToken: document.token
            ),
            endSeconds: end.map { Int($0.timeIntervalSince1970) } ?? now()
        )
    }
}
