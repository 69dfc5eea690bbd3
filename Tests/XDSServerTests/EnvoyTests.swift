import EnvoyAPI
import Glibc
import MeshModel
import MeshPlan
import SwiftProtobuf
import Testing

@testable import XDSServer

/// What a real Envoy makes of it.
@Suite(
    .timeLimit(.minutes(2)),
    .enabled(if: EnvoyProcess.binary != nil || EnvoyProcess.isRequired, "no Envoy")
)
struct `xDS with Envoy` {
    private let blue = proxy("blue")

    @Test func `changes are visible, refusals are told, and nothing is lost`() async throws {
        let store = SnapshotStore()
        let blue = blue
        store.authorize(token: "secret", for: blue)
        let port = freePort()
        let upstream = freePort()
        // A listener that answers by itself is the upstream of the clusters.
        @Sendable func target(cluster: String, domains: [String] = ["*"]) throws -> Snapshot {
            try snapshot(
                edsCluster(cluster),
                endpoints(cluster, port: upstream),
                listener("in", port: port, route: "r"),
                listener("up", port: upstream, route: "u"),
                routes("r", to: .cluster(cluster), domains: domains),
                routes("u", to: .text("hello"))
            )
        }
        try store.publish([blue: target(cluster: "a")])
        try await withService(store) { path in
            let folder = try temporaryFolder()
            let envoy = try EnvoyProcess(ads: path, token: "secret", folder: folder)
            try await observed(store, blue) { Set($0.sync.values) == [.synced] }
            try await until { get(port: port)?.hasSuffix("hello") == true }

            // A bad route is refused by Envoy's own words, and the old one still serves.
            try store.publish([blue: target(cluster: "a", domains: ["*", "*"])])
            let refused = try await observed(store, blue) { !$0.refusals.isEmpty }
            #expect(
                refused.refusals.map(\.message) == [
                    "Only a single wildcard domain is permitted in route r"
                ]
            )
            #expect(get(port: port)?.hasSuffix("hello") == true)

            // A bad cluster and a bad listener are told apart from the good ones beside them.
            var broken = try target(cluster: "a")
            try broken.insert(edsCluster("good"))
            try broken.insert(endpoints("good", port: upstream))
            try broken.insert(badCluster("bad1"))
            try broken.insert(badCluster("bad2"))
            try broken.insert(listener("bad", port: port, route: "r", address: "nowhere"))
            try broken.insert(listener("bad3", port: port, route: "r", address: "elsewhere"))
            store.publish([blue: broken])
            let told = try await observed(store, blue) {
                $0.refusals.count == 4 && !$0.sync.values.contains(.pending)
            }
            #expect(told.refusals.map(\.resource) == ["bad1", "bad2", "bad", "bad3"])
            #expect(get(port: port)?.hasSuffix("hello") == true)

            // A cluster is exchanged for another under requests.
            for cluster in ["b", "c", "a"] {
                try store.publish([blue: target(cluster: cluster)])
                repeat {
                    #expect(get(port: port)?.hasSuffix("hello") == true)
                } while Set(store.currentObservations[blue]?.sync.values ?? [:].values) != [.synced]
            }
            _ = envoy
        }
    }
}

private struct TimedOut: Error, CustomStringConvertible {
    var description: String
}

/// Waits for an observation.
@discardableResult
func observed(
    _ store: SnapshotStore,
    _ proxy: ProxyID,
    where condition: (XDSObservation) -> Bool
) async throws -> XDSObservation {
    var iterator = store.observations.makeAsyncIterator()
    while true {
        if let now = store.currentObservations[proxy], condition(now) { return now }
        guard await iterator.next(isolation: #isolation) != nil else {
            throw TimedOut(description: "\(String(describing: store.currentObservations[proxy]))")
        }
    }
}

/// Asks until `condition` holds: of its workers Envoy tells nothing.
func until(_ condition: () -> Bool) async throws {
    let end = ContinuousClock.now + .seconds(10)
    while !condition() {
        guard ContinuousClock.now < end else { throw TimedOut(description: "no answer") }
        await Task.yield()
    }
}
