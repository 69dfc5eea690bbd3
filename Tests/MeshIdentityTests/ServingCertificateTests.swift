import Foundation
import MeshModel
import SwiftASN1
import Testing
import X509

@testable import MeshIdentity

/// The certificate of Heddle's own servers.
@Suite struct `Serving certificate` {
    private func issuer(
        _ files: FileCertificate,
        names: [String] = ["heddle", "heddle.heddle-system.svc"],
        log: CapturedLog = CapturedLog()
    ) throws -> ServingIssuer {
        try ServingIssuer(
            .init(
                authority: files,
                secret: "heddle-system/heddle-ca",
                dnsNames: names
            ),
            at: Trial.start,
            logger: log.logger
        )
    }

    private func moment(_ time: Duration) -> Moment {
        Moment(wall: Trial.start + time, steady: time)
    }

    private func accepts(
        _ certificate: ServingCertificate,
        _ trust: String,
        _ folder: TemporaryFolder,
        name: String,
        after time: Duration = .zero
    ) async throws -> Bool {
        try folder.write("chain.pem", certificate.chain)
        try folder.write("trust.pem", trust)
        let seconds = (Trial.start + time).wholeSeconds
        let words = [
            "openssl", "verify", "-partial_chain", "-x509_strict", "-purpose", "sslserver",
            "-verify_hostname", name, "-attime", "\(seconds)", "-CAfile", "trust.pem", "-untrusted",
            "chain.pem", "chain.pem",
        ]
        return await command(words, in: folder.path).status == 0
    }

    @Test func `it has its names, and is verified by the root alone`() async throws {
        let folder = try TemporaryFolder()
        let issuer = try issuer(try TestAuthority().write(to: folder))
        let current = issuer.current
        for name in ["heddle", "heddle.heddle-system.svc"] {
            #expect(try await accepts(current, current.authorities, folder, name: name), "\(name)")
        }
        #expect(
            try await !accepts(
                current,
                current.authorities,
                folder,
                name: "other.heddle-system.svc"
            )
        )
        #expect(
            !"\(current)".contains("PRIVATE") && !String(reflecting: current).contains("PRIVATE")
        )
    }

    @Test func `a root of RSA, and an intermediate, sign as well`() async throws {
        let folder = try TemporaryFolder()
        let top = try TestAuthority("top", key: .init(pemEncoded: await rsaKey()))
        let middle = try TestAuthority("middle", issuer: top)
        for files in [
            try top.write(to: folder, "top"),
            try middle.write(to: folder, "middle", above: [top]),
        ] {
            let current = try issuer(files).current
            let name = "heddle.heddle-system.svc"
            #expect(try await accepts(current, current.authorities, folder, name: name))
            #expect(try await accepts(current, try top.pem, folder, name: name))
        }
    }

    @Test func `it is renewed at two thirds of its life, and not before`() throws {
        let folder = try TemporaryFolder()
        var issuer = try issuer(try TestAuthority().write(to: folder))
        let first = issuer.current
        let step1 = issuer.turn(at: moment(.seconds(57_599)))
        #expect(!step1)
        let step2 = issuer.turn(at: moment(.seconds(57_600)))
        #expect(step2)
        #expect(issuer.current.serial != first.serial)
        #expect(issuer.current.version != first.version)
        #expect(issuer.current.authorities == first.authorities)
        let step3 = issuer.turn(at: moment(.seconds(57_601)))
        #expect(!step3)
    }

    @Test func `another root is trusted first, and signs then`() async throws {
        let folder = try TemporaryFolder()
        var issuer = try issuer(try TestAuthority().write(to: folder))
        let first = issuer.current
        let next = try TestAuthority("next")
        try next.write(to: folder)
        let step4 = issuer.turn(at: moment(.seconds(1)))
        #expect(step4)
        #expect(issuer.current.serial == first.serial)
        #expect(issuer.current.authorities.contains(try next.pem))
        #expect(issuer.current.authorities.contains(first.authorities))
        let step5 = issuer.turn(at: moment(.seconds(31)))
        #expect(step5)
        let name = "heddle.heddle-system.svc"
        #expect(try await accepts(issuer.current, try next.pem, folder, name: name))
        // Who presents the old one is still known.
        #expect(issuer.current.authorities.contains(first.authorities))
    }

    @Test func `garbage in the place of the root leaves what there is, and is told once`() throws {
        let folder = try TemporaryFolder()
        let log = CapturedLog()
        var issuer = try issuer(try TestAuthority().write(to: folder), log: log)
        let first = issuer.current
        try folder.write("brought.pem", "garbage")
        for seconds in 1..<10 {
            let isNews = issuer.turn(at: moment(.seconds(seconds)))
            #expect(!isNews)
        }
        #expect(issuer.current == first)
        #expect(log.lines.count == 1)
        #expect(log.lines.first?.contains("Secret heddle-system/heddle-ca: tls.crt: ") == true)
    }

    @Test(arguments: ["a b", "", "-x.y"])
    func `a name that fits no certificate is told`(name: String) throws {
        let folder = try TemporaryFolder()
        let files = try TestAuthority().write(to: folder)
        #expect(throws: IdentityError.self) { try issuer(files, names: [name]) }
    }

    private func rsaKey() async throws -> String {
        let folder = try TemporaryFolder()
        try await openssl(in: folder, "genrsa", "-out", "rsa.key", "2048")
        return try folder.read("rsa.key")
    }
}
