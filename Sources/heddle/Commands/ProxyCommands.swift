import ArgumentParser
import MeshDaemon

/// `heddle proxies`.
struct ProxiesGroup: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "proxies",
        abstract: "Shows every proxy and its Envoy, and upgrades them.",
        discussion: """
            Without a subcommand it lists: heddle proxies [NAME] [-n NAMESPACE] [-o wide]; \
            heddle help proxies list has the options.

            Examples:
              heddle proxies
              heddle proxies upgrade
            """,
        subcommands: [ListProxies.self, UpgradeProxies.self],
        defaultSubcommand: ListProxies.self
    )
}

/// `heddle proxies list`, which `list` may be left out of.
struct ListProxies: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "list",
        abstract: "Lists every proxy, the Envoy that it is, and what it uses.",
        discussion: """
            UPGRADES counts how often another Envoy took over without a pause, RESTARTS how often \
            it was started again after it ended; AGE is that of the Envoy that runs.

            Examples:
              heddle proxies -o wide
              heddle proxies blue-1 -n demo -o yaml
              heddle proxies -o json | jq -r '.items[] | select(.status.outdated).metadata.name'
            """
    )

    @Argument(help: "One proxy: NAMESPACE/NAME of its Workload, or NAME.")
    var name: String?
    @OptionGroup var place: ProxyNamespaceOption
    @Option(name: .shortAndLong, help: "How to print.")
    var output = ProxiesCommand.Format.table
    @Flag(name: .shortAndLong, help: "Go on with each change.")
    var watch = false
    @OptionGroup var state: StateOptions

    func run() async throws {
        var command = ProxiesCommand()
        command.name = name
        command.namespace = place.namespace
        command.format = output
        command.isWatching = watch
        try await command.run(state.transport, state.console).end()
    }
}

/// `heddle proxies upgrade`.
struct UpgradeProxies: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "upgrade",
        abstract: "Has the Envoy of now take over from those that run, while requests go on.",
        discussion: """
            Without names those are upgraded that are outdated: whose Envoy or bootstrap is not the \
            one that the daemon would start now. One follows the other. Where the new Envoy does \
            not come to serve, the one before goes on, the command tells Envoy's reason, leaves the \
            others as they are, and ends with the exit code 1.

            Examples:
              heddle proxies upgrade
              heddle proxies upgrade demo/blue-1
              heddle proxies upgrade --all
            """
    )

    @Argument(help: "Proxies: NAMESPACE/NAME of their Workloads, or NAME.")
    var names: [String] = []
    @OptionGroup var place: ProxyNamespaceOption
    @Flag(help: "Every proxy, outdated or not.")
    var all = false
    @OptionGroup var state: StateOptions

    func validate() throws {
        if all, !names.isEmpty { throw ValidationError("pass names or --all, not both") }
    }

    func run() async throws {
        var command = UpgradeCommand(names: names)
        command.namespace = place.namespace
        command.isForAll = all
        try await command.run(state.transport, state.console).end()
    }
}

/// `heddle top`.
struct Top: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Shows what every proxy uses, while it changes.",
        discussion: """
            CPU% is the share of what the Workload asks for, MEM% that of the limit, or of what it \
            asks for where it has none. HEAP is what Envoy's allocator has given out. The keys c, m, \
            r, o and n sort by cpu, memory, requests, connections and name; q ends it. It prints \
            once where the output is no terminal. Applications are not measured.

            Examples:
              heddle top
              heddle top -n demo --sort memory --interval 5s
              heddle top -o json | jq '.total.memoryBytes'
            """
    )

    @OptionGroup var place: ProxyNamespaceOption
    @Option(help: "What comes first: the largest, or names in order.")
    var sort = TopCommand.Sort.cpu
    @Flag(help: "Print once.")
    var once = false
    @Option(help: ArgumentHelp("How often to look: 2s, 500ms, 1m.", valueName: "time"))
    var interval = "2s"
    @Option(name: .shortAndLong, help: "How to print; json prints once.")
    var output = TopCommand.Format.table
    @OptionGroup var state: StateOptions

    func validate() throws {
        guard let time = duration(interval) else {
            throw ValidationError("--interval \"\(interval)\" is no time; write 2s, 500ms or 1m")
        }
        if time < .milliseconds(100) {
            throw ValidationError("--interval \(interval) is too short; give at least 100ms")
        }
    }

    func run() async throws {
        var command = TopCommand()
        command.namespace = place.namespace
        command.sort = sort
        command.format = output
        command.interval = duration(interval) ?? command.interval
        let (transport, console) = (state.transport, state.console)
        guard !once, output == .table, console.isTerminal, state.environment["TERM"] != "dumb"
        else {
            return try await command.run(transport, console).end()
        }
        try await command.check(transport)
        let live = command
        try await LiveTerminal.open { terminal in
            try await live.run(transport, console, on: terminal)
        }.end()
    }
}

/// `heddle sizing`.
struct Sizing: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Shows what proxies should ask for and why, and writes it into the manifests.",
        discussion: """
            A verdict with a question mark is a forecast from the proxy's configuration, as it was \
            not measured for long enough. The exit code is 1 if a proxy that was measured is \
            Undersized.

            --apply edits the files that the running Heddle has read, prints what it changes, and \
            leaves proxies alone that fit. Forecasts are refused. The exit code is 1 if something \
            that was to change did not.

            Examples:
              heddle sizing
              heddle sizing demo/blue-1 --verbose
              heddle sizing --apply --dry-run
            """
    )

    @Argument(help: "Proxies: NAMESPACE/NAME of their Workloads, or NAME. Default: all.")
    var names: [String] = []
    @OptionGroup var place: ProxyNamespaceOption
    @Option(name: .shortAndLong, help: "How to print the report.")
    var output = SizingCommand.Format.table
    @Flag(help: "Every reason, and where the resources are asked for.")
    var verbose = false
    @Flag(help: "Write the recommendations into the manifests.")
    var apply = false
    @Flag(help: "With --apply: print what would change, and write nothing.")
    var dryRun = false
    @Flag(help: "With --apply: write forecasts too.")
    var includeForecasts = false
    @OptionGroup var state: StateOptions

    func validate() throws {
        if !apply, dryRun { throw ValidationError("--dry-run goes with --apply") }
        if !apply, includeForecasts {
            throw ValidationError("--include-forecasts goes with --apply")
        }
        if apply, output != .table {
            throw ValidationError("--apply prints a diff; leave -o \(output.rawValue) out")
        }
    }

    func run() async throws {
        var command = SizingCommand()
        command.names = names
        command.namespace = place.namespace
        command.format = output
        command.isVerbose = verbose
        if apply {
            command.application = SizingCommand.Application(
                isDryRun: dryRun,
                includesForecasts: includeForecasts
            )
        }
        try await command.run(state.transport, state.console).end()
    }
}

/// Where to look for proxies.
struct ProxyNamespaceOption: ParsableArguments {
    @Option(name: .shortAndLong, help: "Only this namespace. Default: all.")
    var namespace: String?
    @Flag(name: [.customShort("A"), .long], help: "All namespaces, which is the default.")
    var allNamespaces = false

    func validate() throws {
        if allNamespaces, namespace != nil {
            throw ValidationError("pass -n or -A, not both")
        }
    }
}
