import MeshModel
import MeshPlan
import MeshTelemetry
import Testing
import XDSServer

@testable import MeshDaemon

/// The lines of the metric `name` in `text`, without its help and type.
private func lines(_ name: String, in text: String) -> [String] {
    text.split(separator: "\n").filter { $0.hasPrefix("\(name){") || $0.hasPrefix("\(name) ") }
        .map(String.init)
}

@Suite struct `Metrics of the daemon` {
    @Test func `begin with zero where an increase shall be seen`() {
        var text = MetricsText()
        text.add(DaemonMetrics().current)
        #expect(
            lines("heddle_xds_nacks_total", in: text.text) == [
                #"heddle_xds_nacks_total{type="clusters"} 0"#,
                #"heddle_xds_nacks_total{type="endpoints"} 0"#,
                #"heddle_xds_nacks_total{type="listeners"} 0"#,
                #"heddle_xds_nacks_total{type="routes"} 0"#,
                #"heddle_xds_nacks_total{type="secrets"} 0"#,
            ]
        )
        #expect(lines("heddle_reconcile_duration_seconds_count", in: text.text).count == 1)
    }

    @Test func `count what is sent to proxies and what they answer`() {
        let metrics = DaemonMetrics()
        metrics.count(.sent(.listeners))
        metrics.count(.sent(.listeners))
        metrics.count(.refused(.listeners))
        metrics.count(.accepted(.listeners, after: .milliseconds(40)))
        metrics.reconciled(in: .milliseconds(3))
        var text = MetricsText()
        text.add(metrics.current)
        let all = text.text.split(separator: "\n").map(String.init)
        #expect(all.contains(#"heddle_xds_updates_total{type="listeners"} 2"#))
        #expect(all.contains(#"heddle_xds_updates_total{type="routes"} 0"#))
        #expect(all.contains(#"heddle_xds_nacks_total{type="listeners"} 1"#))
        #expect(all.contains(#"heddle_xds_ack_duration_seconds_bucket{le="0.025"} 0"#))
        #expect(all.contains(#"heddle_xds_ack_duration_seconds_bucket{le="0.05"} 1"#))
        #expect(all.contains(#"heddle_xds_ack_duration_seconds_sum{} 0.04"#))
        #expect(all.contains(#"heddle_reconcile_duration_seconds_bucket{le="0.005"} 1"#))
    }

    @Test func `tell of objects and what is wrong with them`() async {
        let text = await BusyMesh().metrics()
        #expect(
            lines("heddle_objects", in: text).filter { !$0.hasSuffix(" 0") } == [
                #"heddle_objects{kind="Mesh"} 1"#, #"heddle_objects{kind="Namespace"} 1"#,
                #"heddle_objects{kind="VirtualNode"} 2"#, #"heddle_objects{kind="Workload"} 3"#,
            ]
        )
        #expect(lines("heddle_objects", in: text).count == Kind.allCases.count)
        #expect(lines("heddle_problems", in: text) == ["heddle_problems{} 1"])
        #expect(
            lines("heddle_object_condition_false", in: text) == [
                #"heddle_object_condition_false{kind="VirtualNode",namespace="demo",name="red","#
                    + #"condition="VirtualNodeActive",reason="Refused"} 1"#,
                #"heddle_object_condition_false{kind="Workload",namespace="demo",name="red-1","#
                    + #"condition="WorkloadReady",reason="Refused"} 1"#,
            ]
        )
    }

    @Test func `tell how proxies are and what they use`() async {
        let text = await BusyMesh().metrics()
        #expect(
            lines("heddle_proxies", in: text) == [
                #"heddle_proxies{state="ProxyStarting"} 1"#, #"heddle_proxies{state="Running"} 2"#,
            ]
        )
        #expect(
            lines("heddle_proxy_info", in: text).first
                == #"heddle_proxy_info{proxy="demo/blue-1",namespace="demo",appmesh_mesh="colors","#
                + #"appmesh_virtual_node="blue_demo",envoy_version="1.40.0"} 1"#
        )
        #expect(
            lines("heddle_proxy_connected", in: text) == [
                #"heddle_proxy_connected{proxy="demo/blue-1"} 1"#,
                #"heddle_proxy_connected{proxy="demo/green-1"} 1"#,
                #"heddle_proxy_connected{proxy="demo/red-1"} 0"#,
            ]
        )
        // One that was not measured yet has no value.
        #expect(
            lines("heddle_proxy_cpu_cores", in: text) == [
                #"heddle_proxy_cpu_cores{proxy="demo/blue-1"} 0.030600000000000002"#,
                #"heddle_proxy_cpu_cores{proxy="demo/green-1"} 0.125"#,
            ]
        )
        #expect(
            lines("heddle_proxy_memory_limit_bytes", in: text) == [
                #"heddle_proxy_memory_limit_bytes{proxy="demo/blue-1"} 268435456"#
            ]
        )
    }

    @Test func `name a proxy's mesh and node as its node id does, even in an ARN`() {
        var sample = ProxySample()
        let arn = "arn:aws:appmesh:eu-west-1:123456789012:mesh/hues/virtualGateway/in_demo"
        sample.plan.proxies[proxyID("blue-1")]?.nodeID = arn
        sample.plan.proxies[proxyID("blue-1")]?.owner = ObjectID(
            .virtualGateway,
            ObjectReference(namespace: "demo", name: "in")
        )
        var text = MetricsText()
        text.addProxies(sample.report, [:])
        #expect(
            lines("heddle_proxy_info", in: text.text).first
                == #"heddle_proxy_info{proxy="demo/blue-1",namespace="demo",appmesh_mesh="hues","#
                + #"appmesh_virtual_gateway="in_demo",envoy_version="1.40.0"} 1"#
        )
    }

    @Test func `say that nothing was planned yet`() async {
        let response = await handler(APIState(firstVersion: 1)).respond(
            to: APIRequest(target: "/metrics")
        )
        guard case .bytes(let bytes) = response.body else { return #expect(Bool(false)) }
        let text = String(decoding: bytes, as: UTF8.self)
        #expect(lines("heddle_problems", in: text) == ["heddle_problems{} 1"])
        #expect(lines("heddle_build_info", in: text).count == 1)
    }
}

