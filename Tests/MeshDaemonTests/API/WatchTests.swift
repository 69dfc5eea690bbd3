import Foundation
import MeshModel
import Testing

@testable import MeshDaemon

private let nodes = "/apis/appmesh.k8s.aws/v1beta2/virtualnodes"

@Suite(.timeLimit(.minutes(1))) struct `Watch` {
    /// Watches `query`, calls `act` with each event so far, and returns the events once `act` says
    /// to end.
    private func events(
        _ api: APIHandler,
        _ query: String,
        accept: String = "",
        act: ([JSONValue]) -> Bool
    ) async throws -> [JSONValue] {
        let request = APIRequest(target: "\(nodes)?watch=true&\(query)", accept: accept)
        let response = await api.respond(to: request)
        guard case .stream(let stream) = response.body else { throw APIFailure.noResource }
        var events: [JSONValue] = []
        do {
            try await stream { bytes in
                for line in bytes.split(separator: UInt8(ascii: "\n")) {
                    events.append(try JSONDecoder().decode(JSONValue.self, from: Data(line)))
                }
                if act(events) { throw Ended() }
            }
        } catch is Ended {}
        return events
    }

    private struct Ended: Error {}

    private func summary(_ events: [JSONValue]) -> [String] {
        events.map { event in
            let metadata = event["object"]?["metadata"]
            let name = metadata?["name"]?.string ?? "-"
            return
                "\(event["type"]?.string ?? "-") \(name) \(metadata?["resourceVersion"]?.string ?? "-")"
        }
    }

    @Test func `events come in the order of their versions`() async throws {
        let state = APIState(firstVersion: 10)
        state.publish(objects: [virtualNode("a"), virtualNode("b")], statuses: [:])
        var step = 0
        let events = try await events(handler(state), "resourceVersion=13") { events in
            step += 1
            switch step {
            case 1:
                let status = status("VirtualNodeActive")
                state.publish(
                    objects: [virtualNode("a"), virtualNode("b"), virtualNode("c")],
                    statuses: [virtualNode("b").id: status]
                )
            case 2: state.publish(objects: [virtualNode("c", generation: 2)], statuses: [:])
            default: break
            }
            return events.count == 5
        }
        #expect(
            summary(events) == [
                "MODIFIED b 14", "ADDED c 15", "DELETED b 16", "DELETED a 17", "MODIFIED c 18",
            ]
        )
    }

    @Test func `without a version it begins with what is there`() async throws {
        let state = APIState(firstVersion: 10)
        state.publish(objects: [virtualNode("a"), virtualNode("b")], statuses: [:])
        let events = try await events(handler(state), "sendInitialEvents=true") { $0.count == 3 }
        #expect(summary(events) == ["ADDED a 12", "ADDED b 13", "BOOKMARK - 13"])
        let bookmark = events.last?["object"]?["metadata"]
        #expect(bookmark?["annotations"] == ["k8s.io/initial-events-end": "true"])
    }

    @Test func `the same objects again are no event`() async throws {
        let state = APIState(firstVersion: 10)
        state.publish(objects: [virtualNode("a")], statuses: [:])
        state.publish(objects: [virtualNode("a")], statuses: [:])
        #expect(state.list(Selection(kind: .virtualNode)).version == 12)
    }

    @Test func `an object made anew is deleted and added`() async throws {
        let state = APIState(firstVersion: 10)
        state.publish(objects: [virtualNode("a", uid: "1")], statuses: [:])
        state.publish(objects: [virtualNode("a", uid: "2")], statuses: [:])
        let events = try await events(handler(state), "resourceVersion=12") { $0.count == 2 }
        #expect(summary(events) == ["DELETED a 13", "ADDED a 14"])
    }

    @Test func `an object enters and leaves by its labels`() async throws {
        let state = APIState(firstVersion: 10)
        state.publish(objects: [virtualNode("a")], statuses: [:])
        state.publish(objects: [virtualNode("a", labels: ["on": "1"])], statuses: [:])
        state.publish(objects: [virtualNode("a", labels: ["on": "2"])], statuses: [:])
        state.publish(objects: [virtualNode("a")], statuses: [:])
        state.publish(objects: [], statuses: [:])
        state.publish(objects: [virtualNode("a", labels: ["on": "3"])], statuses: [:])
        let events = try await events(handler(state), "resourceVersion=12&labelSelector=on") {
            $0.count == 4
        }
        #expect(
            summary(events).map { $0.prefix(9) }.map(String.init) == [
                "ADDED a 1", "MODIFIED ", "DELETED a", "ADDED a 1",
            ]
        )
    }

    @Test(arguments: [5, 13, 99])
    func `a version that is too old, or of another run, is gone`(version: Int) async throws {
        let state = APIState(firstVersion: 10, historyLimit: 2)
        for generation in 1...8 {
            state.publish(objects: [virtualNode("a", generation: generation)], statuses: [:])
        }
        let query = "resourceVersion=\(version)"
        let events = try await events(handler(state), query) { _ in false }
        #expect(events.count == 1)
        #expect(events.first?["type"] == "ERROR")
        #expect(events.first?["object"]?["code"] == 410)
        #expect(events.first?["object"]?["reason"] == "Expired")
        #expect(state.subscriptionCount == 0)
    }

    @Test func `the kept changes are enough to go on`() async throws {
        let state = APIState(firstVersion: 10, historyLimit: 2)
        for generation in 1...8 {
            state.publish(objects: [virtualNode("a", generation: generation)], statuses: [:])
        }
        let events = try await events(handler(state), "resourceVersion=17") { $0.count == 2 }
        #expect(summary(events) == ["MODIFIED a 18", "MODIFIED a 19"])
    }

    @Test func `an idle watch gets bookmarks`() async throws {
        let state = APIState(firstVersion: 10)
        state.publish(objects: [mesh("m")], statuses: [:])
        let api = handler(state, bookmarkInterval: .milliseconds(1))
        let query = "resourceVersion=10&allowWatchBookmarks=true"
        let events = try await events(api, query) { $0.count == 1 }
        #expect(summary(events) == ["BOOKMARK - 11"])
    }

    @Test func `a watch ends at its timeout`() async throws {
        let state = APIState(firstVersion: 10)
        let query = "resourceVersion=10&timeoutSeconds=1"
        #expect(try await events(handler(state), query) { _ in false } == [])
        #expect(state.subscriptionCount == 0)
    }

    @Test func `a watched table names its columns once`() async throws {
        let state = APIState(firstVersion: 10)
        state.publish(objects: [virtualNode("a"), virtualNode("b")], statuses: [:])
        let accept = "application/json;as=Table;v=v1;g=meta.k8s.io"
        let events = try await events(handler(state), "", accept: accept) { $0.count == 2 }
        #expect(events.map { $0["object"]?["columnDefinitions"]?.array?.count } == [7, nil])
        #expect(
            events.last?["object"]?["rows"]?.array?.first?["cells"]?.array?.first == "b"
        )
    }
}
