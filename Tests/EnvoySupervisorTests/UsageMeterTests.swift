import Foundation
import HTTPClient
import MeshModel
import MeshPlan
import Testing

@testable import EnvoySupervisor

struct EnvoyStatsTests {
    /// Lines as Envoy 1.40 gives them, those of the request and others.
    private static let text = """
        envoy.overload_actions.reset_high_memory_stream.count: 0
        http.admin.downstream_rq_completed: 4
        http.ingress.http.8080.downstream_rq_completed: 10
        http.egress.downstream_rq_completed: 5
        http.egress.downstream_rq_overload_close: 2
        listener.admin.downstream_cx_active: 1
        listener.admin.main_thread.downstream_cx_active: 1
        listener.egress.downstream_cx_active: 3
        listener.egress.worker_0.downstream_cx_active: 3
        listener.127.0.0.1_15000.downstream_cx_active: 4
        listener.127.0.0.1_15000.worker_1.downstream_cx_active: 4
        overload.envoy.load_shed_points.tcp_listener_accept.shed_load_count: 7
        overload.envoy.overload_actions.shrink_heap.active: 1
        overload.envoy.overload_actions.stop_accepting_requests.active: 0
        server.memory_allocated: 6244736
        overload.refresh_interval_delay: P0(250.5,250.5) P25(252.5,252.5)
        """

    @Test func `what is needed is read, and nothing twice`() {
        let stats = EnvoyStats(text: Self.text)
        #expect(stats.heapBytes == 6_244_736)
        #expect(stats.connections == 7)
        #expect(stats.answered.values.reduce(0, +) == 15)
        #expect(stats.refusing == [])
        #expect(stats.refused.values.sorted() == [0, 2, 7])
    }

    @Test(arguments: [
        ("stop_accepting_requests", true), ("stop_accepting_connections", true),
        ("reject_incoming_connections", true), ("reset_high_memory_stream", true),
        ("shrink_heap", false), ("reduce_timeouts", false), ("disable_http_keepalive", false),
    ])
    func `an action in force that refuses work is shedding`(action: String, sheds: Bool) {
        let text = "overload.envoy.overload_actions.\(action).active: 1"
        #expect(EnvoyStats(text: text).refusing.isEmpty == !sheds)
    }
}

struct UsageReadingTests {
    private func reading(
        _ seconds: Double,
        cpu: Double = 0,
        stats: String = "",
        throttledSeconds: Double = 0,
        throttledPeriods: Int = 0
    ) throws -> UsageReading {
        var throttling = ControlGroupEvidence()
        throttling.throttledSeconds = throttledSeconds
        throttling.throttledPeriods = throttledPeriods
        let status =
            "VmRSS:\t  64000 kB\nRssAnon:\t  14000 kB\nRssFile: 50000 kB\nRssShmem:\t 6 kB\n"
        return UsageReading(
            time: Self.start + .seconds(seconds),
            cpuSeconds: cpu,
            memory: try #require(ProcessMemory(status: status)),
            throttling: throttling,
            stats: EnvoyStats(text: stats)
        )
    }

    private static let start = ContinuousClock.now

