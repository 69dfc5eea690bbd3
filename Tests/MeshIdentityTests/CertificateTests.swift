import MeshModel
import Testing

@testable import MeshIdentity

@Suite struct CertificateTests {
    @Test func `a certificate says who its holder is, and for how long`() async throws {
        var trial = try Trial(wanting: [issued("blue"), trust("color")])
        await trial.turn()
        let file = try trial.folder.write("blue.pem", trial.chain(issued("blue")))
        let text = try await openssl(in: trial.folder, "x509", "-noout", "-text", "-in", file)
        let lines = text.split(separator: "\n").map { $0.trimming(" ") }
        #expect(text.contains("Not Before: Nov 23 06:58:00 2026 GMT"))
        #expect(text.contains("Not After : Nov 23 08:00:00 2026 GMT"))
        #expect(lines.contains("Subject:"))
        for (name, value) in [
            (
                "X509v3 Subject Alternative Name: critical",
                "URI:spiffe://color/demo/blue, DNS:blue.demo.svc.cluster.local"
            ),
            (
                "X509v3 Extended Key Usage:",
                "TLS Web Server Authentication, TLS Web Client Authentication"
            ),
            ("X509v3 Key Usage: critical", "Digital Signature"),
            ("X509v3 Basic Constraints: critical", "CA:FALSE"),
        ] {
            let index = try #require(lines.firstIndex(of: name), "\(name)")
            #expect(lines[index + 1] == value)
        }
        #expect(text.contains("X509v3 Subject Key Identifier"))
        #expect(text.contains("X509v3 Authority Key Identifier"))
        #expect(text.contains("prime256v1"))
    }

    @Test func `proxies of a mesh accept each other, and those of another mesh do not`()
        async throws
    {
        var trial = try Trial(
            wanting: [
                issued("blue"), trust("color"), issued("blue", mesh: "shape"), trust("shape"),
            ]
        )
        await trial.turn()
        let now = trial.moment.wall.wholeSeconds
        for (mesh, peer) in [("color", "shape"), ("shape", "color")] {
            let chain = try trial.chain(issued("blue", mesh: mesh))
            let own = try await isAccepted(
                chain,
                by: trial.trust(trust(mesh)),
                at: now,
                in: trial.folder
            )
            #expect(own)
            let other = try await isAccepted(
                chain,
                by: trial.trust(trust(peer)),
                at: now,
                in: trial.folder
            )
            #expect(!other)
        }
    }

    @Test func `the key belongs to the certificate`() async throws {
        var trial = try Trial(wanting: [issued("blue")])
        await trial.turn()
        let chain = try trial.folder.write("chain.pem", trial.chain(issued("blue")))
        let key = try trial.folder.write("key.pem", trial.key(issued("blue")))
        let certified = try await openssl(
            in: trial.folder,
            "x509",
            "-noout",
            "-pubkey",
            "-in",
            chain
        )
        let own = try await openssl(in: trial.folder, "pkey", "-pubout", "-in", key)
        #expect(certified == own)
    }

