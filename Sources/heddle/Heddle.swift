import ArgumentParser
import Glibc
import MeshDaemon

/// The `heddle` command.
@main
struct Heddle: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "heddle",
        abstract: "Runs App Mesh manifests as Envoy sidecars on this host.",
        discussion: """
            Start with a folder of manifests:

              heddle validate ./mesh         reports every mistake at once
              heddle run ./mesh              runs the mesh; saving a file deploys it
              heddle status                  one line for each proxy

            Exit codes: 0 all is well; 1 the answer is bad news (not found, invalid, a proxy that \
            is not ready); 2 the command line is wrong; 3 no daemon answers.

            Environment: HEDDLE_STATE_DIR (see --state-dir), HEDDLE_ENVOY (see run --envoy), \
            NO_COLOR.
            """,
        version: heddleVersion,
        groupedSubcommands: [
            CommandGroup(
                name: "Mesh",
                subcommands: [RunCommand.self, ValidateCommand.self, RenderCommand.self]
            ),
            CommandGroup(
                name: "Inspection",
                subcommands: [
                    Status.self, Get.self, Describe.self, EventsOfObjects.self, Logs.self,
                    CertificatesGroup.self, ProxiesGroup.self, Top.self, Sizing.self,
                ]
            ),
            CommandGroup(
                name: "Traffic",
                subcommands: [
                    Stats.self, Graph.self, Tap.self, Traces.self, Audit.self,
                ]
            ),
            CommandGroup(name: "Pods", subcommands: [Redirect.self]),
            CommandGroup(
                name: "Other",
                subcommands: [Migrate.self, Completion.self, Version.self]
            ),
        ]
    )

    static func main() async {
        do {
            var command = try parseAsRoot()
            if var asynchronous = command as? any AsyncParsableCommand {
                try await asynchronous.run()
            } else {
                try command.run()
            }
        } catch let failure as ClientFailure {
            end(failure.status, message: failure.description)
        } catch let error as DaemonError {
            end(.badNews, message: error.description)
        } catch is CancellationError {
            end(.badNews, message: nil)
        } catch  where exitCode(for: error) == .validationFailure {
            end(.usage, message: fullMessage(for: error), prefix: "")
        } catch {
            exit(withError: error)
        }
    }

    private static func end(
        _ status: ExitStatus,
        message: String?,
        prefix: String = "heddle: "
    ) -> Never {
        if let message { Console.standard(environment: [:]).note(prefix + message) }
        Glibc.exit(status.rawValue)
    }
}

extension ExitStatus {
    /// Ends the process unless all is well.
    func end() throws {
        if self != .ok { throw ExitCode(rawValue) }
    }
}
