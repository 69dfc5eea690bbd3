import MeshManifests
import MeshModel
import Testing

/// SplitMix64, so that a seed gives the same bytes everywhere.
struct SeededGenerator: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var value = state
        value = (value ^ (value >> 30)) &* 0xBF58_476D_1CE4_E5B9
        value = (value ^ (value >> 27)) &* 0x94D0_49BB_1331_11EB
        return value ^ (value >> 31)
    }
}

@Suite struct MutationTests {
    /// Bytes that mean something to YAML.
    static let special = Array("-:?[]{},#&*!|>'\"%@`~\\ \t\r\n0<=./$".utf8) + [0, 0xC3, 0xEF, 0xFF]

    @Test(
        arguments: [UInt64(2026)],
        [
            TwelveMistakesTests.text, TrafficPolicyTests.text, CertificateMappingTests.text,
        ]
    )
    func `mutated manifests never crash and decode the same twice`(seed: UInt64, text: String) {
        print("seed \(seed)")
        var generator = SeededGenerator(state: seed)
        let original = Array(text.utf8)
        for _ in 0..<2000 {
            var bytes = original
            for _ in 0..<Int.random(in: 1...8, using: &generator) {
                mutate(&bytes, using: &generator)
            }
            let first = decodeManifests(bytes, path: "demo.yaml", folder: "/")
            let second = decodeManifests(bytes, path: "demo.yaml", folder: "/")
            #expect(first.diagnostics == second.diagnostics)
            #expect(
                first.objects.map(\.manifest.document) == second.objects.map(\.manifest.document)
            )
            let lines = bytes.count(where: { $0 == UInt8(ascii: "\n") || $0 == UInt8(ascii: "\r") })
            for diagnostic in first.diagnostics {
                #expect(
                    diagnostic.location.map { (1...lines + 1).contains($0.line) } == true,
                    "\(diagnostic), \(lines)"
                )
            }
        }
    }

    /// Overwrites, inserts, removes, or copies some bytes.
    private func mutate(_ bytes: inout [UInt8], using generator: inout SeededGenerator) {
        let index = Int.random(in: 0..<bytes.count, using: &generator)
        let byte = Self.special.randomElement(using: &generator) ?? 0
        let end = min(bytes.count, index + Int.random(in: 1...40, using: &generator))
        switch Int.random(in: 0..<4, using: &generator) {
        case 0: bytes[index] = byte
        case 1: bytes.insert(byte, at: index)
        case 2: if end - index < bytes.count { bytes.removeSubrange(index..<end) }
        default: bytes.insert(contentsOf: bytes[index..<end], at: end)
        }
    }

    @Test func `an accepted document decodes to the same object again`() throws {
        let text = manifest(
            "VirtualNode",
            "blue",
            """
            listeners: [{portMapping: {port: 8080, protocol: http}}]
            serviceDiscovery: {dns: {hostname: blue.local}}
            unknown: 1
            """
        )
        let node = try #require(decode(text).node)
        let again = decodeObject(node.manifest.document)
        #expect(again.diagnostics.isEmpty)
        guard case .virtualNode(let copy) = again.object else {
            Issue.record("no virtual node")
            return
        }
        #expect(copy.spec == node.spec)
        #expect(copy.metadata == node.metadata)
        #expect(copy.manifest.document == node.manifest.document)
    }
}
