import MeshModel
import MeshPlan
import Synchronization
import Testing

@testable import XDSServer

/// What a store reported.
private final class Reports: Sendable {
    private let events = Mutex<[DiscoveryEvent]>([])

    func add(_ event: DiscoveryEvent) { events.withLock { $0.append(event) } }

    /// The events, each with its type: `sent clusters`.
    var summary: [String] {
        events.withLock { $0 }.map { event in
            switch event {
            case .sent(let type): "sent \(type)"
            case .accepted(let type, _): "accepted \(type)"
            case .refused(let type): "refused \(type)"
            }
        }
    }
}

@Suite struct `Events of discovery` {
    private let blue = proxy("blue")
    private let reports = Reports()

    private func store() throws -> SnapshotStore {
        let store = SnapshotStore(report: { [reports] in reports.add($0) })
        store.authorize(token: "blue-token", for: blue)
        try store.publish([blue: snapshot(cluster("a"))])
        return store
    }

    /// Opens a stream, and has it sent the first clusters.
    private func opened(
        _ store: SnapshotStore
    ) throws -> (stream: ProxyChannel.Stream, response: DeltaResponse) {
        let stream = try #require(store.open(.local(token: "blue-token")))
        _ = stream.received(request(.clusters))
        return (stream, try #require(stream.nextResponse()))
    }

    @Test func `tell of a response and that it was accepted`() throws {
        let (stream, response) = try opened(store())
        #expect(reports.summary == ["sent clusters"])
        _ = stream.received(answer(response))
        #expect(reports.summary == ["sent clusters", "accepted clusters"])
    }

    @Test func `tell that a response was refused`() throws {
        let (stream, response) = try opened(store())
        _ = stream.received(answer(response, refusing: "no"))
        #expect(reports.summary == ["sent clusters", "refused clusters"])
    }

    @Test func `take an answer once, and none to a stream before`() throws {
        let store = try store()
        let (old, first) = try opened(store)
        let (stream, second) = try opened(store)
        // A stream numbers its responses itself, so that both have the same nonce.
        #expect(first.nonce == second.nonce)
        _ = old.received(answer(first))
        #expect(reports.summary == ["sent clusters", "sent clusters"])
        _ = stream.received(answer(second))
        _ = stream.received(answer(second))
        _ = stream.received(request(.listeners))
        #expect(reports.summary == ["sent clusters", "sent clusters", "accepted clusters"])
    }

    @Test func `tell how long the answer took`() throws {
        var sent = SentResponses()
        let response = DeltaResponse(type: .routes, nonce: "7", resources: [], removed: [])
        let now = ContinuousClock.now
        #expect(sent.sent(response, now) == .sent(.routes))
        let later = now + .milliseconds(300)
        #expect(sent.answered(.clusters, nonce: "7", isRefused: false, later) == nil)
        #expect(sent.answered(.routes, nonce: "6", isRefused: false, later) == nil)
        #expect(
            sent.answered(.routes, nonce: "7", isRefused: false, later)
                == .accepted(.routes, after: .milliseconds(300))
        )
    }
}
