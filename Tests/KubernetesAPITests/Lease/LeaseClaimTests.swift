import Foundation
import MeshTesting
import Testing

@testable import KubernetesAPI

private typealias Instant = ContinuousClock.Instant

extension LeaseClaim {
    /// A claim with the times that are usual.
    static func of(_ identity: String) -> LeaseClaim {
        LeaseClaim(
            key: ObjectKey(namespace: "heddle", name: "heddle"),
            identity: identity,
            duration: .seconds(15),
            renewDeadline: .seconds(10),
            retryPeriod: .seconds(2)
        )
    }
}

extension Lease {
    /// One of `holder`, at a version.
    fileprivate static func held(
        by holder: String?,
        version: Int = 1,
        seconds: Int? = 15,
        renewed: String = "2026-01-01T00:00:00.000000Z",
        transitions: Int? = 0
    ) -> Lease {
        var lease = Lease(
            ObjectKey(namespace: "heddle", name: "heddle"),
            Spec(
                holderIdentity: holder,
                leaseDurationSeconds: seconds,
                acquireTime: renewed,
                renewTime: renewed,
                leaseTransitions: transitions
            )
        )
        lease.metadata.resourceVersion = "\(version)"
        return lease
    }
}

/// How one replica gets, keeps and loses the Lease.
@Suite struct LeaseClaimTests {
    private let begin = ContinuousClock.now
    private let date = Date(timeIntervalSince1970: 1_767_225_600.5)

    private func at(_ seconds: Double) -> Instant { begin + .seconds(seconds) }

    /// One that leads by a Lease of version 1, whose creation was sent at second 0.
    private func leader() -> LeaseClaim {
        var claim = LeaseClaim.of("a")
        _ = claim.step(at: at(0), date)
        claim.found(nil, at: at(0))
        guard case .create(var lease) = claim.step(at: at(0), date) else { return claim }
        lease.metadata.resourceVersion = "1"
        claim.wrote(lease, sent: at(0), at: at(1))
        return claim
    }

