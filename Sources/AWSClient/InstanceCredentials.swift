internal import HTTPClient

/// The credentials of an EC2 instance's role, from its metadata service (IMDSv2).
///
/// `AWS_EC2_METADATA_DISABLED=true` asks for none; `AWS_EC2_METADATA_SERVICE_ENDPOINT` moves it.
struct InstanceCredentials: CredentialsEndpoint {
    private let endpoint: String
    private let http: HTTPClient

    /// Makes a source; nil when the environment wants none.
    init?(environment: [String: String], http: HTTPClient) {
        guard environment["AWS_EC2_METADATA_DISABLED"]?.lowercased() != "true" else { return nil }
        var place = environment["AWS_EC2_METADATA_SERVICE_ENDPOINT"] ?? "http://169.254.169.254"
        while place.hasSuffix("/") { place.removeLast() }
        endpoint = place
        self.http = http
    }

    func document() async throws -> [UInt8]? {
        let lifetime = HTTPField("X-aws-ec2-metadata-token-ttl-seconds", "300")
        // Other machines have nothing at this address, or something that knows no such token.
        guard let token = try? await ask("PUT", "/latest/api/token", lifetime),
            token.status == 200
        else {
            try Task.checkCancellation()
            return nil
        }
        let pass = HTTPField("X-aws-ec2-metadata-token", token.text)
        let roles = try await ask("GET", Self.path, pass)
        let role = roles.text.prefix { !$0.isNewline }
        guard roles.status == 200, !role.isEmpty else {
            throw AWSCredentialsProblem(
                problem: "no AWS credentials found, and this EC2 instance has no role",
                remedy: "attach a role to the instance, or set AWS_ACCESS_KEY_ID and "
                    + "AWS_SECRET_ACCESS_KEY"
            )
        }
        let answer = try await ask("GET", Self.path + role, pass)
        guard answer.status == 200 else { throw problem("it answers \(answer.status)") }
        return answer.body
    }

    func problem(_ reason: String) -> AWSCredentialsProblem {
        AWSCredentialsProblem(
            problem: "the EC2 instance's metadata service fails: \(reason)",
            remedy: "check the instance's role, or set AWS_EC2_METADATA_DISABLED=true"
        )
    }

    private static let path = "/latest/meta-data/iam/security-credentials/"

    private func ask(
        _ method: String,
        _ path: String,
        _ field: HTTPField
    ) async throws
        -> HTTPResponse
    {
        let request = HTTPRequest(
            method,
            endpoint + path,
            headers: [field],
            connectTimeout: .seconds(1),
            timeout: .seconds(5)
        )
        do {
            return try await http.response(to: request, bodyLimit: 64 * 1024)
        } catch let error as HTTPError {
            throw problem("\(error)")
        }
    }
}
