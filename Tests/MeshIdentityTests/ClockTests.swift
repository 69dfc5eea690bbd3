import MeshModel
import Testing

@testable import MeshIdentity

@Suite struct ClockTests {
    @Test func `a clock that goes back five minutes has all certificates issued anew`()
        async throws
    {
        var trial = try Trial(wanting: [issued("blue"), issued("green")])
        await trial.turn()
        let first = trial.serial(issued("blue"))
        await trial.turn(clockSetBy: .seconds(-300))
        #expect(trial.serial(issued("blue")) != first)
        let validity = try #require(trial.holdings.secrets[issued("blue")])
        #expect(try #require(validity.notBeforeSeconds) <= trial.moment.wall.wholeSeconds)
        #expect(
            trial.log.lines.contains(
                "the wall clock stepped; certificates that it made useless are issued anew "
                    + "certificates=2 seconds=-301"
            )
        )
    }

    @Test func `a clock that goes back a minute changes nothing`() async throws {
        var trial = try Trial(wanting: [issued("blue")])
        await trial.turn()
        let first = trial.serial(issued("blue"))
        await trial.turn(clockSetBy: .seconds(-60))
        #expect(trial.serial(issued("blue")) == first)
    }

    @Test func `a clock that goes forward has what ended issued anew`() async throws {
        var trial = try Trial(wanting: [issued("blue")]) { $0.certificateLifetime = .seconds(240) }
        await trial.turn()
        let first = trial.serial(issued("blue"))
        await trial.turn(clockSetBy: .seconds(300))
        #expect(trial.serial(issued("blue")) != first)
        #expect(
            try #require(trial.holdings.secrets[issued("blue")]?.notAfterSeconds)
                == trial.moment.wall.wholeSeconds + 240
        )
        #expect(trial.log.lines.contains { $0.contains("certificates=1 seconds=299") })
    }

    @Test func `an authority that has not begun by a clock set right is replaced at once`()
        async throws
    {
        let folder = try TemporaryFolder()
        var early = try Trial(
            in: folder,
            wanting: [issued("blue"), trust("color")],
            at: Trial.start + .seconds(86400)
        )
        await early.turn()
        let wrong = early.authorities("color", .signing).map(\.serial)
        var trial = try Trial(in: folder, wanting: early.specs)
        await trial.turn()
        #expect(trial.authorities("color", .signing).map(\.serial) != wrong)
        let isTrusted = try await isAccepted(
            trial.chain(issued("blue")),
            by: trial.trust(trust("color")),
            at: Trial.start.wholeSeconds,
            in: folder
        )
        #expect(isTrusted)
        // The root is not replaced for a clock, and says what is odd.
        let root = try #require(trial.authorities(nil, .signing).first)
        #expect(
            root.problem
                == "the root \(root.serial): it begins in 23 hours (2026-11-24T06:00:00Z); is "
                + "the clock right?"
        )
    }

    @Test func `an authority that ended while no daemon ran is replaced at once`() async throws {
        let folder = try TemporaryFolder()
        var first = try Trial(in: folder, wanting: [issued("blue"), trust("color")])
        await first.turn()
        let old = first.authorities("color", .signing).map(\.serial)
        let later = Trial.start + .seconds(400 * 86400)
        var trial = try Trial(in: folder, wanting: first.specs, at: later)
        await trial.turn()
        #expect(trial.authorities("color", .signing).map(\.serial) != old)
        #expect(trial.authorities("color", .retiring) == [])
        #expect(trial.serial(issued("blue")) != nil)
    }
}
