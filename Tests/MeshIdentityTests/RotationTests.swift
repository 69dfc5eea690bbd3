import Foundation
import MeshModel
import Testing

@testable import MeshIdentity

@Suite struct RotationTests {
    private let specs: Set<SecretSpec> = [
        issued("blue"), trust("color"), issued("round", mesh: "shape"), trust("shape"),
    ]

    @Test func `a new authority is trusted by all before it signs`() async throws {
        var trial = try Trial(wanting: specs)
        await trial.turn()
        let oldLeaf = try trial.chain(issued("blue"))
        let oldTrust = try trial.trust(trust("color"))
        let other = try trial.trust(trust("shape"))
        let old = try #require(trial.authorities("color", .signing).first)

        let said = try trial.holdings.rotate(.meshAuthority("color"), at: trial.moment)
        await trial.turn()
        let new = try #require(trial.authorities("color", .announced).first)
        #expect(
            said
                == "Mesh color: authority \(new.serial) is announced, and signs once all proxies know it"
        )
        #expect(try trial.chain(issued("blue")) == oldLeaf)
        let bundle = try trial.trust(trust("color"))
        #expect(certificateCount(bundle) == 2)
        #expect(try trial.trust(trust("shape")) == other)

        await trial.turn(after: .seconds(29))
        #expect(trial.authorities("color", .signing).map(\.serial) == [old.serial])

