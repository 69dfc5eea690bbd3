internal import FoundationEssentials
internal import HTTPClient

/// Finds credentials where AWS' own tools do.
///
/// In this order: `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY` and `AWS_SESSION_TOKEN`; the profile
/// `AWS_PROFILE` (default `default`) of the file `AWS_SHARED_CREDENTIALS_FILE` (default
/// `~/.aws/credentials`); the container's endpoint of ECS and EKS Pod Identity
/// (`AWS_CONTAINER_CREDENTIALS_RELATIVE_URI`, `AWS_CONTAINER_CREDENTIALS_FULL_URI`); the role of the
/// EC2 instance.
///
/// The file is read for every request, so a renewed one is used at once. What an endpoint
/// gives is kept until shortly before it expires.
struct AWSCredentialChain: Sendable {
    let environment: [String: String]
    /// The endpoint to ask, if there is one; or why it is not asked.
    private let endpoint: Result<ExpiringCredentials?, AWSCredentialsProblem>

    /// Makes a chain; `now` is the time in seconds since 1970.
    init(environment: [String: String], http: HTTPClient, now: @escaping @Sendable () -> Int) {
        let variables = environment.filter { !$0.value.isEmpty }
        self.environment = variables
        endpoint = Result { () throws(AWSCredentialsProblem) in
            let container = try ContainerCredentials(environment: variables, http: http)
            let instance = InstanceCredentials(environment: variables, http: http)
            let source: (any CredentialsEndpoint)? = container ?? instance
            return source.map { ExpiringCredentials(of: $0, now: now) }
        }
    }

    /// The credentials to sign with now.
    ///
    /// - Throws: `AWSCredentialsProblem`, or `CancellationError`.
    func credentials() async throws -> AWSCredentials {
        let credentials = try await found()
        guard credentials.areVisibleASCII else {
            throw AWSCredentialsProblem(
                problem: "the AWS credentials hold a space or a control character",
                remedy: "write the keys without quotes, spaces and line ends"
            )
        }
        return credentials
    }

    private func found() async throws -> AWSCredentials {
        if let credentials = try credentialsOfEnvironment() { return credentials }
        if let credentials = try credentialsOfFile() { return credentials }
        if let credentials = try await endpoint.get()?.credentials() { return credentials }
        throw AWSCredentialsProblem(
            problem: "no AWS credentials found",
            remedy: "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or write \(filePath)"
        )
    }

    private func credentialsOfEnvironment() throws(AWSCredentialsProblem) -> AWSCredentials? {
        let key = environment["AWS_ACCESS_KEY_ID"]
        let secret = environment["AWS_SECRET_ACCESS_KEY"]
        guard let key, let secret else {
            guard key != nil || secret != nil else { return nil }
            let (given, missing) =
                key == nil
                ? ("AWS_SECRET_ACCESS_KEY", "AWS_ACCESS_KEY_ID")
                : ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
            throw AWSCredentialsProblem(
                problem: "\(given) is set without \(missing)",
                remedy: "set both or neither"
            )
        }
        return AWSCredentials(
            accessKeyID: key,
            secretAccessKey: secret,
            sessionToken: environment["AWS_SESSION_TOKEN"]
        )
    }

    private var filePath: String {
        environment["AWS_SHARED_CREDENTIALS_FILE"]
            ?? (environment["HOME"] ?? "") + "/.aws/credentials"
    }

    /// The profile in the shared file.
    ///
    /// A file or profile that is missing is an error only when the environment names it.
    private func credentialsOfFile() throws(AWSCredentialsProblem) -> AWSCredentials? {
        let profile = environment["AWS_PROFILE"]
        let path = filePath
        guard let data = FileManager.default.contents(atPath: path) else {
            guard profile != nil || environment["AWS_SHARED_CREDENTIALS_FILE"] != nil else {
                return nil
            }
            throw AWSCredentialsProblem(
                problem: "cannot read the AWS credentials file \(path)",
                remedy: "write it, or set AWS_SHARED_CREDENTIALS_FILE to one that is readable"
            )
        }
        let file = SharedCredentialsFile(text: String(decoding: data, as: UTF8.self))
        do throws(AWSCredentialsProblem) {
            return try file.credentials(of: profile)
        } catch {
            throw AWSCredentialsProblem(
                problem: "\(path): \(error.problem)",
                remedy: error.remedy
            )
        }
    }
}
