import MeshManifests
import MeshModel
import Testing

@Suite struct HostileInputTests {
    static let namespace = "apiVersion: v1\nkind: Namespace\nmetadata: {name: demo}\n"

    @Test(arguments: [
        ("[", 4 << 20), ("{a: ", 1 << 20), ("{", 4 << 20), ("[\n", 2 << 20), ("- ", 2 << 20),
        ("? ", 1 << 20),
    ])
    func `deep nesting is refused before the stack ends`(unit: String, count: Int) {
        expectTooDeep(String(repeating: unit, count: count))
    }

    @Test(arguments: [(1, "a:", 2500), (2, "- a:", 1400)])
    func `deep indentation is refused before the stack ends`(step: Int, unit: String, count: Int) {
        let lines = (0..<count).map { String(repeating: " ", count: step * $0) + unit }
        expectTooDeep(lines.joined(separator: "\n"))
    }

    private func expectTooDeep(_ text: String) {
        let file = decode(text)
        #expect(file.objects.isEmpty)
        #expect(file.diagnostics.map(\.message) == ["nested deeper than 64 levels; nest less"])
    }

    @Test func `sixty-four levels are enough`() {
        let deep = String(repeating: "[", count: 62) + String(repeating: "]", count: 62)
        let text = Self.namespace + "extra: \(deep)\n"
        let unknown =
            "demo.yaml:4: warning: Namespace demo: extra: unknown field \"extra\" is ignored; "
            + "known are apiVersion, kind, metadata, spec and status"
        #expect(reports(text) == [unknown])
    }

    @Test func `expanding aliases is bounded`() {
        var text = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n"
        for level in 1..<12 {
            let aliases = Array(repeating: "*a\(level - 1)", count: 9).joined(separator: ", ")
            text += "a\(level): &a\(level) [\(aliases)]\n"
        }
        let expected =
            "demo.yaml:6: error: aliases expand to more than 100000 values; write the values out"
        #expect(reports(text) == [expected])
        #expect(reports(text + "? *a11\n: x\n") == [expected])
    }

    @Test func `anchors aliases and merges within the limits work`() throws {
        let text = manifest(
            "VirtualNode",
            "blue",
            """
            listeners:
              - portMapping: &mapping {port: 8080, protocol: http}
                healthCheck: &check
                  {protocol: http, healthyThreshold: 2, unhealthyThreshold: 2,
                   timeoutMillis: 2000, intervalMillis: 5000}
              - portMapping: {<<: *mapping, port: 8081}
                healthCheck: *check
            serviceDiscovery: {dns: {hostname: blue.local}}
            """
        )
        let node = try #require(decode(text).node)
        let mappings = node.spec.listeners.map(\.portMapping)
        #expect(mappings.map(\.port.number) == [8080, 8081])
        #expect(mappings.allSatisfy { $0.protocol == .http })
        #expect(node.spec.listeners[0].healthCheck == node.spec.listeners[1].healthCheck)
        #expect(node.manifest.document["spec"]?["listeners"]?.array?.count == 2)
    }

    @Test(arguments: [
        (
            "a: 1\nb:\n  c: 1\n  c: 2\n",
            "demo.yaml:4: error: b.c: duplicate key \"c\" (first on line 3); keep one"
        ),
        (
            "a:\n\tb: 1\n",
            "demo.yaml:2: error: not valid YAML: a tab is used as indentation; indent with spaces"
        ),
        (
            "a: b: c\n",
            "demo.yaml:1: error: not valid YAML: mapping values are not allowed in this context; "
                + "check the indentation, or quote a value that contains \": \""
        ),
        (
            "a: [1, 2\nb: 3\n",
            "demo.yaml:2: error: not valid YAML: did not find expected ',' or ']' "
                + "while parsing a flow sequence from line 1; close the bracket, or put a comma"
        ),
        (
            "a: \"b\n",
            "demo.yaml:1: error: not valid YAML: found unexpected end of stream while scanning a "
                + "quoted scalar; close the quote or bracket"
        ),
        (
            "a: 1\nb",
            "demo.yaml:2: error: not valid YAML: could not find expected ':' while scanning a simple "
                + "key; write it as \"key: value\""
        ),
        ("a: *b\n", "demo.yaml:1: error: alias \"*b\" has no anchor before it; declare &b"),
        ("a: &a [*a]\n", "demo.yaml:1: error: alias \"*a\" has no anchor before it; declare &a"),
        ("a: !Ref b\n", "demo.yaml:1: error: the tag \"!Ref\" is not supported; remove it"),
        ("[a]: b\n", "demo.yaml:1: error: a list is used as a key; use a string as key"),
        (
            "a: b\nc: \u{0}\n",
            "demo.yaml:2: error: byte 0x00 at offset 8 is a control character, "
                + "which YAML forbids; remove it"
        ),
        (
            "- a\n",
            "demo.yaml:1: error: expected an object, found a list; "
                + "write apiVersion, kind, metadata and spec"
        ),
        (
            "just words\n",
            "demo.yaml:1: error: expected an object, found the string \"just words\"; "
                + "write apiVersion, kind, metadata and spec"
        ),
    ])
    func `what cannot be read is named with its line`(text: String, report: String) {
        #expect(reports(text).contains(report), "\(reports(text))")
    }

