import Glibc
public import MeshModel

/// What a proxy starts from by hand while no daemon runs.
extension EnvoySupervisor {
    /// The Unix socket of the admin interface that the last good bootstrap of a proxy shall name.
    public func standaloneAdminSocketPath(of proxy: ProxyID) -> String {
        ProxyFolder(of: proxy, stateDirectory: stateDirectory).adminSocketPath(.standalone)
    }

    /// Keeps a bootstrap that needs no control plane in the folder of its proxy, with a script `run`.
    ///
    /// The script runs Envoy with it until it is ended. The next daemon finds this Envoy by the mark
    /// in its environment and its bootstrap's path, and lets one of its own take over from it.
    ///
    /// - Parameters:
    ///   - bootstrap: The bootstrap as JSON; its admin interface at `standaloneAdminSocketPath`.
    ///   - proxy: The proxy.
    ///   - concurrency: Its worker threads.
    /// - Throws: Why the files cannot be written.
    public func saveLastGood(
        _ bootstrap: [UInt8],
        of proxy: ProxyID,
        concurrency: Int
    ) throws {
        let folder = ProxyFolder(of: proxy, stateDirectory: stateDirectory)
        try folder.make()
        let arguments =
            [configuration.envoyPath, "-c", folder.bootstrapPath(.standalone)]
            + ["--use-dynamic-base-id"]
            + SupervisorConfiguration.restartOptions(folder.restartSocketPath)
            + configuration.envoyOptions(concurrency: concurrency)
        let script = """
            #!/bin/sh
            # Runs the proxy \(proxy) as Heddle saw it last, while Heddle does not run.
            # Heddle takes over from it when it runs again.
            cd \(Self.quoted(folder.path)) || exit 1
            rm -f \(Self.quoted(folder.adminSocketPath(.standalone)))
            export \(Command.mark)=\(Self.quoted(stateDirectory))
            exec \(arguments.map(Self.quoted).joined(separator: " ")) "$@"

            """
        try Files.write(Array(script.utf8), to: folder.runPath)
        guard chmod(folder.runPath, 0o700) == 0 else {
            throw SystemError("cannot make \(folder.runPath) executable")
        }
        // Last: where it is, the script is too.
        try Files.write(bootstrap, to: folder.bootstrapPath(.standalone))
    }

    /// A word for the shell, whatever is in it.
    private static func quoted(_ word: String) -> String {
        "'"
            + word.split(separator: "'", omittingEmptySubsequences: false).joined(
                separator: "'\\''"
            ) + "'"
    }
}
