import AWSClient
import Foundation
import MeshTesting
import Testing

/// Signatures before an independent judge: moto checks them with botocore, AWS' own client.
@Suite(.enabled(if: motoIsExpected), .timeLimit(.minutes(2)))
struct AWSSignatureTests {
    struct Nothing: Codable {}

    private func describe(
        _ arn: String,
        of moto: MotoServer,
        _ environment: [String: String]
    ) async throws {
        let service = AWSService(
            name: "acm-pca",
            region: MotoServer.region,
            endpoint: moto.endpoint,
            targetPrefix: "ACMPrivateCA"
        )
        let _: Nothing = try await AWSClient(environment: environment).call(
            "DescribeCertificateAuthority",
            of: service,
            ["CertificateAuthorityArn": arn]
        )
    }

    /// One test, as a server takes seconds to start.
    @Test func `AWS' own code finds our signatures right, and refuses wrong keys`() async throws {
        let moto = try await MotoServer()
        let arn = try await moto.makeAuthority(name: "demo")
        let user = try await moto.makeUser("allowed", mayDo: "*")
        let session = try await moto.makeSession("session", mayDo: "acm-pca:*")
        let stranger = try await moto.makeUser("stranger", mayDo: nil)
        try await moto.checkSignatures()

        try await describe(arn, of: moto, user.environment)
        try #require(session.token != nil)
        try await describe(arn, of: moto, session.environment)
        // Not only ASCII, and enough for several packets.
        let long = String(repeating: "ünknown ", count: 20_000)
        let notFound = await #expect(throws: AWSError.self) {
            try await describe(long, of: moto, user.environment)
        }
        #expect(notFound?.kind == .notFound)

        var wrong = user
        wrong.secret += "x"
        let mismatch = await #expect(throws: AWSError.self) {
            try await describe(arn, of: moto, wrong.environment)
        }
        #expect(mismatch?.kind == .wrongCredentials)
        #expect(mismatch?.code == "SignatureDoesNotMatch")
        wrong.id = "AKIAUNKNOWN"
        let unknown = await #expect(throws: AWSError.self) {
            try await describe(arn, of: moto, wrong.environment)
        }
        #expect(unknown?.kind == .wrongCredentials)
        #expect(unknown?.code == "InvalidClientTokenId")
        let denied = await #expect(throws: AWSError.self) {
            try await describe(arn, of: moto, stranger.environment)
        }
        #expect(denied?.kind == .accessDenied)
        #expect(denied?.description.contains("user/stranger is not authorized") == true)
        let remedy =
            "allow acm-pca:DescribeCertificateAuthority to the user or role of the credentials"
        #expect(denied?.remedy == remedy)

        // A service that is called by path.
        let xray = AWSService(
            name: "xray",
            region: MotoServer.region,
            endpoint: moto.endpoint,
            targetPrefix: nil
        )
        let segments = ["TraceSegmentDocuments": [#"{"id":"1","name":"grün"}"#]]
        let _: Nothing = try await AWSClient(environment: user.environment)
            .call("PutTraceSegments", of: xray, path: "/TraceSegments", segments)
        let xrayMismatch = await #expect(throws: AWSError.self) {
            let _: Nothing = try await AWSClient(environment: wrong.environment)
                .call("PutTraceSegments", of: xray, path: "/TraceSegments", segments)
        }
        #expect(xrayMismatch?.kind == .wrongCredentials)
    }
}
