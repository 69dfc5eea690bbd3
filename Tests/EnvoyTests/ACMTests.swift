import Foundation
import HTTPClient
import MeshModel
import MeshTesting
import Testing

/// Certificates that an authority of ACM Private CA issues, with moto in AWS' place.
@Suite(.enabled(if: envoyIsExpected && motoIsExpected), .serialized, .timeLimit(.minutes(1)))
struct ACMTests {
    private static let certificateARN = "arn:aws:acm:eu-west-1:111122223333:certificate/blue"

    /// front calls blue, whose certificate `authority` issues, and green, which has no TLS.
    fileprivate static func manifests(
        authority: String,
        at endpoint: String
    ) -> [String: String] {
        // The manifest's own braces close it.
        let blue =
            "blue}, clientPolicy: {tls: {validation: {trust: {acm: "
            + "{certificateAuthorityARNs: [\"\(authority)\"]}}}}"
        let listener = Manifests.listenerTLS("acm: {certificateARN: \"\(certificateARN)\"}")
        func source(_ rest: String) -> String { "acmPrivateCA: {endpoint: \"\(endpoint)\"\(rest)}" }
        return [
            "mesh.yaml":
                Manifests.mesh() + Manifests.running("front", backends: [blue, "green"])
                + Manifests.served("blue", appPort: "APP1", listener: listener)
                + Manifests.served("green", appPort: "APP2")
                + Manifests.service("blue") + Manifests.service("green")
                + Manifests.certificateMapping(
                    "blue",
                    arn: certificateARN,
                    source(", certificateAuthorityARN: \"\(authority)\"")
                )
                + Manifests.certificateMapping("authority", arn: authority, source(""))
        ]
    }

    @Test func `an authority of ACM Private CA issues, and renews without a failed request`()
        async throws
    {
        try await MeshOfACM.run { mesh in
            let answer = try await mesh.request()
            #expect(answer.name == "blue", "\(answer.text)")
            #expect(try await mesh.mesh.statistics("listener.", "ssl.handshake", of: "blue") > 0)
            let first = try await mesh.presented()
            #expect(
                Set(first.names)
                    == ["URI:spiffe://demo/demo/blue", "DNS:blue.demo.svc.cluster.local"]
            )
            #expect(first.serial != nil)
            #expect(try await mesh.presented(trust: mesh.otherRoot).serial == nil)
            #expect(try await mesh.mesh.result(["certificates"]).status == 0)
            let outcome = try await Load.run({ try await mesh.request() }) { _ in
                let output = try await mesh.rotate()
                #expect(output.contains("1 certificate is issued anew"), "\(output)")
                #expect(try await mesh.presented(after: first).names == first.names)
            }
            #expect(outcome.failures == [])
            #expect(outcome.requests > 0)
        }
    }

    @Test func `while an authority of ACM Private CA fails, the last certificate is served`()
        async throws
    {
        try await MeshOfACM.run { mesh in
            let first = try await mesh.presented()
            func expectFailure(_ problem: String, still last: PresentedCertificate) async throws {
                _ = try await mesh.rotate()
                try await mesh.mesh.expectProblem(problem, reason: "CertificateNotRenewed")
                #expect(try await mesh.presented() == last)
                #expect(try await mesh.request().name == "blue")
            }
            try await mesh.endpoint.answer([
                .init(
                    400,
                    headers: ["Retry-After": "60"],
                    #"{"__type": "ThrottlingException", "message": "Rate exceeded"}"#
                )
            ])
            try await expectFailure("ThrottlingException: Rate exceeded; ", still: first)
            var wrong = mesh.user
            wrong.secret += "x"
            try mesh.save(wrong)
            try await mesh.endpoint.answer([.of(mesh.moto.endpoint)])
            try await expectFailure("; check AWS_ACCESS_KEY_ID and ", still: first)
            // What is right again needs no word to Heddle.
            try mesh.save(mesh.user)
            let second = try await mesh.presented(after: first)
            _ = try await mesh.mesh.condition("CertificateValid", of: "blue") {
                $0["status"]?.string == "True"
            }
            try await mesh.moto.checkSignatures(false)
            try await mesh.moto.deleteAuthority(mesh.authority)
            try await expectFailure("it is DELETED and signs nothing; restore it", still: second)
        }
    }

    @Test func `wrong credentials hold up nothing but what needs them`() async throws {
        let moto = try await SharedMoto.only.server()
        let authority = try await moto.makeAuthority(name: "demo root")
        try await moto.checkSignatures()
        try await RunningMesh.run(
            Self.manifests(authority: authority, at: moto.endpoint),
            environment: [
                "AWS_ACCESS_KEY_ID": "AKIAUNKNOWN", "AWS_SECRET_ACCESS_KEY": "unknown",
                "AWS_SESSION_TOKEN": "",
            ],
            after: "ready: demo/green"
        ) { mesh in
            try await mesh.expectProblem(
                "; check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
                reason: "CertificateMissing"
            )
            let active = try await mesh.condition("VirtualNodeActive", of: "blue") { _ in true }
            #expect(active["status"]?.string == "False")
            #expect(active["reason"]?.string == "CertificateMissing")
            let green = try await mesh.ingressAddress(of: "green")
            let direct = try await mesh.request("http://\(green):8080/")
            #expect(direct.name == "green", "\(direct.text)")
            // front misses its trust in blue's authority, which only its calls to blue need.
            _ = try await mesh.line(containing: "ready: demo/front")
            let answer = try await mesh.request(from: "front", host: "green.demo:8080")
            #expect(answer.name == "green", "\(answer.text)")
            #expect(try await mesh.request(from: "front", host: "blue.demo:8080").status == 503)
        }
    }
}

