import ArgumentParser
import MeshDaemon
import MeshTelemetry

/// `heddle stats`.
struct Stats: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Shows requests, failures and latencies of nodes, calls or virtual services.",
        discussion: """
            By the statistics of proxies over the last seconds, complete whatever share of requests \
            is traced. SUCCESS is the part of the requests that was answered, and not with a status \
            of 500 or more. With virtualservices (vs), how the requests to each are split: as \
            declared, and as seen; the numbers beside are those of the calls to the target by all \
            who reach it through the service.

            Examples:
              heddle stats
              heddle stats vn/blue -n demo -o wide
              heddle stats --edges -A -w
              heddle stats vs/color
              heddle stats -o json | jq '.nodes[] | {name, rps: .traffic.requestsPerSecond}'
            """
    )

    @Argument(
        help: "KIND, KIND/NAME, NAMESPACE/NAME or NAME; kinds are vn, vg and vs. Default: all."
    )
    var subject: String?
    @OptionGroup var namespace: NamespaceOption
    @Flag(name: [.customShort("A"), .long], help: "All namespaces, and what is called outside.")
    var allNamespaces = false
    @Flag(help: "A line for each that calls another.")
    var edges = false
    @Option(name: .shortAndLong, help: "How to print.")
    var output = StatsCommand.Format.table
    @Flag(name: .shortAndLong, help: "Go on with each measurement.")
    var watch = false
    @OptionGroup var state: StateOptions

    func validate() throws {
        if allNamespaces, namespace.namespace != nil {
            throw ValidationError("pass -n or -A, not both")
        }
    }

    func run() async throws {
        var command = StatsCommand(subject)
        command.namespace = namespace.namespace
        command.isAllNamespaces = allNamespaces
        command.showsEdges = edges
        command.format = output
        command.isWatching = watch
        try await command.run(state.transport, state.console).end()
    }
}

/// `heddle graph`.
struct Graph: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Draws who calls whom, and how that goes.",
        discussion: """
            Who is called by nobody is on top, and below each are those whom it calls. --live draws \
            it anew with each measurement; q ends it.

            Examples:
              heddle graph
              heddle graph --live -n demo
              heddle graph -o dot | dot -Tsvg > mesh.svg
              heddle graph -o mermaid
            """
    )

    @OptionGroup var place: ProxyNamespaceOption
    @Flag(help: "Draw it anew with each measurement, on a terminal.")
    var live = false
    @Option(name: .shortAndLong, help: "How to print.")
    var output = GraphCommand.Format.tree
    @OptionGroup var state: StateOptions

    func validate() throws {
        if live, output != .tree {
            throw ValidationError("--live draws on a terminal; leave -o \(output.rawValue) out")
        }
    }

    func run() async throws {
        var command = GraphCommand()
        command.namespace = place.namespace
        command.format = output
        let (transport, console) = (state.transport, state.console)
        guard live, console.isTerminal, state.environment["TERM"] != "dumb" else {
            return try await command.run(transport, console).end()
        }
        try await command.check(transport)
        let drawn = command
        try await LiveTerminal.open { terminal in
            try await drawn.run(transport, console, on: terminal)
        }.end()
    }
}

/// `heddle tap`.
struct Tap: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Shows requests of a node as they happen.",
        discussion: """
            Its proxies tell of each request that comes in and goes out for as long as this runs; \
            Ctrl-C ends it. A busy node tells of a part of its requests, chosen by chance, so that \
            no more come than --max-rps. Bodies, headers and queries are never shown.

            Examples:
              heddle tap front
              heddle tap blue -n demo --status 5xx --path /color
              heddle tap front --to colors.demo -o wide
              heddle tap front -o json | jq 'select(.durationMilliseconds > 100)'
            """
    )

    @Argument(help: "A virtual node, virtual gateway or Workload: NAMESPACE/NAME, or NAME.")
    var name: String
    @OptionGroup var namespace: NamespaceOption
    @Option(help: "Only this method, such as GET.")
    var method: String?
    @Option(help: "Only paths that begin so.")
    var path: String?
    @Option(help: "Only these statuses, with commas: 503, 5xx; none is without an answer.")
    var status: String?
    @Option(help: "Only requests whose host, cluster or destination has this in it.")
    var to: String?
    @Option(
        name: .customLong("max-rps"),
        help: ArgumentHelp("How many requests a second at most.", valueName: "number")
    )
    var maximumRate = TapQuery.defaultRate
    @Option(name: .shortAndLong, help: "How to print.")
    var output = TapCommand.Format.table
    @OptionGroup var state: StateOptions

    func validate() throws {
        guard TapQuery.rates.contains(maximumRate) else {
            throw ValidationError(
                "--max-rps \(maximumRate) is not from \(TapQuery.rates.lowerBound) to "
                    + "\(TapQuery.rates.upperBound)"
            )
        }
        if let status, TapQuery.Status.list(status) == nil {
            throw ValidationError("--status \"\(status)\" is not such as 503, 5xx or none")
        }
    }

    func run() async throws {
        var command = TapCommand(name: name)
        command.namespace = namespace.namespace
        command.query = TapQuery(
            method: method?.uppercased(),
            path: path,
            statuses: status.flatMap(TapQuery.Status.list) ?? [],
            target: to,
            maximumRate: maximumRate
        )
        command.format = output
        try await command.run(state.transport, state.console).end()
    }
}

