import Foundation
import HTTPClient
import MeshModel
import MeshTelemetry
import MeshTesting

/// A gateway and four services, each of which asks the next one: `one` to `four`.
///
/// What a request meets is said by its path: `/fail/two` is answered with 500 by `two`, `/retry/four/x`
/// with 503 by `four` at its first two attempts, `/leaf` goes from the gateway to `four`; `four`
/// answers all others, with `traced` or `untraced` as its name.
enum ServiceChain {
    /// The services, in the order in which they ask one another.
    static let services = ["one", "two", "three", "four"]

    /// Those who trace a request that goes through the whole chain: where they are asked, and where they
    /// ask the next one.
    static let tracers = ["gateway", "one", "two", "three", "four"]
        .flatMap { ["demo/\($0)_demo", "demo/\($0)_demo"] }.dropLast()

    /// Options by which Heddle takes spans at ports of the test's own.
    static let options = ["--xray-address", "127.0.0.1:APP8", "--otlp-address", "127.0.0.1:APP9"]

    /// Everything but the mesh itself, and the program.
    static let files: [String: String] = {
        var files = ["chain.py": program, "gateway.yaml": gateway]
        for (number, name) in services.enumerated() {
            files["\(name).yaml"] = service(name, number: number + 1)
        }
        return files
    }()

    /// The mesh, under mutual TLS, with what else its annotations say.
    static func mesh(_ annotations: String) -> String {
        Manifests.mesh(annotations: "heddle.dev/mtls: STRICT, \(annotations)")
    }

    /// Who enters, and where to.
    private static let gateway =
        Manifests.gateway(listeners: [8080: "http"])
        + Manifests.gatewayRoute("all", to: "one", match: "{prefix: /}")
        + Manifests.gatewayRoute(
            "leaf",
            to: "four",
            match: "{prefix: /leaf}",
            rewrite: "prefix: {defaultPrefix: DISABLED}"
        )

    private static func service(_ name: String, number: Int) -> String {
        let next = services.dropFirst(number).first
        let node = Manifests.node(name, backends: next.map { [$0] } ?? [])
        return node + Manifests.routed(name, routes: Manifests.route([name: 1])) + """
            ---
            apiVersion: heddle.dev/v1alpha1
            kind: Workload
            metadata: {name: \(name), namespace: demo, labels: {app: \(name)}}
            spec:
              command: [python3, chain.py]
              env: {NAME: \(name), NEXT: "\(next ?? "")", PORT: "APP\(number)"}
              ports: {8080: APP\(number)}

            """
    }

    /// What a load of requests counted by itself.
    struct Load: Decodable, Sendable {
        /// How many were answered with each status.
        var statuses: [String: Int]
        /// How many of them `four` found to be traced.
        var traced: Int
        /// What became of the others.
        var failures: [String]
        /// When each was answered, in seconds since 1970.
        var times: [Double]

        /// How many were answered from one moment to another.
        func count(from begin: Double, to end: Double) -> Int {
            times.count { begin < $0 && $0 <= end }
        }
    }

    /// Sends `count` requests through the gateway, for `paths` in turn.
    ///
    /// - Parameters:
    ///   - count: How many.
    ///   - rate: How many a second; 0 is as many as possible.
    ///   - paths: What they ask for.
    ///   - mesh: A mesh of `files`.
    /// - Returns: What was counted.
    /// - Throws: `NoLoad` when the program that sends them ended otherwise than it should.
    static func load(
        _ count: Int,
        rate: Int = 0,
        _ paths: [String],
        _ mesh: RunningMesh
    ) async throws -> Load {
        let address = try await mesh.ingressAddress(of: "gateway")
        let program = mesh.folder.appendingPathComponent("chain.py").path
        let result = try await runCommand(
            "/usr/bin/env",
            ["python3", program, address, "8080", "\(count)", "\(rate)"] + paths
        )
        guard result.status == 0 else { throw NoLoad(output: result.output) }
        return try JSONDecoder().decode(Load.self, from: Data(result.output.utf8))
    }

    /// The program that sends requests ended otherwise than it should.
    private struct NoLoad: Error {
        var output: String
    }

    /// The services, and with arguments who asks them.
    private static let program = #"""
        import asyncio, collections, itertools, json, os, sys, time

        FORWARDED = ("x-amzn-trace-id", "traceparent", "tracestate")

        async def message(reader):
            """The first line, the headers and the body of what comes next."""
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            first, *lines = head.rstrip().split("\r\n")
            headers = {line.partition(":")[0].lower(): line.partition(":")[2].strip() for line in lines}
            return first, headers, await reader.readexactly(int(headers.get("content-length", 0)))

