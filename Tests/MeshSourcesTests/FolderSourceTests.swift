import Foundation
import Logging
import MeshManifests
import MeshModel
import MeshSources
import ServiceLifecycle
import Testing

@Suite(.timeLimit(.minutes(1))) struct FolderSourceTests {
    private let folder: TemporaryFolder

    init() throws { folder = try TemporaryFolder() }

    @Test func `an empty folder is an empty world`() async throws {
        try await watching(folder.path) { worlds in
            let world = try await worlds.next()
            #expect(world.objects.isEmpty)
        }
    }

    @Test func `saving a file deploys it and deleting it removes its objects`() async throws {
        try await watching(folder.path) { worlds in
            try folder.write("a.yaml", "demo/a 1")
            try await worlds.next(of: ["demo/a 1"])
            try folder.write("a.yaml", "demo/a 2")
            try await worlds.next(of: ["demo/a 2"])
            try folder.shell("rm a.yaml")
            try await worlds.next(of: [])
        }
    }

    @Test(arguments: [
        // vim: the old file becomes a backup, a new one takes its place.
        "touch 4913; rm 4913; mv a.yaml a.yaml~; echo 'demo/a 2' > a.yaml; rm a.yaml~",
        // emacs: a lock, an autosave, a copy as backup, then the file itself is written.
        """
        ln -s me@host .#a.yaml; echo '?' > '#a.yaml#'; cp a.yaml a.yaml~
        echo 'demo/a 2' > a.yaml; rm '.#a.yaml' '#a.yaml#'
        """,
        // Most others: a hidden file is renamed.
        "echo 'demo/a 2' > .a.yaml.tmp; mv .a.yaml.tmp a.yaml",
        "sed -i 's/a 1/a 2/' a.yaml",
        "printf 'demo/a 2' | dd of=a.yaml bs=1 status=none",
    ])
    func `editors replace a file`(how command: String) async throws {
        try folder.write("a.yaml", "demo/a 1")
        try folder.write("b.yaml", "demo/b 1")
        try await watching(folder.path) { worlds in
            try await worlds.next(of: ["demo/a 1", "demo/b 1"])
            try folder.shell(command)
            let world = try await worlds.next(of: ["demo/a 2", "demo/b 1"])
            #expect(world.diagnostics.isEmpty)
            #expect(world.metadata(of: "a")?.generation == 2)
            #expect(worlds.seen.count == 2)
        }
    }

    @Test func `a folder that is left out is not read`() async throws {
        try folder.shell("mkdir -p state/proxies")
        try folder.write("state/proxies/a.yaml", "demo/a 1")
        try await watching(folder.path, excluded: "\(folder.path)/state") { worlds in
            try await worlds.next(of: [])
            try folder.write("state/proxies/a.yaml", "demo/a 2")
            try folder.write("b.yaml", "demo/b 1")
            try await worlds.next(of: ["demo/b 1"])
        }
    }

    @Test func `a file is not read before its writer closes it`() async throws {
        try folder.write("a.yaml", "demo/a 1")
        try await watching(folder.path) { worlds in
            try await worlds.next(of: ["demo/a 1"])
            let writer = try #require(FileHandle(forWritingAtPath: "\(folder.path)/a.yaml"))
            try writer.truncate(atOffset: 0)
            try writer.write(contentsOf: Data("?".utf8))
            try folder.write("b.yaml", "demo/b 1")
            let during = try await worlds.next(of: ["demo/a 1", "demo/b 1"])
            #expect(during.diagnostics.isEmpty)
            try writer.truncate(atOffset: 0)
            try writer.write(contentsOf: Data("demo/a 2".utf8))
            try writer.close()
            try await worlds.next(of: ["demo/a 2", "demo/b 1"])
        }
    }

    @Test func `a copied folder counts with all files, however soon they come`() async throws {
        let names = (0..<50).map { "n\($0)" }
        let other = try TemporaryFolder()
        for name in names { try other.write("deep/er/\(name).yaml", "demo/\(name) 1") }
        try await watching(folder.path) { worlds in
            _ = try await worlds.next()
            try folder.shell("cp -r \(other.path)/deep .")
            try await worlds.next(of: names.map { "demo/\($0) 1" }.sorted())
            try folder.shell("echo 'demo/n0 2' > deep/er/n0.yaml")
            _ = try await worlds.next { $0.nodes.contains("demo/n0 2") }
        }
    }

    @Test func `a burst like a checkout keeps unchanged objects as they are`() async throws {
        let names = (0..<100).map { "n\($0)" }
        for name in names { try folder.write("\(name).yaml", "demo/\(name) 1") }
        try folder.shell(
            """
            git init -q; git add .; git -c user.name=t -c user.email=t@localhost commit -qm one
            git checkout -qb two; sed -i 's/ 1/ 2/' n1*.yaml
            git -c user.name=t -c user.email=t@localhost commit -qam two; git checkout -q -
            """
        )
        try await watching(folder.path) { worlds in
            let before = try await worlds.next { $0.nodes.count == 100 }
            try folder.shell("git checkout -q two")
            let after = try await worlds.next { $0.nodes.count { $0.hasSuffix(" 2") } == 11 }
            #expect(after.metadata(of: "n5") == before.metadata(of: "n5"))
            #expect(after.metadata(of: "n1")?.generation == 2)
            #expect(after.metadata(of: "n1")?.uid == before.metadata(of: "n1")?.uid)
        }
    }

    @Test func `a renamed folder keeps its objects and stays watched`() async throws {
        try folder.write("one/a.yaml", "demo/a 1")
        try await watching(folder.path) { worlds in
            let before = try await worlds.next(of: ["demo/a 1"])
            try folder.shell("mv one two; echo 'demo/b 1' > two/b.yaml")
            let after = try await worlds.next(of: ["demo/a 1", "demo/b 1"])
            #expect(after.metadata(of: "a")?.uid == before.metadata(of: "a")?.uid)
            let place = after.virtualNodes.values.first { $0.metadata.name == "a" }?.manifest.file
            #expect(place == "\(folder.path)/two/a.yaml")
            let gone = "\(folder.path)-gone"
            try folder.shell("mv two \(gone)")
            try await worlds.next(of: [])
            try folder.shell("rm -r \(gone); mkdir three; echo 'demo/c 1' > three/c.yml")
            try await worlds.next(of: ["demo/c 1"])
        }
    }

    @Test func `garbage keeps the last good objects until it is repaired`() async throws {
        try folder.write("a.yaml", "demo/a 1\ndemo/b 1")
        try await watching(folder.path) { worlds in
            try await worlds.next(of: ["demo/a 1", "demo/b 1"])
            try folder.write("a.yaml", "?")
            let broken = try await worlds.next { !$0.diagnostics.isEmpty }
            #expect(broken.nodes == ["demo/a 1", "demo/b 1"])
            #expect(broken.diagnostics.last?.problem.hasPrefix("keeps the 2 objects") == true)
            try folder.write("a.yaml", "demo/a 2")
            let repaired = try await worlds.next(of: ["demo/a 2"])
            #expect(repaired.diagnostics.isEmpty)
        }
    }

    @Test func `links of a ConfigMap are swapped at once`() async throws {
        try folder.shell(
            """
            mkdir ..1 ..2; echo 'demo/a 1' > ..1/a.yaml; echo 'demo/a 2' > ..2/a.yaml
            echo 'demo/b 1' > ..1/b.yaml; echo 'demo/b 2' > ..2/b.yaml
            ln -s ..1 ..data; ln -s ..data/a.yaml a.yaml; ln -s ..data/b.yaml b.yaml
            """
        )
        try await watching(folder.path) { worlds in
            try await worlds.next(of: ["demo/a 1", "demo/b 1"])
            try folder.shell("ln -s ..2 ..data_tmp; mv -T ..data_tmp ..data; rm -r ..1")
            try await worlds.next(of: ["demo/a 2", "demo/b 2"])
            #expect(worlds.seen.count == 2)
        }
    }

    @Test func `the folder itself may be a link that is swapped`() async throws {
        try folder.write("releases/1/a.yaml", "demo/a 1")
        try folder.write("releases/2/a.yaml", "demo/a 2")
        try folder.shell("ln -s releases/1 current")
        try await watching("\(folder.path)/current/") { worlds in
            try await worlds.next(of: ["demo/a 1"])
            try folder.shell("ln -s releases/2 next; mv -T next current")
            try await worlds.next(of: ["demo/a 2"])
            try folder.write("releases/2/b.yaml", "demo/b 1")
            try await worlds.next(of: ["demo/a 2", "demo/b 1"])
        }
    }

    @Test func `links in a circle and to files elsewhere are followed once`() async throws {
        let other = try TemporaryFolder()
        try other.write("x.yaml", "demo/x 1")
        try folder.write("sub/a.yaml", "demo/a 1")
        try folder.shell("ln -s .. sub/up; ln -s sub again; ln -s \(other.path)/x.yaml link.yaml")
        try await watching(folder.path) { worlds in
            let world = try await worlds.next(of: ["demo/a 1", "demo/x 1"])
            #expect(world.diagnostics.isEmpty)
            try other.write("x.yaml", "demo/x 2")
            try await worlds.next(of: ["demo/a 1", "demo/x 2"])
        }
    }

    @Test func `a folder that is missing is said to be, and read when it comes`() async throws {
        try await watching("\(folder.path)/later/conf") { worlds in
            let missing = try await worlds.next()
            #expect(
                missing.diagnostics.map(\.message) == [
                    "cannot read \(folder.path)/later/conf: no such file or directory"
                ]
            )
            try folder.write("later/conf/a.yaml", "demo/a 1")
            let world = try await worlds.next(of: ["demo/a 1"])
            #expect(world.diagnostics.isEmpty)
        }
    }

    @Test func `a single file is watched without its neighbours`() async throws {
        try folder.write("a.yaml", "demo/a 1")
        try folder.write("b.yaml", "demo/b 1")
        try await watching("\(folder.path)/a.yaml") { worlds in
            try await worlds.next(of: ["demo/a 1"])
            try folder.write("b.yaml", "demo/b 2")
            try folder.shell("echo 'demo/a 2' > new; mv new a.yaml")
            try await worlds.next(of: ["demo/a 2"])
        }
    }

    @Test func `a thousand files are one world, and one change decodes one file`() async throws {
        for index in 0..<1000 {
            try folder.write("d\(index % 10)/n\(index).yaml", "demo/n\(index) 1")
        }
        try await watching(folder.path) { worlds in
            let first = try await worlds.next()
            #expect(first.nodes.count == 1000)
            try folder.write("d7/n7.yaml", "demo/n7 2")
            let world = try await worlds.next { $0.nodes.contains("demo/n7 2") }
            #expect(world.nodes.count == 1000)
            #expect(world.virtualNodes.values.count { $0.metadata.generation == 2 } == 1)
        }
    }

    @Test func `a file that cannot be read keeps its objects`() async throws {
        try folder.write("a.yaml", "demo/a 1")
        try await watching(folder.path) { worlds in
            try await worlds.next(of: ["demo/a 1"])
            // Nobody can read the start of a process's memory, not even root.
            try folder.shell("ln -s /proc/self/mem new; mv -T new a.yaml")
            let world = try await worlds.next { !$0.diagnostics.isEmpty }
            #expect(world.nodes == ["demo/a 1"])
            #expect(
                world.diagnostics.map(\.message) == [
                    "cannot read \(folder.path)/a.yaml: input/output error",
                    "keeps the object of its last good version",
                ]
            )
        }
    }

    @Test func `a graceful shutdown ends the worlds`() async throws {
        let logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
        let source = FolderSource(paths: [folder.path], decode: decodeLines, logger: logger)
        let services = ServiceGroup(services: [source], logger: logger)
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { try await services.run() }
            for await _ in source.worlds { await services.triggerGracefulShutdown() }
            try await group.waitForAll()
        }
    }

    @Test func `a folder is loaded once without watching`() throws {
        try folder.write("a.yaml", "demo/a 1\nDeployment")
        try folder.write("sub/b.yml", "demo/b ?")
        let world = loadWorld(paths: [folder.path], decode: decodeLines, now: .seconds(5))
        #expect(world.nodes == ["demo/a 1"])
        #expect(world.metadata(of: "a")?.creationTimestampSeconds == 5)
        #expect(
            world.diagnostics.map(\.description) == [
                "note: ignored 1 Deployment in \(folder.path); Heddle runs Workloads instead",
                "\(folder.path)/sub/b.yml:1: error: VirtualNode demo/b: wrong",
            ]
        )
    }

    @Test func `of a large file no more is read than shows that it is too large`() throws {
        try folder.shell("truncate -s 10G big.yaml")
        let world = loadWorld(
            paths: [folder.path],
            decode: { bytes, _, _ in
                ManifestFile(diagnostics: [Diagnostic(.error, problem: "\(bytes.count) bytes")])
            }
        )
        #expect(world.diagnostics.map(\.problem) == ["\(4 << 20 | 1) bytes"])
    }
}
