import Foundation
import MeshModel
import Testing

@testable import MeshIdentity

/// Replicas that have one root, each with a state folder of its own.
@Suite struct `Shared authority` {
    /// Two replicas with the root of `authority`.
    private func replicas(
        _ authority: TestAuthority,
        at wall: Duration = Trial.start
    ) async throws -> (Trial, Trial) {
        var trials: [Trial] = []
        for _ in 0..<2 {
            let folder = try TemporaryFolder()
            let files = try authority.write(to: folder)
            var trial = try Trial(in: folder, wanting: [issued("blue"), trust("color")], at: wall) {
                $0.installation = "replica \(trials.count)"
                $0.broughtAuthority = files
                $0.sharedSecret = "heddle-system/heddle-ca"
            }
            await trial.turn()
            trials.append(trial)
        }
        return (trials[0], trials[1])
    }

    private func accept(_ one: Trial, _ other: Trial) async throws {
        let seconds = one.moment.wall.wholeSeconds
        for (left, right) in [(one, other), (other, one)] {
            #expect(
                try await isAccepted(
                    left.chain(issued("blue")),
                    by: right.trust(trust("color")),
                    at: seconds,
                    in: left.folder
                )
            )
        }
    }

    @Test func `what one replica signs the proxies of another accept`() async throws {
        var (one, other) = try await replicas(try TestAuthority())
        try await accept(one, other)
        // They are the same authority, and yet not the same certificates.
        #expect(
            one.authorities("color", .signing).map(\.serial)
                == other.authorities("color", .signing).map(\.serial)
        )
        // A mesh is still a stranger to the other.
        one.specs = [issued("red", mesh: "other")]
        await one.turn(after: .seconds(1))
        #expect(
            try await !isAccepted(
                one.chain(issued("red", mesh: "other")),
                by: other.trust(trust("color")),
                at: one.moment.wall.wholeSeconds,
                in: one.folder
            )
        )
    }

    @Test func `they still do when one of them is in the next epoch already`() async throws {
        let begin = Duration.seconds(AuthorityEpoch(at: Trial.start).next.beginSeconds)
        let authority = try TestAuthority(ends: begin + .seconds(400 * 86400))
        var (one, other) = try await replicas(authority, at: begin - .seconds(10))
        await one.turn(after: .seconds(20))
        await one.turn(after: .seconds(31))
        await other.turn(after: .seconds(1))
        let serials = [one, other].map { $0.authorities("color", .signing).map(\.serial) }
        #expect(serials[0] != serials[1])
        try await accept(one, other)
        // One that begins only now trusts what is in use yet.
        let (late, _) = try await replicas(authority, at: one.moment.wall)
        try await accept(late, other)
    }

    @Test func `another root signs only once every replica must have heard of it`() async throws {
        var (one, other) = try await replicas(try TestAuthority())
        let old = one.authorities("color", .signing).map(\.serial)
        try TestAuthority("next").write(to: one.folder)
        one.isDistributed = true
        await one.turn(after: .seconds(1))
        #expect(one.authorities("color", .signing).map(\.serial) == old)
        #expect(one.authorities("color", .announced).count == 1)
        await one.turn(after: .seconds(29))
        #expect(one.authorities("color", .signing).map(\.serial) == old)
        try await accept(one, other)
        await one.turn(after: .seconds(2))
        #expect(one.authorities("color", .signing).map(\.serial) != old)
        other.moment = one.moment
    }

    @Test func `a message names the Secret, and what can't be rotated by itself is not`()
        async throws
    {
        var (one, _) = try await replicas(try TestAuthority())
        #expect(throws: IdentityError.self) {
            try one.holdings.rotate(.meshAuthority("color"), at: one.moment)
        }
        let error = #expect(throws: IdentityError.self) {
            try one.holdings.rotate(.root, at: one.moment)
        }
        #expect(error?.description.hasPrefix("the root is Secret heddle-system/heddle-ca") == true)
    }

    @Test func `material of a Secret is checked, and a new root is of use`() throws {
        let new = try AuthorityMaterial(newRootOf: "cluster", at: Trial.start)
        #expect(!"\(new)".contains("PRIVATE") && !String(reflecting: new).contains("PRIVATE"))
        let same = try AuthorityMaterial(
            certificate: "a comment\n" + new.certificate,
            privateKey: new.privateKey,
            secret: "ns/ca",
            at: Trial.start
        )
        #expect(same == new)
        let folder = try TemporaryFolder()
        try new.write(to: "\(folder.path)/ca.pem")
        let attributes = try FileManager.default.attributesOfItem(atPath: "\(folder.path)/ca.pem")
        #expect(attributes[.posixPermissions] as? Int == 0o600)
        let read = try AuthorityMaterial(
            contentsOf: "\(folder.path)/ca.pem",
            secret: "ns/ca",
            at: Trial.start
        )
        #expect(read == new)
        let leaf = try TestAuthority().leaf()
        let error = #expect(throws: IdentityError.self) {
            try AuthorityMaterial(
                certificate: leaf.pem,
                privateKey: leaf.keyPEM,
                secret: "ns/ca",
                at: Trial.start
            )
        }
        #expect(
            error?.description.hasPrefix("Secret ns/ca: tls.crt: it is not the certificate of a CA")
                == true
        )
    }
}
