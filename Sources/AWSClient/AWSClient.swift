public import FoundationEssentials
public import HTTPClient

/// A service of AWS in a region, and how it is called.
public struct AWSService: Hashable, Sendable {
    /// The name in signatures, permissions and host names, such as `acm-pca`.
    public var name: String
    /// The region, such as `eu-west-1`.
    public var region: String
    /// `http[s]://host[:port]`.
    public var endpoint: String
    /// The first part of `X-Amz-Target`, such as `ACMPrivateCA`; nil for services that are called
    /// by path.
    public var targetPrefix: String?
    /// What permissions begin with, such as `cloudwatch` for the service `monitoring`.
    public var permissionPrefix: String

    /// Makes a service; without an endpoint it is AWS' own of the region, and its permissions begin
    /// with its name unless something else is said.
    public init(
        name: String,
        region: String,
        endpoint: String? = nil,
        targetPrefix: String?,
        permissionPrefix: String? = nil
    ) {
        self.name = name
        self.permissionPrefix = permissionPrefix ?? name
        self.region = region
        let suffix = region.hasPrefix("cn-") ? "amazonaws.com.cn" : "amazonaws.com"
        var place = endpoint ?? "https://\(name).\(region).\(suffix)"
        while place.hasSuffix("/") { place.removeLast() }
        self.endpoint = place
        self.targetPrefix = targetPrefix
    }
}

/// Calls operations of AWS: JSON in a signed POST, and JSON back; or a form, and XML back.
///
/// Nothing is tried twice; an error says whether and when it may be worth it.
public struct AWSClient: Sendable {
    private let http: HTTPClient
    private let chain: AWSCredentialChain
    /// Of `AWS_CA_BUNDLE`.
    private let certificateAuthorityFile: String?

    /// Makes a client.
    ///
    /// - Parameters:
    ///   - http: What sends the requests.
    ///   - environment: Where credentials are looked for, see `AWS_ACCESS_KEY_ID`,
    ///     `AWS_SHARED_CREDENTIALS_FILE`, `AWS_PROFILE`, `AWS_CONTAINER_CREDENTIALS_FULL_URI`; and
    ///     `AWS_CA_BUNDLE`, a PEM file of the authorities that endpoints' certificates come from.
    ///   - now: The time, in seconds since 1970.
    public init(
        http: HTTPClient = HTTPClient(),
        environment: [String: String] = ProcessInfo.processInfo.environment,
        now: @escaping @Sendable () -> Int = { Int(Date().timeIntervalSince1970) }
    ) {
        self.http = http
        chain = AWSCredentialChain(environment: environment, http: http, now: now)
        certificateAuthorityFile = chain.environment["AWS_CA_BUNDLE"]
    }

    /// What `operation` of `service` answers to `input`.
    ///
    /// Services without `targetPrefix` are called at `path`. `timeout` is for the whole exchange. An
    /// empty answer is one without members.
    ///
    /// Errors: `AWSError`, or `CancellationError`.
    public func call<Output: Decodable>(
        _ operation: String,
        of service: AWSService,
        path: String = "/",
        _ input: some Encodable,
        timeout: Duration = .seconds(15)
    ) async throws -> Output {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        var content = Content(path: path, body: Array(try encoder.encode(input)), timeout: timeout)
        content.headers = [HTTPField("Content-Type", "application/json")]
        if let prefix = service.targetPrefix {
            content.headers = [
                HTTPField("Content-Type", "application/x-amz-json-1.1"),
                HTTPField("X-Amz-Target", "\(prefix).\(operation)"),
            ]
        }
        let response = try await response(to: operation, of: service, content)
        let body = response.body.isEmpty ? Array("{}".utf8) : response.body
        do {
            return try JSONDecoder().decode(Output.self, from: Data(body))
        } catch {
            throw Failure(service, operation).notUnderstood()
        }
    }

