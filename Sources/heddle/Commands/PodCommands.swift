import ArgumentParser
import Foundation
import MeshDaemon

/// `heddle redirect`.
struct Redirect: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Makes the traffic of a Pod go through its proxy.",
        discussion: """
            For the init container of a Pod: it sets rules of iptables in the Pod's own network, by the \
            variables of App Mesh's proxyinit (APPMESH_START_ENABLED, APPMESH_IGNORE_UID and _GID, \
            APPMESH_ENVOY_INGRESS_PORT and _EGRESS_PORT, APPMESH_APP_PORTS, APPMESH_EGRESS_IGNORED_IP \
            and _PORTS, APPMESH_ENABLE_IPV6). An option comes before its variable. It needs root with \
            the capability NET_ADMIN, and may be run again.

            Examples:
              heddle redirect --app-ports 8080,9090
              heddle redirect --app-ports 8080 --dry-run
              heddle redirect disable
            """
    )

    /// What to do.
    enum Action: String, CaseIterable, ExpressibleByArgument {
        case enable
        case disable
    }

    @Argument(
        help:
            "Whether to set the rules or to remove them. Default: APPMESH_START_ENABLED, else enable."
    )
    var action: Action?
    @Flag(help: "Prints the rules and changes nothing.")
    var dryRun = false
    @Option(help: "The user of the proxy, whose connections pass. Default: 1337.")
    var ignoreUID: String?
    @Option(help: "The group of the proxy, whose connections pass.")
    var ignoreGID: String?
    @Option(help: "The proxy's port for what comes to the application. Default: 15000.")
    var ingressPort: String?
    @Option(help: "The proxy's port for what the application sends. Default: 15001.")
    var egressPort: String?
    @Option(
        help: ArgumentHelp(
            "The ports of the application; what comes to others passes by the proxy.",
            valueName: "ports"
        )
    )
    var appPorts: String?
    @Option(
        name: .customLong("egress-ignored-ips"),
        help: ArgumentHelp(
            "IP addresses and ranges; what leaves for them passes by the proxy.",
            valueName: "ranges"
        )
    )
    var egressIgnoredIPs: String?
    @Option(
        help: ArgumentHelp(
            "Ports; what leaves for them passes by the proxy, as for 22 always.",
            valueName: "ports"
        )
    )
    var egressIgnoredPorts: String?
    @Option(
        name: .customLong("ipv6"),
        help: ArgumentHelp(
            "Whether to set rules for IPv6 too, 1 or 0. Default: 1.",
            valueName: "flag"
        )
    )
    var ipv6: String?

    func run() throws {
        let environment = ProcessInfo.processInfo.environment
        let options: [RedirectVariable: String?] = [
            .ignoredUID: ignoreUID, .ignoredGID: ignoreGID, .ingressPort: ingressPort,
            .egressPort: egressPort, .applicationPorts: appPorts, .ignoredIPs: egressIgnoredIPs,
            .ignoredPorts: egressIgnoredPorts, .ipv6: ipv6,
        ]
        let command = RedirectCommand(
            try RedirectSettings(environment, options: options.compactMapValues { $0 }),
            isEnabled: action.map { $0 == .enable },
            environment: environment,
            console: .standard(environment: environment)
        )
        if dryRun { command.printRules() } else { try command.run() }
    }
}
