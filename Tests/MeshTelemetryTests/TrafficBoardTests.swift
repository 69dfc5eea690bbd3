import MeshModel
import Synchronization
import Testing

@testable import MeshTelemetry

@Suite struct TrafficBoardTests {
    private let board = TrafficBoard(timeSeconds: 1000)
    private let start = ContinuousClock.now
    private let first = ProxyGeneration(pid: 1, startTicks: 10)
    private let second = ProxyGeneration(pid: 2, startTicks: 20)

    init() { board.update(TrafficSamples.topology, now: start) }

    private func take(
        _ proxy: String = "front-1",
        _ generation: ProxyGeneration? = nil,
        _ text: String,
        at seconds: Double
    ) {
        board.take(
            TrafficSamples.proxy(proxy),
            generation ?? first,
            text,
            askedAt: start + .seconds(seconds)
        )
    }

    private func blue(_ requests: Int, failures: Int = 0) -> String {
        TrafficSamples.cluster(
            TrafficSamples.blueCluster,
            requests: requests,
            failures: failures
        )
    }

    private func map(
        at seconds: Double,
        _ nodes: [ObjectID: TrafficNodeStatus] = [:]
    ) -> ServiceMap {
        board.map(nodes: nodes, timeSeconds: 1000 + seconds, now: start + .seconds(seconds))
    }

    private func edge(
        _ target: String = "virtualnode/demo/blue",
        at seconds: Double
    ) throws -> ServiceMap.Edge {
        try #require(map(at: seconds).edges.first { $0.target == target })
    }

