import AWSClient
import Foundation
import Logging
import MeshIdentity
import MeshModel
import MeshTesting
import Testing

/// ACM Private CA with moto in AWS' place.
@Suite(.enabled(if: motoIsExpected), .timeLimit(.minutes(2)))
final class ACMPrivateCATests {
    static let spiffeID = "spiffe://demo/color-app/blue"

    let folder = FileManager.default.temporaryDirectory
        .appendingPathComponent("acm-pca-\(UUID().uuidString.prefix(8))")
    let keys = ["AWS_ACCESS_KEY_ID": "AKIA1", "AWS_SECRET_ACCESS_KEY": "secret"]

    init() throws {
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    }

    deinit { try? FileManager.default.removeItem(at: folder) }

    private func openssl(_ arguments: String...) async throws -> String {
        let result = try await runCommand("/usr/bin/env", ["openssl"] + arguments)
        try #require(result.status == 0, "\(result.output)")
        return result.output
    }

    private func path(_ name: String) -> String { folder.appendingPathComponent(name).path }

    private func write(_ text: String, to name: String) throws -> String {
        try Data(text.utf8).write(to: URL(fileURLWithPath: path(name)))
        return path(name)
    }

    /// A request without a subject: what it stands for is in its alternative names.
    private func request(_ name: String = "blue") async throws -> String {
        _ = try await openssl(
            "req",
            "-new",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
            "-subj",
            "/",
            "-addext",
            "subjectAltName=critical,URI:\(Self.spiffeID),DNS:blue.color-app.svc",
            "-keyout",
            path(name + ".key"),
            "-out",
            path(name + ".csr")
        )
        return try String(contentsOfFile: path(name + ".csr"), encoding: .utf8)
    }

