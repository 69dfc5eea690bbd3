import AWSClient
import Foundation
import HTTPClient
import MeshModel
import MeshTesting
import Testing

@testable import MeshTelemetry

/// Exports to AWS, with moto in its place: what arrives there is read back.
@Suite(.enabled(if: motoIsExpected), .timeLimit(.minutes(2)))
final class MotoExportTests {
    let folder = FileManager.default.temporaryDirectory
        .appendingPathComponent("moto-export-\(UUID().uuidString.prefix(8))")
    private var path: String { folder.appendingPathComponent("access.log").path }
    private let mesh = ObjectID(.mesh, ObjectReference(name: "demo"))
    private let blue = ObjectID(.virtualNode, ObjectReference(namespace: "shop", name: "blue"))

    init() throws {
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    }

    deinit { try? FileManager.default.removeItem(at: folder) }

    private static func environment(_ endpoint: String) -> [String: String] {
        [
            "AWS_ACCESS_KEY_ID": "AKIA1", "AWS_SECRET_ACCESS_KEY": "secret",
            "AWS_REGION": MotoServer.region, "AWS_ENDPOINT_URL": endpoint,
        ]
    }

    private func exporter(_ environment: [String: String]) -> TelemetryExporter {
        TelemetryExporter(stateDirectory: folder.path, environment: environment)
    }

    private func topology() -> MeshTopology {
        var topology = MeshTopology()
        let proxy = ProxyID(ObjectReference(namespace: "shop", name: "blue-1"))
        topology.proxies[proxy] = ProxyTopology(
            mesh: mesh,
            meshName: "demo",
            owner: blue,
            ownerName: "blue_shop",
            accessLogPath: path
        )
        return topology
    }

    private static func segment(_ number: Int, at seconds: Double) -> (id: String, String) {
        let hexadecimal = String(UInt32(seconds), radix: 16)
        let number = String(format: "%024x", number)
        let id = "1-\(hexadecimal)-\(number)"
        let document =
            #"{"name":"demo/blue_shop","id":"\#(number.suffix(16))","trace_id":"\#(id)","#
            + #""start_time":\#(seconds),"end_time":\#(seconds + 0.25),"#
            + #""origin":"AWS::AppMesh::Proxy","http":{"request":{"url":"http://ü/\"x\""}}}"#
        return (id, document)
    }

    private static func received(_ document: String) -> ReceivedSpans {
        let span = Span(
            traceID: String(repeating: "0", count: 32),
            spanID: String(repeating: "0", count: 16),
            name: "GET /",
            service: "demo/blue_shop",
            startMicroseconds: 0,
            durationMicroseconds: 250_000
        )
        return ReceivedSpans(spans: [span], segmentDocument: document)
    }

    private func interval(at seconds: Double) -> TrafficInterval {
        let owner = TrafficInterval.Owner(mesh: mesh, meshName: "demo", id: blue, name: "blue_shop")
        var resource = TrafficInterval.Resource(owner: owner)
        resource.requests = 1234
        resource.activeConnections = 3
        var target = TrafficInterval.Target(
            source: owner,
            target: "green_shop",
            services: ["green.shop.svc"],
            isHTTP: true
        )
        target.requests = 500
        target.responses = [2: 480, 5: 20]
        target.sentBytes = 1000
        target.receivedBytes = 234
        target.latencies = [
            .init(milliseconds: 1.5, count: 400), .init(milliseconds: 20, count: 100),
        ]
        return TrafficInterval(
            fromSeconds: seconds - 60,
            toSeconds: seconds,
            resources: [resource],
            targets: [target]
        )
    }

    // MARK: Reading back

    private struct Summaries: Decodable {
        struct Summary: Decodable { var Id: String }
        var TraceSummaries: [Summary]
    }

    private struct Traces: Decodable {
        struct Trace: Decodable {
            struct Segment: Decodable { var Document: String }
            var Segments: [Segment]
        }
        var Traces: [Trace]
    }

    private struct LogEvents: Decodable {
        struct Event: Decodable { var message: String }
        var events: [Event]
    }

    private struct Reader {
        let client: AWSClient
        let configuration: AWSConfiguration

        init(_ endpoint: String) {
            let environment = MotoExportTests.environment(endpoint)
            client = AWSClient(environment: environment)
            configuration = AWSConfiguration(environment: environment)
        }

        func traces(from start: Double) async throws -> [String] {
            let summaries: Summaries = try await client.call(
                "GetTraceSummaries",
                of: try configuration.xRay(),
                path: "/TraceSummaries",
                ["StartTime": Int(start) - 10, "EndTime": Int(start) + 1000]
            )
            return summaries.TraceSummaries.map(\.Id)
        }

        func documents(_ ids: [String]) async throws -> [String] {
            let traces: Traces = try await client.call(
                "BatchGetTraces",
                of: try configuration.xRay(),
                path: "/Traces",
                ["TraceIds": ids]
            )
            return traces.Traces.flatMap { $0.Segments.map(\.Document) }
        }

