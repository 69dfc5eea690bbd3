import MeshManifests
import MeshModel
import MeshPlan
import MeshTesting
import Testing

/// What the table of fields says, and what is so.
@Suite struct FieldTableTests {
    private static let table = FieldTable()
    private static let fields = Dictionary(
        uniqueKeysWithValues: Kind.allCases.map { ($0, MeshManifests.fields(of: $0)) }
    )

    @Test(arguments: Kind.allCases)
    func `every field that a manifest may have is in the table, and no other`(_ kind: Kind) {
        let decoded = Self.fields[kind] ?? []
        let entries = Self.table.entries.filter { $0.kind == kind }
        #expect(
            decoded.subtracting(entries.map(\.path)).sorted() == [],
            "these fields have no row"
        )
        let unknown = entries.filter { !decoded.contains($0.path) }
        #expect(
            unknown.map { "\($0.row.place): \($0.path)" } == [],
            "no decoder asks for these fields"
        )
    }

    @Test func `every row is of a kind or of a shape that some field has`() {
        #expect(Self.table.idleRows.map(\.place) == [])
    }

    /// Decoders that ask for a field only where another is given would be overlooked.
    @Test func `decoders ask for every field of the golden cases, whatever is given`() throws {
        var unknown: Set<String> = []
        for golden in GoldenCase.all {
            for object in try golden.world().objects {
                let decoded = Self.fields[object.id.kind] ?? []
                for path in fieldPaths(of: object.manifest.document)
                where !decoded.contains(path) && !isMember(path, ofMapIn: decoded) {
                    unknown.insert("\(object.id.kind.rawValue): \(path)")
                }
            }
        }
        #expect(unknown.sorted() == [])
    }

    /// Whether `path` is in a free-form mapping, such as labels, or a list of such.
    private func isMember(_ path: String, ofMapIn fields: Set<String>) -> Bool {
        let parents = path.indices.filter { path[$0] == "." || path[$0] == "[" }
            .map { String(path[..<$0]) }
        guard let field = parents.last(where: fields.contains) else { return false }
        return !fields.contains { $0.hasPrefix("\(field).") || $0.hasPrefix("\(field)[].") }
    }

    @Test func `every golden case in the table exists and has the field`() throws {
        var used: [String: Set<String>] = [:]
        for golden in GoldenCase.all {
            used[golden.name] = try golden.world().objects.reduce(into: []) { paths, object in
                let kind = object.id.kind.rawValue
                paths.formUnion(
                    fieldPaths(of: object.manifest.document).map { "\(kind) \($0)" }
                )
            }
        }
        let entries = Dictionary(grouping: Self.table.entries, by: \.row.place)
        for (place, entries) in entries.sorted(by: { $0.key < $1.key }) {
            for name in entries[0].row.goldenCases {
                guard let paths = used[name] else {
                    Issue.record("\(place): no golden case \"\(name)\"")
                    continue
                }
                if !entries.contains(where: { paths.contains("\($0.kind.rawValue) \($0.path)") }) {
                    let fields = entries[0].row.fields.joined(separator: ", ")
                    Issue.record("\(place): the golden case \"\(name)\" has no \(fields)")
                }
            }
        }
    }

    @Test func `every test in the table exists`() {
        let files = Repository.swiftFiles.filter { $0.hasPrefix("Tests/EnvoyTests/") }
        let tests = Set(
            files.flatMap { Repository.text(of: $0).matches(of: /func `([^`]+)`/) }
                .map { String($0.1) }
        )
        let missing = Self.table.rows.values.joined().flatMap { row in
            row.tests.filter { !tests.contains($0) }.map { "\(row.place): no test \"\($0)\"" }
        }
        #expect(missing.sorted() == [])
    }

    @Test func `the fields of a status are those in the table`() throws {
        var written: Set<String> = []
        for golden in GoldenCase.all {
            for (id, status) in try golden.plan().statuses where id.kind != .workload {
                written.formUnion(fieldPaths(of: ["status": status.document]))
            }
        }
        for (id, status) in observedPlan().statuses where id.kind != .workload {
            written.formUnion(fieldPaths(of: ["status": status.document]))
        }
        let rows = Self.table.rows[FieldTable.status] ?? []
        let documented = Set(rows.flatMap(\.fields).map { $0.replacing(/\[\]$/, with: "") })
        #expect(written.subtracting(documented).sorted() == [], "these fields have no row")
        #expect(documented.subtracting(written).sorted() == [], "no status has these fields")
    }
}

/// A plan with a proxy of which all is known that a status shows.
private func observedPlan() -> Plan {
    let world = World(
        yaml: """
            apiVersion: appmesh.k8s.aws/v1beta2
            kind: Mesh
            metadata: {name: m}
            spec: {namespaceSelector: {}}
            ---
            apiVersion: appmesh.k8s.aws/v1beta2
            kind: VirtualNode
            metadata: {namespace: demo, name: blue}
            spec: {podSelector: {}, listeners: [], serviceDiscovery: {dns: {hostname: blue}}}
            ---
            apiVersion: heddle.dev/v1alpha1
            kind: Workload
            metadata: {namespace: demo, name: blue}
            spec: {}
            """
    )
    let spread = UsageSummary.Spread(median: 1, percentile90: 1, percentile95: 1, maximum: 1)
    var observations = Observations()
    observations.proxies[ProxyID(ObjectReference(namespace: "demo", name: "blue"))] =
        ProxyObservation(
            process: ProcessObservation(phase: .running, version: "1.40.0"),
            xds: XDSObservation(acknowledgedVersion: "3fa9c1"),
            usage: UsageSummary(cpuMillicores: spread, memoryBytes: spread)
        )
    return MeshPlan.plan(world, observations, nowSeconds: 0)
}

/// The paths of all members of `document`; those of free-form mappings are there one by one.
private func fieldPaths(of document: JSONValue, in path: String = "") -> Set<String> {
    switch document {
    case .array(let elements):
        return elements.reduce(into: []) { $0.formUnion(fieldPaths(of: $1, in: "\(path)[]")) }
    case .object(let members):
        return members.reduce(into: []) { paths, member in
            let (key, value) = member
            let field =
                path.isEmpty ? key : key.contains(".") ? "\(path)[\"\(key)\"]" : "\(path).\(key)"
            paths.insert(field)
            // A router's routes by name, and what depends on a proxy's history.
            if !["routeARNs", "resources"].contains(key) {
                paths.formUnion(fieldPaths(of: value, in: field))
            }
        }
    case .null, .bool, .integer, .number, .string: return []
    }
}
