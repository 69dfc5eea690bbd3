/// Whose access log a file is.
final class LogSource: Hashable, Sendable {
    /// The file.
    let path: String
    /// `<namespace>/<node>`, or the path where several share the file.
    let stream: String
    /// Who wrote it, by names of OpenTelemetry and App Mesh.
    let attributes: [String: String]
    /// Whether the file is a proxy's own log, in which Envoy's messages are, too.
    let isMixed: Bool

    init(path: String, stream: String, attributes: [String: String], isMixed: Bool) {
        self.path = path
        self.stream = stream
        self.attributes = attributes
        self.isMixed = isMixed
    }

    static func == (left: LogSource, right: LogSource) -> Bool {
        left.path == right.path && left.stream == right.stream && left.isMixed == right.isMixed
            && left.attributes == right.attributes
    }

    func hash(into hasher: inout Hasher) { hasher.combine(path) }
}

/// A line of an access log on its way.
struct LogItem: ExportItem {
    /// What CloudWatch Logs counts for each event beside its message.
    static let overhead = 26

    let source: LogSource
    let message: String
    /// When the request began, where the line begins with that; else when it was read.
    let timeSeconds: Double
    let readSeconds: Double
    /// Where the line ends.
    let place: LogPlace
    let byteCount: Int

    init(_ line: LogLine, of source: LogSource, readSeconds: Double) {
        self.source = source
        self.readSeconds = readSeconds
        message = String(decoding: line.bytes, as: UTF8.self)
        timeSeconds = AccessLine.timeSeconds(of: line.bytes, near: readSeconds) ?? readSeconds
        place = line.place
        byteCount = message.utf8.count + Self.overhead
    }

    var lane: String? { source.stream }
    var seconds: Double? { timeSeconds }
}

/// What is known of a line by its form.
enum AccessLine {
    /// The time with which App Mesh's default access log begins, in seconds since 1970.
    ///
    /// - Parameters:
    ///   - line: The line.
    ///   - now: When it was read; a time more than 13 days before, or after it, is not believed.
    /// - Returns: nil where the line does not begin with a time.
    static func timeSeconds(of line: [UInt8], near now: Double) -> Double? {
        guard matches(line, "[0000-00-00T00:00:00.000Z]") else { return nil }
        func number(_ range: Range<Int>) -> Int {
            line[range].reduce(0) { $0 * 10 + Int($1 - UInt8(ascii: "0")) }
        }
        let (year, month, day) = (number(1..<5), number(6..<8), number(9..<11))
        guard (1...12).contains(month), (1...31).contains(day) else { return nil }
        let clock = number(12..<14) * 3600 + number(15..<17) * 60 + number(18..<20)
        let days = daysSince1970(year: year, month: month, day: day)
        let seconds = Double(days * 86_400 + clock) + Double(number(21..<24)) / 1000
        return seconds <= now + 1 && seconds > now - 13 * 86_400 ? seconds : nil
    }

    /// Whether it begins like `pattern`, in which 0 is any digit.
    static func matches(_ line: some Collection<UInt8>, _ pattern: StaticString) -> Bool {
        guard line.count >= pattern.utf8CodeUnitCount else { return false }
        let digits = UInt8(ascii: "0")...UInt8(ascii: "9")
        return pattern.withUTF8Buffer { pattern in
            zip(line, pattern).allSatisfy { byte, expected in
                expected == UInt8(ascii: "0") ? digits.contains(byte) : byte == expected
            }
        }
    }

    /// Days of the Gregorian calendar, with years that begin in March.
    private static func daysSince1970(year: Int, month: Int, day: Int) -> Int {
        let year = month <= 2 ? year - 1 : year
        let era = year / 400
        let yearOfEra = year - era * 400
        let dayOfYear = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1
        let dayOfEra = yearOfEra * 365 + yearOfEra / 4 - yearOfEra / 100 + dayOfYear
        return era * 146_097 + dayOfEra - 719_468
    }
}
