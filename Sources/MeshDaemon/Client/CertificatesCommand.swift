import MeshModel

/// `heddle certificates`: every certificate and authority, and how long it lasts.
public struct CertificatesCommand: Sendable {
    /// `-o`.
    public enum Format: String, CaseIterable, Sendable {
        case table
        case wide
        case json
        case yaml
    }

    /// `-n`; nil is all namespaces, and the authorities.
    public var namespace: String?
    /// `-o`.
    public var format = Format.table
    /// `-w`.
    public var isWatching = false
    /// `--expiring-within`; nil is the last quarter of each life.
    public var expiringWithin: Duration?

    /// Makes the command for all certificates.
    public init() {}

    /// Runs the command; `badNews` if one ends too soon, has a problem, or is not there yet.
    public func run(
        _ transport: any LocalAPITransport,
        _ console: Console
    ) async throws -> ExitStatus {
        let client = LocalAPIClient(transport: transport)
        let target = Certificates.path(namespace: namespace)
        var list = try await client.document(target)
        try show(list, console, isFirst: true)
        guard isWatching else { return status(list, console) }
        let version = list["metadata"]?["resourceVersion"]?.string ?? "0"
        let watch = "\(target)?watch=true&resourceVersion=\(version)"
        try await client.watch(watch) { _, _ in
            let newest = try await client.document(target)
            // One change of several certificates is several events.
            guard newest != list else { return }
            list = newest
            try show(list, console, isFirst: false)
        }
        return status(list, console)
    }

    private func certificates(_ list: JSONValue, _ console: Console) -> [JSONValue] {
        (list["items"]?.array ?? []).map { certificate in
            let state = state(certificate, console)
            var certificate = certificate
            certificate["status"]?["state"] = .string(state.word)
            return certificate
        }
    }

    private func state(_ certificate: JSONValue, _ console: Console) -> CertificateState {
        CertificateState(
            status: certificate["status"] ?? [:],
            nowSeconds: console.nowSeconds(),
            expiringWithin: expiringWithin
        )
    }

    private func status(_ list: JSONValue, _ console: Console) -> ExitStatus {
        let isWell = (list["items"]?.array ?? []).allSatisfy {
            state($0, console).verdict == .good
        }
        return isWell ? .ok : .badNews
    }

    private func show(_ list: JSONValue, _ console: Console, isFirst: Bool) throws {
        let certificates = certificates(list, console)
        switch format {
        case .table, .wide:
            if isWatching {
                // A terminal shows the newest in the same place, a file one after the other.
                console.print(console.isTerminal ? "\u{1B}[H\u{1B}[2J" : isFirst ? "" : "\n")
            }
            guard !certificates.isEmpty else {
                let place = namespace.map { " in namespace \($0)" } ?? ""
                return console.note("No certificates\(place): no proxy has TLS.")
            }
            console.print(table(certificates, console).text(isColoured: console.isColoured))
        case .json, .yaml:
            var list = list
            list["items"] = .array(certificates)
            let text = format == .json ? JSONText.pretty(list) + "\n" : try yamlText(list)
            console.print(isWatching && format == .yaml ? "---\n\(text)" : text)
        }
    }

    private func table(_ certificates: [JSONValue], _ console: Console) -> TextTable {
        let columns = CertificateColumn.all.filter {
            format == .wide ? $0.name != "Serial" : $0.priority == 0
        }
        var table = TextTable(
            headings: ["NAME"] + columns.map { $0.name.uppercased().replacing("-", with: " ") }
        )
        let now = console.nowSeconds()
        table.rows = certificates.map { certificate in
            let colour: Colour =
                switch state(certificate, console).verdict {
                case .good: .green
                case .changing: .yellow
                case .bad: .red
                }
            return [TextTable.Cell(title(certificate))]
                + columns.map {
                    TextTable.Cell(
                        $0.cell(certificate, now),
                        $0.name == "State" ? colour : nil
                    )
                }
        }
        return table
    }

    /// `demo/blue`, `mesh/colors` or `root`.
    private func title(_ certificate: JSONValue) -> String {
        let name = certificate["metadata"]?["name"]?.string ?? ""
        guard let namespace = certificate["metadata"]?["namespace"]?.string else {
            return certificate["spec"]?["identity"]?.string ?? name
        }
        return "\(namespace)/\(name)"
    }
}
