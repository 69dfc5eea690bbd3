internal import MeshModel

/// Any key of a document.
private struct AnyKey: CodingKey {
    var stringValue: String
    var intValue: Int? { nil }

    init?(stringValue: String) { self.stringValue = stringValue }
    init?(intValue: Int) { nil }
}

extension Decoder {
    /// The members of a document of settings.
    ///
    /// - Throws: `DecodingError` that names each member that settings do not have.
    func settings<Key: CodingKey & CaseIterable>(
        _ keys: Key.Type
    ) throws -> KeyedDecodingContainer<Key> {
        let known = Key.allCases.map(\.stringValue)
        let given = try container(keyedBy: AnyKey.self).allKeys.map(\.stringValue)
        let unknown = given.filter { !known.contains($0) }.sorted()
        guard let first = unknown.first else { return try container(keyedBy: keys) }
        let path = (codingPath.map(\.stringValue) + [first]).joined(separator: ".")
        let remedy =
            nearestName(to: first, among: known).map { "did you mean \(quoted($0))?" }
            ?? "known are \(known.sorted().joined(separator: ", "))"
        throw DecodingError.dataCorrupted(
            DecodingError.Context(
                codingPath: codingPath,
                debugDescription: "\(path): unknown setting; \(remedy)"
            )
        )
    }
}

extension KeyedDecodingContainer {
    /// Puts the member `key` into `value`, if there is one.
    func read<Value: Decodable>(_ key: Key, _ value: inout Value) throws {
        if let given = try decodeIfPresent(Value.self, forKey: key) { value = given }
    }

    /// Puts the amounts that the member `key` has into `value`, and leaves the others.
    func readParts(_ key: Key, _ value: inout InjectionSettings.Amounts) throws {
        guard contains(key), try !decodeNil(forKey: key) else { return }
        let decoder = try superDecoder(forKey: key)
        let values = try decoder.settings(AmountKey.self)
        try values.read(.cpu, &value.cpu)
        try values.read(.memory, &value.memory)
    }
}

/// The members of amounts.
private enum AmountKey: String, CodingKey, CaseIterable { case cpu, memory }
