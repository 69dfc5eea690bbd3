import FoundationEssentials
import MeshModel

/// `heddle describe`: all that is known of an object, for people.
public struct DescribeCommand: Sendable {
    /// The kind, as the user wrote it.
    public var kind: String
    /// The object's name.
    public var name: String
    /// `-n`; nil chooses.
    public var namespace: String?

    /// Makes the command that describes the object `name`.
    public init(kind: String, name: String, namespace: String? = nil) {
        self.kind = kind
        self.name = name
        self.namespace = namespace
    }

    /// Runs the command.
    public func run(
        _ transport: any LocalAPITransport,
        _ console: Console
    ) async throws -> ExitStatus {
        let client = LocalAPIClient(transport: transport)
        let kind = try KindName.kind(kind)
        let namespace = kind.isNamespaced ? try await namespaceOrOnlyOne(namespace, client) : nil
        let path = LocalAPIClient.path(kind, namespace: namespace, name: name)
        let object = try await client.document(path)
        let description = Description(
            nowSeconds: console.nowSeconds(),
            isColoured: console.isColoured
        )
        let events = try await client.document(Events.path(of: ObjectID(kind, object)))
        console.print(
            try description.text(of: object)
                + description.eventsSection(events["items"]?.array ?? [])
        )
        return .ok
    }
}

/// Formats an object as kubectl describes one: fields by name, then the conditions as a table.
///
/// `spec` keeps the field names of the manifest, so that what is read here can be searched there.
struct Description {
    /// The present time in seconds since 1970.
    var nowSeconds: Int
    /// Whether conditions are coloured.
    var isColoured = false

    /// The description of `object`; ends with a line break.
    func text(of object: JSONValue) throws -> String {
        let metadata = object["metadata"] ?? [:]
        var status = object["status"]?.object ?? [:]
        status["observedGeneration"] = nil
        let conditions = status.removeValue(forKey: "conditions")?.array ?? []
        let sidecar = status.removeValue(forKey: "sidecar")
        let sidecars = status.removeValue(forKey: "sidecars")?.array ?? []
        let application = status.removeValue(forKey: "application")
        var text = fields([
            ("Name", metadata["name"].map(plainText)),
            ("Namespace", metadata["namespace"].map(plainText)),
            ("Kind", object["kind"].map(plainText)),
            ("API Version", object["apiVersion"].map(plainText)),
            ("Labels", pairs(metadata["labels"])), ("Annotations", pairs(metadata["annotations"])),
            ("Created", metadata["creationTimestamp"]?.string.map(timeAndAge)),
            ("Generation", metadata["generation"].map(plainText)),
        ])
        text += try section("Spec", object["spec"])
        text += try section("Status", status.isEmpty ? nil : .object(status))
        if let sidecar { text += sidecarSection(sidecar) }
        if let application {
            text += "Application:\n" + indented(process(application, extra: []))
        }
        text += sidecarsSection(sidecars) + conditionsSection(conditions)
        return text
    }

    private func section(_ title: String, _ value: JSONValue?) throws -> String {
        guard let value, value != .null, value != [:] else { return "" }
        return "\(title):\n" + indented(try yamlText(value))
    }

