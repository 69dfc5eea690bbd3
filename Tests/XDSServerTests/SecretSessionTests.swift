import EnvoyAPI
import MeshModel
import MeshPlan
import Testing

@testable import XDSServer

/// Secrets on the stream of one proxy.
@Suite struct `Delta protocol of secrets` {
    @Test func `secrets go before all else, even while clusters are not answered`() throws {
        let session = try TestStream(
            target: snapshot(cluster("c"), resource(.listeners, "l"), secret("s")),
            plannedSecrets: ["s"]
        )
        session.received(request(.clusters))
        session.received(request(.listeners))
        #expect(session.responses().map(\.summary) == ["clusters +c"])
        session.received(request(.secrets, subscribe: ["s"]))
        #expect(session.responses().map(\.summary) == ["secrets +s"])
    }

    @Test
    func `a secret that is not there yet is waited for in silence, and so are its clusters not`()
        throws
    {
        let target = try snapshot(cluster("c"), resource(.listeners, "l"))
        let session = TestStream(target: target, plannedSecrets: ["s"])
        session.received(request(.clusters))
        session.received(request(.listeners))
        #expect(session.responses().map(\.summary) == ["clusters +c"])
        session.received(request(.secrets, subscribe: ["s"]))
        #expect(session.responses().map(\.summary) == ["listeners +l"])
        #expect(session.observation.sync[.secrets] == .pending)
        // Nobody can have acknowledged what there is not.
        #expect(session.hasNewestSecrets())
        var next = target
        try next.insert(secret("s"))
        session.snapshotChanged(to: next, plannedSecrets: ["s"])
        #expect(!session.hasNewestSecrets())
        #expect(session.acceptAll() == ["secrets +s"])
        #expect(session.hasNewestSecrets())
        #expect(session.observation.sync[.secrets] == .synced)
        #expect(session.refusedSecrets().isEmpty)
    }

    @Test func `a name that the plan does not have gets nothing, and is noted once`() throws {
        let session = try TestStream(target: snapshot(secret("own")), plannedSecrets: ["own"])
        session.received(request(.secrets, subscribe: ["own", "other"]))
        #expect(session.acceptAll() == ["secrets +own -other"])
        session.received(request(.secrets, subscribe: ["other", "third"]))
        #expect(session.acceptAll() == ["secrets -other -third"])
        #expect(session.refusedSecrets().sorted() == ["other", "third"])
        #expect(session.refusedSecrets().isEmpty)
        session.received(request(.secrets, subscribe: (0..<1000).map { "name \($0)" }))
        #expect(session.refusedSecrets().count == SecretAudit.limit - 2)
    }

    @Test func `what is asked for before the plan is known is judged by the plan`() throws {
        let session = TestStream(target: nil)
        session.received(request(.secrets, subscribe: ["own", "other"]))
        #expect(session.refusedSecrets().isEmpty)
        try session.snapshotChanged(to: snapshot(secret("own")), plannedSecrets: ["own"])
        #expect(session.acceptAll() == ["secrets +own -other"])
        #expect(session.refusedSecrets() == ["other"])
    }

    @Test func `a secret that leaves the plan is removed last, and asking for it is no attempt`()
        throws
    {
        let session = try TestStream(
            target: snapshot(resource(.listeners, "l"), secret("s")),
            plannedSecrets: ["s"]
        )
        session.received(request(.clusters))
        session.received(request(.listeners))
        session.received(request(.secrets, subscribe: ["s"]))
        _ = session.acceptAll()
        try session.snapshotChanged(to: snapshot(resource(.listeners, "l", "2")))
        #expect(session.acceptAll() == ["listeners +l", "secrets -s"])
        #expect(session.refusedSecrets().isEmpty)
        #expect(session.memory.accepted[.secrets].isEmpty)
    }

    @Test func `after a reconnect only what is not the newest is sent`() throws {
        let session = try TestStream(
            target: snapshot(secret("a"), secret("b")),
            plannedSecrets: ["a", "b"]
        )
        session.received(request(.secrets, subscribe: ["a", "b"]))
        _ = session.acceptAll()
        let next = try TestStream(
            target: snapshot(secret("a"), secret("b", "2")),
            plannedSecrets: ["a", "b"],
            memory: session.memoryAfterEnd()
        )
        #expect(!next.hasNewestSecrets())
        next.received(request(.clusters))
        next.received(request(.listeners))
        next.received(request(.secrets, subscribe: ["a", "b"], has: ["a": "1", "b": "1"]))
        #expect(next.acceptAll() == ["secrets +b"])
        #expect(next.hasNewestSecrets())
    }

