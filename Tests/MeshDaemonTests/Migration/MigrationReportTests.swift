import Foundation
import MeshModel
import MeshTesting
import Synchronization
import Testing

@testable import MeshDaemon

/// What `heddle migrate check` says of whole dumps.
@Suite struct MigrationReportTests {
    @Test func `a cluster of App Mesh gives the report that is beside it`() throws {
        let cluster = try clusterDump(paths: [MigrationDump.path("production.yaml")])
        var report = migrationReport(of: cluster)
        report.source = "production.yaml"
        let golden = MigrationDump.folder.appendingPathComponent("production.txt")
        let text = MigrationText(report: report).text
        if ProcessInfo.processInfo.environment["HEDDLE_UPDATE_GOLDEN"] == "1" {
            try text.write(to: golden, atomically: true, encoding: .utf8)
        }
        #expect(text == (try String(contentsOf: golden, encoding: .utf8)))
        #expect(!report.isClear)
    }

    @Test func `what stands in the environment of applications is nowhere in a report`() throws {
        let cluster = try clusterDump(paths: [MigrationDump.path("production.yaml")])
        let report = migrationReport(of: cluster)
        let all = MigrationText(report: report, isComplete: true).text
        #expect(
            try String(contentsOfFile: MigrationDump.path("production.yaml"), encoding: .utf8)
                .contains("hunter2")
        )
        #expect(!all.contains("hunter2"))
        #expect(!"\(cluster.documents)".contains("hunter2"))
    }

    @Test func `a mesh of which nothing has to be done is clear`() {
        let report = MigrationDump.report(MigrationDump.demo)
        #expect(report.isClear)
        #expect(report.summary == ["blocks": 0, "changes": 0, "works": 3])
        #expect(MigrationText(report: report).text.hasSuffix("\nNothing blocks.\n"))
    }

    @Test func `JSON has every object and every finding, and can be read again`() async throws {
        let printed = Mutex("")
        let console = Console(
            nowSeconds: { 0 },
            print: { text in printed.withLock { $0 += text } },
            note: { _ in }
        )
        var command = MigrateCheckCommand()
        command.paths = [MigrationDump.path("production.yaml")]
        command.format = .json
        #expect(try await command.run(console) == .badNews)
        let data = Data(printed.withLock { $0 }.utf8)
        let report = try JSONDecoder().decode(MigrationReport.self, from: data)
        let cluster = try clusterDump(paths: command.paths)
        #expect(report == migrationReport(of: cluster))
        let cart = MigrationObject(kind: "VirtualNode", namespace: "shop", name: "cart")
        #expect(report.objects.first { $0.object == cart }?.effect == .blocks)
    }

    @Test func `ARNs without a mapping are printed as manifests that can be applied`() throws {
        let cluster = try clusterDump(paths: [MigrationDump.path("production.yaml")])
        let text = MigrationText(report: migrationReport(of: cluster)).text
        let manifests = text.split(separator: "CERTIFICATE MAPPINGS").last.map(String.init) ?? ""
        let yaml = manifests.drop { $0 != "\n" }.split(separator: "\n\n").first ?? ""
        let whole = try String(
            contentsOfFile: MigrationDump.path("production.yaml"),
            encoding: .utf8
        )
        let mended = MigrationDump.report("\(whole)\n\(yaml)\n")
        #expect(migrationReport(of: cluster).findings.contains { $0.check == .certificateUnmapped })
        #expect(!mended.findings.contains { $0.check == .certificateUnmapped })
        #expect(mended.findings.contains { $0.check == .certificateMapped })
    }

    @Test func `of probes in a dump nothing is kept but where they go`() {
        let pod = MigrationDump.pod().replacing(
            "image: \"example.com/blue:1\"}",
            with: """
                image: "example.com/blue:1", env: [{name: A, value: hunter2}], livenessProbe: {httpGet: \
                {port: 8080, httpHeaders: [{name: Authorization, value: hunter2}]}}, readinessProbe: \
                {exec: {command: [sh, hunter2]}}}
                """
        )
        let documents = "\(MigrationDump.cluster(pod).documents)"
        #expect(documents.contains("livenessProbe"))
        #expect(!documents.contains("hunter2"))
    }

    @Test func `many objects with one problem take few lines unless all are asked for`() {
        let nodes = (1...300).map { index in
            """
            apiVersion: appmesh.k8s.aws/v1beta2
            kind: VirtualNode
            metadata: {name: node-\(index), namespace: demo}
            spec:
              listeners: [{portMapping: {port: 8080, protocol: http}}]
              serviceDiscovery: {awsCloudMap: {namespaceName: local, serviceName: s\(index)}}
            ---

            """
        }
        let report = MigrationDump.report(MigrationDump.demo + nodes.joined() + MigrationDump.pod())
        let text = MigrationText(report: report).text
        #expect(report.findings.count { $0.check == .cloudMapExternal } == 300)
        #expect(text.split(separator: "\n").count < 60)
        #expect(text.contains("and 295 more (--all)"))
        let all = MigrationText(report: report, isComplete: true).text
        #expect((1...300).allSatisfy { all.contains("VirtualNode demo/node-\($0): spec") })
    }

    @Test func `a dump may be several files, Lists of one kind, JSON or standard input`() throws {
        let folder = try TemporaryFolder()
        try folder.write(
            "nodes/list.json",
            """
            {"kind": "VirtualNodeList", "apiVersion": "appmesh.k8s.aws/v1beta2", "items": [
              {"metadata": {"name": "blue", "namespace": "demo"}, "spec": {}}]}
            """
        )
        try folder.write("mesh.yaml", MigrationDump.demo)
        try folder.write("README.md", "no manifest: at all: [")
        try folder.write(".git/config.yaml", "kind: [")
        let cluster = try clusterDump(paths: [folder.path, "-"]) { Array("kind: Pod".utf8) }
        #expect(cluster.all("VirtualNode", in: "appmesh.k8s.aws").count == 2)
        #expect(cluster.all("Pod", in: "").count == 1)
        #expect(cluster.source.hasSuffix(", standard input"))
    }

    @Test(arguments: ["none.yaml", "broken.yaml", "empty"])
    func `a file that can't be read ends the command as a mistake of usage`(_ name: String) throws {
        let folder = try TemporaryFolder()
        try folder.write("broken.yaml", "kind: [")
        try folder.write("empty/notes.txt", "")
        let failure = #expect(throws: ClientFailure.self) {
            try clusterDump(paths: ["\(folder.path)/\(name)"])
        }
        #expect(failure?.status == .usage)
        #expect(failure?.description.contains(name) == true)
    }

    @Test func `a dump without App Mesh is no answer`() async throws {
        let folder = try TemporaryFolder()
        try folder.write("dump.yaml", "{apiVersion: v1, kind: Pod, metadata: {name: a}}")
        var command = MigrateCheckCommand()
        command.paths = [folder.path]
        let console = Console(nowSeconds: { 0 }, print: { _ in }, note: { _ in })
        let failure = await #expect(throws: ClientFailure.self) { try await command.run(console) }
        #expect(failure?.status == .usage)
    }

    @Test func `of what a dump lacks nothing is said but that`() throws {
        let folder = try TemporaryFolder()
        try folder.write("dump.yaml", MigrationDump.demo)
        let report = migrationReport(of: try clusterDump(paths: [folder.path]))
        #expect(report.gaps.map(\.resource).contains("pods"))
        #expect(report.gaps.map(\.resource).contains("cronjobs.batch"))
        #expect(!report.gaps.map(\.resource).contains("namespaces"))
        #expect(report.isClear)
        let text = MigrationText(report: report).text
        #expect(text.contains("the dump has none of these, and nothing is said of them: "))
    }

    @Test func `what could not be read keeps a report from being clear`() {
        var cluster = MigrationDump.cluster(MigrationDump.demo)
        cluster.gaps = [
            MigrationGap(resource: "pods", reason: "you may not list them", isFailure: true)
        ]
        let report = migrationReport(of: cluster)
        #expect(!report.isClear)
        #expect(MigrationText(report: report).text.contains("  pods: you may not list them\n"))
    }

    @Test func `terminals are told nothing that they would obey`() {
        let yaml =
            MigrationDump.demo + #"""
                apiVersion: appmesh.k8s.aws/v1beta2
                kind: VirtualNode
                metadata: {name: green, namespace: demo, deletionTimestamp: "\e[2Jnow"}
                spec: {}
                """#
        let text = MigrationText(report: MigrationDump.report(yaml), isComplete: true).text
        #expect(text.contains("now"))
        #expect(!text.contains("\u{1B}"))
    }

    @Test func `the page names every check`() throws {
        let page = MigrationDump.folder.deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent().deletingLastPathComponent()
            .appendingPathComponent("Sources/MeshDaemon/Documentation.docc/Migration.md")
        let text = try String(contentsOf: page, encoding: .utf8)
        let missing = MigrationCheckName.allCases.map(\.rawValue).filter {
            !text.contains("| `\($0)` |")
        }
        #expect(missing == [])
    }
}

/// A folder for one test.
private final class TemporaryFolder {
    let path = FileManager.default.temporaryDirectory
        .appendingPathComponent("heddle-migrate-\(UUID().uuidString)").path

    init() throws {
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    }

    deinit { try? FileManager.default.removeItem(atPath: path) }

    func write(_ name: String, _ text: String) throws {
        let file = URL(fileURLWithPath: path).appendingPathComponent(name)
        try FileManager.default.createDirectory(
            at: file.deletingLastPathComponent(),
            withIntermediateDirectories: true
        )
        try text.write(to: file, atomically: true, encoding: .utf8)
    }
}
