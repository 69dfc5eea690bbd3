/// How a command ends; the number is the process's exit code.
public enum ExitStatus: Int32, Sendable {
    /// All is well.
    case ok = 0
    /// The answer is bad news: not found, invalid, a proxy that refuses.
    case badNews = 1
    /// The command line cannot be understood.
    case usage = 2
    /// No daemon answers.
    case noDaemon = 3
}

/// Why a client command has no answer.
public struct ClientFailure: Error, Hashable, CustomStringConvertible {
    /// How the process ends.
    public var status: ExitStatus
    /// The problem and its remedy.
    public var description: String

    /// Makes a failure.
    public init(_ status: ExitStatus, _ description: String) {
        self.status = status
        self.description = description
    }

    /// Nobody listens on the socket.
    public static func noDaemon(socketPath: String) -> ClientFailure {
        ClientFailure(
            .noDaemon,
            "no heddle is running on \(socketPath); start one with \"heddle run DIR\""
        )
    }
}
