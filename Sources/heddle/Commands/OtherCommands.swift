import ArgumentParser
import MeshDaemon

/// `heddle completion`.
struct Completion: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Prints a script that completes heddle's commands in a shell.",
        discussion: """
            Examples:
              source <(heddle completion bash)
              heddle completion zsh > ~/.zfunc/_heddle
              heddle completion fish > ~/.config/fish/completions/heddle.fish
            """
    )

    /// The shells that ArgumentParser writes scripts for.
    enum Shell: String, CaseIterable, ExpressibleByArgument {
        case bash
        case zsh
        case fish
    }

    @Argument(help: "The shell.")
    var shell: Shell

    func run() {
        let shell: CompletionShell =
            switch shell {
            case .bash: .bash
            case .zsh: .zsh
            case .fish: .fish
            }
        print(Heddle.completionScript(for: shell))
    }
}

/// `heddle version`.
struct Version: ParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Prints heddle's version.")

    func run() { print("heddle \(heddleVersion)") }
}
