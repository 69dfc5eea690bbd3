import Foundation
import Testing

/// What reviewers would otherwise have to look for.
@Suite struct TidyTests {
    @Test func `nothing is left over`() throws {
        let words = ["TO" + "DO", "FIX" + "ME", "X" + "XX"].joined(separator: "|")
        let found = try Repository.lines(of: Repository.swiftFiles, matching: "\\b(\(words))\\b")
        #expect(found == [])
    }

    /// Files that may start an unstructured task, and why.
    private static let unstructuredTasks: [String: String] = [:]

    @Test func `tasks are children of a group`() throws {
        let pattern = #"^(?!\s*//).*\bTask(\.detached)?(<[^>]*>)?(\([^)]*\))?\s*\{"#
        let sources = Repository.swiftFiles.filter { $0.hasPrefix("Sources/") }
        let found = try Repository.lines(of: sources, matching: pattern)
        let isAllowed = { (line: String) in
            Self.unstructuredTasks.keys.contains { line.hasPrefix($0 + ":") }
        }
        #expect(found.filter { !isAllowed($0) } == [])
        let unused = Self.unstructuredTasks.keys.filter { file in
            !found.contains { $0.hasPrefix(file + ":") }
        }
        #expect(unused == [], "these files start no unstructured task any more")
    }

    @Test func `a file has one subject`() {
        let long = Repository.swiftFiles
            .map { (file: $0, lines: Repository.text(of: $0).split(separator: "\n").count) }
            .filter { $0.lines > 500 }
        #expect(long.map { "\($0.file): \($0.lines) lines" } == [])
    }

    @Test func `a file's name says what is in it`() {
        let empty = ["utils", "util", "utilities", "helpers", "helper", "misc", "common", "stuff"]
        let vague = Repository.swiftFiles.filter { path in
            let name = path.split(separator: "/").last?.split(separator: ".").first ?? ""
            return empty.contains(name.lowercased())
                || empty.contains { name.hasSuffix($0.capitalized) }
        }
        #expect(vague == [])
    }

    @Test func `no file names an issue, a path of one machine or a registry's host`() throws {
        let texts = Repository.files.filter { path in
            !Repository.isGenerated(path)
                && [".swift", ".md", ".py", ".sh", ".yaml", ".txt", "Makefile", ".ci/"].contains {
                    path.hasSuffix($0) || path.hasPrefix($0)
                }
        }
        let folders = ["work", "ro" + "ot", "farm"].joined(separator: "|")
        let hosts = ["deb.deb" + "ian.org", "py" + "pi.org", "python" + "hosted", "npm" + "js.org"]
        let pattern =
            #"(?<![\w.}])/(\#(folders))/|(^|[\s(])#[1-9][0-9]*\b|"#
            + hosts.map(NSRegularExpression.escapedPattern).joined(separator: "|")
        let found = try Repository.lines(of: texts, matching: pattern)
        #expect(found == [])
    }

    @Test func `the top level stays small`() {
        let frame: Set = [
            "Package.swift", "Sources", "Tests", "Manifests", "Charts", "README.md", "Makefile",
            "LICENSE", "NOTICE",
        ]
        let entries = Set(Repository.files.map { $0.prefix { $0 != "/" } }.map(String.init))
        #expect(entries.filter { !frame.contains($0) && !$0.hasPrefix(".") }.sorted() == [])
        #expect(entries.contains(".swift-format"))
    }

    @Test func `a golden case is a folder with its input`() {
        let cases = "Tests/GoldenTests/Cases/"
        let files = Repository.files.filter { $0.hasPrefix(cases) }
        let names = Set(files.compactMap { $0.dropFirst(cases.count).split(separator: "/").first })
        let missing = names.filter { !files.contains("\(cases)\($0)/in.yaml") }
        #expect(missing.sorted() == [], "these cases have no in.yaml")
    }
}

