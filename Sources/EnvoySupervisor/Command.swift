import CProcess
import Glibc

/// What is to be started.
struct Command: Hashable, Sendable {
    /// The program's name or path, then its arguments.
    var arguments: [String]
    /// The whole environment.
    var environment: [String: String]
    /// Where it starts; nil is our own working directory.
    var directory: String?
    /// Whether it lives on when we end, though it asks to end with us, as an Envoy that can be hot
    /// restarted does.
    var outlivesUs = false

    /// Starts it as the leader of its own session, with its output appended to `logPath`.
    func start(logPath: String) throws(StartError) -> Int32 {
        try start(logPath: logPath, controlGroup: nil).pid
    }

    /// Starts it as the leader of its own session, in a control group from its first moment on.
    ///
    /// - Parameters:
    ///   - logPath: Where its output is appended.
    ///   - controlGroup: The group, which nobody else uses.
    /// - Returns: What was started. It runs even where the group does not take it.
    /// - Throws: Why it does not run.
    func start(
        logPath: String,
        controlGroup: ControlGroup?
    ) throws(StartError) -> StartedCommand {
        let program = try executable()
        if let directory, access(directory, X_OK) != 0 {
            throw StartError(program: name, reason: "no such working directory \"\(directory)\"")
        }
        guard let log = try? Descriptor.open(logPath, O_WRONLY | O_APPEND | O_CREAT) else {
            let reason = SystemError("cannot open \(logPath)").description
            throw StartError(program: name, reason: reason)
        }
        let doors = controlGroup?.doors() ?? ControlGroup.Doors()
        var pid: Int32 = 0
        var joinError: Int32 = 0
        let code = withExtendedLifetime((log, doors)) {
            spawn(program, output: log, doors.open, &pid, &joinError)
        }
        guard code == 0 else { throw StartError(program: name, reason: SystemError.text(code)) }
        let refusal = joinError == 0 ? nil : controlGroup?.refusal(joinError)
        return StartedCommand(pid: pid, joinProblem: doors.problem ?? refusal)
    }

    private func spawn(
        _ program: String,
        output: Descriptor,
        _ groups: [Descriptor],
        _ pid: inout Int32,
        _ joinError: inout Int32
    ) -> Int32 {
        let variables = environment.sorted { $0.key < $1.key }.map { "\($0.key)=\($0.value)" }
        return withCStrings([program] + [directory].compactMap(\.self)) { paths in
            withCStrings(arguments) { arguments in
                withCStrings(variables) { variables in
                    groups.map(\.number).withUnsafeBufferPointer { groups in
                        var command = cprocess_command(
                            program: paths[0],
                            arguments: arguments,
                            environment: variables,
                            directory: paths[1],
                            output: output.number,
                            groups: groups.baseAddress,
                            group_count: Int32(groups.count),
                            outlives_us: outlivesUs
                        )
                        return cprocess_spawn(&pid, &command, &joinError)
                    }
                }
            }
        }
    }

    private var name: String { arguments.first ?? "" }

    /// The program's path, looked up in the PATH of the command's own environment.
    private func executable() throws(StartError) -> String {
        guard !name.isEmpty else { throw StartError(program: "", reason: "the command is empty") }
        if name.contains("/") {
            guard access(absolute(name), F_OK) == 0 else {
                throw StartError(program: name, reason: "no such file")
            }
            return absolute(name)
        }
        let path = environment["PATH"] ?? "/usr/local/bin:/usr/bin:/bin"
        for folder in path.split(separator: ":", omittingEmptySubsequences: false) {
            let candidate = absolute(folder.isEmpty ? name : "\(folder)/\(name)")
            if access(candidate, X_OK) == 0, !isFolder(candidate) { return candidate }
        }
        throw StartError(program: name, reason: "no such file in PATH")
    }

    private func absolute(_ path: String) -> String {
        guard !path.hasPrefix("/"), let directory else { return path }
        return "\(directory)/\(path)"
    }

    private func isFolder(_ path: String) -> Bool {
        var status = stat()
        return stat(path, &status) == 0 && status.st_mode & S_IFMT == S_IFDIR
    }

    /// The variable that names the state directory to every process that is started for it.
    static let mark = "HEDDLE_SUPERVISED_FOR"

    /// Our own environment.
    static var ownEnvironment: [String: String] {
        var variables: [String: String] = [:]
        var entry = environ
        while let text = entry.pointee {
            let pair = String(cString: text).split(
                separator: "=",
                maxSplits: 1,
                omittingEmptySubsequences: false
            )
            if pair.count == 2 { variables[String(pair[0])] = String(pair[1]) }
            entry += 1
        }
        return variables
    }
}

/// A process that was started.
struct StartedCommand: Hashable, Sendable {
    /// Its number.
    var pid: Int32
    /// Why its control group does not hold it, as a clause; nil when it does, or it has none.
    var joinProblem: String?
}

/// Why a process could not be started.
struct StartError: Error, CustomStringConvertible {
    var program: String
    var reason: String

    /// `cannot start "foo": no such file`.
    var description: String { "cannot start \"\(program)\": \(reason)" }
}

/// Calls `body` with `strings` as the list that `execve` takes.
private func withCStrings<Result>(
    _ strings: [String],
    _ body: (UnsafePointer<UnsafeMutablePointer<CChar>?>) -> Result
) -> Result {
    let pointers = strings.map { strdup($0) } + [nil]
    defer { for pointer in pointers { free(pointer) } }
    return pointers.withUnsafeBufferPointer { buffer in
        guard let start = buffer.baseAddress else { preconditionFailure("a list ends with NULL") }
        return body(start)
    }
}