    private func error(
        _ client: ACMPrivateCAClient,
        _ authority: ACMPrivateCA,
        lifetime: Duration = .seconds(3600)
    ) async throws -> ACMPrivateCAError? {
        let csr = try await request()
        return await #expect(throws: ACMPrivateCAError.self) {
            try await client.issueNow(csr, lifetime, from: authority)
        }
    }

    /// One test, as a server takes seconds to start.
    @Test func `an authority issues, renews, and is missed when it is gone`() async throws {
        let moto = try await MotoServer()
        let arn = try await moto.makeAuthority(name: "demo root")
        let authority = ACMPrivateCA(authorityARN: arn, endpoint: moto.endpoint)
        let client = ACMPrivateCAClient(environment: keys)

        // The chain is that of the authority, and the names are those of the request.
        let roots = try write(try await client.authorityChain(of: authority), to: "roots.pem")
        let csr = try await request()
        let chain = try await client.issueNow(csr, from: authority)
        #expect(chain.components(separatedBy: "-----BEGIN CERTIFICATE-----").count == 3)
        let leaf = try write(chain, to: "leaf.pem")
        #expect(try await openssl("verify", "-CAfile", roots, leaf).contains("leaf.pem: OK"))
        let text = try await openssl("x509", "-in", leaf, "-noout", "-text")
        #expect(text.contains("URI:\(Self.spiffeID), DNS:blue.color-app.svc"))
        #expect(text.contains("TLS Web Server Authentication, TLS Web Client Authentication"))
        let key = try await openssl("pkey", "-in", path("blue.key"), "-pubout")
        #expect(try await openssl("x509", "-in", leaf, "-noout", "-pubkey") == key)

        // A second key gets a certificate of its own, of the same authority.
        let renewed = try write(
            try await client.issueNow(try await request("renewed"), from: authority),
            to: "renewed.pem"
        )
        #expect(try await openssl("verify", "-CAfile", roots, renewed).contains("OK"))
        let serial = try await openssl("x509", "-in", leaf, "-noout", "-serial")
        #expect(try await openssl("x509", "-in", renewed, "-noout", "-serial") != serial)

        // moto's authorities are in the mode SHORT_LIVED_CERTIFICATE, and live for a year.
        let long = try await error(client, authority, lifetime: .seconds(8 * 24 * 3600))
        #expect(
            long?.description
                == "a lifetime of 691200 s is refused: the authority's usage mode "
                + "SHORT_LIVED_CERTIFICATE grants at most 604800 s; ask for one that the authority "
                + "grants"
        )

        try await moto.setStatus("DISABLED", of: arn)
        let disabled = try await error(client, authority)
        #expect(disabled?.description == "it is DISABLED and signs nothing; enable it")
        let wrongState = await #expect(throws: ACMPrivateCAError.self) {
            try await client.authorityChain(of: authority)
        }
        #expect(wrongState?.description.contains("its state does not allow this (") == true)
        try await moto.setStatus("ACTIVE", of: arn)
        let again = try await client.issueNow(csr, from: authority)
        #expect(again.hasPrefix("-----BEGIN CERTIFICATE-----"))
        try await moto.deleteAuthority(arn)
        #expect(try await error(client, authority) == .notActive(status: "DELETED"))
        let other = ACMPrivateCA(authorityARN: arn + "0", endpoint: moto.endpoint)
        guard case .aws(let missing) = try await error(client, other) else {
            Issue.record("an authority that does not exist issued")
            return
        }
        #expect(missing.kind == .notFound)
    }

    @Test func `wrong keys, and a user who may only look, get no certificate`() async throws {
        let moto = try await MotoServer()
        let arn = try await moto.makeAuthority(name: "demo root")
        let authority = ACMPrivateCA(authorityARN: arn, endpoint: moto.endpoint)
        let user = try await moto.makeUser("user", mayDo: "acm-pca:*")
        let looker = try await moto.makeUser(
            "looker",
            mayDo: "acm-pca:DescribeCertificateAuthority"
        )
        try await moto.checkSignatures()

        let csr = try await request()
        let chain = try await ACMPrivateCAClient(environment: user.environment)
            .issueNow(csr, from: authority)
        #expect(chain.hasPrefix("-----BEGIN CERTIFICATE-----"))

        var wrong = user
        wrong.secret += "x"
        let refused = try await error(ACMPrivateCAClient(environment: wrong.environment), authority)
        #expect(refused?.description.contains("SignatureDoesNotMatch") == true)
        #expect(refused?.description.contains("check AWS_ACCESS_KEY_ID and ") == true)
        #expect(refused?.description.contains(wrong.secret) == false)
        let denied = try await error(ACMPrivateCAClient(environment: looker.environment), authority)
        let remedy = "; allow acm-pca:IssueCertificate to the user or role of the credentials"
        #expect(denied?.description.hasSuffix(remedy) == true)
        let none = try await error(
            ACMPrivateCAClient(
                environment: ["HOME": folder.path, "AWS_EC2_METADATA_DISABLED": "true"]
            ),
            authority
        )
        #expect(
            none?.description.contains("no AWS credentials found; set AWS_ACCESS_KEY_ID") == true
        )
    }

    @Test func `the keeper gets a certificate and its trust from an authority`() async throws {
        let moto = try await MotoServer()
        let authority = ACMPrivateCA(
            authorityARN: try await moto.makeAuthority(name: "demo root"),
            endpoint: moto.endpoint
        )
        let identity = Identity(
            mesh: "demo",
            owner: ObjectID(.virtualNode, ObjectReference(namespace: "color-app", name: "blue")),
            uri: Self.spiffeID,
            dnsNames: ["blue.color-app.svc"]
        )
        let certificate = SecretSpec.certificate(.acmPrivateCA(authority, identity))
        let trust = SecretSpec.trust([.acmPrivateCA(authority)])
        let (published, publisher) = AsyncStream<[SecretSpec: SecretMaterial]>.makeStream()
        let keeper = try IdentityKeeper(
            IdentityConfiguration(stateDirectory: folder.path),
            privateAuthority: ACMPrivateCAClient(environment: keys),
            now: { .seconds(Date.now.timeIntervalSince1970) },
            logger: Logger(label: "test"),
            publish: { publisher.yield($0) },
            isDistributed: { true }
        )
        keeper.want([certificate, trust])
        try await withThrowingTaskGroup { group in
            group.addTask { try await keeper.run() }
            let materials = await published.first { $0.count == 2 }
            group.cancelAll()
            guard case .certificate(let chain, let key) = materials?[certificate]?.content,
                case .trust(let roots) = materials?[trust]?.content
            else {
                Issue.record("\(keeper.currentObservations)")
                return
            }
            let leaf = try write(chain, to: "kept.pem")
            let bundle = try write(roots, to: "trust.pem")
            #expect(try await openssl("verify", "-CAfile", bundle, leaf).contains("OK"))
            let text = try await openssl("x509", "-in", leaf, "-noout", "-text")
            #expect(text.contains("DNS:blue.color-app.svc"))
            #expect(text.contains("URI:\(Self.spiffeID)"))
            let own = try await openssl("pkey", "-in", try write(key, to: "kept.key"), "-pubout")
            #expect(try await openssl("x509", "-in", leaf, "-noout", "-pubkey") == own)
        }
    }
}

extension ACMPrivateCAClient {
    fileprivate func issueNow(
        _ csrPEM: String,
        _ lifetime: Duration = .seconds(3600),
        from authority: ACMPrivateCA
    ) async throws -> String {
        try await issue(
            csrPEM: csrPEM,
            lifetime: lifetime,
            orderedSeconds: Int(Date.now.timeIntervalSince1970),
            from: authority
        )
    }
}
