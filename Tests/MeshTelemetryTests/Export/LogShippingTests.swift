import AWSClient
import EnvoyAPI
import Foundation
import HTTPClient
import Logging
import MeshModel
import MeshTesting
import ServiceLifecycle
import SwiftProtobuf
import Synchronization
import Testing

@testable import MeshTelemetry

/// Lines of access logs on their way, with receivers that answer as they are told.
@Suite(.timeLimit(.minutes(1)))
final class LogShippingTests {
    let folder = FileManager.default.temporaryDirectory
        .appendingPathComponent("log-shipping-\(UUID().uuidString.prefix(8))")
    private var path: String { folder.appendingPathComponent("envoy.log").path }
    private let mesh = ObjectID(.mesh, ObjectReference(name: "demo"))

    init() throws {
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    }

    deinit { try? FileManager.default.removeItem(at: folder) }

    private func topology() -> MeshTopology {
        var topology = MeshTopology()
        topology.proxies[ProxyID(ObjectReference(namespace: "ns", name: "a-1"))] = ProxyTopology(
            mesh: mesh,
            meshName: "demo",
            owner: ObjectID(.virtualNode, ObjectReference(namespace: "ns", name: "a")),
            ownerName: "a_ns",
            accessLogPath: "/dev/stdout"
        )
        return topology
    }

    private func lines(_ server: ScriptedServer) async throws -> [String] {
        typealias Message = Opentelemetry_Proto_Collector_Logs_V1_ExportLogsServiceRequest
        let requests = try await server.requests().filter { $0.path == "/v1/logs" }
        let messages = try requests.map { try Message(serializedBytes: $0.bytes) }
        return messages.flatMap(\.resourceLogs).flatMap(\.scopeLogs).flatMap(\.logRecords)
            .map(\.body.stringValue)
    }

