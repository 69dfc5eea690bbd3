import Foundation
import MeshManifests
import MeshModel
import Testing

/// Edits of mutated manifests: whatever comes out differs in the amounts alone.
@Suite struct ResourceEditingFuzzTests {
    /// Real manifests, each beside Workloads in many notations.
    static let texts: [String] = {
        let folder = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
            .deletingLastPathComponent().deletingLastPathComponent()
            .appending(path: "Manifests/examples")
        let files = FileManager.default.enumerator(at: folder, includingPropertiesForKeys: nil)
        let paths = (files?.allObjects ?? []).compactMap { $0 as? URL }
            .filter { $0.pathExtension == "yaml" }.sorted { $0.path < $1.path }
        return paths.compactMap { try? String(contentsOf: $0, encoding: .utf8) }
    }()

    private static let workloads = ResourceEditingTests.shapes.map { shape in
        let body = shape.before.split(separator: "\n").map { "  \($0)\n" }.joined()
        return """
            apiVersion: heddle.dev/v1alpha1
            kind: Workload
            metadata:
              name: blue
              namespace: demo
              annotations: {appmesh.k8s.aws/cpuRequest: 20m}
            spec:
            \(body)
            """
    }

    /// Everything that a file says but for the sidecars of Workloads and their annotations.
    private func rest(_ text: String) -> [JSONValue] {
        let file = decodeManifests(Array(text.utf8), path: "demo.yaml", folder: "/")
        return file.objects.map { object in
            var document = object.manifest.document
            guard case .workload = object else { return document }
            var spec = document["spec"]
            spec?["sidecar"]?["resources"] = nil
            if spec?["sidecar"] == .object([:]) { spec?["sidecar"] = nil }
            document["spec"] = spec == .object([:]) ? nil : spec
            document["metadata"]?["annotations"] = nil
            return document
        }
    }

    @Test func `each Workload of the examples can be edited and put back`() throws {
        var count = 0
        for text in Self.texts {
            let file = decodeManifests(Array(text.utf8), path: "demo.yaml", folder: "/")
            for case .workload(let workload) in file.objects {
                let result = try settingResources(
                    SidecarResources(cpuRequestMillicores: 15, memoryRequestBytes: 48 << 20),
                    ofProxyBeside: workload.id.reference,
                    in: Array(text.utf8),
                    path: "demo.yaml"
                )
                let new = String(decoding: result, as: UTF8.self)
                #expect(rest(new) == rest(text))
                let kept = new.split(separator: "\n", omittingEmptySubsequences: false)
                    .filter { !$0.contains("15m") && !$0.contains("48Mi") }
                let lines = text.split(separator: "\n", omittingEmptySubsequences: false)
                #expect(Set(kept.filter { !lines.contains($0) }).count <= 3)
                count += 1
            }
        }
        #expect(count >= 6)
    }

    @Test(arguments: [UInt64(1), 2])
    func `mutated manifests are edited in these fields only, or refused`(seed: UInt64) {
        var generator = SeededGenerator(state: seed)
        var edits = 0
        for _ in 0..<500 {
            let workload = Self.workloads.randomElement(using: &generator) ?? ""
            let beside =
                generator.next() % 4 == 0 ? Self.texts.randomElement(using: &generator) : nil
            var bytes = Array((workload + (beside.map { "\n---\n" + $0 } ?? "")).utf8)
            for _ in 0..<Int.random(in: 0...3, using: &generator) {
                mutate(&bytes, upTo: workload.utf8.count, using: &generator)
            }
            let text = String(decoding: bytes, as: UTF8.self)
            guard let result = try? edited(text) else { continue }
            edits += 1
            #expect(rest(result) == rest(text), "\(text)")
            #expect((try? edited(result)) == result, "\(text)")
        }
        #expect(edits > 100)
    }

    private func mutate(
        _ bytes: inout [UInt8],
        upTo end: Int,
        using generator: inout SeededGenerator
    ) {
        let index = Int.random(in: 0..<min(end, bytes.count), using: &generator)
        let byte = MutationTests.special.randomElement(using: &generator) ?? 0
        let end = min(bytes.count, index + Int.random(in: 1...20, using: &generator))
        switch Int.random(in: 0..<4, using: &generator) {
        case 0: bytes[index] = byte
        case 1: bytes.insert(byte, at: index)
        case 2: if end - index < bytes.count { bytes.removeSubrange(index..<end) }
        default: bytes.insert(contentsOf: bytes[index..<end], at: end)
        }
    }
}
