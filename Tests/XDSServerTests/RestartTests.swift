import MeshModel
import MeshPlan
import Testing

@testable import XDSServer

/// A control plane that was just started, and proxies that have what the one before sent.
@Suite struct `Reconnects to a new control plane` {
    private let claims: [ResourceType: [String: String]]
    private let target: Snapshot

    init() throws {
        target = try snapshot(
            cluster("c", endpoints: "c"),
            resource(.endpoints, "c"),
            resource(.listeners, "l", secrets: ["s"]),
            resource(.routes, "r"),
            secret("s")
        )
        claims = Dictionary(
            uniqueKeysWithValues: ResourceType.allCases.map { [target] type in
                (type, target[type].mapValues(\.version))
            }
        )
    }

    /// The first requests of an Envoy that has the target.
    private func connect(_ stream: TestStream) {
        for type: ResourceType in [.clusters, .endpoints, .listeners, .routes, .secrets] {
            let isWildcard = type == .clusters || type == .listeners
            stream.received(
                request(
                    type,
                    subscribe: isWildcard ? [] : claims[type].map { Array($0.keys) } ?? [],
                    has: claims[type] ?? [:]
                )
            )
        }
    }

    @Test func `what a proxy has is known before the first snapshot, which sends nothing`() {
        let stream = TestStream(target: nil)
        connect(stream)
        #expect(stream.responses().isEmpty)
        #expect(stream.observation.isConnected)
        #expect(stream.observation.listeners == claims[.listeners])
        #expect(stream.observation.acknowledgedVersion == nil)
        stream.snapshotChanged(to: target, plannedSecrets: ["s"])
        #expect(stream.responses().isEmpty)
        #expect(Set(stream.observation.sync.values) == [.synced])
        #expect(stream.observation.listeners == claims[.listeners])
        #expect(stream.observation.acknowledgedVersion != nil)
        #expect(stream.memory.lastGood == target)
    }

    @Test func `a secret that the proxy has is not sent though it comes after the plan`() throws {
        let stream = TestStream(target: nil)
        connect(stream)
        var plan = target
        plan[.secrets] = [:]
        stream.snapshotChanged(to: plan, plannedSecrets: ["s"])
        #expect(stream.responses().isEmpty)
        stream.snapshotChanged(to: target, plannedSecrets: ["s"])
        #expect(stream.responses().isEmpty)
        #expect(stream.memory.lastGood == target)
    }

    @Test(arguments: ResourceType.allCases)
    func `only what changed meanwhile is sent`(type: ResourceType) throws {
        let stream = TestStream(target: nil)
        connect(stream)
        var changed = target
        let name = try #require(target[type].keys.first)
        changed[type][name] =
            type == .secrets
            ? try secret(name, "2")
            : try resource(type, name, "2", secrets: type == .listeners ? ["s"] : [])
        stream.snapshotChanged(to: changed, plannedSecrets: ["s"])
        #expect(stream.acceptAll() == ["\(type.rawValue) +\(name)"])
        #expect(stream.memory.lastGood == changed)
    }

    @Test func `a listener stays in force while its secret is renewed`() throws {
        let stream = TestStream(target: nil)
        connect(stream)
        var changed = target
        try changed.insert(secret("s", "2"))
        stream.snapshotChanged(to: changed, plannedSecrets: ["s"])
        #expect(stream.observation.listeners == claims[.listeners])
        // The same when the snapshot was there before the proxy.
        let late = TestStream(target: changed, plannedSecrets: ["s"])
        connect(late)
        #expect(late.observation.listeners == claims[.listeners])
    }

    @Test func `endpoints follow again when their clusters warm`() throws {
        // Envoy asks for no clusters while some warm.
        let stream = TestStream(target: target)
        stream.received(request(.endpoints, subscribe: ["c"], has: claims[.endpoints] ?? [:]))
        #expect(stream.nextResponse()?.summary == "endpoints +c")
    }
}

/// Another Envoy in place of one: after a crash, or in a hot restart.
@Suite struct `Another Envoy of a proxy` {
    @Test func `it has nothing of what the one before accepted`() throws {
        let target = try snapshot(cluster("c"), resource(.listeners, "l"))
        let first = TestStream(subscribedTo: [], endpoints: [], target: target)
        _ = first.acceptAll()
        #expect(first.memory.lastGood == target)
        var memory = first.memory
        memory.startAnew()
        let second = TestStream(target: target, memory: memory)
        #expect(second.observation.listeners.isEmpty)
        #expect(second.observation.acknowledgedVersion == nil)
        #expect(second.memory.lastGood == nil)
        second.received(request(.clusters))
        second.received(request(.listeners))
        #expect(second.acceptAll() == ["clusters +c", "listeners +l"])
        #expect(second.observation.acknowledgedVersion == first.observation.acknowledgedVersion)
        #expect(second.memory.former[.clusters].isEmpty)
    }

    @Test func `it is offered what the one before refused, then what that one kept`() throws {
        let old = try snapshot(cluster("c"))
        let stream = TestStream(subscribedTo: [], endpoints: [], target: old)
        _ = stream.acceptAll()
        let new = try snapshot(cluster("c", "2"))
        stream.snapshotChanged(to: new)
        let response = try #require(stream.nextResponse())
        stream.received(answer(response, refusing: "Error adding/updating cluster(s) c: no"))
        #expect(stream.responses().isEmpty)
        #expect(stream.memory.lastGood == old)
        var memory = stream.memory
        memory.startAnew()
        let second = TestStream(target: new, memory: memory)
        #expect(second.observation.refusals.isEmpty)
        second.received(request(.clusters))
        second.received(request(.listeners))
        let offered = try #require(second.nextResponse())
        #expect(offered.resources == [new[.clusters]["c"]])
        second.received(answer(offered, refusing: "Error adding/updating cluster(s) c: no"))
        #expect(second.observation.refusals.map(\.keptVersion) == [nil])
        let kept = try #require(second.nextResponse())
        #expect(kept.resources == [old[.clusters]["c"]])
        second.received(answer(kept))
        #expect(second.responses().isEmpty)
        #expect(second.memory.lastGood == old)
    }
}

