import MeshModel

/// What one proxy's Envoy has counted since it started.
///
/// Read from lines of `name: value`, and from four lines for a histogram, as `/stats` with
/// `histogram_buckets=detailed` gives them:
///
/// ```
/// cluster.cds_egress_colors_blue_http_8080.upstream_rq_time:
///   totals=0,0:20, 1,0.1:3, 32,1:1
///   intervals=0,0:20
///   summary=P0(0,0) P25(0,0)
/// ```
///
/// Names in these lines may come from manifests, and a proxy may be anybody's: what is not understood is
/// left out, and there is a bound for everything.
struct EnvoyStatistics: Hashable, Sendable {
    /// A regular expression for the whole names of statistics that are read here.
    ///
    /// A cluster's name ends with its port or with one of App Mesh's words; without that each
    /// statistic came again for callers inside and outside (`<cluster>.external.upstream_rq_2xx`).
    static let filter = [
        "(http|tcp)[.]ingress([.][a-z0-9]+[.][0-9]+)?[.]downstream_"
            + "(rq_(completed|[2-5]xx|time)|cx_(active|total|ssl_total|[rt]x_bytes_total))",
        "cluster[.].+_([0-9]+|missing|amazonaws|mesh-allow-all)[.]"
            + "(upstream_(rq_(completed|[2-5]xx|retry|timeout|per_try_timeout|time)|"
            + "cx_(total|active|connect_fail|none_healthy|[rt]x_bytes_total))|"
            + "outlier_detection[.]ejections_(active|enforced_total))",
    ].joined(separator: "|")

    /// Bounds for what a text may make us keep.
    enum Limit {
        static let bytes = 16 << 20
        static let owners = 4096
        static let nameBytes = 1024
        static let value = 1 << 53
    }

    /// By the cluster's name.
    private(set) var clusters: [String: TrafficCounters] = [:]
    /// By `http.<prefix>` or `tcp.<prefix>`, the prefix being `ingress` or `ingress.<protocol>.<port>`.
    private(set) var inbound: [String: TrafficCounters] = [:]

    /// Reads an answer of the admin interface.
    init(text: String) {
        var text = text
        text.withUTF8 { bytes in
            var reader = EnvoyStatisticsReader(
                UnsafeBufferPointer(rebasing: bytes.prefix(Limit.bytes))
            )
            reader.read()
            for owner in reader.owners {
                var counters = owner.counters
                // Those that failed were counted as tried, and are not connections.
                counters[.connections] = max(
                    0,
                    counters[.connections] - counters[.connectFailures]
                )
                if owner.isCluster {
                    clusters[owner.name] = counters
                } else {
                    inbound[owner.name] = counters
                }
            }
        }
    }
}

/// Reads lines of statistics.
private struct EnvoyStatisticsReader {
    typealias Bytes = UnsafeBufferPointer<UInt8>

    /// Whose statistics several lines are.
    struct Owner {
        var name: String
        var isCluster: Bool
        var counters = TrafficCounters()
    }

    /// What a statistic means.
    private enum Meaning {
        case counter(TrafficCounters.Counter)
        case secureConnections
        case latency
    }

    private let bytes: Bytes
    private var indexes: [String: Int] = [:]
    private(set) var owners: [Owner] = []
    /// Lines of one owner mostly follow each other.
    private var last: (range: Range<Int>, owner: Int)?
    /// Whose latencies the next line with totals has.
    private var histogram: Int?

    init(_ bytes: Bytes) { self.bytes = bytes }

    mutating func read() {
        var start = 0
        while start < bytes.count {
            let end = bytes[start...].firstIndex(of: UInt8(ascii: "\n")) ?? bytes.count
            readLine(start..<end)
            start = end + 1
        }
    }

