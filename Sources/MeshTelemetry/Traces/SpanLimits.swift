/// Bounds of one span: what comes from outside may be hostile.
enum SpanLimits {
    /// How many attributes a span keeps.
    static let attributes = 64
    /// How many bytes of an attribute's name are kept.
    static let keyBytes = 128
    /// How many bytes of an attribute's value are kept.
    static let valueBytes = 1024
    /// How many bytes of a name or a service are kept; X-Ray has 200 characters.
    static let nameBytes = 250
    /// Times are after 1970 and before the year 2100.
    static let seconds = 1.0..<4_102_444_800.0
    /// See `seconds`.
    static let microseconds = 1_000_000..<4_102_444_800_000_000
}

extension String {
    /// The text without its end where it has more than `bytes` bytes.
    func cut(to bytes: Int) -> String {
        guard utf8.count > bytes else { return self }
        var end = utf8.index(utf8.startIndex, offsetBy: bytes)
        // Not within a character.
        while end > startIndex, String.Index(end, within: unicodeScalars) == nil {
            end = utf8.index(before: end)
        }
        return String(self[..<end])
    }
}

/// Attributes as they are gathered: bounded, the first of a name stays.
struct SpanAttributes {
    private(set) var values: [String: String] = [:]

    /// What holds URLs, by Envoy's and OpenTelemetry's names.
    private static let urls: Set<String> = ["http.url", "http.target", "url.full"]

    /// Adds `value`, unless it is nil or empty, its name is taken or there are enough.
    ///
    /// URLs are kept without their queries, which may hold what is secret.
    mutating func add(_ key: String, _ value: String?) {
        guard let value, !value.isEmpty, !key.isEmpty, values.count < SpanLimits.attributes else {
            return
        }
        let key = key.cut(to: SpanLimits.keyBytes)
        guard values[key] == nil else { return }
        guard key != "url.query" else { return }
        let isURL = Self.urls.contains(key)
        let kept = isURL ? String(value.prefix { $0 != "?" && $0 != "#" }) : value
        values[key] = kept.cut(to: SpanLimits.valueBytes)
    }
}

/// The forms of a trace's id.
public enum TraceID {
    /// 32 hexadecimal digits in lower case.
    ///
    /// - Parameter text: Such digits, or X-Ray's form `1-58406520-a006649127e371903a2de979`.
    /// - Returns: nil of anything else, and of zeros.
    public static func normalized(_ text: String) -> String? {
        var digits = Array(text.utf8.prefix(40))
        if digits.count == 35 {
            guard digits.starts(with: [0x31, 0x2d]), digits[10] == 0x2d else { return nil }
            digits.remove(at: 10)
            digits.removeFirst(2)
        }
        return digits.count == 32 ? hexadecimal(digits) : nil
    }

    /// The begin of an id as people type it, in the form of ids.
    ///
    /// - Parameter text: The first digits of an id, or of one in X-Ray's form.
    /// - Returns: nil of what no id begins with.
    public static func prefix(_ text: String) -> String? {
        var text = text.lowercased()
        if text.hasPrefix("1-") { text.removeFirst(2) }
        text.removeAll { $0 == "-" }
        let isHexadecimal = text.utf8.allSatisfy { digitValue($0) != nil }
        return (1...32).contains(text.utf8.count) && isHexadecimal ? text : nil
    }

    /// X-Ray's form of an id of 32 digits: `1-58406520-a006649127e371903a2de979`.
    public static func xRay(_ traceID: String) -> String {
        "1-\(traceID.prefix(8))-\(traceID.dropFirst(8))"
    }

    /// 16 hexadecimal digits in lower case; nil of anything else, and of zeros.
    static func spanID(_ text: String) -> String? {
        text.utf8.count == 16 ? hexadecimal(Array(text.utf8)) : nil
    }

    /// The digits of `bytes`; nil of zeros.
    static func hexadecimal(of bytes: some Sequence<UInt8>) -> String? {
        let digits = Array("0123456789abcdef".utf8)
        return hexadecimal(bytes.flatMap { [digits[Int($0 >> 4)], digits[Int($0 & 15)]] })
    }

    /// The bytes that `digits` stand for; none where they are not pairs of digits.
    static func bytes(of digits: String) -> [UInt8] {
        let values = digits.utf8.compactMap(digitValue)
        guard values.count == digits.utf8.count, values.count.isMultiple(of: 2) else { return [] }
        return stride(from: 0, to: values.count, by: 2).map { values[$0] << 4 | values[$0 + 1] }
    }

    private static func hexadecimal(_ digits: [UInt8]) -> String? {
        var lowered: [UInt8] = []
        lowered.reserveCapacity(digits.count)
        var isZero = true
        for digit in digits {
            guard let value = digitValue(digit) else { return nil }
            if value != 0 { isZero = false }
            lowered.append(value < 10 ? 0x30 + value : 0x57 + value)
        }
        return isZero ? nil : String(decoding: lowered, as: UTF8.self)
    }

    private static func digitValue(_ digit: UInt8) -> UInt8? {
        switch digit {
        case 0x30...0x39: digit - 0x30
        case 0x41...0x46: digit - 0x37
        case 0x61...0x66: digit - 0x57
        default: nil
        }
    }
}

/// What was done for a request, as a name: `GET /path`; nil where that is not known.
func requestName(method: String?, url: String?) -> String? {
    guard let method, !method.isEmpty, let url, !url.isEmpty else { return nil }
    var rest = url[...]
    if let scheme = rest.firstRange(of: "://") {
        rest = rest[scheme.upperBound...]
        rest = rest.firstIndex(of: "/").map { rest[$0...] } ?? "/"
    }
    // Queries are not shown, as they may hold what is secret.
    let path = rest.prefix { $0 != "?" && $0 != "#" }
    return "\(method) \(path)".cut(to: SpanLimits.nameBytes)
}