    @Test func `a proxy's output is shipped without Envoy's messages, and traces to the end`()
        async throws
    {
        let server = try await ScriptedServer([.init(200)])
        let text = """
            [2026-11-23 13:14:19.123][17][info][main] [source/server/server.cc:430] initializing
            [2026-11-23T13:14:20.000Z] "GET / HTTP/1.1" 200 - 0 5 1
            [2026-11-23 13:14:21.123][17][warning][config] something
            {"path":"/"}

            """
        try Data(text.utf8).write(to: URL(fileURLWithPath: path))
        let exporter = TelemetryExporter(
            stateDirectory: folder.path,
            environment: [:],
            processLog: { [path] _ in path }
        )
        let group = ServiceGroup(
            services: [exporter],
            logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
        )
        try await withThrowingTaskGroup { tasks in
            tasks.addTask { try await group.run() }
            exporter.update(
                meshes: [
                    mesh: ExportingMesh(
                        name: "demo",
                        export: TelemetryExport(openTelemetryURL: server.endpoint)
                    )
                ],
                topology: topology()
            )
            try await poll {
                try await lines(server)
            } until: {
                $0 == [
                    "[2026-11-23T13:14:20.000Z] \"GET / HTTP/1.1\" 200 - 0 5 1", "{\"path\":\"/\"}",
                ]
            }
            // What waits at the end is sent.
            let span = Span(
                traceID: "6ab0000000000000000000000000000a",
                spanID: "000000000000000b",
                name: "GET /",
                service: "demo/a_ns",
                startMicroseconds: 1,
                durationMicroseconds: 1
            )
            exporter.take(ReceivedSpans(spans: [span]))
            await group.triggerGracefulShutdown()
            try await tasks.waitForAll()
        }
        #expect(try await server.requests().contains { $0.path == "/v1/traces" })
        #expect(
            exporter.counts == [ExportCount(mesh: "demo", exporter: "otlp", sent: 3, dropped: 0)]
        )
    }

    @Test func `what a receiver that is down does not take waits in its file`() async throws {
        let text = (0..<60_000).map { "\($0)\n" }.joined()
        try Data(text.utf8).write(to: URL(fileURLWithPath: path))
        let receiver = Receiver()
        let (reports, reported) = AsyncStream<Void>.makeStream()
        let virtual = VirtualTime()
        let shipper = LogShipper(
            .cloudWatchLogs,
            placesPath: folder.appendingPathComponent("places.json").path,
            time: virtual.time
        ) {
            receiver.send($0)
        }
        shipper.follow([
            path: LogSource(path: path, stream: "a", attributes: [:], isMixed: false)
        ])
        await withTaskGroup { group in
            group.addTask { await shipper.run { reported.yield() } }
            group.addTask { await virtual.passOn() }
            var iterator = reports.makeAsyncIterator()
            for _ in 0..<5 { _ = await iterator.next() }
            #expect(shipper.queue.state.count <= ExportLimits.cloudWatchLogs.count)
            receiver.recover()
            while receiver.count < 60_000 { _ = await iterator.next() }
            group.cancelAll()
        }
        #expect(receiver.messages == (0..<60_000).map { "\($0)" })
        #expect(shipper.queue.state.dropped == 0)
    }

    @Test func `places of files that are gone are forgotten when nobody follows them`() async throws
    {
        let places = folder.appendingPathComponent("places.json")
        let gone = folder.appendingPathComponent("gone.log").path
        let stays = folder.appendingPathComponent("stays.log").path
        for path in [path, gone, stays] {
            try Data("a\n".utf8).write(to: URL(fileURLWithPath: path))
        }
        let virtual = VirtualTime()
        let shipper = LogShipper(.cloudWatchLogs, placesPath: places.path, time: virtual.time) {
            _ in
            .sent(refused: 0)
        }
        func follow(_ paths: [String]) {
            let sources = paths.map {
                ($0, LogSource(path: $0, stream: $0, attributes: [:], isMixed: false))
            }
            shipper.follow(Dictionary(uniqueKeysWithValues: sources))
        }
        func known() -> Set<String> {
            guard let data = try? Data(contentsOf: places) else { return [] }
            let kept = try? JSONDecoder().decode([String: KeptPlace].self, from: data)
            return Set((kept ?? [:]).keys)
        }
        follow([path, gone, stays])
        try await withThrowingTaskGroup { group in
            group.addTask { await shipper.run {} }
            group.addTask { await virtual.passOn() }
            try await poll {
                known()
            } until: {
                $0 == [path, gone, stays]
            }
            try FileManager.default.removeItem(atPath: gone)
            follow([path])
            try await poll {
                known()
            } until: {
                $0 == [path, stays]
            }
            group.cancelAll()
        }
    }

    /// Is down at first.
    private final class Receiver: Sendable {
        private let state = Mutex((isDown: true, messages: [String]()))

        var messages: [String] { state.withLock { $0.messages } }
        var count: Int { state.withLock { $0.messages.count } }

        func recover() { state.withLock { $0.isDown = false } }

        func send(_ items: [LogItem]) -> SendOutcome {
            state.withLock { state in
                if state.isDown { return .later(ExportProblem(text: "down"), retryAfter: nil) }
                state.messages += items.map(\.message)
                return .sent(refused: 0)
            }
        }
    }

    /// Lines of one source, each read at its own time.
    private func items(_ seconds: [Double]) -> [LogItem] {
        let source = LogSource(path: path, stream: "ns/a:1*", attributes: [:], isMixed: false)
        return seconds.enumerated().map { number, seconds in
            LogItem(
                LogLine(
                    bytes: Array("line \(number)".utf8),
                    place: LogPlace(generation: 0, offset: number)
                ),
                of: source,
                readSeconds: seconds
            )
        }
    }

    @Test func `events go in order, and those that are not taken are counted`() async throws {
        let answer =
            #"{"rejectedLogEventsInfo":{"tooOldLogEventEndIndex":1,"tooNewLogEventStartIndex":3}}"#
        let server = try await ScriptedServer([.init(200, answer)])
        let environment = [
            "AWS_ACCESS_KEY_ID": "AKIA1", "AWS_SECRET_ACCESS_KEY": "secret",
            "AWS_REGION": "eu-west-1", "AWS_ENDPOINT_URL_CLOUDWATCH_LOGS": server.endpoint,
        ]
        let now = 1_800_000_000.0
        let sender = CloudWatchLogsSender(
            client: AWSClient(environment: environment),
            configuration: AWSConfiguration(environment: environment),
            group: CloudWatchLogsSender.group(ofMesh: "dé mo"),
            wallSeconds: { now }
        )
        // Two are too old, or too far ahead, and are not even sent.
        let outcome = await sender.send(
            items([now, now - 5, now - 3, now - 15 * 86_400, now - 4, now + 3 * 3600])
        )
        #expect(outcome == .sent(refused: 4))
        let request = try #require(try await server.requests().first)
        #expect(request.headers["x-amz-target"] == "Logs_20140328.PutLogEvents")
        #expect(
            request.body
                == #"{"logEvents":[{"message":"line 1","timestamp":1799999995000},"#
                + #"{"message":"line 4","timestamp":1799999996000},"#
                + #"{"message":"line 2","timestamp":1799999997000},"#
                + #"{"message":"line 0","timestamp":1800000000000}],"#
                + #""logGroupName":"/heddle/d__mo","logStreamName":"ns/a_1_"}"#
        )
    }

    @Test func `X-Ray's own failures are sent again, what it refuses is not`() async throws {
        let answer = #"""
            {"UnprocessedTraceSegments":[{"Id":"00000000000000a1","ErrorCode":"ThrottledException"},
            {"Id":"00000000000000a2","ErrorCode":"InvalidSegment"},{"ErrorCode":"JSONFormatError"}]}
            """#
        let server = try await ScriptedServer([.init(200, answer)])
        let environment = [
            "AWS_ACCESS_KEY_ID": "AKIA1", "AWS_SECRET_ACCESS_KEY": "secret",
            "AWS_REGION": "eu-west-1", "AWS_ENDPOINT_URL_XRAY": server.endpoint,
        ]
        let sender = XRaySender(
            client: AWSClient(environment: environment),
            configuration: AWSConfiguration(environment: environment)
        )
        let documents = ["a0", "a1", "a2"].map { #"{"id":"00000000000000\#($0)"}"# } + ["no JSON"]
        let outcome = await sender.send(documents.map(SegmentItem.init))
        #expect(outcome == .partly(again: [1], refused: 2))
        #expect(try await server.requests().first?.path == "/TraceSegments")
    }
}
