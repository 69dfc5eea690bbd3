/// A TCP port, 1 to 65535.
public struct Port: Hashable, Codable, Sendable, Comparable, CustomStringConvertible {
    /// The number.
    public let number: UInt16

    /// The port `number`; nil outside 1 to 65535.
    public init?(_ number: Int) {
        guard (1...65535).contains(number) else { return nil }
        self.number = UInt16(number)
    }

    /// App Mesh's ingress port, on which a proxy takes requests for its application.
    public static let ingress = Port(trusted: 15000)
    /// App Mesh's egress port, on which a proxy takes requests from its application.
    public static let egress = Port(trusted: 15001)
    /// Port 9901, of the admin interface of a Pod's proxy, as in App Mesh.
    public static let admin = Port(trusted: 9901)
    /// Port 9902, which App Mesh's agent had beside Envoy.
    public static let agent = Port(trusted: 9902)
    /// Where proxies elsewhere connect for xDS.
    public static let xds = Port(trusted: 18000)
    /// Port 80, which an authority without a port means.
    public static let http = Port(trusted: 80)
    /// Port 443.
    public static let https = Port(trusted: 443)
    /// Port 2000, of X-Ray's daemon.
    public static let xRay = Port(trusted: 2000)
    /// Port 4317, of OTLP over gRPC.
    public static let openTelemetry = Port(trusted: 4317)
    /// Port 9411, of Zipkin's API.
    public static let zipkin = Port(trusted: 9411)
    /// Port 8126, of a Datadog agent.
    public static let datadog = Port(trusted: 8126)

    private init(trusted number: UInt16) { self.number = number }

    /// The number in decimal.
    public var description: String { String(number) }

    /// Orders by number.
    public static func < (left: Port, right: Port) -> Bool { left.number < right.number }
}

/// The share of a target among its siblings, 0 to 100; shares are relative to their sum.
public struct Weight: Hashable, Sendable {
    /// The share.
    public let share: UInt32

    /// The weight `share`; nil outside 0 to 100.
    public init?(_ share: Int) {
        guard (0...100).contains(share) else { return nil }
        self.share = UInt32(share)
    }
}

/// A share of requests, in millionths: the finest that Envoy draws.
public struct Percentage: Hashable, Sendable {
    /// 0 to 1,000,000.
    public let millionths: UInt32

    /// The share `millionths`; nil outside 0 to 1,000,000.
    public init?(millionths: Int) {
        guard (0...1_000_000).contains(millionths) else { return nil }
        self.millionths = UInt32(millionths)
    }

    /// Every request.
    public static let all = Percentage(trusted: 1_000_000)

    private init(trusted millionths: UInt32) { self.millionths = millionths }
}

/// The protocol of a listener.
public enum ListenerProtocol: String, CaseIterable, Hashable, Codable, Sendable {
    case http
    case http2
    case grpc
    case tcp
}

/// A port and what is spoken on it (`portMapping`).
public struct PortMapping: Hashable, Sendable {
    /// `port`.
    public var port: Port
    /// `protocol`.
    public var `protocol`: ListenerProtocol

    /// Makes a port mapping.
    public init(port: Port, protocol: ListenerProtocol) {
        self.port = port
        self.protocol = `protocol`
    }
}

/// A reference to an object, by its name or by an ARN.
///
/// Of an ARN only the last path element counts, which is the `awsName` of the object; mesh and
/// account are ignored, as App Mesh's controller did.
public enum TargetReference: Hashable, Sendable {
    /// `…Ref`, its namespace filled in.
    case object(ObjectReference)
    /// `…ARN`: the `awsName` that it ends in, and the ARN itself.
    case arn(awsName: String, arn: String)
}

/// An IP family preference (`ipPreference`).
public enum IPPreference: String, CaseIterable, Hashable, Sendable {
    case ipv4Only = "IPv4_ONLY"
    case ipv6Only = "IPv6_ONLY"
    case ipv4Preferred = "IPv4_PREFERRED"
    case ipv6Preferred = "IPv6_PREFERRED"
}
