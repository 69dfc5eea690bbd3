import MeshModel
import Testing

@testable import MeshTelemetry

@Suite struct TrafficExportTests {
    private let board = TrafficBoard(timeSeconds: 1000)
    private let start = ContinuousClock.now

    init() { board.update(TrafficSamples.topology, now: start) }

    private func take(_ proxy: String, _ text: String, at seconds: Double) {
        board.take(
            TrafficSamples.proxy(proxy),
            ProxyGeneration(pid: 1, startTicks: 1),
            text,
            askedAt: start + .seconds(seconds)
        )
    }

    private func call(_ requests: Int, _ milliseconds: Int) -> String {
        TrafficSamples.cluster(TrafficSamples.blueCluster, requests: requests, failures: 1) + """
            cluster.\(TrafficSamples.blueCluster).upstream_cx_active: 2
            cluster.\(TrafficSamples.blueCluster).upstream_cx_rx_bytes_total: \(requests * 10)
            cluster.\(TrafficSamples.blueCluster).upstream_rq_time:
              totals=\(milliseconds),1:\(requests)

            """
    }

    @Test func `intervals follow each other without gap or overlap`() throws {
        var cursor: TrafficCursor?
        var other: TrafficCursor?
        take("front-1", call(10, 20), at: 0)
        let one = board.interval(since: &cursor, timeSeconds: 1001, now: start)
        #expect(one.fromSeconds == 1000)
        #expect(one.toSeconds == 1001)
        let target = try #require(one.targets.first)
        #expect(one.targets.count == 1)
        #expect(target.source.name == "front_demo")
        #expect(target.source.meshName == "colors")
        #expect(target.target == "blue_demo")
        #expect(target.services == ["colors.demo"])
        #expect(target.requests == 10)
        #expect(target.responses == [2: 9, 5: 1])
        #expect(target.latencies == [.init(milliseconds: 20.5, count: 10)])
        #expect(target.activeConnections == 2)
        #expect(target.receivedBytes == 100)

        take("front-1", call(15, 20), at: 2)
        let two = board.interval(since: &cursor, timeSeconds: 1061, now: start + .seconds(3))
        #expect(two.fromSeconds == 1001)
        #expect(two.targets.map(\.requests) == [5])
        #expect(two.targets.map(\.responses) == [[2: 5]])
        #expect(two.targets.map(\.latencies) == [[.init(milliseconds: 20.5, count: 5)]])

        let three = board.interval(since: &cursor, timeSeconds: 1121, now: start + .seconds(60))
        #expect(three.targets.isEmpty)
        let all = board.interval(since: &other, timeSeconds: 1121, now: start + .seconds(60))
        #expect(all.targets.map(\.requests) == [15])
    }

    @Test func `who has left is told of to its end`() {
        var cursor: TrafficCursor?
        take("blue-1", "http.ingress.downstream_rq_completed: 3\n", at: 0)
        take("front-1", call(10, 20), at: 0)
        _ = board.interval(since: &cursor, timeSeconds: 1001, now: start)
        take("front-1", call(15, 20), at: 2)
        take("blue-1", "http.ingress.downstream_rq_completed: 5\n", at: 2)
        board.update(MeshTopology(), now: start + .seconds(3))
        take("front-1", call(17, 20), at: 4)
        let last = board.interval(since: &cursor, timeSeconds: 1061, now: start + .seconds(4))
        #expect(last.targets.map(\.requests) == [7])
        #expect(last.targets.map(\.source.name) == ["front_demo"])
        #expect(last.resources.map(\.owner.name) == ["blue_demo"])
        #expect(last.resources.map(\.requests) == [2])
        // Also what nobody was told of before it left for good.
        var late: TrafficCursor?
        board.update(MeshTopology(), now: start + .seconds(100))
        let all = board.interval(since: &late, timeSeconds: 1121, now: start + .seconds(100))
        #expect(all.targets.map(\.requests) == [17])
        let none = board.interval(since: &cursor, timeSeconds: 1121, now: start + .seconds(100))
        #expect(none.targets.isEmpty && none.resources.isEmpty)
    }

