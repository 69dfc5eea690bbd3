public import ArgumentParser
import Foundation
public import Logging
public import MeshDaemon

/// Where the state is, for every command that meets a daemon.
struct StateOptions: ParsableArguments {
    @Option(
        name: .customLong("state-dir"),
        help: ArgumentHelp(
            "The folder with the daemon's state and socket.",
            discussion: """
                Default: HEDDLE_STATE_DIR, else /var/lib/heddle for root, else \
                $XDG_STATE_HOME/heddle or ~/.local/state/heddle.
                """,
            valueName: "dir"
        ),
        completion: .directory
    )
    var stateDirectory: String?

    var environment: [String: String] { ProcessInfo.processInfo.environment }

    /// The folder to use.
    var path: String { stateDirectory ?? defaultStateDirectory(environment: environment) }

    /// What another command needs to reach the same daemon.
    var clientOptions: String {
        path == defaultStateDirectory(environment: environment) ? "" : " --state-dir \(path)"
    }

    /// The way to the daemon.
    var transport: SocketTransport {
        SocketTransport(socketPath: apiSocketPath(stateDirectory: path))
    }

    /// Where to print.
    var console: Console { .standard(environment: environment) }
}

/// `path` seen from the working directory.
func absolutePath(_ path: String) -> String {
    URL(fileURLWithPath: path).standardizedFileURL.path
}

/// Which namespace to look into.
struct NamespaceOption: ParsableArguments {
    @Option(
        name: .shortAndLong,
        help: "The namespace. Default: the only one there is, else \"default\"."
    )
    var namespace: String?
}

extension GetCommand.Format: ExpressibleByArgument {}
extension StatusCommand.Format: ExpressibleByArgument {}
extension EventsCommand.Format: ExpressibleByArgument {}
extension CertificatesCommand.Format: ExpressibleByArgument {}
extension ProxiesCommand.Format: ExpressibleByArgument {}
extension SizingCommand.Format: ExpressibleByArgument {}
extension StatsCommand.Format: ExpressibleByArgument {}
extension GraphCommand.Format: ExpressibleByArgument {}
extension TapCommand.Format: ExpressibleByArgument {}
extension TracesCommand.Format: ExpressibleByArgument {}
extension AuditCommand.Format: ExpressibleByArgument {}
extension TopCommand.Format: ExpressibleByArgument {}
extension MigrateCheckCommand.Format: ExpressibleByArgument {}
extension TopCommand.Sort: ExpressibleByArgument {}
extension Logger.Level: @retroactive ExpressibleByArgument {}
