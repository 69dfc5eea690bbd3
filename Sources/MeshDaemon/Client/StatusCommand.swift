import MeshModel
import MeshPlan

/// `heddle status`: one line for each proxy, and what is wrong elsewhere.
public struct StatusCommand: Sendable {
    /// `-o`.
    public enum Format: String, CaseIterable, Sendable {
        case table
        case wide
        case json
    }

    /// `-n`; nil is all namespaces.
    public var namespace: String?
    /// `-o`.
    public var format = Format.table
    /// `-w`.
    public var isWatching = false

    /// Makes the command for all proxies.
    public init() {}

    /// Runs the command; `badNews` if a proxy or an object is not as it should be.
    public func run(
        _ transport: any LocalAPITransport,
        _ console: Console
    ) async throws -> ExitStatus {
        let client = LocalAPIClient(transport: transport)
        var (report, version) = try await report(client)
        try show(report, console, isFirst: true)
        guard isWatching else { return report.isWell ? .ok : .badNews }
        let path = LocalAPIClient.path(.workload, namespace: namespace)
        let target = "\(path)?watch=true&resourceVersion=\(version)"
        try await client.watch(target) { _, _ in
            (report, version) = try await self.report(client)
            try show(report, console, isFirst: false)
        }
        return report.isWell ? .ok : .badNews
    }

    private func report(_ client: LocalAPIClient) async throws -> (StatusReport, version: String) {
        let (workloads, version) = try await client.objects(.workload, namespace: namespace)
        var objects: [JSONValue] = []
        for kind in Kind.allCases where kind != .workload && kind.conditionType != nil {
            let namespace = kind.isNamespaced ? namespace : nil
            objects += try await client.objects(kind, namespace: namespace).items
        }
        let problems = try await client.document("/problems").array?.compactMap(\.string) ?? []
        return (
            StatusReport(workloads: workloads, objects: objects, problems: problems), version
        )
    }

    private func show(_ report: StatusReport, _ console: Console, isFirst: Bool) throws {
        if isWatching {
            // A terminal shows the newest report in the same place, a file one after the other.
            console.print(console.isTerminal ? "\u{1B}[H\u{1B}[2J" : isFirst ? "" : "\n")
        }
        guard format != .json else {
            console.print(JSONText.pretty(report.document) + "\n")
            return
        }
        console.print(
            report.text(
                nowSeconds: console.nowSeconds(),
                isWide: format == .wide,
                isColoured: console.isColoured
            )
        )
    }
}

/// How all proxies are, and which objects are not in effect.
struct StatusReport {
    /// The Workloads, as the API shows them.
    let workloads: [JSONValue]
    /// The objects of other kinds whose main condition is False.
    let broken: [BrokenObject]
    /// Errors that no object shows, such as those of a file that does not parse.
    let problems: [String]

    /// An object that is not in effect.
    struct BrokenObject: Hashable {
        /// Whether it is in effect all the same, with the last good certificate.
        var isInEffect: Bool
        /// Kind, namespace and name.
        var id: ObjectID
        /// The condition's reason.
        var reason: String
        /// The condition's message.
        var message: String
    }

    /// Reads what the API shows.
    init(workloads: [JSONValue], objects: [JSONValue], problems: [String] = []) {
        self.workloads = workloads
        self.problems = problems
        broken = objects.compactMap { object in
            guard let kind = object["kind"]?.string.flatMap(Kind.init),
                let condition = object["status"]?["conditions"]?.array?.first(where: {
                    ([kind.conditionType] + conditionsInEffect).contains($0["type"]?.string)
                        && $0["status"] == "False"
                })
            else { return nil }
            return BrokenObject(
                isInEffect: conditionsInEffect.contains(condition["type"]?.string),
                id: ObjectID(kind, Self.reference(object)),
                reason: condition["reason"]?.string ?? "",
                message: condition["message"]?.string ?? ""
            )
        }
    }

    /// Whether every proxy runs with all it was sent and every object is in effect.
    var isWell: Bool { broken.isEmpty && notWell.isEmpty && problems.isEmpty }

    private var notWell: [JSONValue] {
        workloads.filter { ProxyState(status: $0["status"] ?? [:]).verdict != .good }
    }

    /// The report for people; ends with a line break.
    func text(nowSeconds: Int, isWide: Bool = false, isColoured: Bool = false) -> String {
        var text = ""
        if !workloads.isEmpty {
            text += proxies(nowSeconds: nowSeconds, isWide: isWide).text(isColoured: isColoured)
            text += "\n"
        }
        if !broken.isEmpty {
            var table = TextTable(headings: ["OBJECT", "REASON", "MESSAGE"])
            table.rows = broken.map { object in
                [
                    TextTable.Cell(object.id.description), TextTable.Cell(object.reason, .red),
                    TextTable.Cell(object.message),
                ]
            }
            text += table.text(isColoured: isColoured) + "\n"
        }
        if !problems.isEmpty { text += problems.joined(separator: "\n") + "\n\n" }
        return text + summary
    }