    @Test func `rates are those between two readings`() throws {
        let first = try reading(0, cpu: 1, stats: "http.a.downstream_rq_completed: 100")
        let second = try reading(
            5,
            cpu: 1.5,
            stats: """
                http.a.downstream_rq_completed: 150
                listener.a.downstream_cx_active: 3
                server.memory_allocated: 77
                """,
            throttledSeconds: 2,
            throttledPeriods: 40
        )
        #expect(
            second.usage(since: first, timeSeconds: 1000)
                == ProxyUsage(
                    timeSeconds: 1000,
                    intervalSeconds: 5,
                    cpuMillicores: 100,
                    memoryBytes: 14_006 * 1024,
                    residentBytes: 64_000 * 1024,
                    heapBytes: 77,
                    connections: 3,
                    requestsPerSecond: 10,
                    throttledShare: 0.4
                )
        )
        #expect(first.usage(since: first, timeSeconds: 1000) == nil)
    }

    @Test(arguments: [
        ("http.a.downstream_rq_completed: 100", "http.a.downstream_rq_completed: 30", 6.0),
        // A listener went, and another one came.
        ("http.a.downstream_rq_completed: 100", "http.b.downstream_rq_completed: 10", 2.0),
        ("http.a.downstream_rq_completed: 100", "", 0.0),
    ])
    func `counters that were reset count from zero`(
        before: String,
        after: String,
        rate: Double
    )
        throws
    {
        let usage = try reading(5, stats: after)
            .usage(since: reading(0, stats: before), timeSeconds: 0)
        #expect(usage?.requestsPerSecond == rate)
    }

    @Test(arguments: [
        // Four threads, held up for half a second each in ten periods.
        (2.0, 10, 0.2), (0.3, 10, 0.06), (99, 50, 1.0), (0, 0, 0.0),
    ])
    func `time held up on several processors is not more than the periods`(
        seconds: Double,
        periods: Int,
        share: Double
    ) throws {
        let second = try reading(5, throttledSeconds: seconds, throttledPeriods: periods)
        #expect(try second.usage(since: reading(0), timeSeconds: 0)?.throttledShare == share)
    }

    @Test func `work refused between two readings is shedding`() throws {
        let counter = "overload.envoy.load_shed_points.tcp_listener_accept.shed_load_count"
        let first = try reading(0, stats: "\(counter): 3")
        #expect(!first.isShedding(since: nil))
        #expect(try !reading(5, stats: "\(counter): 3").isShedding(since: first))
        #expect(try reading(5, stats: "\(counter): 4").isShedding(since: first))
        let action = "overload.envoy.overload_actions.stop_accepting_requests.active: 1"
        #expect(try reading(0, stats: action).isShedding(since: nil))
    }

    @Test func `a process that has ended uses no memory`() {
        #expect(ProcessMemory(status: "Name:\tenvoy\nState:\tZ (zombie)\n") == nil)
    }
}

/// Measurements of a real Envoy.
@Suite(.timeLimit(.minutes(1)), .enabled(if: RealEnvoy.isAvailable || RealEnvoy.isRequired))
struct UsageMeterTests {
    private let client = HTTPClient()

    /// A bootstrap with a heap that is too small for Envoy itself, so that all actions are in force.
    @Sendable private static func crampedBootstrap(
        _ plan: ProxyPlan,
        _ parameters: BootstrapParameters
    ) -> [UInt8] {
        let actions = ["stop_accepting_connections", "stop_accepting_requests"].map { name in
            """
            {"name": "envoy.overload_actions.\(name)", "triggers": [{
             "name": "envoy.resource_monitors.fixed_heap", "threshold": {"value": 0.5}}]}
            """
        }
        let type = "envoy.extensions.resource_monitors.fixed_heap.v3.FixedHeapConfig"
        let manager = """
            {"refresh_interval": "0.1s", "resource_monitors": [{
              "name": "envoy.resource_monitors.fixed_heap", "typed_config": {
               "@type": "type.googleapis.com/\(type)", "max_heap_size_bytes": 1048576}}],
             "actions": [\(actions.joined(separator: ","))]}
            """
        let text = String(decoding: RealEnvoy.bootstrap(plan, parameters), as: UTF8.self)
        return Array("{\"overload_manager\": \(manager), \(text.dropFirst())".utf8)
    }