/// Modules and who may import whom.
@Suite struct ModuleTests {
    /// A module imports only modules before it.
    private static let order = [
        "CCurl", "CProcess", "MeshModel", "EnvoyAPI", "HTTPClient", "AWSClient",
        "KubernetesAPI", "MeshManifests", "MeshAdmission", "MeshIdentity", "MeshTelemetry",
        "MeshPlan", "MeshSources", "XDSServer", "EnvoySupervisor", "MeshPage", "MeshDaemon",
        "heddle",
    ]

    @Test func `a module imports only modules above it`() {
        let imports = /^(?:@\w+ )?(?:public |package |internal |private )?import (?:\w+ )?(\w+)/
        var wrong: [String] = []
        for file in Repository.swiftFiles where file.hasPrefix("Sources/") {
            let module = String(file.split(separator: "/")[1])
            let above = Self.order.prefix { $0 != module }
            for line in Repository.lines(of: file) {
                guard let match = line.text.firstMatch(of: imports) else { continue }
                let imported = String(match.1)
                if Self.order.contains(imported), imported != module, !above.contains(imported) {
                    wrong.append("\(line.place): \(module) imports \(imported)")
                }
            }
        }
        #expect(wrong == [])
    }

    @Test func `every module has its place in the order`() {
        let modules = Set(
            Repository.files.filter { $0.hasPrefix("Sources/") }.map { $0.split(separator: "/")[1] }
        )
        #expect(modules.filter { !Self.order.contains(String($0)) }.sorted() == [])
    }
}

/// The command line and what the README says of it.
@Suite struct CommandLineTests {
    private static let sources = Repository.swiftFiles.filter { $0.hasPrefix("Sources/heddle/") }
        .map { (file: $0, text: Repository.text(of: $0)) }

    @Test func `every option, flag and argument has its help`() {
        var silent: [String] = []
        for (file, text) in Self.sources {
            for match in text.matches(of: /@(?:Option|Flag|Argument)\b/) {
                let rest = text[match.range.upperBound...]
                if !arguments(at: rest).contains("help:") {
                    let declaration = rest.firstMatch(of: /\bvar (\w+)/)?.1 ?? ""
                    silent.append("\(file): \(match.0) \(declaration)")
                }
            }
        }
        #expect(silent == [])
    }

    @Test func `the README mentions every command`() {
        let readme = Repository.text(of: "README.md")
        let missing = commands().filter { !readme.contains("heddle \($0)") }
        #expect(missing.sorted() == [])
    }

    /// The text between the parentheses with which `text` begins; empty when it does not.
    private func arguments(at text: Substring) -> Substring {
        guard text.first == "(" else { return "" }
        var depth = 0
        var isString = false
        var last: Character = " "
        for index in text.indices {
            let character = text[index]
            if character == "\"", last != "\\" { isString.toggle() }
            if !isString, character == "(" { depth += 1 }
            if !isString, character == ")" { depth -= 1 }
            if depth == 0 { return text[..<index] }
            last = character
        }
        return text
    }

    /// The names of all commands that some command lists among its `subcommands`.
    private func commands() -> [String] {
        let text = Self.sources.map(\.text).joined(separator: "\n")
        func name(_ type: String) -> String {
            guard let start = text.range(of: "struct \(type):") else { return type.lowercased() }
            let body = text[start.upperBound...]
            let end = body.dropFirst().firstRange(of: /struct \w+: \w*ParsableCommand/)
            let own = body[..<(end?.lowerBound ?? body.endIndex)]
            if let name = own.firstMatch(of: /commandName: "([^"]+)"/) { return String(name.1) }
            return type.replacing(/([a-z])([A-Z])/) { "\($0.1)-\($0.2)" }.lowercased()
        }
        return text.matches(of: /subcommands: \[([^\]]*)\](?:,\s+defaultSubcommand: (\w+))?/)
            .flatMap { list in
                let types = list.1.matches(of: /(\w+)\.self/).map { String($0.1) }
                // The outermost command is heddle itself; the default goes without its name.
                let parent = text[..<list.range.lowerBound].matches(of: /struct (\w+):/).last
                let group = parent.map { String($0.1) } ?? "Heddle"
                let prefix = group == "Heddle" ? "" : name(group) + " "
                return types.filter { $0 != list.2.map(String.init) }.map { prefix + name($0) }
            }
    }
}
