import Foundation
import MeshModel
import SwiftASN1
import Testing
import X509

@testable import MeshIdentity

@Suite struct ACMTests {
    private static let authority = ACMPrivateCA(
        authorityARN: "arn:aws:acm-pca:eu-west-1:123456789012:certificate-authority/x"
    )
    private let spec = SecretSpec.certificate(.acmPrivateCA(authority, identity("blue")))
    private let trusted = SecretSpec.trust([.acmPrivateCA(authority)])
    private let root: TestAuthority

    init() throws { root = try TestAuthority("acm") }

    /// Does what is due, and has `answer` answer what is asked; tells how much was.
    private func settle(
        _ trial: inout Trial,
        _ answer: (ACMRequest) throws -> String
    ) async -> Int {
        await trial.turn()
        let requests = trial.holdings.requests(at: trial.moment)
        for request in requests {
            let result = Result { try answer(request) }
                .mapError { FileFailure(text: "\($0)") }
            switch request {
            case .certificate(let name, let order):
                trial.holdings.take(.certificate(name, order, result), at: trial.moment)
            case .chain(let authority):
                trial.holdings.take(.chain(authority, result), at: trial.moment)
            }
        }
        await trial.turn()
        return requests.count
    }

    /// What a working authority answers.
    private func issue(_ request: ACMRequest, at wall: Duration) throws -> String {
        switch request {
        case .chain: return try root.pem
        case .certificate(_, let order):
            let request = try CertificateSigningRequest(pemEncoded: order.csr)
            let authorityKeyID = SubjectKeyIdentifier(hash: root.key.publicKey).keyIdentifier
            let extensions = try #require(try request.attributes.extensionRequest).extensions
            let certificate = try Certificate(
                version: .v3,
                serialNumber: Certificate.SerialNumber(),
                publicKey: request.publicKey,
                notValidBefore: Date(timeIntervalSince1970: Double(wall.wholeSeconds)),
                notValidAfter: Date(timeIntervalSince1970: Double(wall.wholeSeconds + 7 * 86400)),
                issuer: root.certificate.subject,
                subject: request.subject,
                extensions: Certificate.Extensions(
                    Array(extensions) + [
                        Certificate.Extension(
                            AuthorityKeyIdentifier(keyIdentifier: authorityKeyID),
                            critical: false
                        )
                    ]
                ),
                issuerPrivateKey: root.key
            )
            return try certificate.pem + root.pem
        }
    }

    @Test func `a certificate is asked for once, served, and trusted by the authority's chain`()
        async throws
    {
        var trial = try Trial(wanting: [spec, trusted], canAskACM: true)
        let asked = await settle(&trial) { try issue($0, at: Trial.start) }
        #expect(asked == 2)
        let isTrusted = try await isAccepted(
            trial.chain(spec),
            by: trial.trust(trusted),
            at: Trial.start.wholeSeconds + 1,
            in: trial.folder
        )
        #expect(isTrusted)
        let file = try trial.folder.write("leaf.pem", trial.chain(spec))
        let text = try await openssl(
            in: trial.folder,
            "x509",
            "-noout",
            "-ext",
            "subjectAltName",
            "-in",
            file
        )
        #expect(text.contains("URI:spiffe://color/demo/blue, DNS:blue.demo.svc.cluster.local"))
        let again = await settle(&trial) { try issue($0, at: Trial.start) }
        #expect(again == 0)
    }

    @Test func `a restart buys no second certificate`() async throws {
        let folder = try TemporaryFolder()
        var first = try Trial(in: folder, wanting: [spec], canAskACM: true)
        _ = await settle(&first) { try issue($0, at: Trial.start) }
        let paths = try FileManager.default.contentsOfDirectory(atPath: "\(folder.path)/acm")
        #expect(paths.count == 1)
        for path in paths {
            let mode = try FileManager.default.attributesOfItem(
                atPath: "\(folder.path)/acm/\(path)"
            )
            #expect((mode[.posixPermissions] as? NSNumber)?.intValue == 0o600)
        }
        var second = try Trial(in: folder, wanting: [spec], canAskACM: true)
        let asked = await settle(&second) { try issue($0, at: Trial.start) }
        #expect(asked == 0)
        #expect(second.serial(spec) == first.serial(spec))
        // One of which half is over is renewed, and serves meanwhile.
        var third = try Trial(
            in: folder,
            wanting: [spec],
            at: Trial.start + .seconds(4 * 86400),
            canAskACM: true
        )
        await third.turn()
        #expect(third.serial(spec) == first.serial(spec))
        let wall = third.moment.wall
        let renewed = await settle(&third) { try issue($0, at: wall) }
        #expect(renewed == 1)
        #expect(third.serial(spec) != first.serial(spec))
        // What has ended is of no use on disk.
        var last = try Trial(
            in: folder,
            wanting: [trusted],
            at: Trial.start + .seconds(30 * 86400),
            canAskACM: true
        )
        await last.turn()
        #expect(try FileManager.default.contentsOfDirectory(atPath: "\(folder.path)/acm") == [])
    }

