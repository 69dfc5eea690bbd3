import Foundation
import MeshModel
import Testing

@testable import MeshDaemon

private let table = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"

/// A handler that shows `colors` with events of two of its objects and of its mesh.
func eventsHandler() -> APIHandler {
    let log = EventLog(firstVersion: 500)
    log.record([
        event("Restarted", at: testNowSeconds - 600, .warning, message: "Killed."),
        event("Ready", of: "blue", kind: .virtualNode, at: testNowSeconds - 300),
        event("Active", of: "colors", kind: .mesh, at: testNowSeconds - 200),
        event("Restarted", at: testNowSeconds - 60, .warning, message: "Killed."),
    ])
    let state = APIState(firstVersion: 100, events: log)
    let objects =
        [virtualNode("blue", uid: "0b1c"), mesh("colors")] + [
            workload("blue-1", command: ["serve"])
        ]
    state.publish(objects: objects, statuses: colors().statuses)
    return handler(state)
}

@Suite(.timeLimit(.minutes(1))) struct `Events of the API` {
    private func answer(
        _ target: String,
        accept: String = ""
    ) async throws -> (code: Int, document: JSONValue) {
        let response = await eventsHandler().respond(
            to: APIRequest(target: target, accept: accept)
        )
        guard case .bytes(let bytes) = response.body else { throw APIFailure.noResource }
        return (response.status, try JSONDecoder().decode(JSONValue.self, from: Data(bytes)))
    }

    @Test(arguments: [
        ("events", ["Ready", "Active", "Restarted"]),
        ("namespaces/demo/events", ["Ready", "Restarted"]),
        ("namespaces/default/events", ["Active"]), ("namespaces/x/events", []),
        ("events?fieldSelector=type%3DWarning", ["Restarted"]),
        ("events?fieldSelector=involvedObject.kind%21%3DMesh,reason%3DReady", ["Ready"]),
        ("events?fieldSelector=involvedObject.name%3Dblue,involvedObject.uid%3D0b1c", ["Ready"]),
        ("events?fieldSelector=involvedObject.namespace%3D", ["Active"]),
        ("events?fieldSelector=source%3Dheddle,involvedObject.name%3Dblue-1", ["Restarted"]),
        ("events?labelSelector=app%3Dx", []),
    ])
    func `are listed, the oldest first`(target: String, expected: [String]) async throws {
        let (code, list) = try await answer("/api/v1/\(target)")
        #expect(code == 200)
        #expect((list["items"]?.array ?? []).compactMap { $0["reason"]?.string } == expected)
    }

    @Test func `are as Kubernetes shows them`() async throws {
        let (_, list) = try await answer("/api/v1/namespaces/demo/events")
        #expect(list["kind"] == "EventList")
        #expect(list["metadata"]?["resourceVersion"] == "504")
        let event = try #require(list["items"]?.array?.last)
        #expect(event["count"] == 2)
        #expect(event["type"] == "Warning")
        let first = timestamp(secondsSince1970: testNowSeconds - 600)
        #expect(event["firstTimestamp"] == .string(first))
        #expect(
            event["lastTimestamp"] == .string(timestamp(secondsSince1970: testNowSeconds - 60))
        )
        #expect(
            event["involvedObject"] == [
                "apiVersion": "heddle.dev/v1alpha1", "kind": "Workload", "name": "blue-1",
                "namespace": "demo", "uid": "",
            ]
        )
        let name = try #require(event["metadata"]?["name"]?.string)
        let (code, same) = try await answer("/api/v1/namespaces/demo/events/\(name)")
        #expect(code == 200)
        #expect(same == event)
    }

    @Test(arguments: [
        ("namespaces/demo/events/x", 404), ("events/x", 404),
        ("events?fieldSelector=spec.x%3Dy", 400),
        ("events?watch=true&resourceVersion=x", 400), ("namespaces/demo/events/x/status", 404),
    ])
    func `are not there, or not to be selected so`(target: String, code: Int) async throws {
        #expect(try await answer("/api/v1/\(target)").code == code)
    }

    @Test func `are a table with kubectl's columns`() async throws {
        let (_, document) = try await answer("/api/v1/namespaces/demo/events", accept: table)
        let columns = document["columnDefinitions"]?.array ?? []
        #expect(
            columns.filter { $0["priority"] == 0 }.compactMap { $0["name"]?.string } == [
                "Last Seen", "Type", "Reason", "Object", "Message",
            ]
        )
        #expect(
            document["rows"]?.array?.last?["cells"]?.array?.prefix(9) == [
                "60s", "Warning", "Restarted", "workload/blue-1", "", "heddle", "Killed.", "10m",
                "2",
            ]
        )
    }

    @Test func `are found by discovery`() async throws {
        let (_, list) = try await answer("/api/v1")
        let events = list["resources"]?.array?.first { $0["name"] == "events" }
        #expect(events?["kind"] == "Event")
        #expect(events?["shortNames"] == ["ev"])
    }

    @Test(arguments: [
        ("504", ["MODIFIED Restarted", "ADDED Active"]),
        ("0", ["ADDED Ready", "ADDED Restarted"]),
        // Another daemon's.
        ("999", ["ADDED Ready", "ADDED Restarted"]),
    ])
    func `are watched from a version`(version: String, expected: [String]) async throws {
        let api = eventsHandler()
        let target =
            "/api/v1/namespaces/demo/events?watch=true&resourceVersion=\(version)"
        let response = await api.respond(to: APIRequest(target: target))
        guard case .stream(let stream) = response.body else { throw APIFailure.noResource }
        var seen: [String] = []
        struct Ended: Error {}
        await #expect(throws: Ended.self) {
            try await stream { bytes in
                if bytes.isEmpty, version == "504" {
                    api.state.events.record([
                        event("Restarted", .warning, message: "Killed."), event("Active"),
                        event("Active", of: "colors", kind: .mesh),
                    ])
                }
                for line in bytes.split(separator: UInt8(ascii: "\n")) {
                    let event = try JSONDecoder().decode(JSONValue.self, from: Data(line))
                    let reason = event["object"]?["reason"]?.string ?? ""
                    seen.append("\(event["type"]?.string ?? "") \(reason)")
                }
                if seen.count == 2 { throw Ended() }
            }
        }
        #expect(seen == expected)
    }
}

