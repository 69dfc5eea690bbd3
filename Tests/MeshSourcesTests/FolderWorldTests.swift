import MeshManifests
import MeshModel
import Testing

@testable import MeshSources

@Suite final class FolderWorldTests {
    private var folder = FolderWorld()

    private func write(_ path: String, _ text: String) {
        folder.update(path, in: "conf", to: decodeLines(Array(text.utf8), path, "/conf"))
    }

    private func world(at seconds: Int = 1000) -> World {
        folder.world(at: .seconds(seconds))
    }

    @Test func `a file that stops parsing keeps its last good objects`() {
        write("conf/a.yaml", "demo/a 1\ndemo/b 1\ndemo/c 1")
        write("conf/b.yaml", "demo/d 1")
        write("conf/a.yaml", "\n?")
        let world = world()
        #expect(world.nodes == ["demo/a 1", "demo/b 1", "demo/c 1", "demo/d 1"])
        #expect(
            world.diagnostics.map(\.description) == [
                "conf/a.yaml:2: error: no document",
                "conf/a.yaml:2: warning: keeps the 3 objects of its last good version",
            ]
        )
    }

    @Test func `what is kept stays through further mistakes and goes with a repair`() {
        write("conf/a.yaml", "demo/a 1\ndemo/b 1")
        write("conf/a.yaml", "?")
        write("conf/a.yaml", "?\n?")
        #expect(world().nodes == ["demo/a 1", "demo/b 1"])
        write("conf/a.yaml", "demo/b 2")
        let repaired = world()
        #expect(repaired.nodes == ["demo/b 2"])
        #expect(repaired.diagnostics.isEmpty)
    }

    @Test func `the documents before a mistake count`() {
        write("conf/a.yaml", "demo/a 1\ndemo/b 1")
        write("conf/a.yaml", "demo/a 2\n?")
        #expect(world().nodes == ["demo/a 2", "demo/b 1"])
        let messages = world().diagnostics.map(\.message)
        #expect(messages.contains("keeps the object of its last good version"))
    }

    @Test func `an invalid object keeps its last good version and the others proceed`() {
        write("conf/a.yaml", "demo/a 1\ndemo/b 1\ndemo/c 1")
        write("conf/a.yaml", "demo/a ?\ndemo/b 2")
        let world = world()
        #expect(world.nodes == ["demo/a 1", "demo/b 2"])
        #expect(
            world.diagnostics.map(\.description) == [
                "conf/a.yaml:1: error: VirtualNode demo/a: wrong",
                "conf/a.yaml:1: warning: VirtualNode demo/a: keeps its last good version",
            ]
        )
    }

    @Test func `a new file with a mistake has nothing to keep`() {
        write("conf/a.yaml", "demo/a ?\n?")
        let world = world()
        #expect(world.nodes.isEmpty)
        #expect(world.diagnostics.map(\.severity) == [.error, .error])
    }

    @Test func `a deleted file takes its objects along, kept ones too`() {
        write("conf/a.yaml", "demo/a 1")
        write("conf/b.yaml", "demo/b 1")
        write("conf/a.yaml", "?")
        folder.remove("conf/a.yaml")
        #expect(world().nodes == ["demo/b 1"])
        #expect(world().diagnostics.isEmpty)
    }

    @Test func `of an object in two files the one in the first file counts`() {
        write("conf/b.yaml", "\ndemo/x 2")
        write("conf/a.yaml", "demo/y 1\n\ndemo/x 1")
        let world = world()
        #expect(world.nodes == ["demo/x 1", "demo/y 1"])
        #expect(
            world.diagnostics.map(\.description) == [
                "conf/b.yaml:2: error: VirtualNode demo/x: is already in conf/a.yaml:3, "
                    + "which counts; remove one of the two"
            ]
        )
    }

    @Test func `the same object word for word in two files is a note`() {
        write("conf/a.yaml", "demo/x 1")
        write("conf/b.yaml", "demo/x 1")
        let texts = world().diagnostics.map(\.description)
        #expect(texts == ["conf/b.yaml:1: note: VirtualNode demo/x: is also in conf/a.yaml:1"])
    }

    @Test func `an object moved out of a file that broke comes from its new file`() {
        write("conf/a.yaml", "demo/x 1\ndemo/y 1")
        write("conf/a.yaml", "?")
        write("conf/b.yaml", "demo/x 2")
        let world = world()
        #expect(world.nodes == ["demo/x 2", "demo/y 1"])
        #expect(world.diagnostics.allSatisfy { $0.location?.file == "conf/a.yaml" })
    }

    @Test func `uid and creation time survive edits and moves to another file`() throws {
        write("conf/a.yaml", "demo/x 1")
        let first = try #require(world(at: 1000).metadata(of: "x"))
        write("conf/a.yaml", "demo/x 2")
        let edited = try #require(world(at: 2000).metadata(of: "x"))
        folder.remove("conf/a.yaml")
        write("conf/b.yaml", "demo/x 2")
        let moved = try #require(world(at: 3000).metadata(of: "x"))
        #expect(first.uid == edited.uid)
        #expect(first.creationTimestampSeconds == 1000)
        #expect(edited.creationTimestampSeconds == 1000)
        #expect((first.generation, edited.generation) == (1, 2))
        let versions = [first, edited].compactMap { Int($0.resourceVersion) }
        #expect(versions.count == 2 && versions[0] < versions[1])
        #expect(moved == edited)
    }

    @Test func `a change of labels is no new generation and a new version`() throws {
        func file(_ labels: [String: String]) -> ManifestFile {
            ManifestFile([virtualNode("demo/x", version: "1", labels: labels)])
        }
        folder.update("a.yaml", in: ".", to: file([:]))
        let first = try #require(world().metadata(of: "x"))
        folder.update("a.yaml", in: ".", to: file(["tier": "web"]))
        let second = try #require(world().metadata(of: "x"))
        #expect(second.generation == 1)
        #expect(second.labels == ["tier": "web"])
        #expect(second.resourceVersion != first.resourceVersion)
        #expect(world().metadata(of: "x") == second)
    }

    @Test func `an object deleted and written again is another one`() throws {
        write("conf/a.yaml", "demo/x 1")
        let first = try #require(world(at: 1000).metadata(of: "x"))
        folder.remove("conf/a.yaml")
        #expect(world(at: 1001).nodes.isEmpty)
        write("conf/a.yaml", "demo/x 1")
        let second = try #require(world(at: 1002).metadata(of: "x"))
        #expect(first.uid != second.uid)
        #expect(second.creationTimestampSeconds == 1002)
    }

    @Test func `uids are UUIDs, and a dump's own uids stay`() throws {
        write("conf/a.yaml", "demo/x 1")
        let uid = try #require(world().metadata(of: "x")).uid
        let shape = /[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}/
        #expect(uid.wholeMatch(of: shape) != nil)
        let dumped = virtualNode("demo/y", version: "1", uid: "from-a-cluster")
        folder.update("conf/b.yaml", in: "conf", to: ManifestFile([dumped]))
        #expect(world().metadata(of: "y")?.uid == "from-a-cluster")
    }

    @Test func `one note a folder counts the kinds that are ignored`() {
        write("conf/a.yaml", "Deployment\nService")
        write("conf/sub/b.yaml", "Deployment\nService\nIngress")
        folder.update(
            "other/c.yaml",
            in: "other",
            to: ManifestFile(ignored: ["NetworkPolicy": 2])
        )
        #expect(
            world().diagnostics.map(\.description) == [
                "note: ignored 2 Deployments, 1 Ingress and 2 Services in conf; "
                    + "Heddle runs Workloads instead",
                "note: ignored 2 NetworkPolicies in other; Heddle runs Workloads instead",
            ]
        )
    }

    @Test(arguments: [
        (1, "Ingress", "1 Ingress"), (2, "Ingress", "2 Ingresses"), (3, "Endpoints", "3 Endpoints"),
        (2, "Gateway", "2 Gateways"), (2, "NetworkPolicy", "2 NetworkPolicies"),
    ])
    func `amounts read well`(count: Int, kind: String, text: String) {
        #expect(amount(count, of: kind) == text)
    }
}
