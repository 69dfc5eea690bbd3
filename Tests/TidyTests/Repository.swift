import Foundation

/// The files of this repository, and questions about their text.
struct Repository {
    /// One line of a file.
    struct Line {
        let file: String
        let number: Int
        let text: String

        var place: String { "\(file):\(number)" }
        var isComment: Bool { text.drop { $0 == " " }.hasPrefix("//") }
    }

    static let root = URL(fileURLWithPath: #filePath)
        .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()

    /// Paths of all files that are, or would be, committed.
    static let files: [String] = {
        let found = (try? trackedFiles()) ?? walkedFiles()
        return found.filter { FileManager.default.fileExists(atPath: "\(root.path)/\($0)") }
            .sorted()
    }()

    /// Swift files written by hand.
    static let swiftFiles = files.filter { $0.hasSuffix(".swift") && !isGenerated($0) }

    /// Whether nobody writes the file by hand.
    static func isGenerated(_ path: String) -> Bool { path.contains("/Generated/") }

    /// The text of a file; empty when it is none.
    static func text(of path: String) -> String {
        (try? String(contentsOf: root.appendingPathComponent(path), encoding: .utf8)) ?? ""
    }

    /// The lines of a file.
    static func lines(of path: String) -> [Line] {
        text(of: path).split(separator: "\n", omittingEmptySubsequences: false).enumerated()
            .map { Line(file: path, number: $0.offset + 1, text: String($0.element)) }
    }

    /// The lines of `files` in which `pattern` is found, as `file:line: text`.
    static func lines(of files: [String], matching pattern: String) throws -> [String] {
        let pattern = try NSRegularExpression(pattern: pattern)
        return files.flatMap(lines(of:)).filter { line in
            let range = NSRange(line.text.startIndex..., in: line.text)
            return pattern.firstMatch(in: line.text, range: range) != nil
        }
        .map { "\($0.place): \($0.text.trimmingCharacters(in: .whitespaces))" }
    }

    private static func trackedFiles() throws -> [String] {
        let git = Process()
        git.executableURL = URL(fileURLWithPath: "/usr/bin/env")
        git.arguments = [
            "git", "-c", "safe.directory=*", "ls-files", "-z", "-co", "--exclude-standard",
        ]
        git.currentDirectoryURL = root
        let output = Pipe()
        git.standardOutput = output
        git.standardError = FileHandle.nullDevice
        try git.run()
        let data = output.fileHandleForReading.readDataToEndOfFile()
        git.waitUntilExit()
        guard git.terminationStatus == 0 else { throw NotAWorkTree() }
        return data.split(separator: 0).map { String(decoding: $0, as: UTF8.self) }
    }

    /// All files but what builds leave, for a copy without its git folder.
    private static func walkedFiles() -> [String] {
        let ignored = [".build", ".git/", ".swiftpm", "Package.resolved"]
        let all = FileManager.default.enumerator(atPath: root.path)?.compactMap { $0 as? String }
        return (all ?? []).filter { path in
            let url = root.appendingPathComponent(path)
            let values = try? url.resourceValues(forKeys: [.isRegularFileKey])
            return values?.isRegularFile == true && !path.contains("__pycache__")
                && !ignored.contains { path.hasPrefix($0) }
        }
    }
}

private struct NotAWorkTree: Error {}
