import MeshModel

extension Fields {
    /// `prefix` and `path`, of which one is required unless `isOptional`.
    func pathMatch(isOptional: Bool = false) -> PathMatch? {
        let prefix = oneLine("prefix")
        if let prefix, !prefix.hasPrefix("/") {
            error("prefix", "\(quoted(prefix)) does not start with \"/\"", "put \"/\" before it")
        }
        let path = object("path") { path -> PathMatch? in
            if path.has("exact"), path.has("regex") {
                path.error(
                    "regex",
                    "both exact and regex for path are given, and only one is allowed",
                    "keep one"
                )
            } else if !path.has("exact"), !path.has("regex") {
                path.error("", "neither exact nor regex for path is given", "give one of them")
            }
            let exact = path.oneLine("exact", length: 1...255).map(PathMatch.exact)
            let regex = path.regex(length: 1...255).map(PathMatch.regex)
            return exact ?? regex
        }
        if has("prefix"), has("path") {
            error("path", "both prefix and path are given, and only one is allowed", "keep one")
        } else if !isOptional, !has("prefix"), !has("path") {
            error("", "neither prefix nor path is given", "give one of them, such as prefix: /")
        }
        return prefix.map(PathMatch.prefix) ?? path
    }

    /// `hostname` of a gateway route.
    func hostnameMatch() -> HostnameMatch? {
        object("hostname") { hostname in
            if hostname.has("exact"), hostname.has("suffix") {
                hostname.error(
                    "suffix",
                    "both exact and suffix for hostname are given, and only one is allowed",
                    "keep one"
                )
            } else if !hostname.has("exact"), !hostname.has("suffix") {
                hostname.error(
                    "",
                    "neither exact nor suffix for hostname is given",
                    "give one of them"
                )
            }
            let exact = hostname.host("exact").map(HostnameMatch.exact)
            let suffix = hostname.host("suffix").map(HostnameMatch.suffix)
            return exact ?? suffix
        }
    }

    /// A host name or the end of one: letters, digits, `-`, `_` and `.`.
    private func host(_ key: String) -> String? {
        guard let host = string(key, length: 1...253) else { return nil }
        let isAllowed = host.utf8.allSatisfy { byte in
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "_"),
                UInt8(ascii: "."):
                true
            default: false
            }
        }
        if isAllowed { return host }
        error(
            key,
            "\(quoted(host)) is no host name",
            host.hasPrefix("*.")
                ? "write suffix: \(host.dropFirst())"
                : "use letters, digits, \"-\" and \".\", and no port"
        )
        return nil
    }

    /// `headers` or `metadata`; an empty `match` block is allowed in `metadata` alone.
    func headerMatches(_ key: String) -> [HeaderMatch] {
        let presence: Presence = key == "metadata" ? .optional : .required
        let matches = objects(key, count: 1...10) { header -> HeaderMatch? in
            let invert = header.bool("invert") ?? false
            let match = header.object("match") { $0.valueMatch(presence) }
            return header.headerName("name", .required).map {
                HeaderMatch(name: $0, invert: invert, match: match ?? .present)
            }
        }
        return matches ?? []
    }

    /// `regex`, which RE2 must understand.
    func regex(length: ClosedRange<Int>) -> String? {
        let pattern = string("regex", length: length)
        if let pattern, let problem = regexProblem(pattern) {
            error(
                "regex",
                "\(quoted(pattern)) is no regular expression of RE2: \(problem)",
                "correct it"
            )
        }
        return pattern
    }

    /// The name of a header: a token of HTTP's, or a pseudo-header such as `:path`.
    func headerName(_ key: String, _ presence: Presence = .optional) -> String? {
        guard let name = string(key, presence, length: 1...50) else { return nil }
        if !isToken(name.drop { $0 == ":" }) {
            error(
                key,
                "\(quoted(name)) is no header name",
                "use letters, digits and \"-\""
            )
        }
        return name
    }

    private func valueMatch(_ presence: Presence) -> ValueMatch? {
        union(["exact", "prefix", "suffix", "regex", "range"], presence)
        let lengths = 1...255
        let exact = string("exact", length: lengths).map(ValueMatch.exact)
        let prefix = string("prefix", length: lengths).map(ValueMatch.prefix)
        let suffix = string("suffix", length: lengths).map(ValueMatch.suffix)
        let regex = regex(length: lengths).map(ValueMatch.regex)
        let range = object("range") { $0.rangeMatch() }
        return exact ?? prefix ?? suffix ?? regex ?? range
    }

    private func rangeMatch() -> ValueMatch? {
        let start = integer("start", .required, in: Int.min...Int.max)
        let end = integer("end", .required, in: Int.min...Int.max)
        guard let start, let end else { return nil }
        if end <= start {
            error(
                "end",
                "the range ends at \(end), and starts at \(start)",
                "give an end above the start; it is exclusive"
            )
        }
        return .range(start: start, end: end)
    }

    /// `queryParameters`.
    func queryParameters() -> [QueryParameterMatch] {
        let parameters = objects("queryParameters", count: 1...10) { fields in
            let exact = fields.object("match") { $0.string("exact", .required) }
            return fields.string("name", .required, length: 1...1024).map {
                QueryParameterMatch(name: $0, exact: exact)
            }
        }
        return parameters ?? []
    }
}

/// Whether `text` has only characters of HTTP's tokens, such as methods and header names.
func isToken(_ text: some StringProtocol) -> Bool {
    text.utf8.allSatisfy { byte in
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
            UInt8(ascii: "0")...UInt8(ascii: "9"):
            true
        default: "!#$%&'*+-.^_`|~".utf8.contains(byte)
        }
    }
}
