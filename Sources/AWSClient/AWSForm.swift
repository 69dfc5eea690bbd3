/// A request in AWS' query protocol: an operation with named values, as a form.
public struct AWSForm: Sendable {
    /// The operation, such as `PutMetricData`.
    public let operation: String
    /// The form as it is sent, percent-encoded.
    public private(set) var body: [UInt8]

    /// Makes a form of an operation; `version` is that of the service's interface: `2010-08-01`.
    public init(_ operation: String, version: String) {
        self.operation = operation
        body = []
        set("Action", operation)
        set("Version", version)
    }

    /// Adds a value; members of lists have names like `MetricData.member.1.MetricName`.
    public mutating func set(_ name: String, _ value: String) {
        if !body.isEmpty { body.append(UInt8(ascii: "&")) }
        Self.encode(name, to: &body)
        body.append(UInt8(ascii: "="))
        Self.encode(value, to: &body)
    }

    private static func encode(_ text: String, to body: inout [UInt8]) {
        let digits = Array("0123456789ABCDEF".utf8)
        for byte in text.utf8 {
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "_"),
                UInt8(ascii: "."), UInt8(ascii: "~"):
                body.append(byte)
            default:
                body += [UInt8(ascii: "%"), digits[Int(byte >> 4)], digits[Int(byte & 15)]]
            }
        }
    }
}
