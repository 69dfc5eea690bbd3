import EnvoyAPI
import MeshModel
import MeshPlan
import Testing

@testable import XDSServer

/// Subscriptions, versions, nonces: what the protocol asks of one stream.
@Suite struct `Delta protocol` {
    @Test func `the first request without names is a wildcard for clusters and listeners only`()
        throws
    {
        let target = try snapshot(
            cluster("a"),
            cluster("b"),
            resource(.endpoints, "e"),
            resource(.listeners, "l"),
            resource(.routes, "r")
        )
        let session = TestStream(subscribedTo: [], endpoints: [], target: target)
        #expect(session.acceptAll() == ["clusters +a +b", "listeners +l"])
    }

    @Test func `an asterisk is a wildcard, and names beside it stay after it is dropped`() throws {
        let session = try TestStream(target: snapshot(cluster("a"), cluster("b")))
        session.received(request(.clusters, subscribe: ["*", "a"]))
        #expect(session.acceptAll() == ["clusters +a +b"])
        session.received(request(.clusters, unsubscribe: ["*"]))
        try session.snapshotChanged(to: snapshot(cluster("a", "2"), cluster("b", "2")))
        #expect(session.acceptAll() == ["clusters +a"])
    }

    @Test func `names are sent when they are subscribed to, and not after`() throws {
        let session = try TestStream(
            subscribedTo: ["r"],
            endpoints: [],
            target: snapshot(resource(.routes, "r"), resource(.routes, "s"))
        )
        #expect(session.acceptAll() == ["routes +r"])
        session.received(request(.routes, subscribe: ["s"]))
        #expect(session.acceptAll() == ["routes +s"])
        session.received(request(.routes, unsubscribe: ["r"]))
        try session.snapshotChanged(
            to: snapshot(resource(.routes, "r", "2"), resource(.routes, "s", "2"))
        )
        #expect(session.acceptAll() == ["routes +s"])
    }

    @Test func `a name that does not exist is answered, and sent once it exists`() throws {
        let session = TestStream(subscribedTo: ["r"], endpoints: ["e"], target: Snapshot())
        #expect(session.acceptAll() == ["endpoints -e", "routes -r"])
        try session.snapshotChanged(to: snapshot(resource(.routes, "r")))
        #expect(session.acceptAll() == ["routes +r"])
    }

    @Test func `a name that is asked for again is sent again`() throws {
        let session = try TestStream(
            subscribedTo: ["r"],
            endpoints: [],
            target: snapshot(resource(.routes, "r"))
        )
        #expect(session.acceptAll() == ["routes +r"])
        session.received(request(.routes, subscribe: ["r"]))
        #expect(session.acceptAll() == ["routes +r"])
    }

    @Test func `a reconnect gets only what differs`() throws {
        let kept = try cluster("kept")
        let session = try TestStream(
            target: snapshot(kept, cluster("changed", "2"), resource(.routes, "r"))
        )
        session.received(
            request(
                .clusters,
                has: ["kept": kept.version, "changed": "old", "gone": "old"]
            )
        )
        let route = try resource(.routes, "r")
        session.received(request(.routes, subscribe: ["r"], has: ["r": route.version]))
        #expect(session.acceptAll() == ["clusters +changed", "clusters -gone"])
        #expect(session.observation.sync[.routes] == .synced)
    }

    @Test func `versions told before the first snapshot are compared with it`() throws {
        let session = TestStream(target: nil)
        let kept = try cluster("kept")
        session.received(request(.clusters, has: ["kept": kept.version, "changed": "old"]))
        #expect(session.nextResponse() == nil)
        try session.snapshotChanged(to: snapshot(kept, cluster("changed", "2")))
        #expect(session.acceptAll() == ["clusters +changed"])
    }

    @Test func `one response of a type waits for its answer, and a stale nonce is none`() throws {
        let session = try TestStream(target: snapshot(cluster("a")))
        session.received(request(.clusters))
        let first = try #require(session.nextResponse())
        try session.snapshotChanged(to: snapshot(cluster("a", "2")))
        try session.snapshotChanged(to: snapshot(cluster("a", "3")))
        #expect(session.nextResponse() == nil)
        var stale = answer(first)
        stale.responseNonce = "0"
        session.received(stale)
        #expect(session.nextResponse() == nil)
        session.received(answer(first))
        let second = try #require(session.nextResponse())
        #expect(try second.resources == [cluster("a", "3")])
        #expect(second.nonce != first.nonce)
        session.received(answer(second))
        #expect(session.responses().isEmpty)
    }

    @Test func `an equal snapshot sends nothing`() throws {
        let session = try TestStream(target: snapshot(cluster("a")))
        session.received(request(.clusters))
        #expect(session.acceptAll() == ["clusters +a"])
        try session.snapshotChanged(to: snapshot(cluster("a")))
        #expect(session.responses().isEmpty)
    }

