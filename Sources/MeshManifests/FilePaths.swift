extension Fields {
    /// The lengths of a path that the system takes.
    static let pathLengths = 1...4096

    /// A path made absolute; a relative one counts from the manifest's folder.
    ///
    /// `length` is that of the path as it is written.
    func filePath(
        _ key: String,
        _ presence: Presence = .optional,
        length: ClosedRange<Int> = pathLengths
    ) -> String? {
        oneLine(key, presence, length: length).map { absolutePath($0, in: report.folder) }
    }

    /// A path found at `path`, made absolute.
    func filePath(
        _ node: YAMLNode,
        _ path: String,
        line: Int,
        length: ClosedRange<Int> = pathLengths
    ) -> String? {
        oneLine(node, path, line: line, length: length).map { absolutePath($0, in: report.folder) }
    }
}

/// `path` seen from `folder`, without `.` and `..`.
func absolutePath(_ path: String, in folder: String) -> String {
    var parts: [Substring] = []
    for part in (path.hasPrefix("/") ? path : "\(folder)/\(path)").split(separator: "/") {
        switch part {
        case ".": break
        case "..": _ = parts.popLast()
        default: parts.append(part)
        }
    }
    return "/" + parts.joined(separator: "/")
}
