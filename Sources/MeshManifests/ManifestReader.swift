import MeshModel

/// How large a file may be.
private enum FileLimits {
    static let bytes = 4 << 20
    static let documents = 10_000
    static let diagnostics = 1000
}

/// Collects what the documents of one file say.
struct ManifestReader {
    let path: String
    let folder: String
    private(set) var file = ManifestFile()
    /// The line of each object that the file has named so far.
    private var lines: [ObjectID: Int] = [:]

    init(path: String, folder: String) {
        self.path = path
        self.folder = folder
    }

    mutating func read(_ bytes: [UInt8]) {
        guard bytes.count <= FileLimits.bytes else {
            let problem = "the file has \(bytes.count) bytes, and 4 MiB are allowed"
            return fail(problem, "split it", line: 1)
        }
        if bytes.starts(with: [0xFF, 0xFE]) || bytes.starts(with: [0xFE, 0xFF]) {
            return fail("the file is UTF-16", "save the file as UTF-8", line: 1)
        }
        let documents = splitDocuments(bytes)
        guard documents.count <= FileLimits.documents else {
            let limit = FileLimits.documents
            return fail("the file has more than \(limit) documents", "split it", line: 1)
        }
        for document in documents {
            do throws(YAMLFailure) {
                guard let node = try parseYAML(document), !node.isNull else { continue }
                read(node)
            } catch {
                fail(error.problem, error.remedy, line: error.line)
            }
        }
        limitDiagnostics()
    }

    private mutating func read(_ node: YAMLNode) {
        let report = Report(file: path, folder: folder)
        let type = documentType(of: node, report)
        switch type {
        case .list(let items):
            for entry in node.entries ?? [] where entry.duplicateOfLine != nil {
                let problem = "duplicate key \(quoted(entry.key))"
                report.error(entry.key, line: entry.line, problem, "keep one")
            }
            for item in items { read(item) }
        case .ignored(let kind):
            file.ignored[kind, default: 0] += 1
            return
        case .object(let kind):
            checkIsNew(node, report)
            reportDuplicateKeys(in: node, report)
            if let object = object(kind, in: node, report) {
                file.objects.append(object)
            }
        case .invalid:
            reportDuplicateKeys(in: node, report)
        }
        file.diagnostics += report.diagnostics
    }

    /// Reports an object that the file has named before.
    private mutating func checkIsNew(_ node: YAMLNode, _ report: Report) {
        guard let id = report.object else { return }
        guard let first = lines[id] else {
            lines[id] = node.line
            return
        }
        report.error(
            "metadata.name",
            line: node.line,
            "duplicate object (first on line \(first))",
            "rename or remove one"
        )
    }

    private mutating func fail(_ problem: String, _ remedy: String, line: Int) {
        file.diagnostics.append(
            Diagnostic(
                .error,
                problem: problem,
                remedy: remedy,
                location: SourceLocation(file: path, line: line)
            )
        )
    }

    /// Keeps a file that is not a manifest at all from filling the log.
    private mutating func limitDiagnostics() {
        let excess = file.diagnostics.count - FileLimits.diagnostics
        guard excess > 0 else { return }
        let line = file.diagnostics[FileLimits.diagnostics].location?.line ?? 1
        file.diagnostics.removeSubrange(FileLimits.diagnostics...)
        fail("\(excess) more problems in this file", "mend the ones above first", line: line)
    }
}
