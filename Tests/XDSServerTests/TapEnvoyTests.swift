import MeshModel
import MeshPlan
import Testing

@testable import XDSServer

/// What real Envoys tell of while they are tapped.
@Suite(
    .timeLimit(.minutes(2)),
    .enabled(if: EnvoyProcess.binary != nil || EnvoyProcess.isRequired, "no Envoy")
)
struct `Tap with Envoy` {
    @Test func `an Envoy tells of its requests while its runtime says so`() async throws {
        let blue = proxy("blue")
        let (serving, calling) = (freePort(), freePort())
        let snapshot = try snapshot(
            edsCluster("served"),
            endpoints("served", port: serving),
            listener(
                "serving",
                port: serving,
                route: "r",
                tap: TestTap(name: "tap.inbound", token: "blue")
            ),
            listener(
                "calling",
                port: calling,
                route: "to-served",
                tap: TestTap(name: "tap.outbound", token: "blue")
            ),
            routes("r", to: .text("hello")),
            routes("to-served", to: .cluster("served"))
        )
        let store = SnapshotStore()
        store.authorize(token: "blue", for: blue)
        store.publish([blue: snapshot])
        let listener = store.requests.listener(keeping: 1000)
        store.requests.listen(to: [blue], listener)
        try await withService(store) { path in
            let folder = try temporaryFolder()
            let envoy = try EnvoyProcess(ads: path, token: "blue", folder: folder)
            try await until { get(port: calling)?.hasSuffix("hello") == true }
            func setTap(_ value: String) {
                let answer = admin(folder, "/runtime_modify?heddle.tap=\(value)", method: "POST")
                #expect(answer?.contains("OK\n") == true)
            }
            setTap("100")
            #expect(get(port: calling)?.hasSuffix("hello") == true)
            var records: [RequestRecord] = []
            try await until {
                records += listener.take()
                return records.count >= 2
            }
            // Nothing of before.
            #expect(records.count == 2)
            let inbound = try #require(records.first { $0.direction == .inbound })
            let outbound = try #require(records.first { $0.direction == .outbound })
            #expect(inbound.status == 200 && inbound.method == "GET" && inbound.path == "/")
            #expect(inbound.details == "direct_response")
            #expect(outbound.cluster == "served" && outbound.attempts == 1)
            #expect(outbound.destination == "127.0.0.1:\(serving)")
            #expect(outbound.requestID == inbound.requestID && outbound.requestID != nil)
            #expect(outbound.durationMilliseconds > 0)

            // Envoy reads hundredths.
            setTap("1")
            for _ in 0..<100 { _ = get(port: calling) }
            setTap("100")
            _ = get(port: calling)
            records = []
            try await until {
                records += listener.take()
                return records.count >= 2
            }
            #expect(records.count < 50)

            // Of what was asked before, some may still be on its way.
            setTap("")
            _ = get(port: calling, host: "off")
            setTap("100")
            _ = get(port: calling, host: "on")
            records = []
            try await until {
                records += listener.take()
                return records.count { $0.authority == "on" } >= 2
            }
            #expect(!records.contains { $0.authority == "off" })
            _ = envoy
        }
    }
}
