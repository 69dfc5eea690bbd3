import AWSClient
import Foundation
import MeshIdentity
import MeshModel
import MeshTesting
import Synchronization
import Testing

/// What moto cannot do: be slow, be busy, and refuse; a server that answers as it is told can.
@Suite(.timeLimit(.minutes(1)))
struct ACMPrivateCAClientTests {
    static let arn = "arn:aws:acm-pca:eu-west-1:123456789012:certificate-authority/1-2"
    static let certificate = "-----BEGIN CERTIFICATE-----\\nbGVhZg==\\n-----END CERTIFICATE-----"
    static let time = 1_800_000_000

    let waits = Waits()

    final class Waits: Sendable {
        let durations = Mutex<[Duration]>([])
    }

    private var client: ACMPrivateCAClient {
        ACMPrivateCAClient(
            aws: AWSClient(
                environment: ["AWS_ACCESS_KEY_ID": "AKIA1", "AWS_SECRET_ACCESS_KEY": "secret"]
            ),
            now: { Self.time },
            jitter: { 1 },
            sleep: { [waits] duration in waits.durations.withLock { $0.append(duration) } }
        )
    }

    private var waited: [Duration] { waits.durations.withLock { $0 } }

    // MARK: Answers

    private static func description(
        _ key: String = "EC_prime256v1",
        status: String = "ACTIVE",
        notBefore: Int = time - 86_400,
        notAfter: Int = time + 86_400
    ) -> ScriptedServer.Answer {
        .init(
            200,
            """
            {"CertificateAuthority": {"Status": "\(status)", "UsageMode": "GENERAL_PURPOSE",
            "NotBefore": \(notBefore), "NotAfter": \(notAfter),
            "CertificateAuthorityConfiguration": {"KeyAlgorithm": "\(key)"}}}
            """
        )
    }

    private static let issued = ScriptedServer.Answer(
        200,
        #"{"CertificateArn": "\#(arn)/certificate/3"}"#
    )
    private static let got = ScriptedServer.Answer(
        200,
        #"{"Certificate": "\#(certificate)", "CertificateChain": "\#(certificate)"}"#
    )

