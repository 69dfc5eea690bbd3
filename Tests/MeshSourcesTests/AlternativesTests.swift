import MeshManifests
import MeshModel
import Testing

@testable import MeshSources

@Suite struct AlternativesTests {
    private func file(_ path: String, _ text: String) -> ManifestFile {
        decodeManifests(Array(text.utf8), path: path, folder: "/")
    }

    private func mesh(_ name: String, _ label: String) -> String {
        """
        ---
        apiVersion: appmesh.k8s.aws/v1beta2
        kind: Mesh
        metadata: {name: \(name)}
        spec: {namespaceSelector: {matchLabels: {mesh: \(label)}}}

        """
    }

    @Test func `files that agree are one world`() {
        var folder = FolderWorld()
        folder.update("a.yaml", in: ".", to: file("a.yaml", mesh("one", "x") + mesh("two", "y")))
        folder.update("b.yaml", in: ".", to: file("b.yaml", mesh("one", "x")))
        let worlds = folder.alternatives(at: .zero)
        #expect(worlds.count == 1)
        #expect(worlds[0].meshes.count == 2)
    }

    @Test func `files that contradict each other are worlds of their own with all others`() {
        var folder = FolderWorld()
        folder.update("a.yaml", in: ".", to: file("a.yaml", mesh("one", "x")))
        folder.update("b.yaml", in: ".", to: file("b.yaml", mesh("one", "y")))
        folder.update("c.yaml", in: ".", to: file("c.yaml", mesh("two", "z")))
        let worlds = folder.alternatives(at: .zero)
        #expect(
            worlds.map { $0.meshes.keys.map(\.name).sorted() } == [
                ["one", "two"], ["one", "two"],
            ]
        )
        #expect(
            worlds.flatMap(\.diagnostics).map(\.description) == [
                "b.yaml:2: warning: Mesh one: differs from the one in a.yaml:2, so that the two "
                    + "files are checked apart; to run both in one mesh, remove one of the two"
            ]
        )
    }
}
