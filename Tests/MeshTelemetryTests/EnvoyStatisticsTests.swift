import Testing

@testable import MeshTelemetry

@Suite struct EnvoyStatisticsTests {
    private func counts(_ counters: TrafficCounters?) -> [TrafficCounters.Counter: Int] {
        let counters = counters ?? TrafficCounters()
        return TrafficCounters.Counter.allCases.reduce(into: [:]) { counts, counter in
            if counters[counter] != 0 { counts[counter] = counters[counter] }
        }
    }

    @Test func `what Envoy says is read`() {
        let statistics = EnvoyStatistics(text: TrafficSamples.captured)
        #expect(statistics.clusters.count == 5)
        #expect(statistics.inbound.count == 1)
        #expect(
            counts(statistics.clusters["cds_egress_m_b_http_8080"]) == [
                .requests: 30, .successes: 20, .redirections: 2, .clientErrors: 2,
                .serverErrors: 6, .retries: 2, .timeouts: 6, .connections: 7,
                .activeConnections: 1, .sentBytes: 6340, .receivedBytes: 1014,
            ]
        )
        #expect(
            counts(statistics.inbound["http.ingress"]) == [
                .requests: 3, .successes: 3, .connections: 3, .sentBytes: 249,
                .receivedBytes: 381,
            ]
        )
        let latency = statistics.clusters["cds_egress_m_b_http_8080"]?.latency
        #expect(latency?.count == 26)
        #expect(statistics.inbound["http.ingress"]?.latency.bins.map(\.index) == [31, 40, 50])
    }

    @Test func `connections that failed were not made`() {
        let statistics = EnvoyStatistics(text: TrafficSamples.captured)
        let down = counts(statistics.clusters["cds_egress_m_down_http_8080"])
        #expect(down[.connections] == nil)
        #expect(down[.connectFailures] == 9)
        #expect(down[.requests] == 3)
        #expect(down[.serverErrors] == 3)
    }

    @Test(arguments: [
        "", "\n\n\n", ":", ": 1", "cluster", "cluster.", "cluster.:", "cluster.: 1",
        "cluster..upstream_rq_completed: 1", "cluster.upstream_rq_completed: 1",
        "cluster.x.upstream_rq_completed:", "cluster.x.upstream_rq_completed: ",
        "cluster.x.upstream_rq_completed: -1", "cluster.x.upstream_rq_completed: 1.5",
        "cluster.x.upstream_rq_completed: 99999999999999999999999999",
        "cluster.x.ejections_active: 1", "cluster..ejections_active: 1",
        "cluster.x.external.upstream_rq_completed: 1", "http.egress.downstream_rq_completed: 1",
        "http.ingressive.downstream_rq_completed: 1", "http.ingress: 1", "tcp.ingress.: 1",
        "http.admin.downstream_rq_completed: 1", "  totals=1,1:1", "\u{1F600}: 1",
        "cluster.x.upstream_rq_time: P0(nan,0)", "No recorded values",
    ])
    func `what is not understood is left out`(text: String) {
        let statistics = EnvoyStatistics(text: text)
        #expect(statistics.clusters.values.allSatisfy { $0.isEmpty })
        #expect(statistics.inbound.values.allSatisfy { $0.isEmpty })
    }

    @Test(arguments: [
        "1,0.1:x", "1,0.1", "5,0.1:1, 4,0.1:1", "nan,1:1", "-1,1:1", "1e400,1:1", ",:", ":,",
        "1,0.1:99999999999999999999",
    ])
    func `latencies that cannot be are left out`(totals: String) {
        let statistics = EnvoyStatistics(text: "cluster.x.upstream_rq_time:\n  totals=\(totals)\n")
        #expect(statistics.clusters["x"]?.latency.bins ?? [] == [])
    }

    @Test func `latencies of a million milliseconds have an exponent`() {
        let text = "cluster.x.upstream_rq_time:\n  totals=990000,10000:1, 1.1e+06,100000:2\n"
        let statistics = EnvoyStatistics(text: text)
        #expect(
            statistics.clusters["x"]?.latency.bins.map {
                LatencyHistogram.ends(of: $0.index).lower
            } == [990_000, 1_100_000]
        )
    }

    @Test func `a million lines keep within bounds`() {
        let lines = String(repeating: "\n", count: 1_000_000)
        #expect(EnvoyStatistics(text: lines).clusters.isEmpty)
        var text = ""
        for number in 0..<EnvoyStatistics.Limit.owners + 1000 {
            text += "cluster.c\(number).upstream_rq_2xx: 1\n"
        }
        #expect(EnvoyStatistics(text: text).clusters.count == EnvoyStatistics.Limit.owners)
        let same = String(repeating: "cluster.x.upstream_rq_2xx: \(1 << 53)\n", count: 2000)
        #expect(
            EnvoyStatistics(text: same).clusters["x"]?[.successes] == EnvoyStatistics.Limit.value
        )
        let long = String(repeating: "x", count: 1 << 20)
        #expect(EnvoyStatistics(text: "cluster.\(long).upstream_rq_2xx: 1").clusters.isEmpty)
        let bins = (0..<10_000).map { "\($0),1:1" }.joined(separator: ", ")
        let wide = EnvoyStatistics(text: "cluster.x.upstream_rq_time:\n  totals=\(bins)\n")
        #expect(
            (wide.clusters["x"]?.latency.bins.count ?? 0) <= LatencyHistogram.lastIndex + 1
        )
    }
}