    @Test func `a refused secret is told, and a new Envoy gets the one before`() throws {
        let session = try TestStream(target: snapshot(secret("s")), plannedSecrets: ["s"])
        session.received(request(.secrets, subscribe: ["s"]))
        _ = session.acceptAll()
        try session.snapshotChanged(to: snapshot(secret("s", "2")), plannedSecrets: ["s"])
        let response = try #require(session.nextResponse())
        session.received(answer(response, refusing: "bad\n-----BEGIN PRIVATE KEY----- MII"))
        #expect(session.observation.sync[.secrets] == .refused)
        let refusal = try #require(session.observation.refusals.first)
        #expect(refusal.type == .secrets && refusal.version == "2" && refusal.keptVersion == "1")
        #expect(refusal.message == "no reason given that can be shown")
        #expect(!session.hasNewestSecrets())
        let next = TestStream(
            target: session.target,
            plannedSecrets: ["s"],
            memory: session.memoryAfterEnd()
        )
        next.received(request(.secrets, subscribe: ["s"]))
        #expect(next.nextResponse()?.resources.map(\.version) == ["1"])
    }

    @Test func `a refused secret is not waited for by what needs it next`() throws {
        let session = try TestStream(target: snapshot(secret("s")), plannedSecrets: ["s"])
        session.received(request(.secrets, subscribe: ["s"]))
        let response = try #require(session.nextResponse())
        session.received(answer(response, refusing: "bad"))
        #expect(session.responses().isEmpty)
        session.received(request(.secrets, subscribe: ["s"]))
        #expect(session.acceptAll() == ["secrets -s"])
        #expect(session.refusedSecrets().isEmpty)
    }

    @Test func `no secret is remembered that was replaced or dropped`() throws {
        let session = try TestStream(
            target: snapshot(secret("a"), secret("b")),
            plannedSecrets: ["a", "b"]
        )
        session.received(request(.secrets, subscribe: ["a", "b"]))
        _ = session.acceptAll()
        session.received(request(.secrets, unsubscribe: ["a"]))
        #expect(session.memory.accepted[.secrets].keys.sorted() == ["b"])
        try session.snapshotChanged(
            to: snapshot(secret("a"), secret("b", "2")),
            plannedSecrets: ["a", "b"]
        )
        #expect(session.memoryAfterEnd().accepted[.secrets].isEmpty)
    }

    @Test func `a listener counts as taken once its proxy has the listener's secrets`() throws {
        let plain = try resource(.listeners, "l", "plain")
        let secure = try resource(.listeners, "l", "secure", secrets: ["spiffe://demo/a"])
        let session = TestStream(target: snapshot(plain))
        session.received(request(.clusters))
        session.received(request(.listeners))
        _ = session.acceptAll()
        #expect(session.observation.listeners == ["l": plain.version])
        let name = "spiffe://demo/a"
        session.snapshotChanged(to: snapshot(secure), plannedSecrets: [name])
        #expect(session.acceptAll() == ["listeners +l"])
        #expect(session.observation.listeners == ["l": plain.version])
        session.received(request(.secrets, subscribe: [name]))
        try session.snapshotChanged(to: snapshot(secure, secret(name)), plannedSecrets: [name])
        #expect(session.acceptAll() == ["secrets +\(name)"])
        #expect(session.observation.listeners == ["l": secure.version])
        // Other secrets are of no concern to it.
        let third = try resource(.listeners, "l", "third")
        session.snapshotChanged(to: snapshot(third), plannedSecrets: ["other"])
        #expect(session.acceptAll() == ["listeners +l", "secrets -\(name)"])
        #expect(session.observation.listeners == ["l": third.version])
        session.snapshotChanged(to: Snapshot())
        #expect(session.acceptAll() == ["listeners -l"])
        #expect(session.observation.listeners.isEmpty)
    }

    @Test func `a secret shows nothing but its name and version`() throws {
        let secret = try secret("name", "version")
        #expect(secret.payload.isEmpty)
        #expect("\(secret)" == "secrets name version")
        var text = ""
        dump(secret, to: &text)
        #expect(!text.contains("deltaEntry"))
    }
}