/// A mesh whose certificate comes from moto, and what a test does with both.
private struct MeshOfACM {
    let mesh: RunningMesh
    let moto: MotoServer
    /// What Heddle asks; it gives moto's answers unless it is told others.
    let endpoint: ScriptedServer
    /// The ARN of the authority.
    let authority: String
    /// The keys that may use it.
    let user: MotoServer.Keys
    /// The authority's certificate, a file, and that of another.
    let root: String
    let otherRoot: String
    /// Where Heddle finds its keys, which it reads for every request.
    let credentialsFile: String
    /// Where front calls blue.
    let url: String

    /// Runs `body` on a mesh, with a server that checks signatures.
    static func run(_ body: (MeshOfACM) async throws -> Void) async throws {
        let moto = try await SharedMoto.only.server()
        let authority = try await moto.makeAuthority(name: "demo root")
        let other = try await moto.makeAuthority(name: "other root")
        let user = try await moto.makeUser("user-\(authority.suffix(12))", mayDo: "acm-pca:*")
        let endpoint = try await ScriptedServer([.of(moto.endpoint)])
        try await TestFolder.use { folder in
            let credentials = folder.path("credentials")
            try save(user, to: credentials)
            let (root, otherRoot) = (folder.path("root.pem"), folder.path("other.pem"))
            for (path, arn) in [(root, authority), (otherRoot, other)] {
                let certificate = try await moto.certificate(of: arn)
                try certificate.write(toFile: path, atomically: true, encoding: .utf8)
            }
            try await moto.checkSignatures()
            try await RunningMesh.run(
                ACMTests.manifests(authority: authority, at: endpoint.endpoint),
                environment: [
                    "AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": "", "AWS_PROFILE": "",
                    "AWS_SHARED_CREDENTIALS_FILE": credentials,
                ],
                in: folder
            ) { mesh in
                try await body(
                    MeshOfACM(
                        mesh: mesh,
                        moto: moto,
                        endpoint: endpoint,
                        authority: authority,
                        user: user,
                        root: root,
                        otherRoot: otherRoot,
                        credentialsFile: credentials,
                        url: "http://\(try await mesh.egressAddress(of: "front")):8080/"
                    )
                )
            }
        }
    }

    /// Gives Heddle keys.
    func save(_ keys: MotoServer.Keys) throws { try Self.save(keys, to: credentialsFile) }

    private static func save(_ keys: MotoServer.Keys, to path: String) throws {
        let lines = [
            "[default]", "aws_access_key_id = \(keys.id)", "aws_secret_access_key = \(keys.secret)",
        ]
        try lines.joined(separator: "\n").write(toFile: path, atomically: true, encoding: .utf8)
    }

    /// The answer to a request from front to blue.
    func request() async throws -> HTTPResponse {
        try await mesh.request(url, headers: [HTTPField("Host", "blue.demo:8080")])
    }

    /// What `heddle certificates rotate` prints.
    func rotate() async throws -> String {
        try await mesh.heddle("certificates", "rotate", "demo/blue")
    }

    /// The certificate that blue presents, if an authority signed it: by default the one it is from.
    func presented(trust: String? = nil) async throws -> PresentedCertificate {
        let address = try await mesh.ingressAddress(of: "blue")
        return try await presentedCertificate(address, port: 8080, trust: trust ?? root)
    }

    /// The certificate that takes the place of `old`.
    func presented(after old: PresentedCertificate) async throws -> PresentedCertificate {
        try await poll {
            try await presented()
        } until: {
            $0 != old
        }
    }
}

extension RunningMesh {
    /// Waits until blue's condition tells `problem`, and expects `heddle certificates` to agree.
    fileprivate func expectProblem(_ problem: String, reason: String) async throws {
        let condition = try await condition("CertificateValid", of: "blue") {
            $0["message"]?.string?.contains(problem) == true
        }
        #expect(condition["status"]?.string == "False")
        #expect(condition["reason"]?.string == reason)
        let listed = try await result(["certificates", "-n", "demo"])
        #expect(listed.status == 1)
        let line = listed.output.split(separator: "\n").first { $0.hasPrefix("demo/blue ") }
        #expect(line?.contains("acm") == true, "\(listed.output)")
        #expect(line?.contains("Failed") == true, "\(listed.output)")
        #expect(line?.contains(problem) == true, "\(listed.output)")
    }
}

/// One server for all tests, which run one after the other: it takes seconds to start.
private actor SharedMoto {
    static let only = SharedMoto()
    private var running: MotoServer?

    /// The server, as it is before signatures are checked.
    func server() async throws -> MotoServer {
        if let running {
            try await running.checkSignatures(false)
            return running
        }
        let moto = try await MotoServer()
        running = moto
        return moto
    }
}