@Suite struct LatencyHistogramTests {
    private func histogram(_ milliseconds: some Sequence<Int>) -> LatencyHistogram {
        var counts: [Int: Int] = [:]
        for value in milliseconds {
            counts[LatencyHistogram.index(milliseconds: value), default: 0] += 1
        }
        return LatencyHistogram(
            bins: counts.sorted { $0.key < $1.key }.map { .init(index: $0.key, count: $0.value) }
        )
    }

    @Test func `ranges follow each other without gap`() {
        var end = 0.0
        for index in 0...LatencyHistogram.lastIndex {
            let (lower, upper) = LatencyHistogram.ends(of: index)
            #expect(lower == end)
            if lower >= 10 { #expect(upper - lower <= lower / 10) }
            #expect(LatencyHistogram.index(milliseconds: Int(lower)) == index)
            #expect(LatencyHistogram.index(milliseconds: Int(upper) - 1) == index)
            end = upper
        }
        #expect(LatencyHistogram.index(milliseconds: .max) == LatencyHistogram.lastIndex)
        #expect(LatencyHistogram.index(milliseconds: -1) == 0)
    }

    @Test(arguments: [(0.5, 5000.0), (0.95, 9500), (0.99, 9900), (0.0, 1), (1.0, 10_000)])
    func `quantiles are within 5 percent`(quantile: Double, expected: Double) throws {
        let value = try #require(histogram(1...10_000).milliseconds(quantile: quantile))
        #expect(abs(value - expected) <= expected * 0.05 + 0.5)
    }

    @Test func `nothing has no quantile`() {
        #expect(LatencyHistogram().quantiles == nil)
    }

    @Test func `what was added can be taken away`() {
        let one = histogram([0, 0, 5, 120])
        let two = histogram([5, 7, 15_000])
        var both = one
        both.add(two)
        #expect(both == histogram([0, 0, 5, 5, 7, 120, 15_000]))
        #expect(both.since(one) == two)
        #expect(both.since(two) == one)
        #expect(both.since(both) == LatencyHistogram())
        #expect(both.since(LatencyHistogram()) == both)
    }

    @Test func `a counting that began anew counts whole`() {
        let before = histogram([0, 5, 120])
        #expect(histogram([0, 5]).since(before) == histogram([0, 5]))
    }
}