    @Test func `a DNS name that no certificate can hold is left out, and its owner told`()
        async throws
    {
        let long = String(repeating: "a", count: 64)
        let names = [
            "*.apps.local", "blue.demo", "b lue", "-x.demo", "\(long).demo", "a..b", "ü.demo",
        ]
        let spec = SecretSpec.certificate(.issued(identity("blue", dnsNames: names)))
        var trial = try Trial(wanting: [spec])
        await trial.turn()
        let file = try trial.folder.write("blue.pem", trial.chain(spec))
        let text = try await openssl(
            in: trial.folder,
            "x509",
            "-noout",
            "-ext",
            "subjectAltName",
            "-in",
            file
        )
        #expect(text.contains("URI:spiffe://color/demo/blue, DNS:*.apps.local, DNS:blue.demo\n"))
        #expect(
            trial.problem(spec)
                == "VirtualNode demo/blue: the certificate has no DNS name \"b lue\", \"-x.demo\", "
                + "\"\(long).demo\", \"a..b\", \"ü.demo\": a label has 1 to 63 letters, digits, - or "
                + "_, and a name at most 253 in all; rename it, or let callers check "
                + "spiffe://color/demo/blue"
        )
    }

    @Test func `a URI that no certificate can hold is no certificate, and stops no other`()
        async throws
    {
        var wrong = identity("blue")
        wrong.uri = "spiffe://color/de mo"
        let spec = SecretSpec.certificate(.issued(wrong))
        var trial = try Trial(wanting: [spec, issued("green")])
        await trial.turn()
        #expect(trial.holdings.materials[spec] == nil)
        #expect(
            trial.problem(spec)
                == "VirtualNode demo/blue: no certificate can hold the URI \"spiffe://color/de mo\": it "
                + "must be ASCII without spaces, as spiffe://mesh/namespace/name"
        )
        #expect(trial.serial(issued("green")) != nil)
    }

    @Test func `serial numbers are positive, long, and never the same`() async throws {
        let specs = Set((0..<200).map { issued("n\($0)") })
        var trial = try Trial(wanting: specs)
        await trial.turn()
        let serials = Set(specs.compactMap { trial.serial($0) })
        #expect(serials.count == 200)
        #expect(serials.allSatisfy { $0.count == 32 && "4567".contains($0.first ?? "0") })
        #expect(Set(specs.map { trial.holdings.materials[$0]?.version }).count == 200)
    }

    @Test func `certificates are renewed at half of their life, some sooner and some later`()
        async throws
    {
        let specs = Set((0..<300).map { issued("n\($0)") })
        var trial = try Trial(wanting: specs)
        await trial.turn()
        let first = Dictionary(uniqueKeysWithValues: specs.map { ($0, trial.serial($0)) })
        func renewed() -> Int { specs.count { trial.serial($0) != first[$0] } }
        await trial.turn(after: .seconds(27 * 60 - 1))
        #expect(renewed() == 0)
        var counts: [Int] = []
        for _ in 0..<6 {
            await trial.turn(after: .seconds(60))
            counts.append(renewed())
        }
        // About 50 in each of the six minutes.
        for (earlier, later) in zip([0] + counts, counts) {
            #expect((20...80).contains(later - earlier), "\(counts)")
        }
        await trial.turn(after: .seconds(1))
        #expect(renewed() == 300)
        #expect(trial.holdings.secrets[issued("n0")]?.rotatedSeconds != nil)
    }

    @Test func `a certificate ends no later than its authority`() async throws {
        let folder = try TemporaryFolder()
        let brought = try TestAuthority(pathLength: 1, ends: Trial.start + .seconds(600))
        let files = try brought.write(to: folder)
        var trial = try Trial(in: folder, wanting: [issued("blue")]) {
            $0.broughtAuthority = files
        }
        await trial.turn()
        #expect(
            trial.holdings.secrets[issued("blue")]?.notAfterSeconds
                == Trial.start.wholeSeconds + 600
        )
    }

    @Test func `what Heddle made tells when, also after a restart, and what it read does not`()
        async throws
    {
        let folder = try TemporaryFolder()
        let files = try TestAuthority().leaf().write(to: folder)
        let specs = [issued("blue"), trust("color"), .certificate(.files(files))]
        var first = try Trial(in: folder, wanting: Set(specs))
        await first.turn()
        let start = Trial.start.wholeSeconds
        #expect(first.holdings.secrets[specs[0]]?.issuedSeconds == start)
        #expect(first.holdings.secrets[specs[1]]?.issuedSeconds == nil)
        #expect(first.holdings.secrets[specs[2]]?.issuedSeconds == nil)
        await first.turn(after: .seconds(2400))
        #expect(first.holdings.secrets[specs[0]]?.issuedSeconds == start + 2400)
        _ = try first.holdings.rotate(.root, at: first.moment)
        await first.turn()
        var second = try Trial(in: folder, wanting: Set(specs), at: first.moment.wall)
        await second.turn()
        for trial in [first, second] {
            let times = trial.holdings.authorities.observations(at: trial.moment.wall).map {
                "\($0.mesh ?? "root") \($0.phase.rawValue) \(($0.issuedSeconds ?? 0) - start)"
            }
            #expect(
                times == [
                    "root Signing 2400", "root Retiring 0", "color Signing 0",
                    "color Announced 2400",
                ]
            )
        }
    }

    @Test(arguments: [(seconds: 9, isAllowed: false), (10, true), (86400, true)])
    func `a lifetime leaves time for a renewal`(seconds: Int, isAllowed: Bool) throws {
        let folder = try TemporaryFolder()
        var error: IdentityError?
        do throws(IdentityError) {
            _ = try IdentityKeeper(
                IdentityConfiguration(
                    stateDirectory: folder.path,
                    certificateLifetime: .seconds(seconds)
                ),
                now: { Trial.start },
                logger: CapturedLog().logger,
                publish: { _ in },
                isDistributed: { true }
            )
        } catch let thrown {
            error = thrown
        }
        let message =
            "--certificate-lifetime \(seconds)s: it is too short for a renewal; give 10s or more"
        #expect(error?.description == (isAllowed ? nil : message))
    }
}

extension Substring {
    fileprivate func trimming(_ character: Character) -> String {
        String(drop { $0 == character }.reversed().drop { $0 == character }.reversed())
    }
}
