internal import EnvoyAPI
internal import GRPCCore
internal import MeshModel
internal import MeshPlan
internal import SwiftProtobuf

/// One `DeltaDiscoveryResponse`, its resources still shared with every other proxy.
struct DeltaResponse: Sendable {
    var type: ResourceType
    var nonce: String
    var resources: [EncodedResource]
    var removed: [String]

    /// The fields beside `resources`, encoded.
    ///
    /// `system_version_info` stays empty: a resource has a version, a proxy's snapshot has none.
    fileprivate func encodedFrame() throws -> [UInt8] {
        var frame = Envoy_Service_Discovery_V3_DeltaDiscoveryResponse()
        frame.typeURL = type.typeURL
        frame.nonce = nonce
        frame.removedResources = removed
        return try frame.serializedBytes()
    }
}

/// Writes responses without encoding a resource again.
///
/// Protobuf's fields may come in any order, so the entries of the resources, encoded when they were
/// planned, are put in a row, and the other fields after them.
/// See <https://protobuf.dev/programming-guides/encoding/#order>.
struct DeltaResponseSerializer: MessageSerializer {
    func serialize<Bytes: GRPCContiguousBytes>(_ response: DeltaResponse) throws -> Bytes {
        let frame = try response.encodedFrame()
        let count = response.resources.reduce(frame.count) { $0 + $1.deltaEntry.count }
        var bytes = Bytes(repeating: 0, count: count)
        bytes.withUnsafeMutableBytes { buffer in
            var offset = 0
            for resource in response.resources {
                buffer[offset...].copyBytes(from: resource.deltaEntry)
                offset += resource.deltaEntry.count
            }
            buffer[offset...].copyBytes(from: frame)
        }
        return bytes
    }
}
