import MeshModel
import Testing

@testable import MeshDaemon

@Suite struct `Client commands` {
    private let recorder = Recorder()
    private let transport = HandlerTransport(handler: colorsHandler())

    private func get(_ kinds: String, change: (inout GetCommand) -> Void = { _ in }) async throws {
        var command = GetCommand(kinds: kinds)
        change(&command)
        #expect(try await command.run(transport, recorder.console()) == .ok)
    }

    @Test func `get prints the table of the only namespace`() async throws {
        try await get("vn")
        #expect(
            recorder.output == """
                NAME   PORTS       READY   REASON       AGE
                blue   8080/http   True    Programmed   5m12s
                red    8080/http   False   Refused      5m12s

                """
        )
    }

    @Test func `get prints one object, wide and with its namespace`() async throws {
        try await get("Workload") {
            $0.isAllNamespaces = true
            $0.format = .wide
            $0.selector = "app in (color)"
        }
        #expect(
            recorder.output == """
                NAMESPACE   NAME     NODE   STATE      INGRESS      EGRESS       RESTARTS   AGE     PID      NODE-ID
                demo        blue-1   blue   Running    127.66.0.1   127.67.0.1   0          5m12s   4711     mesh/colors/virtualNode/blue_demo
                demo        red-1    red    Refused    127.66.0.2   127.67.0.2   2          5m12s   4711     mesh/colors/virtualNode/red_demo
                demo        red-2    red    Starting   <none>       <none>       0          5m12s   <none>   mesh/colors/virtualNode/red_demo

                """
        )
    }

    @Test func `get of several kinds puts the kind before the name`() async throws {
        try await get("mesh,vn")
        #expect(
            recorder.output == """
                NAME                          READY   REASON       AGE
                mesh.appmesh.k8s.aws/colors   True    Programmed   5m12s

                NAME                               PORTS       READY   REASON       AGE
                virtualnode.appmesh.k8s.aws/blue   8080/http   True    Programmed   5m12s
                virtualnode.appmesh.k8s.aws/red    8080/http   False   Refused      5m12s

                """
        )
    }

    @Test func `get prints names`() async throws {
        try await get("virtualnodes,ns") { $0.format = .name }
        #expect(
            recorder.output == """
                virtualnode.appmesh.k8s.aws/blue
                virtualnode.appmesh.k8s.aws/red
                namespace/demo

                """
        )
    }

    @Test func `get says where there is something else`() async throws {
        try await get("vn") { $0.namespace = "default" }
        #expect(recorder.output == "")
        #expect(
            recorder.notes == "No resources found in namespace default; there are 2 in demo. "
                + "Use -A for all namespaces.\n"
        )
    }

    @Test func `get of an unknown object or kind fails`() async throws {
        await #expect(
            throws: ClientFailure(.badNews, "virtualnodes.appmesh.k8s.aws \"green\" not found")
        ) { try await get("vn") { $0.name = "green" } }
        let failure = await #expect(throws: ClientFailure.self) { try await get("pods") }
        #expect(failure?.status == .usage)
    }

    @Test(.timeLimit(.minutes(1))) func `a watch goes on below its table`() async throws {
        let state = APIState(firstVersion: 10)
        state.publish(objects: [virtualNode("a")], statuses: [:])
        var command = GetCommand(kinds: "vn")
        command.isWatching = true
        let watching = command
        let (lines, printed) = AsyncStream.makeStream(of: String.self)
        await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { [recorder] in
                let transport = HandlerTransport(handler: handler(state))
                let console = recorder.console { printed.yield($0) }
                _ = try await watching.run(transport, console)
            }
            var count = 0
            for await _ in lines {
                count += 1
                if count == 2 { break }
                state.publish(objects: [virtualNode("a"), virtualNode("long-name")], statuses: [:])
            }
            group.cancelAll()
        }
        #expect(
            recorder.output == """
                NAME   PORTS       READY     REASON   AGE
                a      8080/http   Unknown   <none>   5m12s
                long-name   8080/http   Unknown   <none>   5m12s

                """
        )
    }

    @Test func `status shows one line for each proxy, what is broken and what to do`() async throws
    {
        let status = try await StatusCommand().run(transport, recorder.console())
        #expect(status == .badNews)
        #expect(
            recorder.output == """
                NAMESPACE   NAME     NODE   STATE      INGRESS      EGRESS       CDS      EDS       LDS       RDS      SDS   RESTARTS   UPTIME   LAST ERROR
                demo        blue-1   blue   Running    127.66.0.1   127.67.0.1   synced   synced    synced    synced   -     0          5m       -
                demo        red-1    red    Refused    127.66.0.2   127.67.0.2   synced   pending   refused   -        -     2          5m       listeners egress: invalid regex "("
                demo        red-2    red    Starting   -            -            -        -         -         -        -     0          -        -

                OBJECT                 REASON    MESSAGE
                VirtualNode demo/red   Refused   A proxy refused listener egress.

                1 of 3 proxies ready, 1 object not in effect
                Next: heddle describe workload red-1 -n demo

                """
        )
    }

    @Test func `status is well when every proxy is`() async throws {
        let state = APIState()
        let objects = [workload("blue-1")]
        let statuses = [objects[0].id: workloadStatus("blue", sidecar: sidecar())]
        state.publish(objects: objects, statuses: statuses)
        let transport = HandlerTransport(handler: handler(state))
        #expect(try await StatusCommand().run(transport, recorder.console()) == .ok)
        #expect(recorder.output.hasSuffix("\n\n1 of 1 proxy ready\n"))
    }

    @Test func `status without proxies says so`() async throws {
        let state = APIState()
        state.publish(objects: [], statuses: [:])
        let transport = HandlerTransport(handler: handler(state))
        #expect(try await StatusCommand().run(transport, recorder.console()) == .ok)
        #expect(recorder.output == "No proxies: no Workload is declared.\n")
    }

    @Test func `status is not well before anything is planned`() async throws {
        let transport = HandlerTransport(handler: handler(APIState()))
        #expect(try await StatusCommand().run(transport, recorder.console()) == .badNews)
        #expect(recorder.output.hasPrefix("Heddle is starting, and has planned nothing yet.\n"))
    }

    @Test func `status for programs`() async throws {
        var command = StatusCommand()
        command.format = .json
        _ = try await command.run(transport, recorder.console())
        #expect(recorder.output.contains("\n    \"ok\": false,\n"))
        #expect(recorder.output.contains("\n            \"state\": \"Refused\",\n"))
    }

    @Test func `a policy shows its targets and features`() async throws {
        let state = APIState()
        let policy = trafficPolicy("limits")
        state.publish(objects: [policy], statuses: [policy.id: status("TrafficPolicyActive")])
        let transport = HandlerTransport(handler: handler(state))
        let get = GetCommand(kinds: "tp")
        #expect(try await get.run(transport, recorder.console()) == .ok)
        #expect(
            recorder.output == """
                NAME     TARGETS                                     FEATURES          READY   REASON       AGE
                limits   virtualservice/color,virtualrouter/colors   rateLimit,fault   True    Programmed   5m12s

                """
        )
    }

    @Test func `describe shows a policy as it was written`() async throws {
        let state = APIState()
        let policy = trafficPolicy("limits")
        state.publish(objects: [policy], statuses: [policy.id: status("TrafficPolicyActive")])
        let transport = HandlerTransport(handler: handler(state))
        let command = DescribeCommand(kind: "trafficpolicy", name: "limits")
        #expect(try await command.run(transport, recorder.console()) == .ok)
        #expect(recorder.output.contains("  rateLimit:\n    requests: 100\n"))
        #expect(recorder.output.contains("TrafficPolicyActive"))
    }

    @Test func `describe shows a workload with what its proxy refused`() async throws {
        let command = DescribeCommand(kind: "workload", name: "red-1")
        #expect(try await command.run(transport, recorder.console()) == .ok)
        let created = timestamp(secondsSince1970: testNowSeconds - 312)
        let started = timestamp(secondsSince1970: testNowSeconds - 300)
        #expect(
            recorder.output == """
                Name:         red-1
                Namespace:    demo
                Kind:         Workload
                API Version:  heddle.dev/v1alpha1
                Labels:       app=color
                Created:      \(created) (5m12s ago)
                Generation:   1
                Spec:
                  ports:
                    "8080": 9081
                Status:
                  mesh: colors
                  nodeID: mesh/colors/virtualNode/red_demo
                  virtualNode: red
                Sidecar:
                  Phase:      Running
                  PID:        4711
                  Started:    \(started) (5m ago)
                  Restarts:   2
                  Ingress:    127.66.0.2
                  Egress:     127.67.0.2
                  Connected:  yes
                  Sync:       clusters Synced, endpoints Pending, listeners Refused, routes NotSent
                Refusals:
                  TYPE        RESOURCE   ENVOY'S REASON
                  listeners   egress     invalid regex "("
                Conditions:
                  TYPE            STATUS   SINCE   REASON    MESSAGE
                  WorkloadReady   False    60s     Refused   The proxy refused a listener.

                """
        )
    }

    @Test func `logs come from the proxy unless Heddle runs the application`() async throws {
        var command = LogsCommand(name: "blue-1")
        command.tailLines = 3
        command.isFollowing = true
        #expect(try await command.run(transport, recorder.console()) == .ok)
        #expect(recorder.output == "demo/blue-1 envoy 3\nfollowed\n")
        command.container = .application
        await #expect(throws: ClientFailure.self) {
            try await command.run(transport, recorder.console())
        }
    }

    @Test func `without a daemon it says how to start one`() async throws {
        let path = "/tmp/heddle-test-no-such/api.sock"
        let transport = SocketTransport(socketPath: path)
        let failure = await #expect(throws: ClientFailure.self) {
            try await GetCommand(kinds: "vn").run(transport, recorder.console())
        }
        #expect(failure?.status == .noDaemon)
        #expect(
            failure?.description
                == "no heddle is running on \(path); start one with \"heddle run DIR\""
        )
    }
}
