/// What waits to be written.
struct WaitingTelemetry: Sendable {
    /// Who called whom with which verdict.
    struct Call: Hashable {
        var caller: String
        var target: String
        var verdict: AuditRecord.Verdict

        init(_ record: AuditRecord) {
            caller = record.caller
            target = record.target
            verdict = record.verdict
        }
    }

    /// In the order in which they came.
    private(set) var spans: [Span] = []
    private(set) var records: [Call: AuditRecord] = [:]
    private var bytes = 0

    var isEmpty: Bool { spans.isEmpty && records.isEmpty }

    /// Adds spans as far as limits allow.
    ///
    /// - Returns: How many there was no room for.
    mutating func add(_ added: [Span], _ limits: TelemetryLimits) -> Int {
        for (index, span) in added.enumerated() {
            let size = span.approximateBytes
            guard spans.count < limits.waitingSpans, bytes + size <= limits.waitingBytes else {
                return added.count - index
            }
            spans.append(span)
            bytes += size
        }
        return 0
    }

    /// Adds what happened since the last time; calls beyond limits are left out.
    mutating func add(_ deltas: [AuditRecord], _ limits: TelemetryLimits) {
        for delta in deltas {
            let call = Call(delta)
            if var record = records[call] {
                record.add(delta)
                records[call] = record
            } else if records.count < limits.auditRecords {
                records[call] = delta
            }
        }
    }

    /// What is written as one, without limits: everything of a database in memory.
    init(spans: [Span], records: [AuditRecord]) {
        self.spans = spans
        for record in records { self.records[Call(record)] = record }
    }

    init() {}

    /// Puts back what could not be written, before what came since.
    ///
    /// - Returns: How many spans there was no room for.
    mutating func putBack(_ taken: WaitingTelemetry, _ limits: TelemetryLimits) -> Int {
        let since = self
        self = taken
        add(Array(since.records.values), limits)
        return add(since.spans, limits)
    }

    /// Everything, which waits no more.
    mutating func take() -> WaitingTelemetry {
        defer { self = WaitingTelemetry() }
        return self
    }
}

extension Span {
    /// How much memory it takes, about.
    fileprivate var approximateBytes: Int {
        attributes.reduce(512 + name.utf8.count + service.utf8.count) { sum, attribute in
            sum + 64 + attribute.key.utf8.count + attribute.value.utf8.count
        }
    }
}

extension AuditRecord {
    /// Adds what happened of the same before or since.
    mutating func add(_ other: AuditRecord) {
        count = count.saturatingSum(other.count)
        firstSeconds = min(firstSeconds, other.firstSeconds)
        if let detail = other.detail, other.lastSeconds >= lastSeconds || self.detail == nil {
            self.detail = detail
        }
        lastSeconds = max(lastSeconds, other.lastSeconds)
    }
}
