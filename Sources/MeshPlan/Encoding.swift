internal import EnvoyAPI
internal import FoundationEssentials
public import MeshModel
public import SwiftProtobuf

extension EncodedResource {
    /// Encodes `message` once, for every proxy that receives it.
    ///
    /// The version is the FNV-1a hash of the deterministic encoding, 16 hexadecimal digits.
    ///
    /// - Throws: what SwiftProtobuf throws when a message can't be serialized, as one with a string
    ///   of over 2 GiB.
    public convenience init(
        _ type: ResourceType,
        name: String,
        message: some Message,
        origins: [ObjectID: Int],
        endpointsName: String? = nil,
        secretNames: Set<String> = []
    ) throws {
        var options = BinaryEncodingOptions()
        options.useDeterministicOrdering = true
        let payload: [UInt8] = try message.serializedBytes(options: options)
        let version = hexadecimal(fnv1a(payload))
        self.init(
            type: type,
            name: name,
            version: version,
            payload: payload,
            deltaEntry: try entry(type, name, version, payload),
            origins: origins,
            endpointsName: endpointsName,
            secretNames: secretNames
        )
    }

    /// Encodes the secret `message` once, for every proxy that receives it.
    ///
    /// Its `version` is given, as a hash would be one of a key. `payload` is empty.
    ///
    /// - Throws: what SwiftProtobuf throws when a message can't be serialized, as one with a string
    ///   of over 2 GiB.
    public convenience init(
        secret name: String,
        version: String,
        message: some Message,
        origins: [ObjectID: Int]
    ) throws {
        let payload: [UInt8] = try message.serializedBytes()
        self.init(
            type: .secrets,
            name: name,
            version: version,
            payload: [],
            deltaEntry: try entry(.secrets, name, version, payload),
            origins: origins,
            endpointsName: nil
        )
    }
}

extension ResourceType {
    /// The type URL of the resources in xDS requests and responses.
    public var typeURL: String {
        switch self {
        case .clusters: "type.googleapis.com/envoy.config.cluster.v3.Cluster"
        case .endpoints: "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment"
        case .listeners: "type.googleapis.com/envoy.config.listener.v3.Listener"
        case .routes: "type.googleapis.com/envoy.config.route.v3.RouteConfiguration"
        case .secrets:
            "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret"
        }
    }

    /// The type of the resources that `typeURL` names; nil for types that are not served.
    public init?(typeURL: String) {
        guard let type = ResourceType.allCases.first(where: { $0.typeURL == typeURL }) else {
            return nil
        }
        self = type
    }
}

extension EncodedResource {
    /// Whether it is a certificate in files.
    public var isCertificate: Bool {
        typealias Secret = Envoy_Extensions_TransportSockets_Tls_V3_Secret
        guard type == .secrets, let secret = try? Secret(serializedBytes: payload) else {
            return false
        }
        guard case .tlsCertificate = secret.type else { return false }
        return true
    }

    /// The secret that it is, which only its entry for the proxy has.
    ///
    /// - Throws: what SwiftProtobuf throws when this is no secret.
    func secret() throws -> Envoy_Extensions_TransportSockets_Tls_V3_Secret {
        let response = try Envoy_Service_Discovery_V3_DeltaDiscoveryResponse(
            serializedBytes: deltaEntry
        )
        return try .init(serializedBytes: response.resources.first?.resource.value ?? Data())
    }
}

/// The resource as an entry of `DeltaDiscoveryResponse.resources`.
private func entry(
    _ type: ResourceType,
    _ name: String,
    _ version: String,
    _ payload: [UInt8]
) throws -> [UInt8] {
    var resource = Envoy_Service_Discovery_V3_Resource()
    resource.name = name
    resource.version = version
    resource.resource.typeURL = type.typeURL
    resource.resource.value = .init(payload)
    let body: [UInt8] = try resource.serializedBytes()
    return [resourcesFieldTag] + varint(body.count) + body
}

/// `DeltaDiscoveryResponse.resources`: field 2, length-delimited.
private let resourcesFieldTag: UInt8 = 2 << 3 | 2

private func varint(_ value: Int) -> [UInt8] {
    var rest = UInt64(value)
    var bytes: [UInt8] = []
    while rest >= 0x80 {
        bytes.append(UInt8(rest & 0x7f) | 0x80)
        rest >>= 7
    }
    bytes.append(UInt8(rest))
    return bytes
}

private func fnv1a(_ bytes: [UInt8]) -> UInt64 {
    bytes.reduce(0xcbf2_9ce4_8422_2325) { ($0 ^ UInt64($1)) &* 0x100_0000_01b3 }
}

private func hexadecimal(_ value: UInt64) -> String {
    let digits = String(value, radix: 16)
    return String(repeating: "0", count: 16 - digits.count) + digits
}

extension EncodedResource: Codable {
    private enum CodingKeys: String, CodingKey {
        case type, name, version, payload, origins, endpointsName, secretNames
    }

    /// Decodes what `encode(to:)` wrote.
    public convenience init(from decoder: any Swift.Decoder) throws {
        let container = try decoder.container(keyedBy: CodingKeys.self)
        let type = try container.decode(ResourceType.self, forKey: .type)
        let name = try container.decode(String.self, forKey: .name)
        let version = try container.decode(String.self, forKey: .version)
        let payload = [UInt8](try container.decode(Data.self, forKey: .payload))
        self.init(
            type: type,
            name: name,
            version: version,
            payload: payload,
            deltaEntry: try entry(type, name, version, payload),
            origins: try container.decode([ObjectID: Int].self, forKey: .origins),
            endpointsName: try container.decodeIfPresent(String.self, forKey: .endpointsName),
            secretNames: try container.decode(Set<String>.self, forKey: .secretNames)
        )
    }

    /// Encodes the resource for the next daemon; of a secret, everything but what it is.
    public func encode(to encoder: any Swift.Encoder) throws {
        var container = encoder.container(keyedBy: CodingKeys.self)
        try container.encode(type, forKey: .type)
        try container.encode(name, forKey: .name)
        try container.encode(version, forKey: .version)
        try container.encode(Data(payload), forKey: .payload)
        try container.encode(origins, forKey: .origins)
        try container.encodeIfPresent(endpointsName, forKey: .endpointsName)
        try container.encode(secretNames, forKey: .secretNames)
    }
}