    /// Runs `body` with a meter of an Envoy that serves.
    private func withMeter(
        _ address: String,
        bootstrap: @escaping @Sendable (ProxyPlan, BootstrapParameters) -> [UInt8] = RealEnvoy
            .bootstrap,
        _ body: @Sendable (inout UsageMeter, _ pid: Int32, EnvoyAdmin) async throws -> Void
    ) async throws {
        let plan = makePlan(ingress: address)
        let path = try #require(RealEnvoy.path, "no Envoy; set HEDDLE_ENVOY")
        try await Harness.run(envoyPath: path, bootstrap: bootstrap) { harness in
            harness.supervisor.apply(plan)
            let seen = await harness.wait(for: plan.id) { $0?.process.phase == .running }
            let pid = Int32(try #require(seen?.process.pid))
            let folder = ProxyFolder(of: plan.id, stateDirectory: harness.stateDirectory)
            let admin = EnvoyAdmin(client: client, socketPath: folder.adminSocketPath(.first))
            var meter = try #require(UsageMeter(pid: pid, admin: admin, controlGroup: nil))
            try await body(&meter, pid, admin)
        }
    }

    /// Processor time of all threads, in nanoseconds.
    private func threadTime(_ pid: Int32) throws -> Double {
        let folder = "/proc/\(pid)/task"
        return try FileManager.default.contentsOfDirectory(atPath: folder).reduce(0) { sum, name in
            let text = try String(contentsOfFile: "\(folder)/\(name)/schedstat", encoding: .utf8)
            return sum + (Double(text.split(separator: " ")[0]) ?? 0)
        }
    }

    /// A field of `smaps_rollup`, in bytes.
    private func pages(_ pid: Int32, _ name: String) throws -> Double {
        let text = try String(contentsOfFile: "/proc/\(pid)/smaps_rollup", encoding: .utf8)
        let line = try #require(text.split(separator: "\n").first { $0.hasPrefix("\(name):") })
        return Double(line.split(separator: " ")[1]).map { $0 * 1024 } ?? 0
    }

    @Test func `processor time, memory and requests are what /proc and the test say`() async throws
    {
        let address = "127.91.0.8"
        try await withMeter(address) { meter, pid, _ in
            let outer = try threadTime(pid)
            #expect(await meter.measure(timeSeconds: 1)?.usage == nil)
            let inner = try threadTime(pid)
            for _ in 1...2000 {
                let request = HTTPRequest("GET", "http://\(address):15000/")
                #expect(try await client.response(to: request).status == 200)
            }
            // Its answer to a request counts when the stream is destroyed, which may be later.
            let innerTime = try threadTime(pid) - inner
            let usage = try #require(await meter.measure(timeSeconds: 2)?.usage)
            let outerTime = try threadTime(pid) - outer

            let nanoseconds = usage.cpuMillicores / 1000 * usage.intervalSeconds * 1e9
            #expect(nanoseconds > innerTime * 0.95 && nanoseconds < outerTime * 1.05)
            #expect(innerTime > 10e6, "too little to compare")
            #expect(abs(usage.requestsPerSecond * usage.intervalSeconds - 2000) <= 1)
            #expect(usage.connections == 1, "the client keeps one")
            let anonymous = try pages(pid, "Anonymous")
            #expect(abs(Double(usage.memoryBytes) / anonymous - 1) < 0.05)
            let resident = try pages(pid, "Rss")
            #expect(abs(Double(usage.residentBytes) / resident - 1) < 0.05)
            #expect(usage.heapBytes > 1 << 20 && usage.heapBytes < usage.memoryBytes)
            #expect(usage.throttledShare == 0 && usage.timeSeconds == 2)
        }
    }

    @Test func `counters that Envoy was told to reset count from zero`() async throws {
        let address = "127.91.0.9"
        try await withMeter(address) { meter, _, admin in
            let request = HTTPRequest("GET", "http://\(address):15000/")
            for _ in 1...20 { _ = try await client.response(to: request) }
            _ = await meter.measure(timeSeconds: 1)
            _ = try await client.response(
                to: HTTPRequest(
                    "POST",
                    "http://envoy/reset_counters",
                    unixSocketPath: admin.socketPath
                )
            )
            for _ in 1...5 { _ = try await client.response(to: request) }
            let usage = try #require(await meter.measure(timeSeconds: 2)?.usage)
            #expect(abs(usage.requestsPerSecond * usage.intervalSeconds - 5) <= 1)
        }
    }

    @Test func `an Envoy that hangs or has ended has no measurement`() async throws {
        try await withMeter("127.91.0.10") { meter, pid, _ in
            #expect(await meter.measure(timeSeconds: 1) != nil)
            kill(pid, SIGSTOP)
            #expect(await meter.measure(timeSeconds: 2) == nil)
            kill(pid, SIGCONT)
            #expect(await meter.measure(timeSeconds: 3)?.usage != nil)
            let process = try #require(RunningProcess(pid: pid))
            kill(pid, SIGKILL)
            await withCheckedContinuation { continuation in
                Thread {
                    process.hasEnded(within: 10_000)
                    continuation.resume()
                }.start()
            }
            #expect(await meter.measure(timeSeconds: 4) == nil)
        }
    }

    @Test func `an Envoy that sheds load still answers, and says so`() async throws {
        try await withMeter("127.91.0.11", bootstrap: Self.crampedBootstrap) { meter, _, _ in
            var isShedding = false
            // Envoy looks at its heap ten times a second.
            while !isShedding {
                isShedding = try #require(await meter.measure(timeSeconds: 1)).isShedding
            }
        }
    }
}
