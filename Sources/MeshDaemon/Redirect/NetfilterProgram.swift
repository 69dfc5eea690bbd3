internal import Glibc

/// A program of iptables, which is asked by its standard input and answers by its output.
struct NetfilterProgram: Sendable {
    /// How it ended.
    struct Result: Sendable {
        /// Whether it did what it was asked.
        var isDone: Bool
        /// What it printed to standard output.
        var output: String
        /// The first line that it printed to standard error.
        var complaint: String
    }

    /// The path.
    let path: String

    /// The program `name` of the folders `searchPath`; nil when there is none.
    init?(_ name: String, in searchPath: String) {
        let paths = searchPath.split(separator: ":").map { "\($0)/\(name)" }
        guard let path = paths.first(where: { access($0, X_OK) == 0 }) else { return nil }
        self.path = path
    }

    /// Runs it to its end.
    ///
    /// - Parameters:
    ///   - arguments: Its arguments.
    ///   - input: What it reads.
    /// - Returns: How it ended.
    /// - Throws: `DaemonError` when it can't be started.
    func run(_ arguments: [String], input: String = "") throws -> Result {
        let (inputPipe, outputPipe, errorPipe) = (try Pipe(), try Pipe(), try Pipe())
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_adddup2(&actions, inputPipe.end, 0)
        posix_spawn_file_actions_adddup2(&actions, outputPipe.beginning, 1)
        posix_spawn_file_actions_adddup2(&actions, errorPipe.beginning, 2)
        var vector = ([path] + arguments).map { strdup($0) } + [nil]
        defer { vector.forEach { free($0) } }
        var pid: pid_t = 0
        let code = posix_spawn(&pid, path, &actions, nil, &vector, environ)
        guard code == 0 else {
            throw DaemonError("cannot run \(path): \(String(cString: strerror(code)).lowercased())")
        }
        inputPipe.closeEnd()
        outputPipe.closeBeginning()
        errorPipe.closeBeginning()
        inputPipe.write(input)
        inputPipe.closeBeginning()
        // It says little of either, so that neither keeps it waiting.
        let (output, errors) = (outputPipe.read(), errorPipe.read())
        var status: Int32 = 0
        while waitpid(pid, &status, 0) < 0, errno == EINTR {}
        return Result(
            isDone: status == 0,
            output: output,
            complaint: errors.split(whereSeparator: \.isNewline).first.map(String.init)
                ?? "it ended with status \(status >> 8 & 0xff)"
        )
    }
}

/// Two ends of which one is read and the other written; both are closed with it.
private final class Pipe {
    /// Where it is read.
    private(set) var end: Int32 = -1
    /// Where it is written.
    private(set) var beginning: Int32 = -1

    init() throws {
        var ends: [Int32] = [-1, -1]
        guard pipe(&ends) == 0 else {
            throw DaemonError(
                "cannot make a pipe: \(String(cString: strerror(errno)).lowercased())"
            )
        }
        (end, beginning) = (ends[0], ends[1])
        for descriptor in ends { _ = fcntl(descriptor, F_SETFD, FD_CLOEXEC) }
    }

    deinit {
        closeEnd()
        closeBeginning()
    }

    func closeEnd() {
        if end >= 0 { close(end) }
        end = -1
    }

    func closeBeginning() {
        if beginning >= 0 { close(beginning) }
        beginning = -1
    }

    func write(_ text: String) {
        signal(SIGPIPE, SIG_IGN)
        var bytes = Array(text.utf8)[...]
        while !bytes.isEmpty {
            let count = bytes.withUnsafeBytes { Glibc.write(beginning, $0.baseAddress, $0.count) }
            guard count > 0 || (count < 0 && errno == EINTR) else { return }
            bytes = bytes.dropFirst(max(count, 0))
        }
    }

    func read() -> String {
        var bytes: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 4096)
        while true {
            let count = Glibc.read(end, &buffer, buffer.count)
            if count > 0 { bytes += buffer[..<count] }
            guard count > 0 || (count < 0 && errno == EINTR) else { break }
        }
        return String(decoding: bytes, as: UTF8.self)
    }
}