/// What a proxy has in force.
@Suite struct `Last good snapshots` {
    @Test func `there is none in the middle of a change`() throws {
        let old = try snapshot(cluster("c"), resource(.listeners, "l"))
        let stream = TestStream(subscribedTo: [], endpoints: [], target: old)
        let clusters = try #require(stream.nextResponse())
        stream.received(answer(clusters))
        #expect(stream.memory.lastGood == nil)
        _ = stream.acceptAll()
        #expect(stream.memory.lastGood == old)
        let version = stream.observation.acknowledgedVersion
        let new = try snapshot(cluster("d"), resource(.listeners, "l", "2"))
        stream.snapshotChanged(to: new)
        let added = try #require(stream.nextResponse())
        #expect(stream.memory.lastGood == old)
        stream.received(answer(added))
        #expect(stream.memory.lastGood == nil)
        #expect(stream.observation.acknowledgedVersion == version)
        _ = stream.acceptAll()
        #expect(stream.memory.lastGood == new)
        #expect(stream.observation.acknowledgedVersion != version)
        stream.snapshotChanged(to: old)
        _ = stream.acceptAll()
        #expect(stream.observation.acknowledgedVersion == version)
    }

    @Test func `a version that the proxy has and that is not known here is in none`() throws {
        let target = try snapshot(cluster("c"))
        let stream = TestStream(target: target)
        stream.received(request(.clusters, has: ["c": "before"]))
        stream.received(request(.listeners))
        let response = try #require(stream.nextResponse())
        stream.received(answer(response, refusing: "Error adding/updating cluster(s) c: no"))
        #expect(stream.responses().isEmpty)
        #expect(stream.memory.lastGood == nil)
    }
}

/// Refusals for reasons that are the host's.
@Suite struct `Refusals that may pass` {
    private let taken =
        "Error adding/updating listener(s) l: cannot bind '127.0.0.1:80': "
        + "Address already in use\n"
    private let start = ContinuousClock.now

    @Test func `a listener is offered again with back-off and stays refused meanwhile`() throws {
        let target = try snapshot(resource(.listeners, "l"))
        let stream = TestStream(subscribedTo: [], endpoints: [], target: target)
        var response = try #require(stream.nextResponse())
        var now = start
        for seconds in [2, 4, 8, 16, 32, 60, 60] {
            stream.received(answer(response, refusing: taken))
            #expect(stream.responses().isEmpty)
            #expect(stream.observation.sync[.listeners] == .refused)
            #expect(!stream.retryDue(now))
            now += .seconds(seconds) - .milliseconds(1)
            #expect(!stream.retryDue(now))
            now += .milliseconds(1)
            #expect(stream.retryDue(now))
            #expect(!stream.retryDue(now))
            response = try #require(stream.nextResponse())
            #expect(response.summary == "listeners +l")
            #expect(stream.observation.sync[.listeners] == .refused)
            #expect(stream.observation.refusals.count == 1)
        }
        stream.received(answer(response))
        #expect(stream.responses().isEmpty)
        #expect(stream.observation.refusals.isEmpty)
        #expect(stream.observation.sync[.listeners] == .synced)
        #expect(stream.memory.lastGood == target)
    }

    @Test func `what is wrong in itself is not offered again`() throws {
        let stream = try TestStream(target: snapshot(resource(.listeners, "l")))
        stream.received(request(.clusters))
        stream.received(request(.listeners))
        let response = try #require(stream.nextResponse())
        stream.received(answer(response, refusing: "no route"))
        for seconds in [0, 1000, 2000] {
            #expect(!stream.retryDue(start + .seconds(seconds)))
        }
        #expect(stream.responses().isEmpty)
    }

    @Test func `a stream that broke while a version was offered again offers it`() throws {
        let target = try snapshot(resource(.listeners, "l"))
        let stream = TestStream(subscribedTo: [], endpoints: [], target: target)
        let response = try #require(stream.nextResponse())
        stream.received(answer(response, refusing: taken))
        #expect(!stream.retryDue(start))
        #expect(stream.retryDue(start + .seconds(2)))
        let next = TestStream(target: target, memory: stream.memory)
        next.received(request(.clusters))
        next.received(request(.listeners))
        #expect(next.acceptAll() == ["listeners +l"])
        #expect(next.observation.refusals.isEmpty)
    }
}

/// Streams that are refused.
@Suite struct `Refused streams` {
    @Test func `a peer is told of once a minute, with the number of its attempts`() {
        let streams = RefusedStreams()
        let start = ContinuousClock.now
        #expect(streams.note(.unknownToken, at: start) == 1)
        #expect(streams.note(.former(proxy("blue")), at: start) == 1)
        for second in 1..<60 {
            #expect(streams.note(.unknownToken, at: start + .seconds(second)) == nil)
        }
        #expect(streams.note(.unknownToken, at: start + .seconds(60)) == 60)
        #expect(streams.note(.unknownToken, at: start + .seconds(61)) == nil)
    }
}
