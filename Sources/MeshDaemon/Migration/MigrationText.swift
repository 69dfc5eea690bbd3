internal import MeshModel

/// Writes a report for people: counts, what blocks, what changes, and what works in few lines.
struct MigrationText {
    /// The report.
    var report: MigrationReport
    /// Whether to write every object, and not a few of each kind of finding.
    var isComplete = false
    /// Whether text may be coloured.
    var isColoured = false

    /// How many objects of a finding are written.
    private static let shown = 5

    /// Findings that say the same of several objects.
    private struct Group {
        var effect: MigrationEffect
        var check: MigrationCheckName
        var problem: String
        var findings: [MigrationFinding]
    }

    /// The text; each line ends with a line break.
    var text: String {
        var parts = [heading, table]
        let groups = self.groups
        for effect in MigrationEffect.allCases {
            let own = groups.filter { $0.effect == effect }
            guard !own.isEmpty else { continue }
            parts.append(title(effect, own) + own.map(text).joined())
        }
        if !mappings.isEmpty { parts.append(mappings) }
        if isComplete { parts.append(subjects) }
        if !report.gaps.isEmpty { parts.append(gaps) }
        parts.append(verdict)
        return parts.joined(separator: "\n")
    }

    private var heading: String {
        let version = report.serverVersion.map { " (Kubernetes \($0))" } ?? ""
        return
            "From App Mesh's controller to Heddle: \(report.source.printable)\(version.printable)\n"
    }

    /// How many objects of each kind there are.
    private var table: String {
        var table = TextTable(headings: ["KIND", "TOTAL", "BLOCKED", "CHANGED", "AS BEFORE"])
        let kinds = Dictionary(grouping: report.objects, by: \.object.kind)
        for (kind, objects) in kinds.sorted(by: { $0.key < $1.key }) {
            let counts = MigrationEffect.allCases.map { effect in
                objects.count { $0.effect == effect }
            }
            let pods = objects.compactMap(\.pods).reduce(0, +)
            let name = pods > 0 && kind != "Pod" ? "\(kind) (\(counted(pods, "Pod")))" : kind
            table.rows.append(
                [TextTable.Cell(name), TextTable.Cell("\(objects.count)")]
                    + zip(counts, [Colour.red, .yellow, .green]).map { count, colour in
                        TextTable.Cell("\(count)", count == 0 ? nil : colour)
                    }
            )
        }
        return table.rows.isEmpty ? "No object of a mesh.\n" : table.text(isColoured: isColoured)
    }

    private var groups: [Group] {
        var groups: [Group] = []
        for finding in report.findings {
            if let last = groups.indices.last, groups[last].effect == finding.effect,
                groups[last].check == finding.check, groups[last].problem == finding.problem
            {
                groups[last].findings.append(finding)
            } else {
                groups.append(
                    Group(
                        effect: finding.effect,
                        check: finding.check,
                        problem: finding.problem,
                        findings: [finding]
                    )
                )
            }
        }
        return groups
    }

    private func title(_ effect: MigrationEffect, _ groups: [Group]) -> String {
        let (word, colour): (String, Colour) =
            switch effect {
            case .blocks: ("BLOCKS", .red)
            case .changes: ("CHANGES", .yellow)
            case .works: ("WORKS", .green)
            }
        return (isColoured ? colour.applied(to: word) : word) + "\n"
    }

    private func text(_ group: Group) -> String {
        let count = group.findings.count
        let remedies = Set(group.findings.map(\.remedy))
        var text = "  \(group.check.rawValue): \(group.problem.printable)\n"
        // What works is not looked into unless asked for.
        if group.effect == .works, !isComplete {
            let names = group.findings.prefix(3).map(place).joined(separator: "; ")
            let others = count > 3 ? "; and \(count - 3) more" : ""
            return text + (names.isEmpty ? "" : "    \(names)\(others)\n")
        }
        if let remedy = remedies.first, remedies.count == 1, !remedy.isEmpty {
            text += "    -> \(filled(remedy, group).printable)\n"
        }
        let shown = isComplete ? count : min(count, count <= Self.shown + 1 ? count : Self.shown)
        for finding in group.findings.prefix(shown) {
            let place = place(finding)
            if !place.isEmpty { text += "    \(place)\n" }
            if remedies.count > 1, !finding.remedy.isEmpty {
                text += "      -> \(filled(finding.remedy, finding).printable)\n"
            }
        }
        if count > shown { text += "    and \(count - shown) more (--all)\n" }
        return text
    }

