import ArgumentParser
import MeshDaemon

/// `heddle get`.
struct Get: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Lists objects.",
        discussion: """
            Kinds go by plural, singular or short name: meshes, virtualnodes (vn), \
            virtualservices (vs), virtualrouters (vr), virtualgateways (vg), gatewayroutes (gr), \
            backendgroups, workloads, trafficpolicies (tp), certificatemappings (certmap), namespaces \
            (ns); several with commas, or all.

            Examples:
              heddle get virtualnodes -A
              heddle get vn blue -n demo -o yaml
              heddle get workloads -l app=color -o wide
              heddle get workloads -w
            """
    )

    @Argument(help: "The kind, or several with commas, or all.")
    var kind: String
    @Argument(help: "The name of one object.")
    var name: String?
    @OptionGroup var namespace: NamespaceOption
    @Flag(name: [.customShort("A"), .long], help: "All namespaces.")
    var allNamespaces = false
    @Option(name: [.customShort("l"), .long], help: "Labels, such as app=color,version!=red.")
    var selector: String?
    @Option(name: .shortAndLong, help: "How to print.")
    var output = GetCommand.Format.table
    @Flag(name: .shortAndLong, help: "Go on with each change.")
    var watch = false
    @OptionGroup var state: StateOptions

    func run() async throws {
        var command = GetCommand(kinds: kind, name: name)
        command.namespace = namespace.namespace
        command.isAllNamespaces = allNamespaces
        command.selector = selector
        command.format = output
        command.isWatching = watch
        try await command.run(state.transport, state.console).end()
    }
}

/// `heddle describe`.
struct Describe: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Shows all that is known of an object.",
        discussion: """
            Metadata, spec, status and conditions; of a Workload also its proxy, what the proxy \
            refused and why, and its application.

            Examples:
              heddle describe workload blue-1 -n demo
              heddle describe vr colors
            """
    )

    @Argument(help: "The kind: plural, singular or short name.")
    var kind: String
    @Argument(help: "The object's name.")
    var name: String
    @OptionGroup var namespace: NamespaceOption
    @OptionGroup var state: StateOptions

    func run() async throws {
        let command = DescribeCommand(kind: kind, name: name, namespace: namespace.namespace)
        try await command.run(state.transport, state.console).end()
    }
}

/// `heddle status`.
struct Status: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Shows how every proxy is, one line each.",
        discussion: """
            CDS, EDS, LDS, RDS and SDS tell how far a proxy is with its clusters, endpoints, \
            listeners, routes and certificates: synced, pending, or refused, with Envoy's own reason as the last error. \
            Objects that are not in effect follow. The exit code is 1 unless everything is well.

            Examples:
              heddle status
              heddle status -w
              heddle status -o json | jq '.proxies[] | select(.state != "Running")'
            """
    )

    @Option(name: .shortAndLong, help: "Only this namespace. Default: all.")
    var namespace: String?
    @Option(name: .shortAndLong, help: "How to print.")
    var output = StatusCommand.Format.table
    @Flag(name: .shortAndLong, help: "Go on with each change.")
    var watch = false
    @OptionGroup var state: StateOptions

    func run() async throws {
        var command = StatusCommand()
        command.namespace = namespace
        command.format = output
        command.isWatching = watch
        try await command.run(state.transport, state.console).end()
    }
}

/// `heddle logs`.
struct Logs: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Prints what a proxy or its application wrote, or an access log.",
        discussion: """
            Without --proxy, --application or --access it is the application if Heddle runs one, else \
            the proxy. The access log is that of a virtual node's or virtual gateway's proxies, or of \
            one Workload's: the file of spec.logging.accessLog, or what is in the proxies' own logs.

            Examples:
              heddle logs blue-1 --tail 20
              heddle logs blue-1 -n demo --proxy -f
              heddle logs --access blue -n demo -f
            """
    )

    @Argument(
        help: "The Workload's name; with --access a virtual node's or virtual gateway's, too."
    )
    var name: String
    @OptionGroup var namespace: NamespaceOption
    @Flag(name: .shortAndLong, help: "Go on with what comes.")
    var follow = false
    @Option(help: ArgumentHelp("Only the last lines.", valueName: "lines"))
    var tail: Int?
    @Flag(help: "The proxy's log.")
    var proxy = false
    @Flag(help: "The application's log.")
    var application = false
    @Flag(help: "The access log.")
    var access = false
    @OptionGroup var state: StateOptions

    func validate() throws {
        if [proxy, application, access].count(where: \.self) > 1 {
            throw ValidationError("pass one of --proxy, --application and --access")
        }
        if let tail, tail < 0 { throw ValidationError("--tail \(tail) is no number of lines") }
    }

    func run() async throws {
        var command = LogsCommand(name: name)
        command.namespace = namespace.namespace
        command.isFollowing = follow
        command.tailLines = tail
        command.isAccessLog = access
        command.container = proxy ? .proxy : application ? .application : nil
        try await command.run(state.transport, state.console).end()
    }
}