    private func sidecarSection(_ sidecar: JSONValue) -> String {
        let sync = sidecar["sync"]?.object ?? [:]
        let synced = ResourceType.allCases.compactMap { type in
            sync[type.rawValue]?.string.map { "\(type.rawValue) \($0)" }
        }
        let isConnected = sidecar["connected"]?.bool.map { $0 ? "yes" : "no" }
        let lines = process(
            sidecar,
            extra: [
                ("Ingress", sidecar["ingressAddress"].map(plainText)),
                ("Egress", sidecar["egressAddress"].map(plainText)),
                ("Connected", isConnected), ("Version", sidecar["version"].map(plainText)),
                ("Envoy", sidecar["envoyVersion"].map(plainText)),
                ("Upgrades", sidecar["upgrades"].map(plainText)),
                ("Resources", sidecar["resources"].map(resources)),
                ("Sync", synced.isEmpty ? nil : synced.joined(separator: ", ")),
            ]
        )
        var text = "Sidecar:\n" + indented(lines)
        let refusals = sidecar["refusals"]?.array ?? []
        guard !refusals.isEmpty else { return text }
        var table = TextTable(headings: ["TYPE", "RESOURCE", "ENVOY'S REASON"])
        table.rows = refusals.map { refusal in
            [
                TextTable.Cell(refusal["type"]?.string ?? ""),
                TextTable.Cell(refusal["resource"]?.string ?? ""),
                TextTable.Cell(refusal["message"]?.string ?? "", .red),
            ]
        }
        text += "Refusals:\n" + indented(table.text(isColoured: isColoured))
        return text
    }

    private func process(_ process: JSONValue, extra: [(String, String?)]) -> String {
        fields(
            [
                ("Phase", process["phase"].map(plainText)), ("PID", process["pid"].map(plainText)),
                ("Started", process["startTime"]?.string.map(timeAndAge)),
                ("Restarts", process["restarts"].map(plainText)),
                ("Last error", process["lastError"].map(plainText)),
            ] + extra
        )
    }

    private func conditionsSection(_ conditions: [JSONValue]) -> String {
        guard !conditions.isEmpty else { return "" }
        var table = TextTable(headings: ["TYPE", "STATUS", "SINCE", "REASON", "MESSAGE"])
        table.rows = conditions.map { condition in
            let status = condition["status"]?.string ?? ""
            let colour: Colour = status == "True" ? .green : status == "False" ? .red : .yellow
            let since = condition["lastTransitionTime"]?.string.flatMap(secondsSince1970)
            return [
                TextTable.Cell(condition["type"]?.string ?? ""), TextTable.Cell(status, colour),
                TextTable.Cell(
                    since.map { humanDuration(seconds: nowSeconds - $0) } ?? "<unknown>"
                ),
                TextTable.Cell(condition["reason"]?.string ?? ""),
                TextTable.Cell(condition["message"]?.string ?? ""),
            ]
        }
        return "Conditions:\n" + indented(table.text(isColoured: isColoured))
    }

    /// `name:  value` lines with aligned values; fields without a value are left out.
    private func fields(_ fields: [(name: String, value: String?)]) -> String {
        let present = fields.filter { $0.value != nil && $0.value != "<none>" }
        let width = present.map(\.name.count).max() ?? 0
        return present.map { name, value in
            let lines = (value ?? "").split(separator: "\n").map { String($0).printable }
            let padding = String(repeating: " ", count: width - name.count + 2)
            let indentation = String(repeating: " ", count: width + 3)
            return "\(name):\(padding)" + lines.joined(separator: "\n\(indentation)") + "\n"
        }
        .joined()
    }

    private func pairs(_ value: JSONValue?) -> String? {
        guard let members = value?.object, !members.isEmpty else { return nil }
        return members.sorted { $0.key < $1.key }
            .map { "\($0.key)=\(plainText($0.value))" }
            .joined(separator: "\n")
    }

    private func timeAndAge(_ time: String) -> String {
        guard let seconds = secondsSince1970(time) else { return time }
        return "\(time) (\(humanDuration(seconds: nowSeconds - seconds)) ago)"
    }

    private func indented(_ text: String) -> String {
        text.split(separator: "\n", omittingEmptySubsequences: false)
            .map { $0.isEmpty ? "" : "  \($0)" }
            .joined(separator: "\n")
    }
}

/// The seconds of a time such as `2026-11-23T00:41:19Z`.
func secondsSince1970(_ time: String) -> Int? {
    (try? Date(time, strategy: .iso8601)).map { Int($0.timeIntervalSince1970) }
}