    /// `VirtualNode demo/blue: spec.listeners[0].tls: value (3 Pods)`.
    private func place(_ finding: MigrationFinding) -> String {
        let pods = finding.pods.map { " (\(counted($0, "Pod")))" } ?? ""
        let parts = [finding.object?.description ?? "", finding.field, finding.value]
            .filter { !$0.isEmpty }
        return (parts.joined(separator: ": ") + pods).printable
    }

    private func filled(_ remedy: String, _ group: Group) -> String {
        group.findings.count == 1 ? filled(remedy, group.findings[0]) : remedy
    }

    /// `remedy` with the object's own names.
    private func filled(_ remedy: String, _ finding: MigrationFinding) -> String {
        guard let object = finding.object else { return remedy }
        return remedy.replacing("NAMESPACE", with: object.namespace)
            .replacing("/NAME", with: "/\(object.name)")
    }

    /// A CertificateMapping for each ARN without one, to be applied as it is or edited.
    private var mappings: String {
        let arns = Set(
            report.findings.filter { $0.check == .certificateUnmapped }.map(\.value)
        )
        guard !arns.isEmpty else { return "" }
        var taken: Set<String> = []
        let documents = arns.sorted().map { arn in
            // In a name are small letters, digits and hyphens.
            let end = (arn.split(separator: "/").last ?? "").lowercased().map {
                $0.isASCII && ($0.isLetter || $0.isNumber) ? $0 : "-"
            }
            let service = arn.contains(":acm-pca:") ? "acm-pca" : "acm"
            var name = "\(service)-\(String(end.prefix(200)))"
            while name.hasSuffix("-") { name.removeLast() }
            let base = name
            var number = 2
            while !taken.insert(name).inserted {
                name = "\(base)-\(number)"
                number += 1
            }
            return """
                ---
                apiVersion: \(Kind.certificateMapping.apiVersion)
                kind: CertificateMapping
                metadata: {name: \(name)}
                spec: {arn: \(quotedYAML(arn.printable)), heddle: {}}

                """
        }
        return "CERTIFICATE MAPPINGS, to be applied once each says what shall stand for its ARN\n"
            + documents.joined()
    }

    /// Every object, and what becomes of it.
    private var subjects: String {
        "OBJECTS\n"
            + report.objects.map { subject in
                let pods = subject.pods.map { " (\(counted($0, "Pod")))" } ?? ""
                return "  \(subject.effect.rawValue) \("\(subject.object)".printable)\(pods)\n"
            }
            .joined()
    }

    private var gaps: String {
        var lines = report.gaps.filter(\.isFailure).map {
            "  \($0.resource): \($0.reason)".printable + "\n"
        }
        let absent = report.gaps.filter { !$0.isFailure }.map(\.resource)
        if !absent.isEmpty {
            lines.append(
                "  the dump has none of these, and nothing is said of them: "
                    + absent.joined(separator: ", ") + "\n"
            )
        }
        return "NOT LOOKED AT\n" + lines.joined()
    }

    private var verdict: String {
        let blocking = report.findings.filter { $0.effect == .blocks }
        let failures = report.gaps.filter(\.isFailure).count
        let steps: Set<MigrationCheckName> = [.controller, .webhooks, .cloudMapExternal]
        if blocking.isEmpty, failures == 0 { return "Nothing blocks.\n" }
        if blocking.isEmpty {
            return
                "Nothing that could be looked at blocks; \(counted(failures, "kind")) could not.\n"
        }
        let rest = blocking.filter { !steps.contains($0.check) }.count
        let own = rest == 0 ? ", all of them steps of the way itself" : ""
        return "\(counted(blocking.count, "finding")) \(blocking.count == 1 ? "blocks" : "block")"
            + "\(own).\n"
    }
}

/// `1 Pod`, `2 Pods`.
private func counted(_ count: Int, _ noun: String) -> String {
    "\(count) \(noun)\(count == 1 ? "" : "s")"
}

/// `text` between quotes, as YAML and JSON have them.
private func quotedYAML(_ text: String) -> String {
    "\"" + text.replacing("\\", with: "\\\\").replacing("\"", with: "\\\"") + "\""
}
