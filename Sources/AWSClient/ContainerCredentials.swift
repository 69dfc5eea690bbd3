internal import FoundationEssentials
internal import HTTPClient

/// Credentials that a container's own endpoint gives: that of ECS, or of EKS Pod Identity.
struct ContainerCredentials: CredentialsEndpoint {
    private let url: String
    private let environment: [String: String]
    private let http: HTTPClient

    /// Makes a source; nil when the environment names no endpoint.
    init?(environment: [String: String], http: HTTPClient) throws(AWSCredentialsProblem) {
        if let path = environment["AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"] {
            url = "http://169.254.170.2" + (path.hasPrefix("/") ? path : "/" + path)
        } else if let full = environment["AWS_CONTAINER_CREDENTIALS_FULL_URI"] {
            guard Self.mayCarryToken(full) else {
                throw AWSCredentialsProblem(
                    problem: "AWS_CONTAINER_CREDENTIALS_FULL_URI names a host without https",
                    remedy: "use https, or a host of 127.0.0.1, [::1], localhost, 169.254.170.2, "
                        + "169.254.170.23 or [fd00:ec2::23]"
                )
            }
            url = full
        } else {
            return nil
        }
        self.environment = environment
        self.http = http
    }

    /// Whether a URL is `https`, or of this host or one that AWS has for this.
    private static func mayCarryToken(_ url: String) -> Bool {
        if url.hasPrefix("https://") { return true }
        guard url.hasPrefix("http://") else { return false }
        let place = url.dropFirst("http://".count).prefix { !"/?#".contains($0) }
        if place.contains(where: { "@\\".contains($0) }) { return false }
        let host =
            place.hasPrefix("[") ? place.prefix { $0 != "]" } + "]" : place.prefix { $0 != ":" }
        return [
            "127.0.0.1", "localhost", "[::1]", "169.254.170.2", "169.254.170.23", "[fd00:ec2::23]",
        ].contains(String(host))
    }

    func document() async throws -> [UInt8]? {
        var headers: [HTTPField] = []
        if let token = try token() { headers.append(HTTPField("Authorization", token)) }
        let request = HTTPRequest("GET", url, headers: headers)
        let response: HTTPResponse
        do {
            response = try await http.response(to: request, bodyLimit: 64 * 1024)
        } catch let error as HTTPError {
            throw problem("\(error)")
        }
        guard response.status == 200 else { throw problem("it answers \(response.status)") }
        return response.body
    }

    /// What the endpoint wants to see; the file is written anew from time to time.
    private func token() throws(AWSCredentialsProblem) -> String? {
        guard let path = environment["AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"] else {
            return environment["AWS_CONTAINER_AUTHORIZATION_TOKEN"]
        }
        guard let data = FileManager.default.contents(atPath: path) else {
            throw AWSCredentialsProblem(
                problem: "cannot read AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE (\(path))",
                remedy: "make it readable to heddle"
            )
        }
        return String(decoding: data.filter { $0 > 0x20 && $0 < 0x7F }, as: UTF8.self)
    }

    func problem(_ reason: String) -> AWSCredentialsProblem {
        AWSCredentialsProblem(
            problem: "the container's endpoint for AWS credentials fails: \(reason)",
            remedy: "check the role of the task or of the service account"
        )
    }
}
