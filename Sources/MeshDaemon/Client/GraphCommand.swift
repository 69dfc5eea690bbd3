import MeshModel
import MeshTelemetry

/// `heddle graph`: who calls whom.
public struct GraphCommand: Sendable {
    /// `-o`.
    public enum Format: String, CaseIterable, Sendable {
        case tree
        case dot
        case mermaid
        case json
    }

    /// `-n`; nil is all namespaces.
    public var namespace: String?
    /// `-o`.
    public var format = Format.tree

    /// Makes the command for all namespaces.
    public init() {}

    /// Runs the command: once without a terminal, else until the user ends it.
    public func run(
        _ transport: any LocalAPITransport,
        _ console: Console,
        on terminal: LiveTerminal? = nil
    ) async throws -> ExitStatus {
        let client = LocalAPIClient(transport: transport)
        let selection = try MapSelection(nil, namespace: namespace)
        if let terminal, format == .tree {
            await watch(selection, client, console, terminal)
            return .ok
        }
        let map = selection.part(of: try await client.value(ServiceMap.self, "/map"))
        switch format {
        case .json: console.print(JSONText.pretty(try jsonValue(map)) + "\n")
        case .dot: console.print(GraphDiagram(map).dot)
        case .mermaid: console.print(GraphDiagram(map).mermaid)
        case .tree:
            guard !map.nodes.isEmpty else {
                console.note(nothing)
                return .ok
            }
            let picture = GraphPicture(map, withNamespace: namespace == nil)
            console.print(picture.table.text(isColoured: console.isColoured))
        }
        return .ok
    }

    /// Fails when no daemon answers, so that a terminal need not be opened for that.
    public func check(_ transport: any LocalAPITransport) async throws {
        _ = try await LocalAPIClient(transport: transport).document("/version")
    }

    private var nothing: String {
        "No virtual nodes\(namespace.map { " in namespace \($0)" } ?? "")."
    }

    /// What wakes the picture.
    private enum Wake: Sendable {
        case map(ServiceMap)
        case failed(String)
        case terminal(LiveTerminal.Event)
    }

    private func watch(
        _ selection: MapSelection,
        _ client: LocalAPIClient,
        _ console: Console,
        _ terminal: LiveTerminal
    ) async {
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
                        try await client.maps { wake.yield(.map(selection.part(of: $0))) }
                        wake.yield(.failed("heddle has ended; waiting for the next"))
                    } catch {
                        wake.yield(.failed("\(error)"))
                    }
                    try? await Task.sleep(for: .seconds(1))
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
        var map: ServiceMap?
        var problem: String?
        for await wake in wakes {
            switch wake {
            case .map(let newest): (map, problem) = (newest, nil)
            case .failed(let message): problem = message
            case .terminal(.resized): break
            case .terminal(.interrupted), .terminal(.key(3)), .terminal(.key(UInt8(ascii: "q"))):
                return
            case .terminal(.key): continue
            }
            guard map != nil || problem != nil else { continue }
            let picture = GraphPicture(map ?? ServiceMap(), withNamespace: namespace == nil)
            let note = problem ?? (map?.nodes.isEmpty ?? true ? nothing : nil)
            terminal.show(
                picture.lines(
                    terminal.size(),
                    heading: heading(map, console),
                    note: note,
                    isColoured: console.isColoured
                )
            )
        }
    }

    private func heading(_ map: ServiceMap?, _ console: Console) -> String {
        let time = timestamp(secondsSince1970: console.nowSeconds()).dropFirst(11).prefix(8)
        let window = TrafficText.decimal(map?.windowSeconds ?? 0, digits: 0)
        return "\(time) UTC, \(map?.nodes.count ?? 0) nodes, \(map?.edges.count ?? 0) calls, "
            + "measured over \(window)s; q quit"
    }
}