    private mutating func readLine(_ line: Range<Int>) {
        guard let first = line.first else { return }
        if bytes[first] == UInt8(ascii: " ") { return readTotals(line) }
        histogram = nil
        guard let colon = bytes[line].lastIndex(of: UInt8(ascii: ":")) else { return }
        guard colon - first <= EnvoyStatistics.Limit.nameBytes,
            let (owner, isCluster, statistic) = parts(first..<colon)
        else { return }
        switch (Self.meaning(statistic, isCluster: isCluster, bytes), colon + 1 == line.upperBound)
        {
        case (.latency, true): histogram = index(of: owner, isCluster)
        case (.counter(let counter), false):
            guard let value = number(colon + 1..<line.upperBound),
                let index = index(of: owner, isCluster)
            else { return }
            // Both of Envoy's timeouts are one of ours.
            let sum = owners[index].counters[counter] + value
            owners[index].counters[counter] = min(sum, EnvoyStatistics.Limit.value)
        case (.secureConnections, false):
            guard let value = number(colon + 1..<line.upperBound), value > 0,
                let index = index(of: owner, isCluster)
            else { return }
            owners[index].counters.hasSecureConnections = true
        default: return
        }
    }

    /// `cluster.<owner>.<statistic>`, or `http.ingress<...>.<statistic>` with an owner that begins at
    /// the protocol.
    private func parts(
        _ name: Range<Int>
    ) -> (owner: Range<Int>, isCluster: Bool, statistic: Range<Int>)? {
        guard var dot = bytes[name].lastIndex(of: UInt8(ascii: ".")) else { return nil }
        let isCluster = starts(name, "cluster.")
        let begin = isCluster ? name.lowerBound + 8 : name.lowerBound
        if isCluster, starts(dot + 1..<name.upperBound, "ejections_") {
            guard let outer = bytes[begin..<max(begin, dot)].lastIndex(of: UInt8(ascii: ".")),
                equals(outer + 1..<dot, "outlier_detection")
            else { return nil }
            dot = outer
        }
        guard begin < dot else { return nil }
        let owner = begin..<dot
        let statistic = dot + 1..<name.upperBound
        if isCluster {
            if ends(owner, ".external") || ends(owner, ".internal") { return nil }
            return (owner, true, statistic)
        }
        for prefix: StaticString in ["http.ingress", "tcp.ingress"] where starts(owner, prefix) {
            let rest = owner.lowerBound + prefix.utf8CodeUnitCount
            if rest == owner.upperBound || bytes[rest] == UInt8(ascii: ".") {
                return (owner, false, statistic)
            }
        }
        return nil
    }

    private static func meaning(
        _ statistic: Range<Int>,
        isCluster: Bool,
        _ bytes: Bytes
    ) -> Meaning? {
        let table = isCluster ? clusterStatistics : inboundStatistics
        for (name, meaning) in table where name.utf8CodeUnitCount == statistic.count {
            if equals(statistic, name, bytes) { return meaning }
        }
        return nil
    }

    private static let clusterStatistics: [(StaticString, Meaning)] = [
        ("upstream_rq_completed", .counter(.requests)),
        ("upstream_rq_2xx", .counter(.successes)),
        ("upstream_rq_3xx", .counter(.redirections)),
        ("upstream_rq_4xx", .counter(.clientErrors)),
        ("upstream_rq_5xx", .counter(.serverErrors)),
        ("upstream_rq_retry", .counter(.retries)),
        ("upstream_rq_timeout", .counter(.timeouts)),
        ("upstream_rq_per_try_timeout", .counter(.timeouts)),
        ("upstream_rq_time", .latency),
        ("upstream_cx_total", .counter(.connections)),
        ("upstream_cx_active", .counter(.activeConnections)),
        ("upstream_cx_connect_fail", .counter(.connectFailures)),
        ("upstream_cx_none_healthy", .counter(.noneHealthy)),
        ("upstream_cx_rx_bytes_total", .counter(.receivedBytes)),
        ("upstream_cx_tx_bytes_total", .counter(.sentBytes)),
        ("ejections_active", .counter(.ejectedHosts)),
        ("ejections_enforced_total", .counter(.ejections)),
    ]

    /// What the caller sent is what is sent to a target.
    private static let inboundStatistics: [(StaticString, Meaning)] = [
        ("downstream_rq_completed", .counter(.requests)),
        ("downstream_rq_2xx", .counter(.successes)),
        ("downstream_rq_3xx", .counter(.redirections)),
        ("downstream_rq_4xx", .counter(.clientErrors)),
        ("downstream_rq_5xx", .counter(.serverErrors)),
        ("downstream_rq_time", .latency),
        ("downstream_cx_total", .counter(.connections)),
        ("downstream_cx_ssl_total", .secureConnections),
        ("downstream_cx_active", .counter(.activeConnections)),
        ("downstream_cx_rx_bytes_total", .counter(.sentBytes)),
        ("downstream_cx_tx_bytes_total", .counter(.receivedBytes)),
    ]