        /// One statistic of a metric, of all times.
        func metric(
            _ name: String,
            _ statistic: String,
            _ dimensions: [(String, String)],
            near seconds: Double
        ) async throws -> Double? {
            var form = AWSForm("GetMetricStatistics", version: "2010-08-01")
            form.set("Namespace", "CWAgent")
            form.set("MetricName", "envoy.appmesh.\(name)")
            form.set("StartTime", Date(timeIntervalSince1970: seconds - 600).ISO8601Format())
            form.set("EndTime", Date(timeIntervalSince1970: seconds + 600).ISO8601Format())
            form.set("Period", "3600")
            form.set("Statistics.member.1", statistic)
            for (number, dimension) in zip(1..., dimensions) {
                form.set("Dimensions.member.\(number).Name", dimension.0)
                form.set("Dimensions.member.\(number).Value", dimension.1)
            }
            let text = try await client.submit(form, to: try configuration.cloudWatch())
            guard let start = text.range(of: "<\(statistic)>")?.upperBound,
                let end = text.range(of: "</\(statistic)>")?.lowerBound
            else { return nil }
            return Double(text[start..<end])
        }

        func lines(_ group: String, _ stream: String) async throws -> [String] {
            struct Input: Encodable {
                var logGroupName: String
                var logStreamName: String
                var startFromHead = true
            }
            do {
                let events: LogEvents = try await client.call(
                    "GetLogEvents",
                    of: try configuration.cloudWatchLogs(),
                    Input(logGroupName: group, logStreamName: stream)
                )
                return events.events.map(\.message)
            } catch let error as AWSError where error.kind == .notFound {
                return []
            }
        }
    }

    // MARK: Tests

