import Foundation
import MeshTesting
import Testing

/// Each folder of `Cases` holds manifests and, in JSON, all that is planned for them.
///
/// `HEDDLE_UPDATE_GOLDEN=1 swift test --filter GoldenTests` writes the files anew.
@Suite struct GoldenTests {
    static let isUpdating = ProcessInfo.processInfo.environment["HEDDLE_UPDATE_GOLDEN"] == "1"

    @Test func `there are cases`() {
        #expect(GoldenCase.all.count > 30)
    }

    @Test(arguments: GoldenCase.all)
    func `a plan is what its case says`(_ golden: GoldenCase) throws {
        let manifests = golden.folder.appendingPathComponent("in.yaml").path
        guard FileManager.default.fileExists(atPath: manifests) else {
            if Self.isUpdating {
                try FileManager.default.removeItem(at: golden.folder)
            } else {
                Issue.record("Cases/\(golden.name) has no in.yaml")
            }
            return
        }
        let expected = try golden.files(of: golden.plan())
        if Self.isUpdating { try update(golden, to: expected) }
        let present = try golden.presentFiles().subtracting(["in.yaml"])
        for path in present.subtracting(expected.keys).sorted() {
            Issue.record("Cases/\(golden.name)/\(path) is not part of the plan")
        }
        for (path, planned) in expected.sorted(by: { $0.key < $1.key }) {
            let file = golden.folder.appendingPathComponent(path)
            let text = (try? String(contentsOf: file, encoding: .utf8)) ?? ""
            if let difference = firstDifference(between: text, and: planned) {
                Issue.record("Cases/\(golden.name)/\(path): \(difference)")
            }
        }
    }

    private func update(_ golden: GoldenCase, to files: [String: String]) throws {
        for name in try FileManager.default.contentsOfDirectory(atPath: golden.folder.path)
        where name != "in.yaml" {
            try FileManager.default.removeItem(at: golden.folder.appendingPathComponent(name))
        }
        for (path, text) in files {
            let file = golden.folder.appendingPathComponent(path)
            try FileManager.default.createDirectory(
                at: file.deletingLastPathComponent(),
                withIntermediateDirectories: true
            )
            try Data(text.utf8).write(to: file)
        }
    }
}

/// The first line at which the file's text and the planned text part; nil when they are equal.
private func firstDifference(between file: String, and planned: String) -> String? {
    guard file != planned else { return nil }
    let (left, right) = (file.components(separatedBy: "\n"), planned.components(separatedBy: "\n"))
    let line = zip(left, right).prefix { $0 == $1 }.count
    func text(_ lines: [String]) -> String { line < lines.count ? lines[line] : "(end)" }
    return """
        line \(line + 1) is
          \(text(left))
        and planned is
          \(text(right))
        """
}