    /// Nil when there are too many.
    private mutating func index(of owner: Range<Int>, _ isCluster: Bool) -> Int? {
        if let last, last.range.count == owner.count, owners[last.owner].isCluster == isCluster,
            bytes[last.range].elementsEqual(bytes[owner])
        {
            return last.owner
        }
        let name = String(decoding: bytes[owner], as: UTF8.self)
        // No cluster's name begins as those of what is asked do, after this.
        let key = isCluster ? "cluster.\(name)" : name
        if let index = indexes[key] {
            last = (owner, index)
            return index
        }
        guard owners.count < EnvoyStatistics.Limit.owners else { return nil }
        owners.append(Owner(name: name, isCluster: isCluster))
        indexes[key] = owners.count - 1
        last = (owner, owners.count - 1)
        return owners.count - 1
    }

    /// `  totals=<lower end>,<width>:<count>, ...`.
    private mutating func readTotals(_ line: Range<Int>) {
        guard let owner = histogram, starts(line, "  totals=") else { return }
        histogram = nil
        var bins: [LatencyHistogram.Bin] = []
        var start = line.lowerBound + 9
        while start < line.upperBound {
            guard let comma = bytes[start..<line.upperBound].firstIndex(of: UInt8(ascii: ",")),
                let colon = bytes[comma..<line.upperBound].firstIndex(of: UInt8(ascii: ":"))
            else { break }
            let end =
                bytes[colon..<line.upperBound].firstIndex(of: UInt8(ascii: ","))
                ?? line.upperBound
            guard let lower = wholePart(start..<comma), let count = number(colon + 1..<end) else {
                return
            }
            let index = LatencyHistogram.index(milliseconds: lower)
            if let last = bins.last, last.index >= index {
                // They grow, and all that are beyond our last range are one.
                guard last.index == index else { return }
                bins[bins.count - 1].count = min(last.count + count, EnvoyStatistics.Limit.value)
            } else if count > 0 {
                bins.append(LatencyHistogram.Bin(index: index, count: count))
            }
            start = end + 1
        }
        owners[owner].counters.latency = LatencyHistogram(bins: bins)
    }

    /// A number between spaces; nil when there is anything else, or too much.
    private func number(_ range: Range<Int>) -> Int? {
        var value: Int?
        for byte in bytes[range] where byte != UInt8(ascii: " ") {
            guard byte >= UInt8(ascii: "0"), byte <= UInt8(ascii: "9") else { return nil }
            let next = (value ?? 0) * 10 + Int(byte - UInt8(ascii: "0"))
            guard next <= EnvoyStatistics.Limit.value else { return nil }
            value = next
        }
        return value
    }

    /// A number without its fraction; Envoy writes one of a million and more with an exponent.
    private func wholePart(_ range: Range<Int>) -> Int? {
        if bytes[range].contains(UInt8(ascii: "e")) {
            let digits = bytes[range].drop { $0 == UInt8(ascii: " ") }
            let value = Double(String(decoding: digits, as: UTF8.self)) ?? -1
            return value >= 0 && value <= Double(EnvoyStatistics.Limit.value) ? Int(value) : nil
        }
        let dot = bytes[range].firstIndex(of: UInt8(ascii: ".")) ?? range.upperBound
        return number(range.lowerBound..<dot)
    }

    private func starts(_ range: Range<Int>, _ text: StaticString) -> Bool {
        let count = text.utf8CodeUnitCount
        return range.count >= count
            && equals(range.lowerBound..<range.lowerBound + count, text)
    }

    private func ends(_ range: Range<Int>, _ text: StaticString) -> Bool {
        let count = text.utf8CodeUnitCount
        return range.count >= count
            && equals(range.upperBound - count..<range.upperBound, text)
    }

    private func equals(_ range: Range<Int>, _ text: StaticString) -> Bool {
        Self.equals(range, text, bytes)
    }

    private static func equals(_ range: Range<Int>, _ text: StaticString, _ bytes: Bytes) -> Bool {
        text.withUTF8Buffer { bytes[range].elementsEqual($0) }
    }
}