/// `heddle traces`.
struct Traces: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Lists what was traced, or shows one trace step by step.",
        discussion: """
            The newest come first, and with -w last. A trace that is named is shown as bars, one for \
            each span, below the one that it is part of. The annotation heddle.dev/tracing of a Mesh \
            turns tracing on, heddle.dev/trace-sampling says how much of it.

            Examples:
              heddle traces
              heddle traces --service front --min-duration 200ms --since 10m
              heddle traces --errors -w
              heddle traces 5840
              heddle traces 1-58406520-a006649127e371903a2de979
            """
    )

    @Argument(
        help: "The ID of one trace, as listed here or as X-Ray writes it, or its first digits."
    )
    var id: String?
    @Option(help: "Only those in which this node took part: MESH/NODE, or NODE.")
    var service: String?
    @Option(help: ArgumentHelp("Only those that took so long: 200ms, 1s.", valueName: "time"))
    var minDuration: String?
    @Flag(help: "Only those in which something failed.")
    var errors = false
    @Option(
        help: ArgumentHelp("Only those that began so long ago: 30s, 10m, 1h.", valueName: "time")
    )
    var since: String?
    @Option(help: "How many at most.")
    var limit = 50
    @Option(name: .shortAndLong, help: "How to print.")
    var output = TracesCommand.Format.table
    @Flag(name: .shortAndLong, help: "Go on with each trace.")
    var watch = false
    @OptionGroup var state: StateOptions

    func validate() throws {
        for (option, text) in [("--min-duration", minDuration), ("--since", since)] {
            if let text, duration(text) == nil {
                throw ValidationError("\(option) \"\(text)\" is no time; write 200ms, 10s or 5m")
            }
        }
        guard (1...1000).contains(limit) else {
            throw ValidationError("--limit \(limit) is not from 1 to 1000")
        }
        if id != nil, watch { throw ValidationError("-w goes with the list, not with one trace") }
    }

    func run() async throws {
        var command = TracesCommand(id: id)
        command.query = TraceQuery(
            service: service,
            minimumDurationMicroseconds: minDuration.flatMap(duration).map {
                Int($0 / .microseconds(1))
            },
            errorsOnly: errors,
            limit: limit
        )
        command.age = since.flatMap(duration)
        command.format = output
        command.isWatching = watch
        try await command.run(state.transport, state.console).end()
    }
}

/// `heddle audit`.
struct Audit: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Shows who called whom, and whether that was allowed.",
        discussion: """
            A call is denied when the caller has no backend for what it calls and access control is \
            enforced; shadow is what would be denied. Callers are named by their own proxies or \
            certificates.

            Examples:
              heddle audit
              heddle audit --denied -w
              heddle audit -n demo -o json | jq '.[] | select(.verdict == "denied")'
            """
    )

    @Flag(help: "Only what was denied, or would be.")
    var denied = false
    @OptionGroup var place: ProxyNamespaceOption
    @Option(name: .shortAndLong, help: "How to print.")
    var output = AuditCommand.Format.table
    @Flag(name: .shortAndLong, help: "Go on with each change.")
    var watch = false
    @OptionGroup var state: StateOptions

    func run() async throws {
        var command = AuditCommand()
        command.isDeniedOnly = denied
        command.namespace = place.namespace
        command.format = output
        command.isWatching = watch
        try await command.run(state.transport, state.console).end()
    }
}
