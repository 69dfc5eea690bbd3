import MeshModel

/// `heddle proxies upgrade`: has the Envoy and the bootstrap of now take over from those that run.
public struct UpgradeCommand: Sendable {
    /// `NAMESPACE/NAME`, or names alone; empty are those that are outdated.
    public var names: [String]
    /// `-n`; nil is all namespaces.
    public var namespace: String?
    /// `--all`: outdated or not.
    public var isForAll = false

    /// Makes the command for the proxies `names`.
    public init(names: [String] = []) { self.names = names }

    /// Runs the command, which upgrades one proxy after the other.
    ///
    /// - Parameters:
    ///   - transport: The way to the daemon.
    ///   - console: Where to tell.
    /// - Returns: `badNews` at the first that fails, and at the end when one that was named was skipped.
    /// - Throws: `ClientFailure` when the daemon can't be asked, or there is no such proxy.
    public func run(
        _ transport: any LocalAPITransport,
        _ console: Console
    ) async throws -> ExitStatus {
        let client = LocalAPIClient(transport: transport)
        let selection = ProxySelection(names: names, namespace: namespace)
        let (proxies, _) = try await selection.proxies(client)
        let due = proxies.filter { isForAll || !names.isEmpty || $0.isOutdated }
        guard !due.isEmpty else {
            console.print(nothingToDo(proxies.count))
            return .ok
        }
        var status = ExitStatus.ok
        for (index, proxy) in due.enumerated() {
            let place = due.count > 1 ? " (\(index + 1) of \(due.count))" : ""
            let last = try await console.waiting("upgrading \(proxy.reference)\(place)") {
                try await upgrade(proxy.reference, client)
            }
            switch last?.progress {
            case .done(let version, let seconds):
                console.print(
                    "proxy \(proxy.reference): "
                        + change(from: last?.fromVersion, to: version, seconds: seconds)
                )
            case .failed(let reason, let serving):
                let rest = serving.isEmpty ? "" : "; \(serving) goes on serving"
                console.note("proxy \(proxy.reference): \(reason)\(rest)")
                return failed(after: index, of: due.count, console)
            case .skipped(let reason):
                console.note("proxy \(proxy.reference): \(reason)")
                // It was to be replaced, whatever it is.
                if !names.isEmpty { status = .badNews }
            case .starting, nil:
                console.note(
                    "proxy \(proxy.reference): the daemon ended before the upgrade did; see "
                        + "\"heddle proxies\" for what serves"
                )
                return failed(after: index, of: due.count, console)
            }
        }
        return status
    }

    private func upgrade(
        _ proxy: ObjectReference,
        _ client: LocalAPIClient
    ) async throws -> ProxyUpgradeStep? {
        let path = Proxies.path(namespace: proxy.namespace, name: proxy.name)
        var last: ProxyUpgradeStep?
        try await client.postLines("\(path)/upgrade") { line in
            last = ProxyUpgradeStep(line) ?? last
        }
        return last
    }

    private func change(from: String?, to: String?, seconds: Double) -> String {
        let from = from ?? "Envoy"
        let to = to ?? "Envoy"
        return "\(from) -> \(to) in \(ResourceQuantity.decimal(seconds)) s\n"
    }

    private func failed(after index: Int, of count: Int, _ console: Console) -> ExitStatus {
        let rest = count - index - 1
        if rest > 0 { console.note("\(rest) \(rest == 1 ? "proxy" : "proxies") left as they are") }
        return .badNews
    }

    private func nothingToDo(_ count: Int) -> String {
        switch count {
        case 0: "nothing to do: there are no proxies\n"
        case 1: "nothing to do: the proxy is up to date; --all upgrades it all the same\n"
        default:
            "nothing to do: all \(count) proxies are up to date; --all upgrades them all the same\n"
        }
    }
}
