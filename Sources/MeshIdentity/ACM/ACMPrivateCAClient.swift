public import AWSClient
internal import Crypto
public import FoundationEssentials
public import MeshModel

/// AWS Certificate Manager Private CA.
///
/// Permissions that its credentials need: `acm-pca:DescribeCertificateAuthority`,
/// `acm-pca:IssueCertificate`, `acm-pca:GetCertificate` and
/// `acm-pca:GetCertificateAuthorityCertificate`.
///
/// Errors: `ACMPrivateCAError`, or `CancellationError`.
public struct ACMPrivateCAClient: PrivateCertificateAuthority {
    /// For how long, all in all, is waited for a certificate that AWS is paid for.
    private static let patience: Duration = .seconds(60)
    /// For how long, all in all, is waited for AWS to be less busy; who asks is told then.
    private static let busyPatience: Duration = .seconds(10)
    private static let firstWait: Duration = .milliseconds(500)
    private static let longestWait: Duration = .seconds(8)
    /// How far back a certificate begins at most, for the clocks of others.
    ///
    /// AWS' default is an hour, and a certificate of two would be half over when it comes.
    private static let backdatingSeconds = 120
    /// The longest lifetime that an authority in the mode `SHORT_LIVED_CERTIFICATE` grants.
    private static let shortLivedSeconds = 7 * 24 * 3600

    private let aws: AWSClient
    private let now: @Sendable () -> Int
    private let jitter: @Sendable () -> Double
    private let sleep: @Sendable (Duration) async throws -> Void

    /// Makes a client that finds its credentials where AWS' own tools do.
    public init(environment: [String: String] = ProcessInfo.processInfo.environment) {
        self.init(aws: AWSClient(environment: environment))
    }

    /// Makes a client.
    ///
    /// - Parameters:
    ///   - aws: What calls AWS.
    ///   - now: The time, in seconds since 1970.
    ///   - jitter: What part of a wait is waited, from 0 to 1.
    ///   - sleep: Waits.
    public init(
        aws: AWSClient,
        now: @escaping @Sendable () -> Int = { Int(Date().timeIntervalSince1970) },
        jitter: @escaping @Sendable () -> Double = { .random(in: 0.5...1) },
        sleep: @escaping @Sendable (Duration) async throws -> Void = {
            try await Task.sleep(for: $0)
        }
    ) {
        self.aws = aws
        self.now = now
        self.jitter = jitter
        self.sleep = sleep
    }

    /// The certificate of `authority` and those above it, in PEM.
    public func authorityChain(of authority: ACMPrivateCA) async throws -> String {
        let address = try ACMPrivateCAAddress(authority)
        let chain: ACMPrivateCAMessages.Chain = try await call(
            "GetCertificateAuthorityCertificate",
            address,
            ACMPrivateCAMessages.Authority(arn: address.authorityARN)
        )
        return try chain.checkedPEM(of: "GetCertificateAuthorityCertificate")
    }

    /// Has `authority` sign a request, and gives the chain from the leaf on in PEM.
    ///
    /// From begin to end the certificate has `lifetime`, of which a little is over already. Subject
    /// and subject alternative names are those of the request.
    ///
    /// With equal arguments AWS is asked the same with the same idempotency token, and issues one
    /// certificate.
    public func issue(
        csrPEM: String,
        lifetime: Duration,
        orderedSeconds: Int,
        from authority: ACMPrivateCA
    ) async throws -> String {
        let address = try ACMPrivateCAAddress(authority)
        let signer = try await signer(address)
        let seconds = Int(lifetime.components.seconds)
        let begin = orderedSeconds - min(Self.backdatingSeconds, seconds / 10)
        let end = begin + seconds
        if let reason = lifetimeProblem(seconds, until: end, signer) {
            throw ACMPrivateCAError.lifetime(lifetime, reason: reason)
        }
        let request = ACMPrivateCAMessages.Issue(
            arn: address.authorityARN,
            csr: Data(csrPEM.utf8).base64EncodedString(),
            signingAlgorithm: try signer.configuration.signingAlgorithm,
            notAfter: .init(seconds: end),
            notBefore: .init(seconds: max(begin, signer.firstSecond)),
            idempotencyToken: Self.idempotencyToken(csrPEM, end)
        )
        let issued: ACMPrivateCAMessages.Issued
        do {
            issued = try await call("IssueCertificate", address, request)
        } catch ACMPrivateCAError.aws(let error) where error.isAboutValidity {
            throw ACMPrivateCAError.lifetime(lifetime, reason: error.problem)
        }
        return try await certificate(issued.certificateARN, address)
    }

    /// Equal for the retries of one request, and for no two requests: each has a key of its own.
    private static func idempotencyToken(_ csrPEM: String, _ end: Int) -> String {
        let digest = SHA256.hash(data: Data("\(end)\n\(csrPEM)".utf8))
        return digest.prefix(16).map { byte in
            let digits = String(byte, radix: 16)
            return digits.count == 1 ? "0" + digits : digits
        }.joined()
    }