    @Test func `a type that is not served is told apart`() {
        let session = TestStream(target: Snapshot())
        var runtime = request(.clusters)
        runtime.typeURL = "type.googleapis.com/envoy.service.runtime.v3.Runtime"
        #expect(!session.received(runtime))
        #expect(session.responses().isEmpty)
    }
}

/// Make before break.
@Suite struct `Delta order` {
    private func target(_ name: String) throws -> Snapshot {
        try snapshot(
            cluster(name, endpoints: "e-\(name)"),
            resource(.endpoints, "e-\(name)"),
            resource(.listeners, "l", name),
            resource(.routes, "r", name)
        )
    }

    @Test func `clusters come first, then endpoints, then listeners and routes, then removals`()
        throws
    {
        let session = try TestStream(
            subscribedTo: ["r"],
            endpoints: ["e-a"],
            target: target("a")
        )
        _ = session.acceptAll()
        try session.snapshotChanged(to: target("b"))
        let clusters = session.responses()
        #expect(clusters.map(\.summary) == ["clusters +b"])
        // Envoy asks for the endpoints and answers only once it has them.
        session.received(request(.endpoints, subscribe: ["e-b"]))
        let endpoints = session.responses()
        #expect(endpoints.map(\.summary) == ["endpoints +e-b"])
        session.received(answer(endpoints[0]))
        #expect(session.responses().isEmpty)
        session.received(answer(clusters[0]))
        let rest = session.responses()
        #expect(rest.map(\.summary) == ["listeners +l", "routes +r"])
        session.received(answer(rest[1]))
        #expect(session.responses().isEmpty)
        session.received(answer(rest[0]))
        #expect(session.acceptAll() == ["clusters -a", "endpoints -e-a"])
    }

    @Test func `routes wait until a new cluster has asked for its endpoints`() throws {
        let session = try TestStream(subscribedTo: ["r"], endpoints: [], target: target("a"))
        #expect(session.acceptAll() == ["clusters +a"])
        #expect(session.observation.sync[.endpoints] == .pending)
        session.received(request(.endpoints, subscribe: ["e-a"]))
        #expect(session.acceptAll() == ["endpoints +e-a", "listeners +l", "routes +r"])
    }

    @Test func `a changed cluster gets its unchanged endpoints again`() throws {
        let endpoints = try resource(.endpoints, "e")
        let session = try TestStream(
            subscribedTo: [],
            endpoints: ["e"],
            target: snapshot(cluster("a", endpoints: "e"), endpoints)
        )
        #expect(session.acceptAll() == ["clusters +a", "endpoints +e"])
        try session.snapshotChanged(to: snapshot(cluster("a", "2", endpoints: "e"), endpoints))
        #expect(session.acceptAll() == ["clusters +a", "endpoints +e"])
    }

    @Test func `endpoints that a broken stream left unsent follow on the next`() throws {
        let endpoints = try resource(.endpoints, "e")
        let changed = try cluster("a", "2", endpoints: "e")
        let session = try TestStream(
            subscribedTo: [],
            endpoints: ["e"],
            target: snapshot(cluster("a", endpoints: "e"), endpoints)
        )
        _ = session.acceptAll()
        session.snapshotChanged(to: snapshot(changed, endpoints))
        let response = try #require(session.nextResponse())
        session.received(answer(response))
        let next = TestStream(target: session.target, memory: session.memory)
        next.received(request(.clusters, has: ["a": changed.version]))
        next.received(request(.endpoints, subscribe: ["e"], has: ["e": endpoints.version]))
        #expect(next.acceptAll() == ["endpoints +e"])
    }

    @Test func `a snapshot in the middle replaces the target`() throws {
        let session = try TestStream(
            subscribedTo: ["r"],
            endpoints: ["e-a", "e-b", "e-c"],
            target: target("a")
        )
        _ = session.acceptAll()
        try session.snapshotChanged(to: target("b"))
        let clusters = session.responses()
        #expect(clusters.map(\.summary) == ["clusters +b", "endpoints +e-b"])
        try session.snapshotChanged(to: target("c"))
        session.received(answer(clusters[1]))
        session.received(answer(clusters[0]))
        #expect(
            session.acceptAll() == [
                "clusters +c", "endpoints +e-c", "listeners +l", "routes +r", "clusters -a -b",
                "endpoints -e-a -e-b",
            ]
        )
    }

    @Test func `endpoints alone do not touch anything else`() throws {
        let session = try TestStream(subscribedTo: ["r"], endpoints: ["e-a"], target: target("a"))
        _ = session.acceptAll()
        var changed = try target("a")
        try changed.insert(resource(.endpoints, "e-a", "2"))
        session.snapshotChanged(to: changed)
        #expect(session.acceptAll() == ["endpoints +e-a"])
    }

    @Test func `a listener and its successor on the same address travel together`() throws {
        let session = try TestStream(target: snapshot(resource(.listeners, "old")))
        session.received(request(.listeners))
        _ = session.acceptAll()
        try session.snapshotChanged(to: snapshot(resource(.listeners, "new")))
        #expect(session.acceptAll() == ["listeners +new -old"])
    }
}
