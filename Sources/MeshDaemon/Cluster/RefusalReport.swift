internal import FoundationEssentials
internal import MeshModel

/// What the proxies refuse that one replica serves, as it tells the other replicas.
struct RefusalReport: Hashable, Codable {
    /// One of them.
    struct Entry: Hashable, Codable {
        var proxy: ProxyID
        var refusal: Refusal
    }

    /// When it was told, in seconds since 1970.
    var toldSeconds: Int
    var entries: [Entry]

    /// How many proxies are named that refuse the same, and how much is told in all: an object of the
    /// API has room for a megabyte.
    private static let limits = (proxies: 5, entries: 100, text: 1000, objects: 20)

    /// How long it holds without being told again: its replica may have ended.
    static let lifetimeSeconds = 900

    /// The report of what connected proxies refuse; of many proxies with the same configuration a few
    /// stand for all.
    init(of observations: [ProxyID: XDSObservation], nowSeconds: Int) {
        toldSeconds = nowSeconds
        entries = []
        var counts: [[String]: Int] = [:]
        let refusing = observations.filter { $0.value.isConnected && !$0.value.refusals.isEmpty }
        for (proxy, observation) in refusing.sorted(by: { $0.key < $1.key }) {
            for var refusal in observation.refusals where entries.count < Self.limits.entries {
                let key = [refusal.type.rawValue, refusal.resource, refusal.version]
                counts[key, default: 0] += 1
                guard counts[key, default: 0] <= Self.limits.proxies else { continue }
                refusal.message = String(refusal.message.prefix(Self.limits.text))
                refusal.objects = Array(refusal.objects.prefix(Self.limits.objects))
                entries.append(Entry(proxy: proxy, refusal: refusal))
            }
        }
    }

    /// Reads what a replica told; nil of what is no report.
    init?(_ text: String) {
        guard let report = try? JSONDecoder().decode(Self.self, from: Data(text.utf8)) else {
            return nil
        }
        self = report
    }

    /// The report as it is told.
    var text: String {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        return (try? encoder.encode(self)).map { String(decoding: $0, as: UTF8.self) } ?? ""
    }
}

/// What all replicas told.
struct RefusalReports: Hashable {
    /// The reports by replica, as they were told.
    var texts: [String: String] = [:]

    /// What proxies refuse that others than `replica` serve.
    func refusals(without replica: String, nowSeconds: Int) -> [ProxyID: [Refusal]] {
        var refusals: [ProxyID: [Refusal]] = [:]
        for (teller, text) in texts.sorted(by: { $0.key < $1.key }) where teller != replica {
            guard let report = RefusalReport(text), !report.isOver(nowSeconds) else { continue }
            for entry in report.entries {
                refusals[entry.proxy, default: []].append(entry.refusal)
            }
        }
        return refusals
    }

    /// What `replica` has to write so that `report` is told: of each replica its text, or nil where it is
    /// to be removed; none when nothing is to be written.
    ///
    /// A report without entries is removed, and so is one whose replica has ended without a word.
    func changes(
        for replica: String,
        _ report: RefusalReport
    ) -> [String: String?] {
        var changes: [String: String?] = [:]
        for (teller, text) in texts where teller != replica {
            if RefusalReport(text)?.isOver(report.toldSeconds) ?? true {
                changes[teller] = .some(nil)
            }
        }
        let told = texts[replica].map { RefusalReport($0) }
        if report.entries.isEmpty {
            if told != nil { changes[replica] = .some(nil) }
        } else if told??.entries != report.entries
            || report.toldSeconds - (told??.toldSeconds ?? 0) > RefusalReport.lifetimeSeconds / 3
        {
            changes[replica] = report.text
        }
        return changes
    }
}

extension RefusalReport {
    fileprivate func isOver(_ nowSeconds: Int) -> Bool {
        nowSeconds - toldSeconds > Self.lifetimeSeconds
    }
}