        class Client:
            """Requests over connections that are kept."""
            def __init__(self, host, port): self.address, self.idle = (host, port), []
            async def get(self, path, host, headers={}):
                kept = bool(self.idle)
                reader, writer = self.idle.pop() if kept else await asyncio.open_connection(*self.address)
                lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
                writer.write(f"GET {path} HTTP/1.1\r\nHost: {host}\r\n{lines}\r\n".encode())
                first, headers, body = await message(reader)
                if "close" in headers.get("connection", ""): writer.close()
                else: self.idle.append((reader, writer))
                return int(first.split()[1]), body

        class Service:
            def __init__(self):
                self.name, self.next = os.environ["NAME"], os.environ["NEXT"]
                self.client = Client(os.environ["HEDDLE_EGRESS_ADDRESS"], 8080)
                self.attempts = collections.Counter()
            async def connected(self, reader, writer):
                try:
                    while True:
                        first, headers, _ = await message(reader)
                        status, body = await self.answer(first.split()[1], headers)
                        head = f"HTTP/1.1 {status} Answer\r\nContent-Length: {len(body)}\r\n\r\n"
                        writer.write(head.encode() + body)
                except (asyncio.IncompleteReadError, ConnectionError): pass
                finally: writer.close()
            async def answer(self, path, headers):
                what, who = (path.split("/") + [""])[1:3]
                if who == self.name and what == "fail": return 500, b""
                if who == self.name and what == "retry":
                    self.attempts[path] += 1
                    if self.attempts[path] < 3: return 503, b""
                if self.next:
                    headers = {name: headers[name] for name in FORWARDED if name in headers}
                    return await self.client.get(path, f"{self.next}.demo:8080", headers)
                xray, w3c = headers.get("x-amzn-trace-id", ""), headers.get("traceparent", "")
                is_traced = "Sampled=1" in xray or w3c.endswith("-01")
                name = "traced" if is_traced else "untraced"
                return 200, json.dumps({"name": name, "headers": headers}).encode()
            async def run(self):
                port = int(os.environ["PORT"])
                server = await asyncio.start_server(self.connected, "127.0.0.1", port, backlog=1024)
                await server.serve_forever()

        class Load:
            def __init__(self, host, port, count, rate, *paths):
                self.client, self.paths = Client(host, int(port)), paths
                self.numbers, self.rate = itertools.count(), int(rate)
                self.count, self.begun = int(count), time.monotonic()
                self.statuses, self.traced = collections.Counter(), 0
                self.failures, self.times = [], []
            async def repeat(self):
                while (number := next(self.numbers)) < self.count:
                    due = self.begun + number / self.rate if self.rate else 0
                    if (delay := due - time.monotonic()) > 0: await asyncio.sleep(delay)
                    try:
                        status, body = await self.client.get(self.paths[number % len(self.paths)], "gateway")
                        self.statuses[status] += 1
                        self.traced += b'"traced"' in body
                    except (OSError, asyncio.IncompleteReadError) as failure: self.failures.append(repr(failure))
                    self.times.append(time.time())
            async def run(self):
                await asyncio.gather(*[self.repeat() for _ in range(8)])
                fields = ("statuses", "traced", "failures", "times")
                print(json.dumps({field: getattr(self, field) for field in fields}))

        asyncio.run((Load(*sys.argv[1:]) if sys.argv[1:] else Service()).run())

        """#
}

extension RunningMesh {
    /// What the local API answers at `path`.
    func telemetry<Value: Decodable>(_ path: String) async throws -> Value {
        let socket = state.appendingPathComponent("api.sock").path
        let response = try await client.response(
            to: HTTPRequest("GET", "http://localhost\(path)", unixSocketPath: socket)
        )
        guard response.status == 200 else { throw NotAnswered(path: path, text: response.text) }
        return try JSONDecoder().decode(Value.self, from: Data(response.body))
    }

    /// The spans of each trace that is known, the newest first.
    func traces(_ query: String = "") async throws -> [TraceSummary] {
        try await telemetry("/traces?limit=1000\(query)")
    }

    /// How many spans Heddle has received.
    func receivedSpans() async throws -> Int {
        try await metrics().filter { $0.hasPrefix("heddle_spans_received_total") }
            .reduce(0) { $0 + (Int($1.split(separator: " ").last ?? "") ?? 0) }
    }

    /// The local API refused a request.
    private struct NotAnswered: Error {
        var path: String
        var text: String
    }
}
