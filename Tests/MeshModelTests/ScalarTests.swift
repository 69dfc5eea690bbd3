import MeshModel
import Testing

@Suite struct ScalarTests {
    @Test(arguments: [(-1, false), (0, false), (1, true), (65535, true), (65536, false)])
    func `a port is from 1 to 65535`(_ number: Int, _ isPort: Bool) {
        #expect((Port(number) != nil) == isPort)
        #expect(Port(number).map { $0.description == String(number) } ?? true)
    }

    @Test(arguments: [(-1, false), (0, true), (100, true), (101, false)])
    func `a weight is from 0 to 100`(_ share: Int, _ isWeight: Bool) {
        #expect((Weight(share) != nil) == isWeight)
    }

    @Test(arguments: [(-1, false), (0, true), (1_000_000, true), (1_000_001, false)])
    func `a percentage is from none to all`(_ millionths: Int, _ isPercentage: Bool) {
        #expect((Percentage(millionths: millionths) != nil) == isPercentage)
        #expect(Percentage.all.millionths == 1_000_000)
    }

    @Test(arguments: [
        (0, "1970-01-01T00:00:00Z"),
        (1_795_394_479, "2026-11-23T00:41:19Z"),
        (951_782_400, "2000-02-29T00:00:00Z"),
    ])
    func `a time is written as Kubernetes writes times`(_ seconds: Int, _ text: String) {
        #expect(timestamp(secondsSince1970: seconds) == text)
    }

    @Test(
        arguments: [
            ("demo/blu", ["demo/blue", "demo/green"], "demo/blue"),
            ("colors", ["colour", "color"], "color"),
            ("colros", ["colors", "blue"], "colors"),
            ("grene", ["green"], nil),
            ("blue", ["blue"], nil),
            ("blue", ["numbers", "yellow"], nil),
            ("frontend", ["backend"], nil),
            ("x", [], nil),
        ] as [(String, [String], String?)]
    )
    func `the nearest name is one that few letters differ from`(
        _ name: String,
        _ candidates: [String],
        _ nearest: String?
    ) {
        #expect(nearestName(to: name, among: candidates) == nearest)
        #expect(nearestName(to: name, among: candidates.reversed()) == nearest)
    }

    @Test func `of names equally near the first in the alphabet is taken`() {
        #expect(nearestName(to: "web-2", among: ["web-3", "web-1"]) == "web-1")
    }
}