    /// One test, as a server takes seconds to start.
    @Test func `what arrives is what was sent, by all that a mesh asks for`() async throws {
        let moto = try await MotoServer()
        let reader = Reader(moto.endpoint)
        let exporter = exporter(Self.environment(moto.endpoint))
        let now = Date().timeIntervalSince1970.rounded(.down)
        try Data("first line\n".utf8).write(to: URL(fileURLWithPath: path))

        try await withThrowingTaskGroup { group in
            group.addTask { try await exporter.run() }
            let all = TelemetryExport(xRay: true, cloudWatch: true, cloudWatchLogs: true)
            exporter.update(
                meshes: [mesh: ExportingMesh(name: "demo", export: all)],
                topology: topology()
            )

            // More than one request has.
            let segments = (0..<120).map { Self.segment($0, at: now) }
            for segment in segments { exporter.take(Self.received(segment.1)) }
            exporter.take(interval(at: now))
            let handle = try #require(FileHandle(forWritingAtPath: path))
            try handle.seekToEnd()
            try handle.write(contentsOf: Data("grün \"zwei\"\n{\"three\":3}\n".utf8))

            let ids = try await poll {
                try await reader.traces(from: now)
            } until: {
                $0.count == 120
            }
            #expect(Set(ids) == Set(segments.map(\.id)))
            let documents = try await reader.documents(ids)
            #expect(Set(documents) == Set(segments.map(\.1)))

            try await poll {
                try await reader.lines("/heddle/demo", "shop/blue")
            } until: {
                $0 == ["first line", "grün \"zwei\"", "{\"three\":3}"]
            }

            let inbound = [("Mesh", "demo"), ("VirtualNode", "blue_shop")]
            let outbound =
                inbound + [
                    ("TargetVirtualService", "green.shop.svc"), ("TargetVirtualNode", "green_shop"),
                ]
            try await poll {
                try await reader.metric("RequestCount", "Sum", inbound, near: now)
            } until: {
                $0 == 1234
            }
            let expected =
                [
                    ("ActiveConnectionCount", "Sum", inbound, 3),
                    ("RequestCountPerTarget", "Sum", outbound, 500),
                    ("HTTPCode_Target_2XX_Count", "Sum", outbound, 480),
                    ("HTTPCode_Target_5XX_Count", "Sum", outbound, 20),
                    ("TargetProcessedBytes", "Sum", outbound, 1234),
                    ("TargetResponseTime", "SampleCount", outbound, 500),
                    ("TargetResponseTime", "Sum", outbound, 2600),
                    ("TargetResponseTime", "Maximum", outbound, 20),
                ] as [(String, String, [(String, String)], Double)]
            for (name, statistic, dimensions, value) in expected {
                let found = try await reader.metric(name, statistic, dimensions, near: now)
                #expect(found == value, "\(name) \(statistic)")
            }
            // What did not happen is not sent.
            #expect(
                try await reader.metric("GrpcRequestCount", "Sum", inbound, near: now) == nil
            )

            // Nobody asks for it any more.
            exporter.update(
                meshes: [mesh: ExportingMesh(name: "demo", export: TelemetryExport())],
                topology: topology()
            )
            #expect(exporter.counts.isEmpty)
            exporter.take(Self.received(Self.segment(500, at: now).1))

            // A restart sends no line twice.
            group.cancelAll()
            try await group.waitForAll()
        }
        #expect(try await reader.traces(from: now).count == 120)
        try await restart(reader, moto)
    }

    private func restart(_ reader: Reader, _ moto: MotoServer) async throws {
        let handle = try #require(FileHandle(forWritingAtPath: path))
        try handle.seekToEnd()
        try handle.write(contentsOf: Data("after the restart\n".utf8))
        let exporter = exporter(Self.environment(moto.endpoint))
        try await withThrowingTaskGroup { group in
            group.addTask { try await exporter.run() }
            exporter.update(
                meshes: [
                    mesh: ExportingMesh(name: "demo", export: TelemetryExport(cloudWatchLogs: true))
                ],
                topology: topology()
            )
            let lines = try await poll {
                try await reader.lines("/heddle/demo", "shop/blue")
            } until: {
                $0.contains("after the restart")
            }
            #expect(lines.count == 4)
            group.cancelAll()
        }
    }

    @Test
    func `an endpoint that is down for a minute gets the newest when it is back`() async throws {
        let endpoint = try await Self.unusedEndpoint()
        let port = try #require(endpoint.split(separator: ":").last.flatMap { Int($0) })
        let environment = Self.environment(endpoint)
        let sender = XRaySender(
            client: AWSClient(environment: environment),
            configuration: AWSConfiguration(environment: environment)
        )
        var limits = ExportLimits.xRay
        limits.count = 120
        let virtual = VirtualTime()
        let queue = ExportQueue<SegmentItem>(limits, time: virtual.time) { await sender.send($0) }
        let now = Date().timeIntervalSince1970.rounded(.down)
        let segments = (0..<300).map { Self.segment($0, at: now) }
        let (reports, reported) = AsyncStream<Void>.makeStream()
        try await withThrowingTaskGroup { group in
            // What is under way stays while older ones are dropped: so none is yet.
            for segment in segments { queue.add([SegmentItem(segment.1)]) }
            group.addTask { await queue.run { reported.yield() } }
            while virtual.now < .seconds(60) { await virtual.passToNext() }
            let down = queue.state
            #expect(down.count == 120 && down.dropped == 180)
            #expect(down.problem?.isDenied == false)
            let text = down.problem?.text ?? ""
            #expect(text.hasPrefix("xray PutTraceSegments at \(endpoint): "))
            let moto = try await MotoServer(port: port)
            group.addTask { await virtual.passOn() }
            for await _ in reports where queue.state.count == 0 { break }
            #expect(queue.state == ExportState(sent: 120, dropped: 180, count: 0, byteCount: 0))
            let ids = try await Reader(moto.endpoint).traces(from: now)
            #expect(Set(ids) == Set(segments.suffix(120).map(\.id)))
            group.cancelAll()
        }
    }

    /// The place of a server that has ended.
    private static func unusedEndpoint() async throws -> String {
        let endpoint = try await ScriptedServer([.init(200)]).endpoint
        let client = HTTPClient()
        try await poll {
            (try? await client.response(to: HTTPRequest("GET", endpoint)))?.status
        } until: {
            $0 == nil
        }
        return endpoint
    }

    @Test
    func `wrong keys and missing rights are told, and what waits is sent once they are right`()
        async throws
    {
        let moto = try await MotoServer()
        let none = try await moto.makeUser("none", mayDo: nil)
        let good = try await moto.makeUser("good", mayDo: "*")
        try await moto.checkSignatures()
        let credentials = folder.appendingPathComponent("credentials")
        func write(_ id: String, _ secret: String) throws {
            let text = "[default]\naws_access_key_id = \(id)\naws_secret_access_key = \(secret)\n"
            try Data(text.utf8).write(to: credentials, options: .atomic)
        }
        try write(good.id, "wrong")
        let exporter = exporter([
            "AWS_SHARED_CREDENTIALS_FILE": credentials.path, "AWS_REGION": MotoServer.region,
            "AWS_ENDPOINT_URL": moto.endpoint,
        ])
        try await withThrowingTaskGroup { group in
            group.addTask { try await exporter.run() }
            exporter.update(
                meshes: [
                    mesh: ExportingMesh(name: "demo", export: TelemetryExport(cloudWatch: true))
                ],
                topology: MeshTopology()
            )
            exporter.take(interval(at: Date().timeIntervalSince1970))
            var observations = exporter.observations.makeAsyncIterator()
            let wrong = try #require(await observations.next()?[mesh])
            #expect(wrong.isDenied)
            let text = try #require(wrong.problems["cloudwatch"])
            #expect(text.hasPrefix("monitoring PutMetricData at \(moto.endpoint): "))
            #expect(
                text.hasSuffix(
                    "check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or the credentials file's profile"
                )
            )
            #expect(!text.contains(good.id) && !text.contains(good.secret))

            try write(none.id, none.secret)
            let denied = try #require(await observations.next()?[mesh])
            #expect(denied.isDenied)
            #expect(
                denied.problems["cloudwatch"]?
                    .hasSuffix(
                        "allow cloudwatch:PutMetricData to the user or role of the credentials"
                    )
                    == true
            )
            try write(good.id, good.secret)
            #expect(await observations.next() == [mesh: TelemetryObservation()])
            let count = try #require(exporter.counts.first)
            #expect(count.sent == 7 && count.dropped == 0)
            group.cancelAll()
        }
    }
}
