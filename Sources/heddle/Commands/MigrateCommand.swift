import ArgumentParser
import Foundation
import MeshDaemon
import MeshPlan

/// `heddle migrate`.
struct Migrate: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Helps Heddle to take the place of App Mesh's controller in a cluster.",
        subcommands: [MigrateCheck.self]
    )
}

/// `heddle migrate check`.
struct MigrateCheck: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "check",
        abstract: "Lists what works, what changes and what blocks.",
        discussion: """
            Without files it reads the cluster of a kubeconfig, or the one that it runs in, and \
            writes nothing there. The exit code is 0 if nothing blocks, and 1 if something does or \
            could not be read.

            Examples:
              heddle migrate check --context prod
              kubectl get meshes,virtualnodes,virtualservices,virtualrouters,virtualgateways,\
            gatewayroutes,backendgroups,namespaces,pods,deployments,nodes,\
            mutatingwebhookconfigurations,validatingwebhookconfigurations,\
            customresourcedefinitions -A -o yaml > dump.yaml
              heddle migrate check dump.yaml
              heddle migrate check -o json dump.yaml | jq '.findings[] | select(.effect == "blocks")'
            """
    )

    @Argument(
        help: "Files or folders of what \"kubectl get -o yaml\" printed, or - for standard input.",
        completion: .file()
    )
    var paths: [String] = []
    @Option(
        help: ArgumentHelp(
            "The kubeconfig. Default: KUBECONFIG, else ~/.kube/config.",
            valueName: "file"
        ),
        completion: .file()
    )
    var kubeconfig: String?
    @Option(help: ArgumentHelp("The context of the kubeconfig.", valueName: "name"))
    var context: String?
    @Option(name: .shortAndLong, help: "How to print.")
    var output = MigrateCheckCommand.Format.text
    @Flag(
        name: [.customShort("v"), .long],
        help: "Every object of every finding, and what works of each."
    )
    var all = false
    @Flag(
        name: .customLong("sds"),
        help:
            "Heddle is to be installed with sds.enabled, so that an SDS server has what is not its own."
    )
    var hasSecretService = false

    func validate() throws {
        if !paths.isEmpty, kubeconfig != nil || context != nil {
            throw ValidationError("pass files or --kubeconfig and --context, not both")
        }
    }

    func run() async throws {
        var command = MigrateCheckCommand()
        command.paths = paths
        command.kubeconfig = kubeconfig
        command.context = context
        command.format = output
        command.isComplete = all
        command.options.hasExternalSecrets = hasSecretService
        try await command.run(.standard(environment: ProcessInfo.processInfo.environment)).end()
    }
}