    @Test(arguments: [
        ("http.ingress", "grpc_8080", true), ("http.ingress", "http2_8080", false),
        ("http.ingress.grpc.8080", "http_8080", true),
        ("http.ingress.http.8080", "grpc_8080", false),
    ])
    func `requests over gRPC are told apart`(
        prefix: String,
        application: String,
        isGRPC: Bool
    ) throws {
        var topology = TrafficSamples.topology
        topology.proxies[TrafficSamples.proxy("blue-1")] = TrafficSamples.place(
            TrafficSamples.blue,
            application: application
        )
        board.update(topology, now: start)
        take(
            "blue-1",
            """
            cluster.cds_ingress_colors_blue_demo_\(application).upstream_rq_completed: 7
            \(prefix).downstream_rq_completed: 7
            \(prefix).downstream_cx_total: 3
            \(prefix).downstream_cx_active: 2
            \(prefix).downstream_cx_rx_bytes_total: 30
            \(prefix).downstream_cx_tx_bytes_total: 12

            """,
            at: 0
        )
        var cursor: TrafficCursor?
        let interval = board.interval(since: &cursor, timeSeconds: 1060, now: start)
        #expect(interval.resources.map(\.owner.name) == ["blue_demo", "front_demo"])
        let blue = try #require(interval.resources.first)
        #expect(blue.grpcRequests == (isGRPC ? 7 : 0))
        #expect(blue.requests == (isGRPC ? 0 : 7))
        #expect(blue.newConnections == 3)
        #expect(blue.activeConnections == 2)
        #expect(blue.processedBytes == 42)
    }
}

@Suite struct TrafficMetricsTests {
    private let start = ContinuousClock.now

    private func text(_ board: TrafficBoard, at seconds: Double = 0) -> String {
        var text = MetricsText()
        board.writeMetrics(to: &text, now: start + .seconds(seconds))
        return text.text
    }

    @Test func `no counter falls when a port of a target goes, or gets another service`() {
        let board = TrafficBoard(timeSeconds: 0)
        let proxy = TrafficSamples.proxy("front-1")
        func update(_ targets: [String: TrafficTarget], at seconds: Double) {
            var topology = MeshTopology()
            topology.proxies[proxy] = TrafficSamples.place(TrafficSamples.front, targets)
            board.update(topology, now: start + .seconds(seconds))
        }
        func requests(at seconds: Double) -> [String] {
            text(board, at: seconds).split(separator: "\n").map(String.init).filter {
                $0.hasPrefix("heddle_outbound_requests_total{") && $0.contains("\"2xx\"")
            }
            .map { line in
                let service = line.contains("colors.demo,more") ? "both" : "one"
                return service + (line.split(separator: " ").last ?? "")
            }
        }
        func take(_ first: Int, _ second: Int?, at seconds: Double) {
            let text =
                TrafficSamples.cluster("c_1", requests: first)
                + (second.map { TrafficSamples.cluster("c_2", requests: $0) } ?? "")
            board.take(
                proxy,
                ProxyGeneration(pid: 1, startTicks: 1),
                text,
                askedAt: start + .seconds(seconds)
            )
        }
        let one = TrafficSamples.target(TrafficSamples.blue)
        var two = TrafficSamples.target(TrafficSamples.blue, port: 9090)
        update(["c_1": one, "c_2": two], at: 0)
        take(10, 5, at: 0)
        #expect(requests(at: 0) == ["one15"])
        update(["c_1": one], at: 1)
        take(11, nil, at: 2)
        #expect(requests(at: 2) == ["one16"])
        two.services = ["colors.demo", "more.demo"]
        update(["c_1": one, "c_2": two], at: 3)
        take(11, 7, at: 4)
        #expect(requests(at: 4) == ["one16", "both2"])
        update([:], at: 5)
        #expect(requests(at: 6).count == 2)
        #expect(requests(at: 66).isEmpty)
    }

    @Test func `what is not declared is forgotten first`() {
        var seen = FirstSeen<Int>()
        for key in 0..<6 { #expect(seen.add(key, limit: 6) { [] }.isEmpty) }
        #expect(seen.add(6, limit: 6) { [0, 2] } == [1, 3, 4])
        #expect(seen.keys == [0, 2, 5, 6])
    }

    @Test func `nothing has happened`() {
        #expect(
            text(TrafficBoard(timeSeconds: 0)) == """
                # HELP heddle_traffic_edges_left_out Pairs of caller and target whose samples are left out, as there are too many.
                # TYPE heddle_traffic_edges_left_out gauge
                heddle_traffic_edges_left_out{} 0

                """
        )
    }

    @Test func `traffic has App Mesh's labels`() {
        let board = TrafficBoard(timeSeconds: 0)
        board.update(TrafficSamples.topology, now: start)
        board.take(
            TrafficSamples.proxy("front-1"),
            ProxyGeneration(pid: 1, startTicks: 1),
            TrafficSamples.captured
                .replacing("cds_egress_m_b_http_8080", with: TrafficSamples.blueCluster),
            askedAt: start
        )
        let lines = text(board).split(separator: "\n")
        let front = #"appmesh_mesh="colors",appmesh_virtual_node="front_demo",namespace="demo""#
        let blue =
            front + #",target_virtual_node="blue_demo",target_virtual_service="colors.demo""#
        for line in [
            "heddle_inbound_requests_total{\(front),response_code_class=\"2xx\"} 3",
            "heddle_inbound_request_duration_seconds_count{\(front)} 3",
            "heddle_inbound_connections{\(front)} 0",
            "heddle_outbound_requests_total{\(blue),response_code_class=\"2xx\"} 20",
            "heddle_outbound_requests_total{\(blue),response_code_class=\"5xx\"} 6",
            "heddle_outbound_request_duration_seconds_bucket{\(blue),le=\"0.001\"} 15",
            "heddle_outbound_request_duration_seconds_bucket{\(blue),le=\"0.01\"} 22",
            "heddle_outbound_request_duration_seconds_bucket{\(blue),le=\"+Inf\"} 26",
            "heddle_outbound_request_duration_seconds_count{\(blue)} 26",
            "heddle_outbound_retries_total{\(blue)} 2",
            "heddle_outbound_timeouts_total{\(blue)} 6",
            "heddle_outbound_connections{\(blue)} 1",
            "heddle_outbound_bytes_total{\(blue),direction=\"sent\"} 6340",
            "heddle_traffic_edges_left_out{} 0",
        ] {
            #expect(lines.contains { $0 == line }, "\(line)")
        }
        #expect(Set(lines).count == lines.count)
    }

