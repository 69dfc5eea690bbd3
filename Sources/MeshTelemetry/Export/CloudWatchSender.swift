internal import AWSClient
internal import FoundationEssentials

/// A metric's data of one interval, on its way to Amazon CloudWatch.
struct MetricItem: ExportItem, Hashable {
    /// A name and its value, both ASCII.
    struct Dimension: Hashable {
        var name: String
        var value: String
    }

    /// Values and how often each occurred.
    struct Value: Hashable {
        var value: Double
        var count: Int
    }

    /// How many different values a metric may have in a request.
    static let valueLimit = 150

    let name: String
    let unit: String
    let dimensions: [Dimension]
    let timeSeconds: Double
    /// At most `valueLimit`.
    let values: [Value]

    /// What it takes in a request at most.
    let byteCount: Int
    var lane: String? { nil }
    var seconds: Double? { nil }

    init(
        name: String,
        unit: String,
        dimensions: [Dimension],
        timeSeconds: Double,
        values: [Value]
    ) {
        self.name = name
        self.unit = unit
        self.dimensions = dimensions
        self.timeSeconds = timeSeconds
        self.values = values
        // Names of members are up to 45 characters long, numbers 24; all but ASCII's letters and
        // digits take three.
        byteCount =
            250 + name.utf8.count + values.count * 140
            + dimensions.reduce(0) { $0 + 120 + 3 * ($1.name.utf8.count + $1.value.utf8.count) }
    }

    /// Writes it as the member `index` of the request's data.
    func write(to form: inout AWSForm, index: Int) {
        let prefix = "MetricData.member.\(index)."
        form.set(prefix + "MetricName", name)
        form.set(prefix + "Unit", unit)
        form.set(prefix + "Timestamp", Date(timeIntervalSince1970: timeSeconds).ISO8601Format())
        for (number, dimension) in zip(1..., dimensions) {
            form.set(prefix + "Dimensions.member.\(number).Name", dimension.name)
            form.set(prefix + "Dimensions.member.\(number).Value", dimension.value)
        }
        if values.count == 1, let only = values.first, only.count == 1 {
            form.set(prefix + "Value", "\(only.value)")
            return
        }
        for (number, value) in zip(1..., values) {
            form.set(prefix + "Values.member.\(number)", "\(value.value)")
            form.set(prefix + "Counts.member.\(number)", "\(value.count)")
        }
    }
}

extension ExportLimits {
    /// Of `PutMetricData`: 1,000 metrics and 1 MB a request.
    static let cloudWatch = ExportLimits(
        count: 20_000,
        bytes: 8 << 20,
        batchCount: 1000,
        batchBytes: 1_000_000,
        itemBytes: 900_000,
        batchOverhead: 512
    )
}

/// Sends metrics to Amazon CloudWatch (`PutMetricData`).
struct CloudWatchSender: Sendable {
    var client: AWSClient
    var configuration: AWSConfiguration
    var namespace: String

    /// Sends them.
    func send(_ items: [MetricItem]) async -> SendOutcome {
        var form = AWSForm("PutMetricData", version: "2010-08-01")
        form.set("Namespace", namespace)
        for (index, item) in zip(1..., items) { item.write(to: &form, index: index) }
        do {
            _ = try await client.submit(form, to: try configuration.cloudWatch())
            return .sent(refused: 0)
        } catch {
            return SendOutcome(calling: error)
        }
    }
}
