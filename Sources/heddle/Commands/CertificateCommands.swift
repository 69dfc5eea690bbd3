import ArgumentParser
import MeshDaemon

/// `heddle certificates`.
struct CertificatesGroup: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "certificates",
        abstract: "Shows certificates and authorities, and replaces them.",
        discussion: """
            Without a subcommand it lists: heddle certificates [-n NAMESPACE] [-o wide]; \
            heddle help certificates list has the options.

            Examples:
              heddle certificates
              heddle certificates rotate demo/blue
            """,
        subcommands: [ListCertificates.self, RotateCertificates.self],
        defaultSubcommand: ListCertificates.self
    )
}

/// `heddle certificates list`, which `list` may be left out of.
struct ListCertificates: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "list",
        abstract: "Lists every certificate and authority, and how long each lasts.",
        discussion: """
            The exit code is 1 if one ends soon, has a problem, or is not there yet. Soon is the \
            last quarter of its life, which no certificate of Heddle's comes to while all is well; \
            an authority that retires is to end.

            Examples:
              heddle certificates -o wide
              heddle certificates -n demo --expiring-within 10m
              heddle certificates -o json | jq -r '.items[].status.notAfter'
            """
    )

    @Option(name: .shortAndLong, help: "Only this namespace. Default: all, with the authorities.")
    var namespace: String?
    @Flag(name: [.customShort("A"), .long], help: "All namespaces, which is the default.")
    var allNamespaces = false
    @Option(name: .shortAndLong, help: "How to print.")
    var output = CertificatesCommand.Format.table
    @Flag(name: .shortAndLong, help: "Go on with each change.")
    var watch = false
    @Option(
        help: ArgumentHelp(
            "What ends soon: 10m, 1h, 7d. Default: what is in the last quarter of its life.",
            valueName: "time"
        )
    )
    var expiringWithin: String?
    @OptionGroup var state: StateOptions

    func validate() throws {
        if allNamespaces, namespace != nil {
            throw ValidationError("pass -n or -A, not both")
        }
        if let expiringWithin, duration(expiringWithin) == nil {
            throw ValidationError(
                "--expiring-within \"\(expiringWithin)\" is no time; write 10m, 1h or 7d"
            )
        }
    }

    func run() async throws {
        var command = CertificatesCommand()
        command.namespace = namespace
        command.format = output
        command.isWatching = watch
        command.expiringWithin = expiringWithin.flatMap(duration)
        try await command.run(state.transport, state.console).end()
    }
}

/// `heddle certificates rotate`.
struct RotateCertificates: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "rotate",
        abstract: "Replaces certificates or an authority now, while requests go on.",
        discussion: """
            Without a name every certificate that Heddle issues is replaced. An authority is \
            replaced once all proxies trust the next one; all that it signed is then issued anew.

            Examples:
              heddle certificates rotate
              heddle certificates rotate demo/blue
              heddle certificates rotate --mesh colors
            """
    )

    @Argument(help: "A virtual node or virtual gateway: NAMESPACE/NAME, or NAME.")
    var name: String?
    @OptionGroup var namespace: NamespaceOption
    @Option(help: ArgumentHelp("The authority of this Mesh, and all that it signed."))
    var mesh: String?
    @Flag(help: "The root, and every authority below it.")
    var root = false
    @OptionGroup var state: StateOptions

    func validate() throws {
        if [name != nil, mesh != nil, root].count(where: \.self) > 1 {
            throw ValidationError("pass one of a name, --mesh and --root")
        }
        if namespace.namespace != nil, name == nil {
            throw ValidationError("-n goes with the name of a virtual node or virtual gateway")
        }
    }

    func run() async throws {
        let target: RotateCommand.Target =
            if let name { .owner(name) } else if let mesh { .mesh(mesh) } else if root {
                .root
            } else {
                .all
            }
        var command = RotateCommand(target)
        command.namespace = namespace.namespace
        try await command.run(state.transport, state.console).end()
    }
}