@Suite struct `Metrics of the process` {
    private let stat =
        "4711 (a (b) c) S 1 4711 4711 0 -1 4194560 5000 0 0 0 250 50 0 0 20 0 9 0 20000 1000000 300 "
        + "18446744073709551615 1 1 0 0 0 0 0 4096 17642 0 0 0 17 1 0 0 0 0 0\n"

    @Test func `are read where the kernel has them, whatever its name is`() throws {
        let process = try #require(
            OwnProcess(
                stat: stat,
                systemStat: "cpu 1 2 3\nbtime 1795000000\nprocesses 9\n",
                ticksPerSecond: 100,
                pageBytes: 4096
            )
        )
        #expect(process.cpuSeconds == 3)
        #expect(process.startTimeSeconds == 1_795_000_200)
        #expect(process.virtualMemoryBytes == 1_000_000)
        #expect(process.residentMemoryBytes == 1_228_800)
    }

    @Test(arguments: [
        "", "4711 (a) S 1 2", "4711", ")", "4711 (a) S x x x x x x x x x x x x x x x x",
    ])
    func `are none where the kernel tells something else`(stat: String) {
        #expect(
            OwnProcess(stat: stat, systemStat: "btime 1", ticksPerSecond: 100, pageBytes: 1) == nil
        )
    }

    @Test func `are those of this process`() throws {
        let process = try #require(OwnProcess.current)
        #expect(process.residentMemoryBytes > 1_048_576)
        #expect(process.startTimeSeconds > 1_600_000_000)
        #expect((process.openDescriptors ?? 0) >= 3)
        #expect((process.maximumDescriptors ?? 0) >= 3.0)
        var text = MetricsText()
        process.add(to: &text)
        #expect(lines("process_open_fds", in: text.text).count == 1)
        #expect(text.text.contains("# TYPE process_cpu_seconds_total counter"))
    }
}