    @Test func `too many edges are left out, and told`() {
        let board = TrafficBoard(timeSeconds: 0)
        var topology = MeshTopology()
        let count = TrafficBoard.metricsEdgeLimit + 5
        var targets: [String: TrafficTarget] = [:]
        var text = ""
        for number in 0..<count {
            let node = TrafficSamples.node("n\(number)")
            targets["c_\(number)"] = TrafficSamples.target(node, services: ["s\(number)"])
            text += TrafficSamples.cluster("c_\(number)", requests: 1)
        }
        topology.proxies[TrafficSamples.proxy("front-1")] = TrafficSamples.place(
            TrafficSamples.front,
            targets
        )
        board.update(topology, now: start)
        board.take(
            TrafficSamples.proxy("front-1"),
            ProxyGeneration(pid: 1, startTicks: 1),
            text,
            askedAt: start
        )
        let lines = self.text(board).split(separator: "\n")
        #expect(
            lines.count { $0.hasPrefix("heddle_outbound_retries_total{") }
                == TrafficBoard.metricsEdgeLimit
        )
        #expect(lines.last == "heddle_traffic_edges_left_out{} 5")
    }
}

@Suite struct MetricsTextTests {
    @Test func `a histogram has cumulative buckets, a sum and a count`() {
        var histogram = MetricHistogram(upperBounds: [0.1, 0.5, 2])
        for value in [0.1, 0.25, 0.25, 3] { histogram.record(value) }
        var text = MetricsText()
        text.addHistogram("a", help: "b", [(["x": "\"1\""], histogram), ([:], histogram)])
        #expect(
            text.text == #"""
                # HELP a b
                # TYPE a histogram
                a_bucket{le="0.1"} 1
                a_bucket{le="0.5"} 3
                a_bucket{le="2"} 3
                a_bucket{le="+Inf"} 4
                a_sum{} 3.6
                a_count{} 4
                a_bucket{x="\"1\"",le="0.1"} 1
                a_bucket{x="\"1\"",le="0.5"} 3
                a_bucket{x="\"1\"",le="2"} 3
                a_bucket{x="\"1\"",le="+Inf"} 4
                a_sum{x="\"1\""} 3.6
                a_count{x="\"1\""} 4

                """#
        )
    }

    @Test(arguments: [
        (1.0, "1"), (0.25, "0.25"), (-3, "-3"), (.infinity, "+Inf"), (-.infinity, "-Inf"),
        (.nan, "NaN"), (1e300, "1e+300"),
    ])
    func `numbers are written as Go reads them`(value: Double, text: String) {
        #expect(MetricsText.number(value) == text)
    }
}

@Suite struct TrafficRoundsTests {
    @Test func `who follows gets the map of now and each that is made`() async throws {
        let board = TrafficBoard(timeSeconds: 0)
        let rounds = TrafficRounds(board, nodes: { [:] }, timeSeconds: { 7 })
        var maps = rounds.maps().makeAsyncIterator()
        let empty = try #require(await maps.next())
        #expect(empty.nodes.isEmpty)
        board.update(TrafficSamples.topology)
        rounds.makeRound()
        let map = try #require(await maps.next())
        #expect(map.nodes.count == 4)
        #expect(rounds.current.timeSeconds == 7)
    }

    @Test func `streams end with the service`() async throws {
        let rounds = TrafficRounds(
            TrafficBoard(timeSeconds: 0),
            nodes: { [:] },
            timeSeconds: { 7 }
        )
        var maps = rounds.maps().makeAsyncIterator()
        #expect(await maps.next() != nil)
        await withTaskGroup { group in
            group.addTask { await rounds.run() }
            group.cancelAll()
        }
        #expect(await maps.next() == nil)
        var late = rounds.maps().makeAsyncIterator()
        #expect(await late.next() != nil)
        #expect(await late.next() == nil)
    }
}
