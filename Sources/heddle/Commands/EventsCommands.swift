import ArgumentParser
import MeshDaemon
import MeshModel

/// `heddle events`.
struct EventsOfObjects: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "events",
        abstract: "Shows what happened to proxies and objects, the oldest first.",
        discussion: """
            Proxies and applications that start, end and are replaced, configuration that a proxy \
            refuses, certificates that cannot be renewed, objects that go out of effect. What repeats \
            within ten minutes is one event. The last 1,000 are kept, over restarts.

            Examples:
              heddle events -A
              heddle events blue-1 -n demo
              heddle events -n demo --types Warning -w
            """
    )

    @Argument(help: "Only those of objects with this name.")
    var name: String?
    @OptionGroup var namespace: NamespaceOption
    @Flag(name: [.customShort("A"), .long], help: "All namespaces.")
    var allNamespaces = false
    @Option(name: .shortAndLong, help: "How to print.")
    var output = EventsCommand.Format.table
    @Flag(name: .shortAndLong, help: "Go on with each event.")
    var watch = false
    @Option(help: ArgumentHelp("Only these types: Normal, Warning, or both with a comma."))
    var types: String?
    @OptionGroup var state: StateOptions

    func validate() throws {
        if allNamespaces, namespace.namespace != nil {
            throw ValidationError("pass -n or -A, not both")
        }
        _ = try severities()
    }

    private func severities() throws -> Set<MeshEvent.Severity> {
        let all = MeshEvent.Severity.allCases
        guard let types else { return Set(all) }
        let words = types.split(separator: ",", omittingEmptySubsequences: false)
        return try Set(
            words.map { word in
                guard let type = all.first(where: { $0.rawValue.lowercased() == word.lowercased() })
                else {
                    throw ValidationError(
                        "--types \"\(types)\": no type \"\(word)\"; use Normal or Warning"
                    )
                }
                return type
            }
        )
    }

    func run() async throws {
        var command = EventsCommand(name: name)
        command.namespace = namespace.namespace
        command.isAllNamespaces = allNamespaces
        command.format = output
        command.isWatching = watch
        command.types = try severities()
        try await command.run(state.transport, state.console).end()
    }
}
