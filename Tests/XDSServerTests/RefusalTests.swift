import MeshModel
import MeshPlan
import Testing

@testable import XDSServer

/// NACKs: what was refused, by whose fault, and what the proxy keeps.
@Suite struct `Refused versions` {
    private let node = object(.virtualNode, "blue")
    private let router = object(.virtualRouter, "colors")

    /// A proxy that accepted one resource of each type, in version 1.
    private func accepted() throws -> TestStream {
        let session = try TestStream(subscribedTo: ["r"], endpoints: ["e"], target: target())
        _ = session.acceptAll()
        return session
    }

    private func target(
        cluster clusterVersion: String = "1",
        listener: String = "1",
        route: String = "1",
        generation: Int = 1
    ) throws -> Snapshot {
        try snapshot(
            cluster("c", clusterVersion, endpoints: "e", origins: [node: 1]),
            resource(.endpoints, "e"),
            resource(.listeners, "l", listener, origins: [node: 1]),
            resource(.routes, "r", route, origins: [node: 1, router: generation])
        )
    }

    @Test func `a refused version is told with its reason and is not sent again`() throws {
        let session = try accepted()
        try session.snapshotChanged(to: target(route: "2", generation: 2))
        let response = try #require(session.nextResponse())
        session.received(answer(response, refusing: "dump {\n  of: it\n}\n\nbad regex \n"))
        #expect(session.responses().isEmpty)
        #expect(
            try session.observation.refusals == [
                Refusal(
                    type: .routes,
                    resource: "r",
                    version: resource(.routes, "r", "2").version,
                    keptVersion: resource(.routes, "r", "1").version,
                    message: "bad regex",
                    objects: [router]
                )
            ]
        )
        #expect(session.observation.sync[.routes] == .refused)
        #expect(session.observation.sync[.listeners] == .synced)
    }

    @Test func `all routers are named when none changed`() throws {
        let session = try accepted()
        try session.snapshotChanged(to: target(route: "2"))
        let response = try #require(session.nextResponse())
        session.received(answer(response, refusing: "no"))
        #expect(session.observation.refusals.first?.objects == [router])
    }

    @Test func `a generation that changed nothing is not blamed later`() throws {
        let session = try accepted()
        try session.refreshOrigins(from: target(generation: 2))
        var next = try target(route: "2", generation: 2)
        try next.insert(resource(.routes, "r", "2", origins: [node: 2, router: 2]))
        session.snapshotChanged(to: next)
        let response = try #require(session.nextResponse())
        session.received(answer(response, refusing: "no"))
        #expect(session.observation.refusals.first?.objects == [node])
    }

    @Test func `a new version is sent and clears the refusal`() throws {
        let session = try accepted()
        try session.snapshotChanged(to: target(route: "2"))
        let response = try #require(session.nextResponse())
        session.received(answer(response, refusing: "no"))
        try session.snapshotChanged(to: target(route: "3"))
        #expect(session.observation.refusals.isEmpty)
        #expect(session.acceptAll() == ["routes +r"])
        #expect(session.observation.sync[.routes] == .synced)
    }

    @Test func `going back to the version that the proxy kept sends nothing`() throws {
        let session = try accepted()
        try session.snapshotChanged(to: target(route: "2"))
        let response = try #require(session.nextResponse())
        session.received(answer(response, refusing: "no"))
        try session.snapshotChanged(to: target())
        #expect(session.responses().isEmpty)
        #expect(session.observation.sync[.routes] == .synced)
    }

    @Test func `an answer to a version that is no longer wanted refuses nothing`() throws {
        let session = try accepted()
        try session.snapshotChanged(to: target(route: "2"))
        let response = try #require(session.nextResponse())
        try session.snapshotChanged(to: target(route: "3"))
        session.received(answer(response, refusing: "no"))
        #expect(session.observation.refusals.isEmpty)
        #expect(session.acceptAll() == ["routes +r"])
    }

    @Test func `a refused cluster holds up nothing`() throws {
        let session = try accepted()
        try session.snapshotChanged(to: target(cluster: "2", route: "2"))
        let response = try #require(session.nextResponse())
        #expect(response.summary == "clusters +c")
        session.received(
            answer(response, refusing: "Error adding/updating cluster(s) c: bad type")
        )
        #expect(session.observation.refusals.map(\.message) == ["bad type"])
        #expect(session.acceptAll() == ["endpoints +e", "routes +r"])
    }

    @Test(arguments: [ResourceType.listeners, .routes])
    func `the clusters of an old version stay while the new one is refused`(
        type: ResourceType
    ) throws {
        let session = try accepted()
        func moved(_ version: String) throws -> Snapshot {
            try snapshot(
                cluster("d"),
                resource(.listeners, "l", type == .listeners ? version : "1"),
                resource(.routes, "r", type == .routes ? version : "1")
            )
        }
        try session.snapshotChanged(to: moved("2"))
        let clusters = try #require(session.nextResponse())
        session.received(answer(clusters))
        let refused = try #require(session.nextResponse())
        session.received(answer(refused, refusing: "no"))
        #expect(session.acceptAll().isEmpty)
        // A new Envoy gets the old version, and what that needs.
        let next = TestStream(target: session.target, memory: session.memory)
        next.received(request(.clusters))
        next.received(request(.endpoints, subscribe: ["e"]))
        next.received(request(.listeners))
        next.received(request(.routes, subscribe: ["r"]))
        #expect(
            next.acceptAll() == ["clusters +c +d", "endpoints +e", "listeners +l", "routes +r"]
        )
        try session.snapshotChanged(to: moved("3"))
        #expect(
            session.acceptAll() == ["\(type.rawValue) +\(type == .routes ? "r" : "l")"]
                + ["clusters -c", "endpoints -e"]
        )
    }

    @Test func `a new Envoy gets the last accepted version in place of the refused one`() throws {
        let session = try accepted()
        try session.snapshotChanged(to: target(route: "2"))
        let response = try #require(session.nextResponse())
        session.received(answer(response, refusing: "no"))
        let next = TestStream(target: session.target, memory: session.memory)
        next.received(request(.routes, subscribe: ["r"]))
        let again = try #require(next.nextResponse())
        #expect(try again.resources == [resource(.routes, "r", "1", origins: [:])])
        next.received(answer(again))
        #expect(next.responses().isEmpty)
        #expect(next.observation.sync[.routes] == .refused)
        // Should it not take that either, it is told that there is none.
        let strict = TestStream(target: session.target, memory: session.memory)
        strict.received(request(.routes, subscribe: ["r"]))
        let old = try #require(strict.nextResponse())
        strict.received(answer(old, refusing: "no"))
        #expect(strict.responses().isEmpty)
    }

    @Test func `a proxy keeps an unknown version when it refuses the first that it is sent`()
        throws
    {
        let session = try TestStream(target: target())
        session.received(request(.clusters, has: ["c": "before", "gone": "before"]))
        session.received(request(.listeners, has: ["l": "before"]))
        let clusters = try #require(session.nextResponse())
        session.received(answer(clusters, refusing: "Error adding/updating cluster(s) c: no"))
        #expect(session.observation.refusals.first?.keptVersion == "before")
        let listeners = try #require(session.nextResponse())
        session.received(answer(listeners, refusing: "no"))
        #expect(session.responses().isEmpty)
    }

    @Test func `resources that are refused together without a name are halved`() throws {
        let names = (0..<8).map { "r\($0)" }
        var target = Snapshot()
        for name in names { try target.insert(resource(.routes, name)) }
        let session = TestStream(subscribedTo: names, endpoints: [], target: target)
        var sizes: [Int] = []
        while let response = session.nextResponse() {
            sizes.append(response.resources.count)
            let isBad = response.resources.contains { $0.name == "r5" }
            session.received(answer(response, refusing: isBad ? "no" : nil))
        }
        #expect(sizes == [8, 4, 4, 2, 1, 1, 2])
        #expect(session.observation.refusals.map(\.resource) == ["r5"])
    }
}

