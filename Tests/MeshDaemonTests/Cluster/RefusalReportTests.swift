import MeshModel
import Testing

@testable import MeshDaemon

/// What replicas tell each other of refusals.
@Suite struct RefusalReportTests {
    private func proxy(_ name: String) -> ProxyID {
        ProxyID(ObjectReference(namespace: "demo", name: name))
    }

    private func refusal(_ resource: String, message: String = "no such header") -> Refusal {
        Refusal(
            type: .routes,
            resource: resource,
            version: "2",
            message: message,
            objects: [ObjectID(.virtualRouter, ObjectReference(namespace: "demo", name: "colors"))]
        )
    }

    private func refusing(_ names: [String], _ refusals: [Refusal]) -> [ProxyID: XDSObservation] {
        var observations: [ProxyID: XDSObservation] = [:]
        for name in names {
            observations[proxy(name)] = XDSObservation(isConnected: true, refusals: refusals)
        }
        return observations
    }

    private func report(_ names: [String], _ refusals: [Refusal], at now: Int) -> RefusalReport {
        RefusalReport(of: refusing(names, refusals), nowSeconds: now)
    }

    @Test func `a replica reads what another wrote, and not what it wrote itself`() {
        var reports = RefusalReports()
        for (replica, text) in reports.changes(for: "a", report(["red"], [refusal("x")], at: 5)) {
            reports.texts[replica] = text
        }
        #expect(
            reports.refusals(without: "b", nowSeconds: 6) == [proxy("red"): [refusal("x")]]
        )
        #expect(reports.refusals(without: "a", nowSeconds: 6) == [:])
        #expect(reports.changes(for: "a", report(["red"], [refusal("x")], at: 7)) == [:])
    }

    @Test func `nothing is written while nothing is refused, and what was is taken back`() {
        var reports = RefusalReports()
        let none = report(["red"], [], at: 5)
        #expect(reports.changes(for: "a", none) == [:])
        reports.texts["a"] = report(["red"], [refusal("x")], at: 5).text
        #expect(reports.changes(for: "a", none) == ["a": nil])
    }

    @Test func `what is refused is told again in time, and ends with a replica that does not`() {
        let first = report(["red"], [refusal("x")], at: 0)
        let reports = RefusalReports(texts: ["a": first.text])
        #expect(reports.changes(for: "a", report(["red"], [refusal("x")], at: 300)) == [:])
        let again = report(["red"], [refusal("x")], at: 301)
        #expect(reports.changes(for: "a", again) == ["a": again.text])
        #expect(!reports.refusals(without: "b", nowSeconds: 900).isEmpty)
        #expect(reports.refusals(without: "b", nowSeconds: 901) == [:])
        #expect(reports.changes(for: "b", report([], [], at: 900)) == [:])
        #expect(reports.changes(for: "b", report([], [], at: 901)) == ["a": nil])
    }

    @Test func `thousands of proxies that refuse the same are few words`() {
        let names = (0..<2000).map { "pod-\($0)" }
        let long = String(repeating: "long ", count: 10_000)
        let refusals = (0..<100).map { refusal("r\($0)", message: long) }
        let report = report(names, refusals, at: 0)
        #expect(report.text.utf8.count < 200_000)
        #expect(report.entries.count == 100)
        #expect(self.report(names, [refusal("x")], at: 0).entries.count == 5)
    }

    @Test func `who is not connected tells nothing, and what is no report is removed`() {
        var gone = refusing(["red"], [refusal("x")])
        gone[proxy("red")]?.isConnected = false
        #expect(RefusalReport(of: gone, nowSeconds: 0).entries.isEmpty)
        let reports = RefusalReports(texts: ["b": "{not json"])
        #expect(reports.refusals(without: "a", nowSeconds: 0) == [:])
        #expect(reports.changes(for: "a", report([], [], at: 0)) == ["b": nil])
    }
}
