import MeshModel

extension Fields {
    /// `requestHeaders` or `responseHeaders`.
    func headerChanges() -> HeaderChanges? {
        var lines: [String: Int] = [:]
        let set = headerValues("set", &lines)
        let add = headerValues("add", &lines)
        let remove = list("remove") { node, path -> String? in
            guard let name = text(node, path, line: node.line) else { return nil }
            checkChangeable(name, path, line: node.line, &lines)
            return name
        }
        if !has("set"), !has("add"), !has("remove") {
            error("", "none of set, add and remove is given", "give at least one of them")
        }
        return HeaderChanges(set: set, add: add, remove: remove ?? [])
    }

    /// `set` or `add`: values by header names.
    private func headerValues(_ key: String, _ lines: inout [String: Int]) -> [String: String] {
        let values = stringMap(key) ?? [:]
        for entry in entry(key)?.value.entries ?? [] where entry.duplicateOfLine == nil {
            let path = pathOfMember(entry.key, in: path(of: key))
            checkChangeable(entry.key, path, line: entry.line, &lines)
            guard let value = values[entry.key] else { continue }
            checkOperators(in: value, path, line: entry.line)
            if value.utf8.count > 16_384 || value.utf8.contains(where: isForbidden) {
                report.error(
                    path,
                    line: entry.line,
                    "\(quoted(value)) is no header value",
                    "use up to 16384 printable characters on one line"
                )
            }
        }
        return values
    }

    /// Reports a `name` that is none, that Envoy does not change, or that was in `lines` before.
    private func checkChangeable(
        _ name: String,
        _ path: String,
        line: Int,
        _ lines: inout [String: Int]
    ) {
        if name.hasPrefix(":") || name.lowercased() == "host" {
            report.error(
                path,
                line: line,
                "\(quoted(name)) cannot be changed here",
                "name another header; a GatewayRoute can rewrite host and path"
            )
        } else if name.isEmpty || !isToken(name) {
            report.error(
                path,
                line: line,
                "\(quoted(name)) is no header name",
                "use letters, digits and \"-\""
            )
        } else if let first = lines.updateValue(line, forKey: name.lowercased()) {
            report.error(
                path,
                line: line,
                "\(quoted(name)) is changed twice\(lineWords(first))",
                "keep one"
            )
        }
    }
}

/// Whether `byte` is a control character, of which header values have only the tab.
private func isForbidden(_ byte: UInt8) -> Bool {
    (byte < 0x20 && byte != UInt8(ascii: "\t")) || byte == 0x7F
}