@Suite(.timeLimit(.minutes(1))) struct `heddle events` {
    private func run(
        _ change: (inout EventsCommand) -> Void = { _ in }
    ) async throws -> Recorder {
        var command = EventsCommand()
        change(&command)
        let recorder = Recorder()
        let transport = HandlerTransport(handler: eventsHandler())
        #expect(try await command.run(transport, recorder.console()) == .ok)
        return recorder
    }

    @Test func `prints a table`() async throws {
        let printed = try await run { $0.namespace = "demo" }
        #expect(
            printed.output == """
                LAST SEEN   TYPE      REASON      OBJECT             MESSAGE
                5m          Normal    Ready       virtualnode/blue   It happened.
                60s         Warning   Restarted   workload/blue-1    Killed.

                """
        )
    }

    @Test func `prints all namespaces`() async throws {
        let lines = try await run { $0.isAllNamespaces = true }.output.split(separator: "\n")
        #expect(lines.count == 4)
        #expect(lines[0].hasPrefix("NAMESPACE   LAST SEEN"))
        #expect(lines[2].hasPrefix("default     3m20s"))
    }

    @Test func `selects by name and type`() async throws {
        let named = try await run {
            $0.name = "blue"
            $0.namespace = "demo"
        }
        #expect(named.output.split(separator: "\n").count == 2)
        let warnings = try await run {
            $0.types = [.warning]
            $0.namespace = "demo"
            $0.format = .json
        }
        #expect(warnings.output.contains("\"Killed.\""))
        #expect(!warnings.output.contains("It happened."))
    }

    @Test func `says where there are some when there are none`() async throws {
        let none = try await run { $0.namespace = "x" }
        #expect(
            none.notes
                == "No events in namespace x; there are some in default, demo. Use -A for all.\n"
        )
    }

    @Test func `are in the description of an object`() async throws {
        let recorder = Recorder()
        _ = try await DescribeCommand(kind: "workload", name: "blue-1", namespace: "demo")
            .run(HandlerTransport(handler: eventsHandler()), recorder.console())
        #expect(
            recorder.output.hasSuffix(
                """
                Events:
                  TYPE      REASON      AGE                 MESSAGE
                  Warning   Restarted   60s (x2 over 10m)   Killed.

                """
            )
        )
    }
}