    @Test func `a refusal is told, tried again later each time, and what was good stays`()
        async throws
    {
        var trial = try Trial(wanting: [spec], canAskACM: true)
        _ = await settle(&trial) { try issue($0, at: Trial.start) }
        let serial = trial.serial(spec)
        let half = Duration.seconds(4 * 86400)
        trial.moment.wall += half
        trial.moment.steady += half
        var times: [Duration] = []
        for second in 0..<400 {
            trial.moment.wall += .seconds(1)
            trial.moment.steady += .seconds(1)
            let asked = await settle(&trial) { _ in throw Refused() }
            if asked > 0 { times.append(.seconds(second)) }
        }
        let pauses = zip(times, times.dropFirst()).map { $1 - $0 }
        for (pause, expected) in zip(pauses, [1, 2, 4, 8, 16, 32, 60, 60]) {
            #expect(
                pause >= .seconds(expected) * 0.75
                    && pause <= .seconds(expected) * 1.25 + .seconds(1)
            )
        }
        #expect(pauses.count >= 7)
        #expect(trial.serial(spec) == serial)
        #expect(
            trial.problem(spec)
                == "ACM Private CA \(Self.authority.authorityARN): access denied; allow "
                + "acm-pca:IssueCertificate; the one before stays in use until 2026-11-30T07:00:00Z"
        )
        await trial.turn(after: .seconds(80))
        let wall = trial.moment.wall
        let asked = await settle(&trial) { try issue($0, at: wall) }
        #expect(asked == 1)
        #expect(trial.problem(spec) == nil && trial.serial(spec) != serial)
    }

    @Test func `what got no answer is asked for with the same key, and so paid for once`()
        async throws
    {
        var trial = try Trial(wanting: [spec], canAskACM: true)
        var orders: [ACMOrder] = []
        func collect(_ trial: inout Trial, _ seconds: Range<Int>) async {
            for _ in seconds {
                trial.moment.wall += .seconds(1)
                trial.moment.steady += .seconds(1)
                _ = await settle(&trial) { request in
                    if case .certificate(_, let order) = request { orders.append(order) }
                    throw Refused()
                }
            }
        }
        await collect(&trial, 0..<120)
        #expect(orders.count > 5)
        #expect(Set(orders.map(\.csr)).count == 1 && Set(orders.map(\.seconds)).count == 1)
        // AWS forgets it after five minutes.
        await collect(&trial, 120..<320)
        #expect(Set(orders.map(\.csr)).count == 2)
        let last = try #require(orders.last)
        let wall = trial.moment.wall
        await trial.turn(after: .seconds(80))
        _ = await settle(&trial) { try issue($0, at: wall) }
        #expect(try trial.key(spec) == last.key.pem)
        // The next has a key of its own.
        _ = try trial.holdings.rotate(.certificates(of: nil), at: trial.moment)
        _ = await settle(&trial) { try issue($0, at: wall) }
        #expect(try trial.key(spec) != last.key.pem)
    }

    @Test func `who asks for another certificate does not wait for the pause after a refusal`()
        async throws
    {
        var trial = try Trial(wanting: [spec], canAskACM: true)
        for _ in 0..<5 {
            _ = await settle(&trial) { _ in throw Refused() }
            await trial.turn(after: .seconds(120))
        }
        _ = await settle(&trial) { _ in throw Refused() }
        #expect(await settle(&trial) { try issue($0, at: Trial.start) } == 0)
        _ = try trial.holdings.rotate(.certificates(of: nil), at: trial.moment)
        let wall = trial.moment.wall
        #expect(await settle(&trial) { try issue($0, at: wall) } == 1)
        #expect(trial.problem(spec) == nil && trial.serial(spec) != nil)
    }

    @Test func `a certificate for another key is not served`() async throws {
        var trial = try Trial(wanting: [spec], canAskACM: true)
        _ = await settle(&trial) { _ in try root.leaf().pem }
        #expect(trial.holdings.materials == [:])
        #expect(
            trial.problem(spec)
                == "ACM Private CA \(Self.authority.authorityARN): the key is the key of "
                + "another certificate; give the one that this certificate was made with"
        )
    }

    @Test func `without a client nothing is asked, and the status says so`() async throws {
        var trial = try Trial(wanting: [spec, trusted], canAskACM: false)
        await trial.turn()
        #expect(trial.holdings.requests(at: trial.moment).isEmpty)
        let problem =
            "this Heddle asks no ACM Private CA; map the certificate to files or Heddle"
        #expect(trial.problem(spec) == problem && trial.problem(trusted) == problem)
    }
}

private struct Refused: Error, CustomStringConvertible {
    let description = "access denied; allow acm-pca:IssueCertificate"
}