    private static func refusal(
        _ code: String,
        _ message: String = "no",
        headers: [String: String] = [:]
    ) -> ScriptedServer.Answer {
        .init(400, headers: headers, #"{"__type":"\#(code)","message":"\#(message)"}"#)
    }

    private static let inProgress = refusal("RequestInProgressException")
    private static let throttled = refusal("ThrottlingException", "Rate exceeded")

    // MARK: Calls

    private func issue(
        _ server: ScriptedServer,
        lifetime: Duration = .seconds(3600)
    ) async throws -> String {
        let authority = ACMPrivateCA(authorityARN: Self.arn, endpoint: server.endpoint)
        return try await client.issue(
            csrPEM: "a request",
            lifetime: lifetime,
            orderedSeconds: Self.time,
            from: authority
        )
    }

    private func error(
        _ answers: [ScriptedServer.Answer],
        lifetime: Duration = .seconds(3600)
    ) async throws -> ACMPrivateCAError {
        let server = try await ScriptedServer(answers)
        return try #require(
            await #expect(throws: ACMPrivateCAError.self) {
                try await issue(server, lifetime: lifetime)
            }
        )
    }

    private struct Sent: Decodable, Equatable {
        struct Time: Decodable, Equatable {
            var type: String
            var value: Int

            enum CodingKeys: String, CodingKey {
                case type = "Type"
                case value = "Value"
            }
        }

        var arn: String
        var csr: String?
        var algorithm: String?
        var validity: Time?
        var validityNotBefore: Time?
        var token: String?

        enum CodingKeys: String, CodingKey {
            case arn = "CertificateAuthorityArn"
            case csr = "Csr"
            case algorithm = "SigningAlgorithm"
            case validity = "Validity"
            case validityNotBefore = "ValidityNotBefore"
            case token = "IdempotencyToken"
        }
    }

    private func sent(_ server: ScriptedServer) async throws -> [(operation: String, input: Sent)] {
        try await server.requests().map { request in
            let target = request.headers["x-amz-target"] ?? ""
            return (
                target.replacing("ACMPrivateCA.", with: ""),
                try JSONDecoder().decode(Sent.self, from: Data(request.body.utf8))
            )
        }
    }

    // MARK: Tests

    @Test(
        arguments: [
            ("RSA_2048", "SHA256WITHRSA"), ("RSA_4096", "SHA256WITHRSA"),
            ("EC_prime256v1", "SHA256WITHECDSA"), ("EC_secp384r1", "SHA384WITHECDSA"),
            ("EC_secp521r1", "SHA512WITHECDSA"),
        ]
    )
    func `a lifetime of seconds is asked for, signed as the authority's key can`(
        key: String,
        algorithm: String
    ) async throws {
        let server = try await ScriptedServer([Self.description(key), Self.issued, Self.got])
        let chain = try await issue(server, lifetime: .seconds(90))
        let certificate = Self.certificate.replacing("\\n", with: "\n") + "\n"
        #expect(chain == certificate + certificate)
        let sent = try await sent(server)
        #expect(
            sent.map(\.operation)
                == ["DescribeCertificateAuthority", "IssueCertificate", "GetCertificate"]
        )
        let input = sent[1].input
        #expect(sent.allSatisfy { $0.input.arn == Self.arn })
        #expect(input.csr == Data("a request".utf8).base64EncodedString())
        #expect(input.algorithm == algorithm)
        #expect(input.validity == .init(type: "ABSOLUTE", value: Self.time + 81))
        #expect(input.validityNotBefore == .init(type: "ABSOLUTE", value: Self.time - 9))
        #expect(input.token?.count == 32)
    }

    @Test func `a certificate does not begin before its authority`() async throws {
        let server = try await ScriptedServer([
            Self.description(notBefore: Self.time - 5), Self.issued, Self.got,
        ])
        _ = try await issue(server)
        #expect(try await sent(server)[1].input.validityNotBefore?.value == Self.time - 5)
    }

    @Test func `a certificate that is not ready is asked for again`() async throws {
        let server = try await ScriptedServer([
            Self.description(), Self.issued, Self.inProgress, Self.throttled, .init(503),
            Self.inProgress, Self.got,
        ])
        #expect(try await issue(server).hasPrefix("-----BEGIN"))
        #expect(waited == [.milliseconds(500), .seconds(1), .seconds(2), .seconds(4)])
        #expect(try await sent(server).filter { $0.operation == "IssueCertificate" }.count == 1)
    }

    @Test func `a certificate that never comes is given up`() async throws {
        let error = try await error([Self.description(), Self.issued, Self.inProgress])
        #expect(error == .notIssuedInTime(.seconds(60)))
        #expect(waited.reduce(.zero, +) <= .seconds(60))
    }

    @Test func `a throttled request waits as long as AWS says, and is the same again`() async throws
    {
        let server = try await ScriptedServer([
            Self.description(),
            Self.refusal("ThrottlingException", headers: ["Retry-After": "9"]), Self.throttled,
            Self.issued, Self.got,
        ])
        _ = try await issue(server)
        #expect(waited == [.seconds(9), .seconds(1)])
        let tokens = try await sent(server).compactMap(\.input.token)
        #expect(tokens.count == 3)
        #expect(Set(tokens).count == 1)
    }

    @Test func `a request that stays throttled fails with AWS' words`() async throws {
        let error = try await error([Self.throttled])
        guard case .aws(let cause) = error else {
            Issue.record("\(error)")
            return
        }
        #expect(cause.kind == .throttled)
        #expect(error.description.contains("ThrottlingException: Rate exceeded; ask less often"))
        #expect(waited.reduce(.zero, +) <= .seconds(10))
        #expect(waited.count > 2)
    }

    @Test(
        arguments: [
            (0, "it is shorter than a second"),
            (86_400 + 121, "the authority itself ends in 86400 s and needs renewal"),
        ]
    )
    func `a lifetime that cannot be had is told before one is paid for`(
        seconds: Int,
        problem: String
    ) async throws {
        let error = try await error([Self.description()], lifetime: .seconds(seconds))
        #expect(error.description.contains("a lifetime of \(seconds) s is refused: "))
        #expect(error.description.contains(problem))
    }

    @Test func `what AWS says of a lifetime is told as such`() async throws {
        let message =
            "The certificate validity specified exceeds the certificate authority validity"
        let error = try await error([
            Self.description(), Self.refusal("ValidationException", message),
        ])
        #expect(
            error == .lifetime(.seconds(3600), reason: message)
        )
    }

    @Test(
        arguments: [
            ("LimitExceededException", "a quota of the account is used up (no); "),
            ("InvalidStateException", "its state does not allow this (no); "),
            ("MalformedCSRException", "MalformedCSRException: no; "),
            ("AccessDeniedException", "; allow acm-pca:IssueCertificate to the user or role"),
        ]
    )
    func `a refusal is told with AWS' words and a remedy`(
        code: String,
        text: String
    ) async throws {
        let error = try await error([Self.description(), Self.refusal(code)])
        #expect(error.description.contains(text))
        #expect(!error.description.contains("\n"))
        #expect(waited.isEmpty)
    }

    @Test(arguments: ["CREATING", "PENDING_CERTIFICATE", "DISABLED", "EXPIRED", "FAILED"])
    func `an authority that is not active is asked for nothing`(status: String) async throws {
        let error = try await error([Self.description(status: status)])
        #expect(error == .notActive(status: status))
        #expect(error.description.contains("it is \(status) and signs nothing; "))
    }

    @Test(arguments: ["SM2", "ML_DSA_65"])
    func `a key that Envoy cannot verify is refused`(key: String) async throws {
        #expect(try await error([Self.description(key)]) == .unusableKey(algorithm: key))
    }

    @Test func `an answer without a certificate is told`() async throws {
        let empty = ScriptedServer.Answer(200, #"{"Certificate": ""}"#)
        let error = try await error([Self.description(), Self.issued, empty])
        #expect(error == .malformedAnswer("GetCertificate"))
    }

    @Test func `a server that is down is told at once`() async throws {
        let authority = ACMPrivateCA(authorityARN: Self.arn, endpoint: "http://127.0.0.1:1")
        let error = await #expect(throws: ACMPrivateCAError.self) {
            try await client.issue(
                csrPEM: "r",
                lifetime: .seconds(60),
                orderedSeconds: Self.time,
                from: authority
            )
        }
        let text = error?.description ?? ""
        #expect(text.contains("acm-pca DescribeCertificateAuthority at http://127.0.0.1:1: "))
        #expect(text.hasSuffix("; check the endpoint and the way to it"))
        #expect(waited.isEmpty)
    }

    @Test(
        arguments: [
            "", "arn:aws:acm:eu-west-1:1:certificate/2",
            "arn:aws:acm-pca::1:certificate-authority/2",
            "arn:aws:acm-pca:eu-west-1:1:2",
        ]
    )
    func `an ARN of something else is refused`(arn: String) async {
        let error = await #expect(throws: ACMPrivateCAError.self) {
            try await client.authorityChain(of: ACMPrivateCA(authorityARN: arn))
        }
        #expect(error == .malformedARN(arn))
    }

    @Test func `an endpoint that is no URL is refused`() async {
        let authority = ACMPrivateCA(authorityARN: Self.arn, endpoint: "localhost:5000")
        let error = await #expect(throws: ACMPrivateCAError.self) {
            try await client.authorityChain(of: authority)
        }
        #expect(error == .malformedEndpoint("localhost:5000"))
    }
}