    // MARK: Before

    /// The authority, if it signs.
    ///
    /// It is asked first, as AWS does not say what hinders an `IssueCertificate`, and as a
    /// certificate costs money.
    private func signer(
        _ address: ACMPrivateCAAddress
    ) async throws -> ACMPrivateCAMessages.Description.Authority {
        let answer: ACMPrivateCAMessages.Description = try await call(
            "DescribeCertificateAuthority",
            address,
            ACMPrivateCAMessages.Authority(arn: address.authorityARN)
        )
        guard answer.authority.status == "ACTIVE" else {
            throw ACMPrivateCAError.notActive(status: answer.authority.status)
        }
        return answer.authority
    }

    private func lifetimeProblem(
        _ seconds: Int,
        until end: Int,
        _ signer: ACMPrivateCAMessages.Description.Authority
    ) -> String? {
        if seconds < 1 { return "it is shorter than a second" }
        if signer.usageMode == "SHORT_LIVED_CERTIFICATE", seconds > Self.shortLivedSeconds {
            return "the authority's usage mode SHORT_LIVED_CERTIFICATE grants at most "
                + "\(Self.shortLivedSeconds) s"
        }
        if let last = signer.notAfter, Double(end) > last {
            return "the authority itself ends in \(max(0, Int(last) - now())) s and needs renewal"
        }
        return nil
    }

    // MARK: After

    /// The certificate, as soon as it is there: AWS signs a little later than it answers.
    ///
    /// It is paid for by now, so no failure that may pass gives it up.
    private func certificate(
        _ certificateARN: String,
        _ address: ACMPrivateCAAddress
    ) async throws -> String {
        let chain: ACMPrivateCAMessages.Chain
        do {
            chain = try await call(
                "GetCertificate",
                address,
                ACMPrivateCAMessages.Get(arn: address.authorityARN, certificateARN: certificateARN),
                patience: Self.patience,
                isWorthTryingAgain: { $0.isTransient || $0.isInProgress }
            )
        } catch ACMPrivateCAError.aws(let error) where error.isInProgress {
            throw ACMPrivateCAError.notIssuedInTime(Self.patience)
        }
        return try chain.checkedPEM(of: "GetCertificate")
    }

    // MARK: Patience

    /// What `operation` answers, tried again for a while when AWS is too busy.
    private func call<Output: Decodable>(
        _ operation: String,
        _ address: ACMPrivateCAAddress,
        _ input: some Encodable,
        patience: Duration = busyPatience,
        isWorthTryingAgain: (AWSError) -> Bool = {
            $0.kind == .throttled || $0.kind == .serverFailed
        }
    ) async throws -> Output {
        var (left, step) = (patience, Self.firstWait)
        while true {
            do {
                return try await aws.call(operation, of: address.service, input)
            } catch let error as AWSError {
                let wait = max(step * jitter(), error.retryAfter ?? .zero)
                guard isWorthTryingAgain(error), wait <= left else {
                    throw ACMPrivateCAError(error)
                }
                left -= wait
                step = min(step * 2, Self.longestWait)
                try await sleep(wait)
            }
        }
    }
}

extension AWSError {
    fileprivate var isInProgress: Bool { code == "RequestInProgressException" }

    fileprivate var isAboutValidity: Bool {
        ["ValidationException", "InvalidArgsException"].contains(code)
            && problem.lowercased().contains("validity")
    }
}

extension ACMPrivateCAError {
    fileprivate init(_ error: AWSError) {
        self =
            switch error.code {
            case "InvalidStateException": .wrongState(error)
            case "LimitExceededException": .quota(error)
            default: .aws(error)
            }
    }
}

extension ACMPrivateCAMessages.Chain {
    fileprivate func checkedPEM(of operation: String) throws(ACMPrivateCAError) -> String {
        guard let pem else { throw .malformedAnswer(operation) }
        return pem
    }
}

extension ACMPrivateCAMessages.Description.Authority {
    /// Since when it may sign, in seconds since 1970.
    fileprivate var firstSecond: Int { Int((notBefore ?? 0).rounded(.up)) }
}

extension ACMPrivateCAMessages.Description.Configuration {
    /// `SigningAlgorithm` must be of the family of the authority's key.
    fileprivate var signingAlgorithm: String {
        get throws(ACMPrivateCAError) {
            switch keyAlgorithm {
            case "RSA_2048", "RSA_3072", "RSA_4096": "SHA256WITHRSA"
            case "EC_prime256v1": "SHA256WITHECDSA"
            case "EC_secp384r1": "SHA384WITHECDSA"
            case "EC_secp521r1": "SHA512WITHECDSA"
            default: throw .unusableKey(algorithm: keyAlgorithm)
            }
        }
    }
}
