import Foundation
import Testing

@testable import MeshDaemon

@Suite final class `Edited file` {
    private let folder = FileManager.default.temporaryDirectory.appending(path: UUID().uuidString)
    private var path: String { folder.appending(path: "mesh.yaml").path() }

    init() throws {
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        try "old\n".write(toFile: path, atomically: true, encoding: .utf8)
    }

    deinit { try? FileManager.default.removeItem(at: folder) }

    private func text(_ path: String) throws -> String {
        try String(contentsOfFile: path, encoding: .utf8)
    }

    @Test(arguments: [0o600, 0o664, 0o444])
    func `keeps the mode, and leaves nothing beside it`(mode: Int) throws {
        chmod(path, mode_t(mode))
        let file = try EditedFile(path: path)
        #expect(file.text == "old\n")
        try file.replace(with: "new\n")
        #expect(try text(path) == "new\n")
        let attributes = try FileManager.default.attributesOfItem(atPath: path)
        #expect(attributes[.posixPermissions] as? Int == mode)
        #expect(try FileManager.default.contentsOfDirectory(atPath: folder.path()) == ["mesh.yaml"])
    }

    @Test(.enabled(if: getuid() == 0)) func `keeps the owner`() throws {
        try #require(chown(path, 12, 34) == 0)
        try EditedFile(path: path).replace(with: "new\n")
        let attributes = try FileManager.default.attributesOfItem(atPath: path)
        #expect(attributes[.ownerAccountID] as? Int == 12)
        #expect(attributes[.groupOwnerAccountID] as? Int == 34)
    }

    @Test func `follows a link and leaves it a link`() throws {
        let link = folder.appending(path: "link.yaml").path()
        #expect(symlink("mesh.yaml", link) == 0)
        try EditedFile(path: link).replace(with: "new\n")
        #expect(try text(path) == "new\n")
        #expect(try FileManager.default.destinationOfSymbolicLink(atPath: link) == "mesh.yaml")
    }

    @Test func `does not take back what somebody else wrote in between`() throws {
        let file = try EditedFile(path: path)
        try "theirs\n".write(toFile: path, atomically: true, encoding: .utf8)
        let failure = #expect(throws: ClientFailure.self) { try file.replace(with: "ours\n") }
        #expect(failure?.description.contains("it has changed in the meantime") == true)
        #expect(try text(path) == "theirs\n")
        #expect(try FileManager.default.contentsOfDirectory(atPath: folder.path()) == ["mesh.yaml"])
    }

    @Test func `is a file of text`() throws {
        #expect(throws: ClientFailure.self) { try EditedFile(path: folder.path()) }
        #expect(throws: ClientFailure.self) { try EditedFile(path: "\(path).none") }
        try Data([0xFF, 0xFE]).write(to: URL(filePath: path))
        let failure = #expect(throws: ClientFailure.self) { try EditedFile(path: path) }
        #expect(failure?.description == "cannot edit \(path): it is not UTF-8")
    }
}

@Suite struct `Unified diff` {
    private func lines(_ range: ClosedRange<Int>, _ changes: [Int: String] = [:]) -> String {
        range.map { changes[$0] ?? "\($0)\n" }.joined()
    }

    @Test func `of equal texts is empty`() {
        #expect(UnifiedDiff.text(path: "a", from: "1\n", to: "1\n") == "")
    }

    @Test func `has three lines around each change, and near changes together`() {
        let old = lines(1...20)
        let new = lines(1...20, [5: "five\n", 9: "", 18: "18\n18b\n"])
        #expect(
            UnifiedDiff.text(path: "f", from: old, to: new) == """
                --- f
                +++ f
                @@ -2,11 +2,10 @@
                 2
                 3
                 4
                -5
                +five
                 6
                 7
                 8
                -9
                 10
                 11
                 12
                @@ -16,5 +15,6 @@
                 16
                 17
                 18
                +18b
                 19
                 20

                """
        )
    }

    @Test func `tells a last line without its end`() {
        #expect(
            UnifiedDiff.text(path: "f", from: "a", to: "a\n") == """
                --- f
                +++ f
                @@ -1 +1 @@
                -a
                \\ No newline at end of file
                +a

                """
        )
    }

    @Test func `of a new text counts from nothing`() {
        #expect(UnifiedDiff.text(path: "f", from: "", to: "a\n").contains("@@ -0,0 +1 @@\n+a\n"))
    }
}