/// Which resources a text of Envoy's is about.
@Suite struct `Refusal texts` {
    @Test func `the clusters that the text names are refused and the others are not`() {
        let text = RefusalText(
            "Error adding/updating cluster(s) a: first, second, ab: dump\nbad",
            type: .clusters,
            names: ["ab", "a", "b"]
        )
        #expect(text.reasons == ["a": "first, second", "ab": "bad"])
    }

    @Test func `listeners are on a line each`() {
        let text = RefusalText(
            "Error adding/updating listener(s) l: no route\nm: bad\n",
            type: .listeners,
            names: ["l", "m", "n"]
        )
        #expect(text.reasons == ["l": "no route", "m": "bad"])
        #expect(text.isComplete)
    }

    @Test func `other texts name nothing`() {
        let text = RefusalText("Only a single r: x", type: .routes, names: ["r"])
        #expect(text.reasons.isEmpty)
        #expect(text.wholeReason == "Only a single r: x")
    }

    @Test func `a text that Envoy cut names only some`() {
        let text = RefusalText(
            "Error adding/updating cluster(s) a: no...(truncated)",
            type: .clusters,
            names: ["a", "b"]
        )
        #expect(text.reasons.keys.sorted() == ["a"])
        #expect(!text.isComplete)
    }
}