    @Test func `a mistake in one document does not lose the others`() {
        let text = "a: [\n---\n\(Self.namespace)---\n\tb: 1\n---\n# nothing\n"
        let file = decode(text)
        #expect(file.objects.map(\.id.description) == ["Namespace demo"])
        #expect(file.diagnostics.map { $0.location?.line } == [2, 7])
    }

    @Test func `bytes that are not UTF-8 are named`() {
        let bytes = Array("\(Self.namespace)---\na: b\nc: ".utf8) + [0xFF, 0x0A]
        let file = decodeManifests(bytes, path: "demo.yaml", folder: "/")
        #expect(file.objects.count == 1)
        #expect(
            file.diagnostics.map(\.description) == [
                "demo.yaml:6: error: byte 0xFF at offset 66 is not valid UTF-8; "
                    + "save the file as UTF-8"
            ]
        )
        let wide = decodeManifests([0xFF, 0xFE, 0x61, 0x00], path: "demo.yaml", folder: "/")
        #expect(
            wide.diagnostics.map(\.message) == ["the file is UTF-16; save the file as UTF-8"]
        )
    }

    @Test func `what is too large is refused`() {
        let bytes = [UInt8](repeating: UInt8(ascii: "#"), count: 4 << 20 + 1)
        let file = decodeManifests(bytes, path: "demo.yaml", folder: "/")
        #expect(file.diagnostics.first?.message.hasSuffix("4 MiB are allowed; split it") == true)
        #expect(
            reports(String(repeating: "---\na\n", count: 10_001))
                == ["demo.yaml:1: error: the file has more than 10000 documents; split it"]
        )
        #expect(
            reports("[" + String(repeating: "0,", count: 600_000) + "]")
                == ["demo.yaml:1: error: more than 500000 values in one document; split it"]
        )
    }

    @Test func `a file full of mistakes does not fill the log`() {
        let reports = reports(String(repeating: "---\na\n", count: 1500))
        #expect(reports.count == 1001)
        #expect(
            reports.last?.hasSuffix("500 more problems in this file; mend the ones above first")
                == true
        )
        let fields = (0..<500).map { "k\($0): 1" }.joined(separator: "\n")
        let warnings = decode(manifest("Mesh", "demo", fields)).diagnostics
        #expect(warnings.count == 21)
        #expect(
            warnings.last?.message
                == "Mesh demo: spec: 480 more unknown fields are ignored; remove them"
        )
    }

    @Test(arguments: [
        "\u{FEFF}" + namespace,
        namespace.replacing("\n", with: "\r\n"),
        namespace.replacing("\n", with: "\r"),
        "---\n\n---\n# nothing\n---\n" + namespace + "---\n...\n",
        "%YAML 1.2\n--- # first\n" + namespace + "...\n",
        "--- {apiVersion: v1, kind: Namespace, metadata: {name: demo}}\n",
        #"{"apiVersion":"v1","kind":"Namespace","metadata":{"name":"demo"}}"#,
        "{\n\t\"apiVersion\": \"v1\",\n\t\"kind\": \"Namespace\",\n\t\"metadata\": {\"name\": \"demo\"}\n}",
        namespace + "status: {phase: Active}\nspec: {finalizers: [kubernetes]}\n",
    ])
    func `spellings of one document mean the same`(text: String) {
        let file = decode(text)
        #expect(file.diagnostics.isEmpty, "\(file.diagnostics)")
        #expect(file.objects.map(\.id.description) == ["Namespace demo"])
    }

    @Test(arguments: ["", "\n\n", "# nothing\n", "---\n---\n", "~\n", "\u{FEFF}", "...", "---"])
    func `an empty file says nothing`(text: String) {
        let file = decode(text)
        #expect(file.objects.isEmpty && file.diagnostics.isEmpty && file.ignored.isEmpty)
    }

    @Test func `lines count from the top of the file`() throws {
        let text = "# a comment\n\n---\n\n" + Self.namespace + "---\n" + Self.namespace
        let file = decode(text)
        #expect(file.objects.first?.manifest.lines[""] == 5)
        #expect(file.objects.first?.manifest.lines["metadata.name"] == 7)
        #expect(
            file.diagnostics.map(\.description) == [
                "demo.yaml:9: error: Namespace demo: metadata.name: duplicate object "
                    + "(first on line 5); rename or remove one"
            ]
        )
    }
}
