import MeshModel

/// `heddle top`: what every proxy uses now.
public struct TopCommand: Sendable {
    /// `-o`.
    public enum Format: String, CaseIterable, Sendable {
        case table
        case json
    }

    /// `--sort`: the largest first, names in alphabetical order.
    public enum Sort: String, CaseIterable, Sendable {
        case cpu
        case memory
        case requests
        case connections
        case name
    }

    /// `-n`; nil is all namespaces.
    public var namespace: String?
    /// `-o`.
    public var format = Format.table
    /// `--sort`.
    public var sort = Sort.cpu
    /// `--interval`.
    public var interval = Duration.seconds(2)

    /// Makes the command for all proxies.
    public init() {}

    /// Runs the command: once without a terminal, else until the user ends it.
    public func run(
        _ transport: any LocalAPITransport,
        _ console: Console,
        on terminal: LiveTerminal? = nil
    ) async throws -> ExitStatus {
        let selection = ProxySelection(names: [], namespace: namespace)
        let client = LocalAPIClient(transport: transport)
        guard let terminal, format == .table else {
            show(try await selection.proxies(client).proxies, console)
            return .ok
        }
        try await watch(selection, client, console, terminal)
        return .ok
    }

    /// Fails when no daemon answers, so that a terminal need not be opened for that.
    public func check(_ transport: any LocalAPITransport) async throws {
        _ = try await LocalAPIClient(transport: transport).document("/version")
    }

    private func show(_ proxies: [ProxyDocument], _ console: Console) {
        let picture = TopPicture(proxies, sortedBy: sort)
        switch format {
        case .json: console.print(JSONText.pretty(picture.document) + "\n")
        case .table:
            guard !proxies.isEmpty else { return console.note(nothing) }
            console.print(picture.table().text(isColoured: console.isColoured))
        }
    }

    private var nothing: String {
        "No proxies\(namespace.map { " in namespace \($0)" } ?? ""): no Workload has one."
    }

    /// What wakes the picture.
    private enum Wake: Sendable {
        case proxies([ProxyDocument])
        case failed(String)
        case terminal(LiveTerminal.Event)
    }

    private func watch(
        _ selection: ProxySelection,
        _ client: LocalAPIClient,
        _ console: Console,
        _ terminal: LiveTerminal
    ) async throws {
        let (wakes, wake) = AsyncStream.makeStream(
            of: Wake.self,
            bufferingPolicy: .bufferingNewest(64)
        )
        await withTaskGroup { group in
            group.addTask {
                for await event in terminal.events { wake.yield(.terminal(event)) }
            }
            group.addTask {
                while !Task.isCancelled {
                    do {
                        wake.yield(.proxies(try await selection.proxies(client).proxies))
                    } catch {
                        wake.yield(.failed("\(error)"))
                    }
                    try? await Task.sleep(for: interval)
                }
            }
            await draw(wakes, console, terminal)
            group.cancelAll()
        }
    }

    /// Draws at each wake until the user ends it.
    private func draw(
        _ wakes: AsyncStream<Wake>,
        _ console: Console,
        _ terminal: LiveTerminal
    ) async {
        var sort = sort
        var proxies: [ProxyDocument]?
        var problem: String?
        for await wake in wakes {
            switch wake {
            case .proxies(let newest): (proxies, problem) = (newest, nil)
            case .failed(let message): problem = message
            case .terminal(.resized): break
            case .terminal(.interrupted), .terminal(.key(3)),
                .terminal(.key(UInt8(ascii: "q"))):
                return
            case .terminal(.key(let key)):
                guard let chosen = Sort(key: key) else { continue }
                sort = chosen
            }
            // Keys may come before the first answer.
            guard let shown = proxies ?? (problem == nil ? nil : []) else { continue }
            let picture = TopPicture(shown, sortedBy: sort)
            let note = problem ?? (shown.isEmpty ? nothing : nil)
            let heading = heading(sort, console)
            terminal.show(picture.lines(terminal.size(), heading: heading, note: note))
        }
    }

    private func heading(_ sort: Sort, _ console: Console) -> String {
        let time = timestamp(secondsSince1970: console.nowSeconds()).dropFirst(11).prefix(8)
        return "\(time) UTC, by \(sort.rawValue); "
            + "c cpu, m memory, r requests, o connections, n name, q quit"
    }
}

extension TopCommand.Sort {
    /// What is sorted by; nil for the name.
    var column: ((TopPicture.Usage) -> Double)? {
        switch self {
        case .cpu: \.cpuMillicores
        case .memory: \.memoryBytes
        case .requests: \.requestsPerSecond
        case .connections: { Double($0.connections) }
        case .name: nil
        }
    }

    /// The order that a key chooses.
    init?(key: UInt8) {
        switch key {
        case UInt8(ascii: "c"): self = .cpu
        case UInt8(ascii: "m"): self = .memory
        case UInt8(ascii: "r"): self = .requests
        case UInt8(ascii: "o"): self = .connections
        case UInt8(ascii: "n"): self = .name
        default: return nil
        }
    }
}
