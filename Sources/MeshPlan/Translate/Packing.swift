internal import EnvoyAPI
internal import SwiftProtobuf

/// `message` as an Any, serialized deterministically.
func packed(_ message: some Message) throws -> Google_Protobuf_Any {
    var options = BinaryEncodingOptions()
    options.useDeterministicOrdering = true
    var any = Google_Protobuf_Any()
    any.typeURL = "type.googleapis.com/" + type(of: message).protoMessageName
    any.value = try message.serializedBytes(options: options)
    return any
}

extension Google_Protobuf_Duration {
    /// The same time span, to the nanosecond.
    init(_ duration: Duration) {
        let (seconds, attoseconds) = duration.components
        self.init(seconds: seconds, nanos: Int32(attoseconds / 1_000_000_000))
    }
}

/// A socket address of TCP; `::` stands for all addresses of both families.
func socketAddress(_ address: String, _ port: UInt32) -> Envoy_Config_Core_V3_Address {
    var result = Envoy_Config_Core_V3_Address()
    result.socketAddress.address = address
    result.socketAddress.portValue = port
    if address == "::" { result.socketAddress.ipv4Compat = true }
    return result
}

/// Where proxies take resources of other types from: the stream on which they took this one.
let aggregatedDiscovery: Envoy_Config_Core_V3_ConfigSource = {
    var source = Envoy_Config_Core_V3_ConfigSource()
    source.ads = Envoy_Config_Core_V3_AggregatedConfigSource()
    source.resourceApiVersion = .v3
    return source
}()
