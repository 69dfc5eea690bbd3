/// The spans of one trace as a tree, the way a waterfall shows them.
public struct Trace: Hashable, Codable, Sendable {
    /// One line of a waterfall.
    public struct Row: Hashable, Codable, Sendable {
        /// What it shows.
        public var span: Span
        /// In how many spans of this trace it is.
        public var depth: Int
        /// When it began, in microseconds since the trace began.
        public var offsetMicroseconds: Int
        /// For how long, in microseconds; 0 of one that is not over.
        public var durationMicroseconds: Int
        /// Whether the span in which it happened is not known.
        public var isOrphan: Bool
    }

    /// What is known of it at a glance.
    public var summary: TraceSummary
    /// Its spans, each after the one in which it happened and by begin beside its siblings.
    public var rows: [Row]

    /// Assembles a trace; nil without spans.
    ///
    /// A span that came more than once is one. A circle of parents is opened at its first span.
    /// Calls that did not say whose they are get the service of the span they are part of.
    ///
    /// - Parameter spans: Spans of one trace, in any order.
    public init?(_ spans: [Span]) {
        let spans = Trace.named(Trace.merged(spans))
        guard let first = spans.min(by: Trace.isRoot) else { return nil }
        let begin = spans.map(\.startMicroseconds).min() ?? 0
        let end = spans.map { $0.startMicroseconds.saturatingSum($0.durationMicroseconds ?? 0) }
            .max()
        summary = TraceSummary(
            traceID: first.traceID,
            name: first.name,
            service: first.service,
            startMicroseconds: begin,
            durationMicroseconds: max(0, (end ?? begin).saturatingDifference(begin)),
            spanCount: spans.count,
            services: Set(spans.map(\.service)).filter { !$0.isEmpty }.sorted(),
            status: first.status,
            isError: spans.contains(where: \.isError)
        )
        rows = Trace.rows(of: spans, begin: begin)
    }

    /// Whether `left` began a trace rather than `right`.
    private static func isRoot(_ left: Span, _ right: Span) -> Bool {
        (left.parentID == nil ? 0 : 1, left.startMicroseconds, left.spanID)
            < (right.parentID == nil ? 0 : 1, right.startMicroseconds, right.spanID)
    }

    /// Each span once, in begin order: of one that came again, the first that is over.
    static func merged(_ spans: [Span]) -> [Span] {
        var byID: [String: Span] = [:]
        for span in spans {
            if let known = byID[span.spanID], known.durationMicroseconds != nil { continue }
            if byID[span.spanID] != nil, span.durationMicroseconds == nil { continue }
            byID[span.spanID] = span
        }
        return byID.values.sorted {
            ($0.startMicroseconds, $0.spanID) < ($1.startMicroseconds, $1.spanID)
        }
    }

    /// The spans, those without a service with that of the span they are part of.
    static func named(_ spans: [Span]) -> [Span] {
        guard spans.contains(where: \.service.isEmpty) else { return spans }
        let byID = Dictionary(spans.map { ($0.spanID, $0) }) { first, _ in first }
        return spans.map { span in
            guard span.service.isEmpty else { return span }
            var (named, seen) = (span, Set([span.spanID]))
            var parentID = span.parentID
            while let parent = parentID.flatMap({ byID[$0] }), seen.insert(parent.spanID).inserted {
                guard parent.service.isEmpty else {
                    named.service = parent.service
                    break
                }
                parentID = parent.parentID
            }
            return named
        }
    }

    /// Rows of spans in begin order.
    private static func rows(of spans: [Span], begin: Int) -> [Row] {
        let parents = parents(of: spans)
        var children: [Int: [Int]] = [:]
        var waiting: [(index: Int, depth: Int)] = []
        for index in spans.indices.reversed() {
            if let parent = parents[index] {
                // The last comes first, as rows are taken from the end.
                children[parent, default: []].append(index)
            } else {
                waiting.append((index, 0))
            }
        }
        var rows: [Row] = []
        while let (index, depth) = waiting.popLast() {
            let span = spans[index]
            rows.append(
                Row(
                    span: span,
                    depth: depth,
                    offsetMicroseconds: span.startMicroseconds.saturatingDifference(begin),
                    durationMicroseconds: max(0, span.durationMicroseconds ?? 0),
                    isOrphan: span.parentID != nil && parents[index] == nil
                )
            )
            waiting += (children[index] ?? []).map { ($0, depth + 1) }
        }
        return rows
    }

    /// Of each span the index of its parent, nil of those without one; there is no circle.
    private static func parents(of spans: [Span]) -> [Int?] {
        let indices = Dictionary(spans.indices.map { (spans[$0].spanID, $0) }) { first, _ in first }
        var parents = spans.indices.map { index in
            spans[index].parentID.flatMap { indices[$0] }.flatMap { $0 == index ? nil : $0 }
        }
        /// In which walk a span was seen.
        var walks = [Int?](repeating: nil, count: spans.count)
        for start in spans.indices {
            var next: Int? = start
            while let index = next, walks[index] == nil {
                walks[index] = start
                next = parents[index]
            }
            guard let again = next, walks[again] == start else { continue }
            parents[earliest(inCircleOf: again, parents)] = nil
        }
        return parents
    }

    private static func earliest(inCircleOf start: Int, _ parents: [Int?]) -> Int {
        var (earliest, index) = (start, parents[start])
        while let next = index, next != start {
            earliest = min(earliest, next)
            index = parents[next]
        }
        return earliest
    }
}
