/// Samples as Prometheus reads them.
///
/// https://prometheus.io/docs/instrumenting/exposition_formats/#text-based-format
public struct MetricsText: Sendable {
    /// `Content-Type`.
    public static let contentType = "text/plain; version=0.0.4; charset=utf-8"

    /// What a metric's values mean.
    public enum MetricType: String, Sendable {
        case counter
        case gauge
        case histogram
    }

    /// The text; each line ends with a line break.
    public private(set) var text = ""

    /// Makes a text of nothing.
    public init() {}

    /// Adds a metric; one without samples is left out.
    ///
    /// Samples are sorted by their labels, so that equal samples give equal text.
    ///
    /// - Parameters:
    ///   - name: The metric's name, which is not checked.
    ///   - type: What its values mean; a histogram has `addHistogram`.
    ///   - help: What it tells, as a sentence.
    ///   - samples: Its values; no two have equal labels.
    public mutating func add(
        _ name: String,
        _ type: MetricType,
        help: String,
        _ samples: [(labels: MetricLabels, value: Double)]
    ) {
        guard !samples.isEmpty else { return }
        addHead(name, type, help)
        let lines = samples.map { sample in
            "\(name){\(sample.labels.text)} \(Self.number(sample.value))\n"
        }
        text += lines.sorted().joined()
    }

    /// Adds a histogram; one without samples is left out.
    ///
    /// - Parameters:
    ///   - name: The metric's name, without `_bucket`.
    ///   - help: What it tells, as a sentence.
    ///   - samples: What was counted; no two have equal labels.
    public mutating func addHistogram(
        _ name: String,
        help: String,
        _ samples: [(labels: MetricLabels, histogram: MetricHistogram)]
    ) {
        guard !samples.isEmpty else { return }
        addHead(name, .histogram, help)
        let series = samples.map { (labels: $0.labels.text, histogram: $0.histogram) }
        for (labels, histogram) in series.sorted(by: { $0.labels < $1.labels }) {
            let separator = labels.isEmpty ? "" : ","
            var count = 0
            for (bound, inside) in zip(histogram.upperBounds + [.infinity], histogram.counts) {
                count += inside
                let bucket = "\(labels)\(separator)le=\"\(Self.number(bound))\""
                text += "\(name)_bucket{\(bucket)} \(count)\n"
            }
            text += "\(name)_sum{\(labels)} \(Self.number(histogram.sum))\n"
            text += "\(name)_count{\(labels)} \(count)\n"
        }
    }

    private mutating func addHead(_ name: String, _ type: MetricType, _ help: String) {
        text += "# HELP \(name) \(MetricLabels.escaped(help))\n# TYPE \(name) \(type.rawValue)\n"
    }

    /// A number as Go reads it; a whole one has no fraction.
    static func number(_ value: Double) -> String {
        if value.isNaN { return "NaN" }
        if value.isInfinite { return value < 0 ? "-Inf" : "+Inf" }
        return Int(exactly: value).map(String.init) ?? String(value)
    }
}

/// What tells one sample of a metric from the others, in order.
public struct MetricLabels: Hashable, Sendable, ExpressibleByDictionaryLiteral {
    private(set) var text = ""

    /// Makes labels of names, which are not checked, and values, which may hold anything.
    public init(dictionaryLiteral elements: (String, String)...) {
        for (name, value) in elements { append(name, value) }
    }

    /// Adds a label that is not among them yet.
    public mutating func append(_ name: String, _ value: String) {
        if !text.isEmpty { text += "," }
        text += "\(name)=\"\(Self.escaped(value, quotes: true))\""
    }

    static func escaped(_ text: String, quotes: Bool = false) -> String {
        var result = ""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\\": result += "\\\\"
            case "\n": result += "\\n"
            case "\"" where quotes: result += "\\\""
            default: result.unicodeScalars.append(scalar)
            }
        }
        return result
    }
}

/// How often values were in which range.
public struct MetricHistogram: Hashable, Sendable {
    /// The ends of the ranges, growing; the last range has no end.
    public let upperBounds: [Double]
    /// How many values are in each range, and not in those before; one more than `upperBounds`.
    public private(set) var counts: [Int]
    /// All values added up.
    public private(set) var sum = 0.0

    /// Makes a histogram of nothing.
    public init(upperBounds: [Double]) {
        self.upperBounds = upperBounds
        counts = Array(repeating: 0, count: upperBounds.count + 1)
    }

    /// Counts a value, which belongs to the first range that does not end below it.
    ///
    /// - Parameters:
    ///   - value: The value.
    ///   - count: How often it was seen.
    public mutating func record(_ value: Double, count: Int = 1) {
        counts[upperBounds.firstIndex { value <= $0 } ?? upperBounds.count] += count
        sum += value * Double(count)
    }
}
