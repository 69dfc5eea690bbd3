import AWSClient
import Foundation
import HTTPClient
import MeshTesting
import Testing

/// What a call sends, and what becomes of answers, with a server that answers as it is told.
@Suite(.timeLimit(.minutes(1)))
struct AWSClientTests {
    struct Input: Encodable { var name = "grün/1" }
    struct Output: Decodable, Equatable { var answer: String }

    static let keys = [
        "AWS_ACCESS_KEY_ID": "AKIAEXAMPLE", "AWS_SECRET_ACCESS_KEY": "secret/EXAMPLE+key",
        "AWS_SESSION_TOKEN": "tokenEXAMPLE==",
    ]

    private func call(
        _ endpoint: String,
        environment: [String: String] = keys,
        timeout: Duration = .seconds(15)
    ) async throws -> Output {
        let service = AWSService(
            name: "acm-pca",
            region: "eu-west-1",
            endpoint: endpoint,
            targetPrefix: "ACMPrivateCA"
        )
        return try await AWSClient(environment: environment)
            .call("IssueCertificate", of: service, Input(), timeout: timeout)
    }

    private func error(
        _ answer: ScriptedServer.Answer
    ) async throws -> (error: AWSError, endpoint: String) {
        let server = try await ScriptedServer([answer])
        let error = await #expect(throws: AWSError.self) { try await call(server.endpoint) }
        return (try #require(error), server.endpoint)
    }

    @Test func `a call is a POST of JSON that names its target, key and token`() async throws {
        let server = try await ScriptedServer([.init(200, #"{"answer":"yes"}"#)])
        #expect(try await call(server.endpoint + "/") == Output(answer: "yes"))
        let request = try #require(try await server.requests().first)
        #expect(request.method == "POST")
        #expect(request.path == "/")
        #expect(request.body == #"{"name":"grün/1"}"#)
        #expect(request.headers["content-type"] == "application/x-amz-json-1.1")
        #expect(request.headers["x-amz-target"] == "ACMPrivateCA.IssueCertificate")
        #expect(request.headers["x-amz-security-token"] == "tokenEXAMPLE==")
        let authorization = try #require(request.headers["authorization"])
        #expect(authorization.hasPrefix("AWS4-HMAC-SHA256 Credential=AKIAEXAMPLE/"))
        #expect(authorization.contains("/eu-west-1/acm-pca/aws4_request, "))
        let signed =
            "SignedHeaders=content-type;host;x-amz-date;x-amz-security-token;x-amz-target, "
        #expect(authorization.contains(signed))
    }

    @Test(
        arguments: [
            ("eu-west-1", "https://xray.eu-west-1.amazonaws.com"),
            ("cn-north-1", "https://xray.cn-north-1.amazonaws.com.cn"),
        ]
    )
    func `without an endpoint it is that of the region`(region: String, endpoint: String) {
        let service = AWSService(name: "xray", region: region, targetPrefix: nil)
        #expect(service.endpoint == endpoint)
    }

    @Test func `a throttled call says when to ask again`() async throws {
        let (error, endpoint) = try await error(
            .init(
                400,
                headers: ["Retry-After": "7"],
                #"{"__type":"com.amazonaws.acmpca#ThrottlingException","message":"Rate exceeded"}"#
            )
        )
        #expect(error.kind == .throttled)
        #expect(error.isTransient)
        #expect(error.retryAfter == .seconds(7))
        #expect(
            error.description
                == "acm-pca IssueCertificate at \(endpoint): ThrottlingException: Rate exceeded; "
                + "ask less often, or raise the account's quota for IssueCertificate"
        )
    }

    @Test(
        arguments: [
            ("UnrecognizedClientException", "The security token is invalid.", .wrongCredentials),
            ("InvalidSignatureException", "The signature does not match.", .wrongCredentials),
            ("InvalidSignatureException", "Signature expired: 2026 is now earlier", .clockSkew),
            ("InvalidSignatureException", "Signature not yet current: 2026", .clockSkew),
            ("ExpiredTokenException", "The token has expired", .expiredCredentials),
            ("AccessDeniedException", "User: u is not authorized", .accessDenied),
            ("ResourceNotFoundException", "Could not find authority", .notFound),
            ("TooManyRequestsException", "slow down", .throttled),
            ("InternalServerException", "oops", .serverFailed),
            ("ValidationException", "1 error", .refused),
            ("MalformedCSRException", "not a CSR", .refused),
        ] as [(String, String, AWSError.Kind)]
    )
    func `the kind of an error is that of its name`(
        code: String,
        message: String,
        kind: AWSError.Kind
    ) async throws {
        let (error, _) = try await error(
            .init(400, #"{"__type":"\#(code)","Message":"\#(message)"}"#)
        )
        #expect(error.kind == kind)
        #expect(error.code == code)
        #expect(!error.remedy.isEmpty)
    }

    @Test(
        arguments: [
            (429, "", .throttled), (503, "<html>busy</html>", .serverFailed),
            (404, "<html>no such page</html>", .notAWS), (200, "<html>hello</html>", .notAWS),
            (302, "", .notAWS),
        ] as [(Int, String, AWSError.Kind)]
    )
    func `an answer that is not of AWS is told by its status`(
        status: Int,
        body: String,
        kind: AWSError.Kind
    ) async throws {
        let (error, _) = try await error(.init(status, body))
        #expect(error.kind == kind)
        #expect(error.code == nil)
        #expect(error.problem.contains(status == 200 ? "IssueCertificate" : "\(status)"))
    }

    @Test func `the name of an error may be in a header`() async throws {
        let (error, _) = try await error(
            .init(400, headers: ["x-amzn-ErrorType": "AccessDeniedException:http://x/"], "{}")
        )
        #expect(error.kind == .accessDenied)
        #expect(error.problem == "it answers 400")
    }

    /// AWS explains a wrong signature with the request as it should have been signed.
    @Test func `keys that the server repeats are in no message`() async throws {
        let (error, _) = try await error(
            .init(
                400,
                #"{"__type":"InvalidSignatureException","message":"Not AKIAEXAMPLE with "#
                    + #"tokenEXAMPLE== or secret/EXAMPLE+key.\n\nx-amz-security-token:other"}"#
            )
        )
        #expect(error.problem == "Not *** with *** or ***")
        var text = "\(error)"
        dump(error, to: &text)
        #expect(Self.keys.values.allSatisfy { !text.contains($0) })
        #expect(!text.contains("other"))
    }

    @Test func `a server that is down is unreachable`() async throws {
        let error = await #expect(throws: AWSError.self) { try await call("http://127.0.0.1:1") }
        #expect(error?.kind == .unreachable)
        #expect(error?.isTransient == true)
        let text = error?.description ?? ""
        #expect(text.hasPrefix("acm-pca IssueCertificate at http://127.0.0.1:1: "))
        #expect(text.hasSuffix("; check the endpoint and the way to it"))
    }

    @Test func `an endpoint with a query is refused before anything is sent`() async throws {
        let server = try await ScriptedServer([.init(200, "{}")])
        let error = await #expect(throws: AWSError.self) {
            try await call(server.endpoint + "/?b=1&a")
        }
        #expect(error?.problem.contains("cannot be signed for AWS") == true)
        #expect(try await server.requests().isEmpty)
    }

    @Test func `a certificate of AWS_CA_BUNDLE is trusted, and another is not`() async throws {
        let folder = FileManager.default.temporaryDirectory
            .appendingPathComponent("aws-client-\(UUID().uuidString.prefix(8))")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        let path = folder.appendingPathComponent("server.pem").path
        let made = try await runCommand(
            "/usr/bin/env",
            [
                "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
                "-nodes", "-days", "2", "-subj", "/CN=aws", "-addext",
                "subjectAltName=IP:127.0.0.1", "-keyout", path, "-out", path + ".crt",
            ]
        )
        try #require(made.status == 0, "\(made.output)")
        let certificate = try Data(contentsOf: URL(fileURLWithPath: path + ".crt"))
        try (Data(contentsOf: URL(fileURLWithPath: path)) + certificate)
            .write(to: URL(fileURLWithPath: path))
        let server = try await ScriptedServer(
            [.init(200, #"{"answer":"yes"}"#)],
            certificateFile: path
        )
        let trusting = Self.keys.merging(["AWS_CA_BUNDLE": path]) { old, _ in old }
        let output = try await call(server.endpoint, environment: trusting)
        #expect(output == Output(answer: "yes"))
        let error = await #expect(throws: AWSError.self) { try await call(server.endpoint) }
        #expect(error?.kind == .unreachable)
        #expect(error?.problem.contains("certificate") == true)
        #expect(try await server.requests().count == 1)
    }
}