    /// What a service of AWS' query protocol answers to a form, as XML.
    ///
    /// - Parameters:
    ///   - form: The operation and what is asked of it.
    ///   - service: Who is asked.
    ///   - timeout: For the whole exchange.
    /// - Returns: The document, which has no declared form here: operations that only take say
    ///   nothing in it.
    /// - Throws: `AWSError`, or `CancellationError`.
    public func submit(
        _ form: AWSForm,
        to service: AWSService,
        timeout: Duration = .seconds(15)
    ) async throws -> String {
        var content = Content(path: "/", body: form.body, timeout: timeout)
        content.headers = [HTTPField("Content-Type", "application/x-www-form-urlencoded")]
        let response = try await response(to: form.operation, of: service, content)
        guard response.text.contains("<\(form.operation)Response") else {
            throw Failure(service, form.operation).notUnderstood()
        }
        return response.text
    }

    /// What is sent, whatever it says.
    private struct Content {
        var path: String
        var headers: [HTTPField] = []
        var body: [UInt8]
        var timeout: Duration
    }

    private func response(
        to operation: String,
        of service: AWSService,
        _ content: Content
    ) async throws -> HTTPResponse {
        let failure = Failure(service, operation)
        let credentials: AWSCredentials
        do {
            credentials = try await chain.credentials()
        } catch let error as AWSCredentialsProblem {
            throw failure.noCredentials(error)
        }
        let response: HTTPResponse
        do {
            response = try await http.response(to: request(content, to: service, credentials))
        } catch let error as HTTPError {
            throw failure.noAnswer(error)
        }
        guard response.status == 200 else { throw failure.error(response, credentials) }
        return response
    }

    private func request(
        _ content: Content,
        to service: AWSService,
        _ credentials: AWSCredentials
    ) -> HTTPRequest {
        HTTPRequest(
            "POST",
            service.endpoint + content.path,
            headers: content.headers,
            body: content.body,
            signature: AWSSignature(
                region: service.region,
                service: service.name,
                accessKeyID: credentials.accessKeyID,
                secretAccessKey: credentials.secretAccessKey,
                sessionToken: credentials.sessionToken
            ),
            certificateAuthorityFile: certificateAuthorityFile,
            timeout: content.timeout
        )
    }
}

/// Makes the errors of one call.
private struct Failure {
    let request: String
    let service: String
    let operation: String

    init(_ service: AWSService, _ operation: String) {
        request = "\(service.name) \(operation) at \(service.endpoint)"
        self.service = service.permissionPrefix
        self.operation = operation
    }

    func noCredentials(_ error: AWSCredentialsProblem) -> AWSError {
        AWSError(
            kind: .noCredentials,
            request: request,
            problem: error.problem,
            remedy: error.remedy
        )
    }

    func noAnswer(_ error: HTTPError) -> AWSError {
        let kind: AWSError.Kind = .unreachable
        return AWSError(
            kind: kind,
            request: request,
            problem: error.reason,
            remedy: kind.remedy(service: service, operation: operation)
        )
    }

    func error(_ response: HTTPResponse, _ credentials: AWSCredentials) -> AWSError {
        let body = AWSErrorBody(response)
        let kind = AWSError.Kind(status: response.status, code: body.code, message: body.message)
        let seconds = response.head["retry-after"].flatMap { Int($0) }
        let words = credentials.redacted(from: body.message)
        return AWSError(
            kind: kind,
            request: request,
            code: body.code,
            problem: words.isEmpty || body.code == nil ? "it answers \(response.status)" : words,
            remedy: kind.remedy(service: service, operation: operation),
            status: response.status,
            retryAfter: seconds.flatMap { $0 < 0 ? nil : .seconds(min($0, 3600)) }
        )
    }

    func notUnderstood() -> AWSError {
        AWSError(
            kind: .notAWS,
            request: request,
            problem: "its answer is not that of \(operation)",
            remedy: AWSError.Kind.notAWS.remedy(service: service, operation: operation)
        )
    }
}