        trial.isDistributed = true
        await trial.turn(after: .milliseconds(100))
        #expect(trial.authorities("color", .signing).map(\.serial) == [new.serial])
        #expect(trial.authorities("color", .retiring).map(\.serial) == [old.serial])
        let newLeaf = try trial.chain(issued("blue"))
        #expect(newLeaf != oldLeaf)
        // What all proxies trust did not change, so nothing is sent for it.
        #expect(try trial.trust(trust("color")) == bundle)
        let now = trial.moment.wall.wholeSeconds
        for leaf in [oldLeaf, newLeaf] {
            let isTrusted = try await isAccepted(leaf, by: bundle, at: now, in: trial.folder)
            #expect(isTrusted)
        }
        let isKnownToOld = try await isAccepted(newLeaf, by: oldTrust, at: now, in: trial.folder)
        #expect(!isKnownToOld)
    }

    @Test func `that all proxies knew the secrets before is not taken for the new ones`()
        async throws
    {
        var trial = try Trial(wanting: specs)
        trial.isDistributed = true
        await trial.turn()
        let leaf = try trial.chain(issued("blue"))
        _ = try trial.holdings.rotate(.meshAuthority("color"), at: trial.moment)
        await trial.turn()
        #expect(certificateCount(try trial.trust(trust("color"))) == 2)
        #expect(try trial.chain(issued("blue")) == leaf)
        await trial.turn()
        #expect(try trial.chain(issued("blue")) != leaf)
    }

    @Test func `an old authority is trusted until the last certificate that it signed has ended`()
        async throws
    {
        var trial = try Trial(wanting: specs)
        trial.isDistributed = true
        await trial.turn()
        let old = try trial.chain(issued("blue"))
        await trial.turn(after: .seconds(600))
        _ = try trial.holdings.rotate(.meshAuthority("color"), at: trial.moment)
        await trial.turn()
        await trial.turn()
        #expect(certificateCount(try trial.trust(trust("color"))) == 2)
        // The next could have been signed until now, for an hour.
        await trial.turn(after: .seconds(3599))
        let isTrusted = try await isAccepted(
            old,
            by: trial.trust(trust("color")),
            at: Trial.start.wholeSeconds + 3599,
            in: trial.folder
        )
        #expect(isTrusted)
        #expect(trial.authorities("color", .retiring).count == 1)
        await trial.turn(after: .seconds(1))
        #expect(trial.authorities("color", .retiring) == [])
        #expect(certificateCount(try trial.trust(trust("color"))) == 1)
    }

    @Test func `an authority waits for a proxy that does not answer, but not for ever`()
        async throws
    {
        var trial = try Trial(wanting: specs)
        await trial.turn()
        _ = try trial.holdings.rotate(.meshAuthority("color"), at: trial.moment)
        await trial.turn(after: .milliseconds(29_999))
        #expect(trial.authorities("color", .announced).count == 1)
        await trial.turn(after: .milliseconds(1))
        #expect(trial.authorities("color", .announced).count == 0)
        #expect(trial.authorities("color", .retiring).count == 1)
    }

    @Test func `a second rotation waits for the first`() async throws {
        var trial = try Trial(wanting: specs)
        await trial.turn()
        _ = try trial.holdings.rotate(.meshAuthority("color"), at: trial.moment)
        let announced = try #require(trial.authorities("color", .announced).first)
        let error = #expect(throws: IdentityError.self) {
            try trial.holdings.rotate(.meshAuthority("color"), at: trial.moment)
        }
        #expect(
            error?.description == "Mesh color: its next authority \(announced.serial) is announced "
                + "already; wait until it signs"
        )
    }

    @Test func `a mesh without certificates has nothing to rotate`() async throws {
        var trial = try Trial(wanting: specs)
        await trial.turn()
        let error = #expect(throws: IdentityError.self) {
            try trial.holdings.rotate(.meshAuthority("colour"), at: trial.moment)
        }
        #expect(
            error?.description == "Mesh colour has no authority, as none of its proxies has a "
                + "certificate of Heddle's; those that have: \"color\", \"shape\""
        )
    }

    @Test func `an authority is replaced when half of its year is over`() async throws {
        var trial = try Trial(wanting: specs)
        trial.isDistributed = true
        await trial.turn()
        let first = try #require(trial.authorities("color", .signing).first)
        let half = (first.notAfterSeconds - first.notBeforeSeconds) / 2
        let age = trial.moment.wall.wholeSeconds - first.notBeforeSeconds
        await trial.turn(after: .seconds(half - age - 1))
        #expect(trial.authorities("color", .announced) == [])
        await trial.turn(after: .seconds(1))
        #expect(trial.authorities("color", .announced).count == 1)
        await trial.turn()
        #expect(trial.authorities("color", .signing).map(\.serial) != [first.serial])
    }

    @Test func `a new root has every mesh's authority follow, and no certificate is refused`()
        async throws
    {
        var trial = try Trial(wanting: specs)
        await trial.turn()
        let oldRoot = try #require(trial.authorities(nil, .signing).first)
        let old = [
            "color": try trial.chain(issued("blue")),
            "shape": try trial.chain(issued("round", mesh: "shape")),
        ]
        let said = try trial.holdings.rotate(.root, at: trial.moment)
        await trial.turn()
        let root = try #require(trial.authorities(nil, .signing).first)
        #expect(root.serial != oldRoot.serial)
        #expect(
            said == "root \(root.serial) signs, and the next authority of each Mesh is announced"
        )
        #expect(trial.authorities(nil, .retiring).map(\.serial) == [oldRoot.serial])
        for mesh in ["color", "shape"] {
            #expect(trial.authorities(mesh, .announced).count == 1)
        }
        trial.isDistributed = true
        await trial.turn()
        let now = trial.moment.wall.wholeSeconds
        for (mesh, node) in [("color", "blue"), ("shape", "round")] {
            let new = try trial.chain(issued(node, mesh: mesh))
            let bundle = try trial.trust(trust(mesh))
            for chain in [try #require(old[mesh]), new] {
                let isTrusted = try await isAccepted(chain, by: bundle, at: now, in: trial.folder)
                #expect(isTrusted)
            }
        }
        // The old root goes when the last authority that it signed is dropped.
        await trial.turn(after: .seconds(3601))
        #expect(trial.authorities(nil, .retiring) == [])
    }

    @Test func `a restart in the middle of a rotation goes on with it`() async throws {
        let folder = try TemporaryFolder()
        var first = try Trial(in: folder, wanting: specs)
        await first.turn()
        let old = try #require(first.authorities("color", .signing).first)
        _ = try first.holdings.rotate(.meshAuthority("color"), at: first.moment)
        let new = try #require(first.authorities("color", .announced).first)

        var second = try Trial(in: folder, wanting: specs, at: Trial.start + .seconds(5))
        // Proxies that outlived the daemon may not be back, so nobody's word counts yet.
        second.isDistributed = true
        await second.turn()
        #expect(second.authorities("color", .signing).map(\.serial) == [old.serial])
        #expect(second.authorities("color", .announced).map(\.serial) == [new.serial])
        #expect(certificateCount(try second.trust(trust("color"))) == 2)
        await second.turn(after: .seconds(30))
        #expect(second.authorities("color", .signing).map(\.serial) == [new.serial])

        var third = try Trial(in: folder, wanting: specs, at: Trial.start + .seconds(60))
        await third.turn()
        #expect(third.authorities("color", .signing).map(\.serial) == [new.serial])
        #expect(third.authorities("color", .retiring).map(\.serial) == [old.serial])
        await third.turn(after: .seconds(3600))
        #expect(third.authorities("color", .retiring) == [])
        let root = { (trial: Trial) in trial.authorities(nil, .signing).map(\.serial) }
        #expect(root(first) == root(third))
    }

    @Test func `an authority that signs no more has no key in memory either`() async throws {
        var trial = try Trial(wanting: specs)
        await trial.turn()
        _ = try trial.holdings.rotate(.root, at: trial.moment)
        #expect(trial.holdings.authorities.roots.retiring.map { $0.key == nil } == [true])
        let (old, new) = try (
            Authority.root(of: "old", at: Trial.start), Authority.root(of: "new", at: Trial.start)
        )
        var lineage = Lineage(mesh: "color", signing: old, longestLifetimeSeconds: 60)
        lineage.announce(new)
        lineage.promote(at: Trial.start, lifetimeSeconds: 60)
        #expect(lineage.retiring.map(\.authority.serial) == [old.serial])
        #expect(lineage.retiring.map { $0.authority.key == nil } == [true])
        #expect(lineage.signing.key != nil)
    }

    @Test func `a daemon that issues for a shorter time still trusts what the last one issued`()
        async throws
    {
        let folder = try TemporaryFolder()
        var first = try Trial(in: folder, wanting: specs) {
            $0.certificateLifetime = .seconds(7200)
        }
        await first.turn()
        let leaf = try first.chain(issued("blue"))
        var second = try Trial(in: folder, wanting: specs) { $0.certificateLifetime = .seconds(60) }
        second.isDistributed = true
        await second.turn()
        await second.turn(after: .seconds(30))
        _ = try second.holdings.rotate(.meshAuthority("color"), at: second.moment)
        await second.turn()
        await second.turn()
        await second.turn(after: .seconds(7199))
        let isTrusted = try await isAccepted(
            leaf,
            by: second.trust(trust("color")),
            at: Trial.start.wholeSeconds + 7199,
            in: folder
        )
        #expect(isTrusted)
        await second.turn(after: .seconds(1))
        #expect(second.authorities("color", .retiring) == [])
    }

    @Test func `certificates of one owner, or of all, are issued anew`() async throws {
        var trial = try Trial(wanting: specs)
        await trial.turn()
        let serials = { (trial: Trial) in
            [trial.serial(issued("blue")), trial.serial(issued("round", mesh: "shape"))]
        }
        let first = serials(trial)
        let blue = ObjectID(.virtualNode, ObjectReference(namespace: "demo", name: "blue"))
        #expect(
            try trial.holdings.rotate(.certificates(of: blue), at: trial.moment)
                == "1 certificate is issued anew"
        )
        await trial.turn()
        let second = serials(trial)
        #expect(second[0] != first[0] && second[1] == first[1])
        #expect(
            try trial.holdings.rotate(.certificates(of: nil), at: trial.moment)
                == "2 certificates are issued anew"
        )
        await trial.turn()
        #expect(serials(trial)[0] != second[0] && serials(trial)[1] != second[1])
        let red = ObjectID(.virtualNode, ObjectReference(namespace: "demo", name: "red"))
        let error = #expect(throws: IdentityError.self) {
            try trial.holdings.rotate(.certificates(of: red), at: trial.moment)
        }
        #expect(
            error?.description
                == "VirtualNode demo/red has no certificate that Heddle issues; turn "
                + "mutual TLS on in its Mesh by heddle.dev/mtls"
        )
    }
}

/// How many certificates stand in `pem`.
func certificateCount(_ pem: String) -> Int {
    pem.components(separatedBy: "-----BEGIN CERTIFICATE-----").count - 1
}