    @Test func `who finds no Lease makes it and leads from before that was sent`() throws {
        var claim = LeaseClaim.of("a")
        #expect(claim.step(at: at(0), date) == .read)
        claim.found(nil, at: at(0.5))
        guard case .create(let lease) = claim.step(at: at(1), date) else {
            Issue.record("it makes no Lease")
            return
        }
        #expect(
            lease.spec
                == Lease.Spec(
                    holderIdentity: "a",
                    leaseDurationSeconds: 15,
                    acquireTime: "2026-01-01T00:00:00.500000Z",
                    renewTime: "2026-01-01T00:00:00.500000Z",
                    leaseTransitions: 0
                )
        )
        #expect(claim.leadershipEnd(at: at(1)) == nil)
        claim.wrote(lease, sent: at(1), at: at(4))
        #expect(claim.leadershipEnd(at: at(4)) == at(11))
        #expect(claim.leadershipEnd(at: at(11)) == nil)
        #expect(claim.step(at: at(1), date) == .wait(until: at(3)))
    }

    @Test func `a leader renews without reading, and keeps since when it leads`() {
        var claim = leader()
        let later = date.addingTimeInterval(60)
        guard case .replace(let lease) = claim.step(at: at(2), later) else {
            Issue.record("it does not renew")
            return
        }
        #expect(lease.metadata.resourceVersion == "1")
        #expect(lease.spec?.acquireTime == "2026-01-01T00:00:00.500000Z")
        #expect(lease.spec?.renewTime == "2026-01-01T00:01:00.500000Z")
        #expect(lease.spec?.leaseTransitions == 0)
        claim.wrote(lease, sent: at(2), at: at(2))
        #expect(claim.leadershipEnd(at: at(2)) == at(12))
    }

    @Test func `another waits for as long as the Lease holds, from when it saw it change`() {
        var claim = LeaseClaim.of("b")
        _ = claim.step(at: at(0), date)
        claim.found(.held(by: "a", version: 1), at: at(0))
        #expect(claim.step(at: at(0), date) == .wait(until: at(2)))
        #expect(claim.step(at: at(2), date) == .read)
        claim.found(.held(by: "a", version: 2, renewed: "2026-01-01T00:00:02.000000Z"), at: at(3))
        _ = claim.step(at: at(3), date)
        // Somebody has put an annotation there, which is no renewal.
        #expect(claim.step(at: at(17.5), date) == .read)
        let old = Lease.held(by: "a", version: 3, renewed: "2026-01-01T00:00:02.000000Z")
        claim.found(old, at: at(17.5))
        #expect(claim.step(at: at(17.5), date) == .wait(until: at(19.5)))
        _ = claim.step(at: at(19.5), date)
        claim.found(old, at: at(19.5))
        guard case .replace(let lease) = claim.step(at: at(19.5), date) else {
            Issue.record("it does not take the Lease")
            return
        }
        #expect(lease.metadata.resourceVersion == "3")
        #expect(lease.spec?.holderIdentity == "b")
        #expect(lease.spec?.leaseTransitions == 1)
        // Another one was faster.
        claim.writeFailed(.conflict, at: at(20))
        #expect(claim.step(at: at(20), date) == .wait(until: at(22)))
        #expect(claim.leadershipEnd(at: at(20)) == nil)
    }

    @Test(arguments: [
        (30, 30.0), (15, 15), (1, 15), (0, 15), (-5, 15), (nil, 15), (Int.max, 300),
    ])
    func `a Lease holds for as long as its holder says, within reason`(
        seconds: Int?,
        expected: Double
    ) {
        var claim = LeaseClaim.of("b")
        let lease = Lease.held(by: "a", seconds: seconds, transitions: Int.max)
        claim.found(lease, at: at(0))
        guard case .wait = claim.step(at: at(expected - 0.5), date) else {
            Issue.record("it takes what is held")
            return
        }
        claim.found(lease, at: at(expected + 2))
        guard case .replace(let new) = claim.step(at: at(expected + 2), date) else {
            Issue.record("it does not take the Lease")
            return
        }
        #expect(new.spec?.leaseTransitions == Int(Int32.max))
    }

    @Test func `a Lease that was given back is free, and one that somebody emptied is not yet`() {
        var released = LeaseClaim.of("b")
        released.found(.held(by: "", seconds: 1), at: at(0))
        guard case .replace = released.step(at: at(0), date) else {
            Issue.record("it does not take what was given back")
            return
        }
        for empty in [Lease.held(by: nil, seconds: nil), .held(by: "", seconds: 15)] {
            var emptied = LeaseClaim.of("b")
            emptied.found(empty, at: at(0))
            #expect(emptied.step(at: at(0), date) == .wait(until: at(2)))
            emptied.found(empty, at: at(15))
            guard case .replace = emptied.step(at: at(15), date) else {
                Issue.record("it does not take what is empty")
                return
            }
        }
        var bare = Lease.held(by: nil)
        bare.spec = nil
        var claim = LeaseClaim.of("b")
        claim.found(bare, at: at(0))
        #expect(claim.step(at: at(0), date) == .wait(until: at(2)))
    }

    @Test func `a leader without answers leads to its end, and reads what became of it`() {
        var claim = leader()
        _ = claim.step(at: at(2), date)
        claim.writeFailed(.unknown, at: at(5))
        #expect(claim.leadershipEnd(at: at(5)) == at(10))
        #expect(claim.step(at: at(5), date) == .wait(until: at(7)))
        #expect(claim.step(at: at(7), date) == .read)
        claim.readFailed(at: at(9))
        #expect(claim.leadershipEnd(at: at(9)) == at(10))
        // It wakes up to lead no more.
        #expect(claim.step(at: at(9), date) == .wait(until: at(10)))
        #expect(claim.step(at: at(10), date) == .wait(until: at(11)))
        claim.found(.held(by: "a", version: 2), at: at(12))
        #expect(claim.leadershipEnd(at: at(12)) == nil)
        guard case .replace = claim.step(at: at(12), date) else {
            Issue.record("it does not renew what it holds")
            return
        }
    }

    @Test func `a leader that meets another version reads at once, and stays or goes`() {
        for (holder, end) in [("a", at(10)), ("b", nil)] {
            var claim = leader()
            _ = claim.step(at: at(2), date)
            claim.writeFailed(.conflict, at: at(2))
            #expect(claim.step(at: at(2), date) == .read)
            claim.found(.held(by: holder, version: 5), at: at(2))
            #expect(claim.leadershipEnd(at: at(2)) == end)
        }
        var claim = leader()
        _ = claim.step(at: at(2), date)
        claim.writeFailed(.conflict, at: at(2))
        claim.readFailed(at: at(2))
        #expect(claim.leadershipEnd(at: at(2)) == nil)
    }

    @Test func `a Lease that was deleted ends leadership until its leader has made it anew`() {
        var claim = leader()
        _ = claim.step(at: at(2), date)
        claim.writeFailed(.missing, at: at(2))
        #expect(claim.step(at: at(2), date) == .read)
        claim.found(nil, at: at(2))
        #expect(claim.leadershipEnd(at: at(2)) == nil)
        guard case .create = claim.step(at: at(2), date) else {
            Issue.record("it does not make the Lease")
            return
        }
        // Others remember who led.
        var other = LeaseClaim.of("b")
        other.found(.held(by: "a"), at: at(1))
        other.found(nil, at: at(2))
        #expect(other.step(at: at(2), date) == .wait(until: at(4)))
        other.found(nil, at: at(16))
        guard case .create = other.step(at: at(16), date) else {
            Issue.record("it does not make the Lease")
            return
        }
    }

    @Test func `only who holds the Lease gives it back`() {
        #expect(LeaseClaim.of("b").release(date) == nil)
        let released = leader().release(date)
        #expect(released?.spec?.holderIdentity == "")
        #expect(released?.spec?.leaseDurationSeconds == 1)
        #expect(released?.metadata.resourceVersion == "1")
    }

    @Test(arguments: [
        (0.0, "1970-01-01T00:00:00.000000Z"), (1.000_001, "1970-01-01T00:00:01.000001Z"),
        (1_767_225_600.25, "2026-01-01T00:00:00.250000Z"),
    ])
    func `times have six digits of a second`(seconds: Double, expected: String) {
        #expect(microTime(Date(timeIntervalSince1970: seconds + 0.000_000_2)) == expected)
    }
}