    /// The last lines: the verdict and what to do next.
    private var summary: String {
        guard !workloads.isEmpty || !isWell else {
            return "No proxies: no Workload is declared.\n"
        }
        let total = workloads.count
        var lines = [
            "\(total - notWell.count) of \(total) \(total == 1 ? "proxy" : "proxies") ready"
        ]
        let idle = broken.count { !$0.isInEffect }
        if idle > 0 { lines[0] += ", \(idle) object\(idle == 1 ? "" : "s") not in effect" }
        if broken.count > idle {
            lines[0] += ", \(broken.count - idle) with a certificate that could not be renewed"
        }
        if !problems.isEmpty {
            lines[0] += ", \(problems.count) problem\(problems.count == 1 ? "" : "s") in files"
        }
        if let first = notWell.first.map(Self.reference) {
            lines.append("Next: heddle describe workload \(first.name) -n \(first.namespace)")
        } else if let first = broken.first?.id {
            let namespace = first.namespace.isEmpty ? "" : " -n \(first.namespace)"
            lines.append("Next: heddle describe \(first.kind.singular) \(first.name)\(namespace)")
        }
        return lines.joined(separator: "\n") + "\n"
    }

    private func proxies(nowSeconds: Int, isWide: Bool) -> TextTable {
        let wide = isWide ? ["PID", "NODE ID"] : []
        var table = TextTable(
            headings: [
                "NAMESPACE", "NAME", "NODE", "STATE", "INGRESS", "EGRESS", "CDS", "EDS",
                "LDS", "RDS", "SDS", "RESTARTS", "UPTIME",
            ] + wide + ["LAST ERROR"]
        )
        table.rows = workloads.map { workload in
            let reference = Self.reference(workload)
            let status = workload["status"] ?? [:]
            let sidecar = status["sidecar"] ?? [:]
            let state = ProxyState(status: status)
            func cell(_ value: JSONValue?) -> TextTable.Cell {
                TextTable.Cell(value.map(plainText) ?? "-")
            }
            let started = sidecar["startTime"]?.string.flatMap(secondsSince1970)
            let isUp = sidecar["pid"]?.integer != nil
            let uptime = isUp ? started.map { humanDuration(seconds: nowSeconds - $0) } : nil
            return [
                TextTable.Cell(reference.namespace), TextTable.Cell(reference.name),
                cell(status["virtualNode"] ?? status["virtualGateway"]),
                TextTable.Cell(state.word, colour(state.verdict)),
                cell(sidecar["ingressAddress"]), cell(sidecar["egressAddress"]),
            ] + ResourceType.allCases.map { Self.sync(sidecar["sync"]?[$0.rawValue]) } + [
                cell(sidecar["restarts"]), TextTable.Cell(uptime ?? "-"),
            ] + (isWide ? [cell(sidecar["pid"]), cell(status["nodeID"])] : []) + [
                TextTable.Cell(Self.lastError(status) ?? "-")
            ]
        }
        return table
    }

    /// The whole report for programs.
    var document: JSONValue {
        [
            "ok": .bool(isWell),
            "problems": .array(problems.map(JSONValue.string)),
            "proxies": .array(
                workloads.map { workload in
                    let reference = Self.reference(workload)
                    var document = workload["status"] ?? [:]
                    document["namespace"] = .string(reference.namespace)
                    document["name"] = .string(reference.name)
                    document["state"] = .string(ProxyState(status: document).word)
                    document["error"] = Self.lastError(document).map(JSONValue.string)
                    return document
                }
            ),
            "objectsNotInEffect": .array(
                broken.map { object in
                    [
                        "kind": .string(object.id.kind.rawValue), "name": .string(object.id.name),
                        "namespace": .string(object.id.namespace),
                        "reason": .string(object.reason), "message": .string(object.message),
                    ]
                }
            ),
        ]
    }

    private static func reference(_ object: JSONValue) -> ObjectReference {
        ObjectReference(
            namespace: object["metadata"]?["namespace"]?.string ?? "",
            name: object["metadata"]?["name"]?.string ?? ""
        )
    }

    private func colour(_ verdict: ProxyState.Verdict) -> Colour {
        switch verdict {
        case .good: .green
        case .changing: .yellow
        case .bad: .red
        }
    }

    private static func sync(_ value: JSONValue?) -> TextTable.Cell {
        switch value?.string {
        case "Synced": "synced"
        case "Pending": TextTable.Cell("pending", .yellow)
        case "Refused": TextTable.Cell("refused", .red)
        default: "-"
        }
    }

    /// What went wrong last: what Envoy refuses, else why it or the application ended, else why
    /// the Workload is not ready.
    private static func lastError(_ status: JSONValue) -> String? {
        if let refusal = status["sidecar"]?["refusals"]?.array?.first {
            let count = status["sidecar"]?["refusals"]?.array?.count ?? 1
            let more = count > 1 ? " (and \(count - 1) more)" : ""
            let type = refusal["type"]?.string ?? ""
            let resource = refusal["resource"]?.string ?? ""
            return "\(type) \(resource): \(refusal["message"]?.string ?? "")\(more)"
        }
        if let error = status["sidecar"]?["lastError"]?.string { return error }
        if let error = status["application"]?["lastError"]?.string {
            return "application: \(error)"
        }
        let ready = status["conditions"]?.array?.first { $0["type"] == "WorkloadReady" }
        return ready?["status"] == "False" ? ready?["message"]?.string : nil
    }
}

/// Conditions that tell of trouble while the object is in effect.
private let conditionsInEffect: [String?] = ["CertificateValid", "TelemetryExported"]