    @Test func `declared edges are idle until something happens`() {
        let map = map(at: 0)
        #expect(
            map.edges.map { "\($0.source) \($0.target) \($0.health)" } == [
                "virtualnode/demo/blue virtualnode/demo/store idle",
                "virtualnode/demo/front missing/grey idle",
                "virtualnode/demo/front virtualnode/demo/blue idle",
            ]
        )
        #expect(
            map.nodes.map { "\($0.id) \($0.health)" } == [
                "missing/grey failing", "virtualnode/demo/blue idle",
                "virtualnode/demo/front idle", "virtualnode/demo/store idle",
            ]
        )
        #expect(map.edges.last?.security == .mutualTLS)
        #expect(map.edges.last?.services == ["colors.demo"])
    }

    @Test func `calls outside are an edge once there are some`() throws {
        take(
            "front-1",
            nil,
            """
            cluster.\(TrafficSamples.outsideCluster).upstream_cx_total: 1
            cluster.\(TrafficSamples.outsideCluster).upstream_cx_active: 1

            """,
            at: 1
        )
        let edge = try edge("external/external", at: 1)
        #expect(edge.traffic.connections == 1)
        #expect(edge.traffic.activeConnections == 1)
        #expect(edge.health == .healthy)
        let node = try #require(map(at: 1).nodes.first { $0.id == "external/external" })
        #expect(node.kind == "External")
        #expect(node.traffic.connections == 1)
    }

    @Test func `rates are those of the last ten seconds, of all proxies`() throws {
        for round in 0...4 {
            let seconds = Double(round) * 2.5
            take("front-1", nil, blue(1000 + round * 50, failures: round * 5), at: seconds)
            take("front-2", nil, blue(round * 100), at: seconds + 1)
        }
        let traffic = try edge(at: 11).traffic
        #expect(traffic.requests == 1600)
        #expect(traffic.failures == 20)
        #expect(abs(traffic.requestsPerSecond - 60) < 0.001)
        #expect(abs(traffic.failuresPerSecond - 2) < 0.001)
        #expect(abs((traffic.successRate ?? 0) - (1 - 1 / 30)) < 0.001)
        #expect(traffic.responses == ["2xx": 1580, "5xx": 20])
        let later = try edge(at: 40).traffic
        #expect(later.requests == 1600)
        #expect(later.requestsPerSecond == 0)
        #expect(later.successRate == nil)
    }

    @Test(arguments: [
        (0, ServiceMap.Health.healthy), (9, .healthy), (10, .degraded), (99, .degraded),
        (100, .failing), (1000, .failing),
    ])
    func `failures make health`(failures: Int, health: ServiceMap.Health) throws {
        take("front-1", nil, blue(0), at: 0)
        take("front-1", nil, blue(1000, failures: failures), at: 2.5)
        #expect(try edge(at: 2.5).health == health)
    }

    @Test func `a restart takes nothing away and counts nothing twice`() throws {
        take("front-1", first, blue(100), at: 0)
        take("front-1", first, blue(150), at: 2.5)
        take("front-1", second, blue(30), at: 5)
        #expect(try edge(at: 5).traffic.requests == 180)
        take("front-1", second, blue(40), at: 7.5)
        #expect(try edge(at: 7.5).traffic.requests == 190)
    }

    @Test func `what an adopted proxy counted before the daemon is not its`() throws {
        let adopted = ProxyGeneration(pid: 1, startTicks: 10, isAdopted: true)
        take("front-1", adopted, blue(1_000_000), at: 0)
        #expect(try edge(at: 0).traffic.requests == 0)
        take("front-1", adopted, blue(1_000_010), at: 2.5)
        #expect(try edge(at: 2.5).traffic.requests == 10)
        #expect(try edge(at: 2.5).traffic.requestsPerSecond == 4)
    }

    @Test func `counters that were reset count on`() throws {
        take("front-1", nil, blue(100), at: 0)
        take("front-1", nil, blue(7), at: 2.5)
        #expect(try edge(at: 2.5).traffic.requests == 107)
    }

    @Test func `an empty answer between two counts nothing twice`() throws {
        take("front-1", nil, blue(100), at: 0)
        take("front-1", nil, "", at: 2.5)
        take("front-1", nil, blue(110), at: 5)
        #expect(try edge(at: 5).traffic.requests == 110)
    }

    @Test func `an answer that comes late is left out`() throws {
        take("front-1", nil, blue(100), at: 2.5)
        take("front-1", nil, blue(90), at: 2.4)
        take("front-1", nil, blue(101), at: 5)
        #expect(try edge(at: 5).traffic.requests == 101)
    }

    @Test func `a removed proxy finishes its requests, and its counts stay`() throws {
        take("front-1", nil, blue(100), at: 0)
        var topology = TrafficSamples.topology
        topology.proxies[TrafficSamples.proxy("front-1")] = nil
        board.update(topology, now: start + .seconds(1))
        take("front-1", nil, blue(105), at: 2)
        #expect(try edge(at: 2).traffic.requests == 105)
        board.update(topology, now: start + .seconds(100))
        take("front-1", nil, blue(300), at: 101)
        #expect(try edge(at: 101).traffic.requests == 105)
        take("front-2", nil, blue(1), at: 102)
        #expect(try edge(at: 102).traffic.requests == 106)
    }

    @Test func `what the topology does not know is left out`() {
        board.take(
            ProxyID(ObjectReference(namespace: "x", name: "y")),
            first,
            blue(100),
            askedAt: start
        )
        take("front-1", nil, TrafficSamples.cluster("cds_egress_x_http_1", requests: 9), at: 0)
        board.state.withLock { state in
            #expect(state.totals.edges.isEmpty)
            #expect(state.readings.count == 1)
        }
    }

    @Test func `clusters that become known later count whole`() throws {
        var topology = MeshTopology()
        topology.proxies[TrafficSamples.proxy("front-1")] = TrafficSamples.place(
            TrafficSamples.front
        )
        board.update(topology, now: start)
        take("front-1", nil, blue(10), at: 0)
        board.update(TrafficSamples.topology, now: start)
        take("front-1", nil, blue(12), at: 2.5)
        #expect(try edge(at: 2.5).traffic.requests == 12)
    }

    @Test func `a node is asked what its own proxies say`() throws {
        let text = """
            http.ingress.downstream_rq_completed: 20
            http.ingress.downstream_rq_2xx: 15
            http.ingress.downstream_rq_5xx: 5
            http.ingress.downstream_cx_active: 3
            http.ingress.downstream_rq_time:
              totals=10,1:20

            """
        take("blue-1", nil, "", at: 0)
        take("blue-1", nil, text, at: 2.5)
        let node = try #require(map(at: 2.5).nodes.first { $0.name == "blue" })
        #expect(node.traffic.requests == 20)
        #expect(node.traffic.activeConnections == 3)
        #expect(node.traffic.requestsPerSecond == 8)
        let median = try #require(node.traffic.latencyMilliseconds?.p50)
        #expect(abs(median - 10.5) < 0.1)
        #expect(node.health == .failing)
        #expect(node.problem == "25.0 % of requests fail.")
    }

    @Test func `a node without proxies is asked what its callers say`() throws {
        take("blue-1", nil, "", at: 0)
        take(
            "blue-1",
            nil,
            """
            cluster.\(TrafficSamples.storeCluster).upstream_cx_total: 5
            cluster.\(TrafficSamples.storeCluster).upstream_cx_connect_fail: 1
            cluster.\(TrafficSamples.storeCluster).upstream_cx_none_healthy: 4
            cluster.\(TrafficSamples.storeCluster).upstream_cx_tx_bytes_total: 100

            """,
            at: 2.5
        )
        let edge = try edge("virtualnode/demo/store", at: 2.5)
        #expect(edge.traffic.connections == 4)
        #expect(edge.traffic.connectFailures == 5)
        #expect(edge.traffic.sentBytes == 100)
        #expect(edge.health == .failing)
        let node = try #require(map(at: 2.5).nodes.first { $0.name == "store" })
        #expect(node.traffic == edge.traffic)
        #expect(node.problem == "55.6 % of connections fail.")
    }

    @Test func `connections that fail a little later never take any away`() throws {
        func text(_ tried: Int, _ failed: Int) -> String {
            """
            cluster.\(TrafficSamples.storeCluster).upstream_cx_total: \(tried)
            cluster.\(TrafficSamples.storeCluster).upstream_cx_connect_fail: \(failed)

            """
        }
        take("blue-1", nil, text(10, 0), at: 0)
        take("blue-1", nil, text(10, 10), at: 2.5)
        take("blue-1", nil, text(12, 10), at: 5)
        #expect(try edge("virtualnode/demo/store", at: 5).traffic.connections == 10)
        take("blue-1", nil, text(30, 10), at: 7.5)
        #expect(try edge("virtualnode/demo/store", at: 7.5).traffic.connections == 20)
    }

    @Test func `splits tell what is declared and what happens`() {
        take("front-1", nil, "", at: 0)
        take(
            "front-1",
            nil,
            blue(60)
                + TrafficSamples.cluster(
                    TrafficSamples.missingCluster,
                    requests: 40,
                    failures: 40
                ),
            at: 2.5
        )
        let splits = map(at: 2.5).splits
        #expect(splits.map(\.target) == [nil, "virtualnode/demo/blue"])
        #expect(splits.map(\.share) == [0.25, 0.75])
        #expect(splits.map(\.observedShare) == [0.4, 0.6])
        #expect(map(at: 60).splits.map(\.observedShare) == [nil, nil])
    }

    @Test func `a gateway is called from outside`() throws {
        var topology = TrafficSamples.topology
        topology.proxies[TrafficSamples.proxy("gate-1")] = TrafficSamples.place(
            TrafficSamples.gateway,
            [TrafficSamples.blueCluster: TrafficSamples.target(TrafficSamples.blue)]
        )
        board.update(topology, now: start)
        take("gate-1", nil, "", at: 0)
        take(
            "gate-1",
            nil,
            """
            http.ingress.downstream_cx_ssl_total: 4
            http.ingress.downstream_rq_2xx: 10
            http.ingress.downstream_rq_completed: 10

            """,
            at: 2.5
        )
        let edge = try #require(map(at: 2.5).edges.first { $0.source == "client/outside" })
        #expect(edge.target == "virtualgateway/demo/gate")
        #expect(edge.security == .tls)
        #expect(edge.traffic.requests == 10)
        #expect(edge.health == .healthy)
        #expect(map(at: 2.5).nodes.first?.kind == "Client")
    }

    @Test(
        arguments: [
            (
                TrafficNodeStatus(mesh: "colors", proxies: 1, readyProxies: 1),
                ServiceMap.Health.idle, nil
            ),
            (
                TrafficNodeStatus(mesh: "colors", proxies: 1), .failing,
                "No proxy is ready."
            ),
            (
                TrafficNodeStatus(
                    mesh: "colors",
                    proxies: 1,
                    readyProxies: 1,
                    problem: "Refused: no",
                    isRefused: true
                ), .failing, "Refused: no"
            ),
            (
                TrafficNodeStatus(mesh: "colors", proxies: 1, readyProxies: 1, problem: "Odd: x"),
                .degraded, "Odd: x"
            ),
        ] as [(TrafficNodeStatus, ServiceMap.Health, String?)]
    )
    func `what is known of a node makes its health`(
        status: TrafficNodeStatus,
        health: ServiceMap.Health,
        problem: String?
    ) throws {
        let map = map(at: 0, [TrafficSamples.node("lonely"): status])
        let node = try #require(map.nodes.first { $0.name == "lonely" })
        #expect(node.health == health)
        #expect(node.problem == problem)
        #expect(node.mesh == "colors")
        #expect(node.proxies == 1)
    }

    @Test func `the same gives the same map`() {
        take("front-1", nil, blue(60), at: 0)
        take("front-2", nil, TrafficSamples.captured, at: 1)
        #expect((0..<5).map { _ in map(at: 2) }.allSatisfy { $0 == map(at: 2) })
    }
}
