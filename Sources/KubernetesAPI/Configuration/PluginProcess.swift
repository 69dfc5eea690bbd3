internal import Glibc

extension ExecPlugin {
    /// It prints one small object.
    private static let outputLimit = 1024 * 1024

    /// What the program prints; its standard error is ours.
    ///
    /// It blocks. When the time is over the program is killed, with those that it started.
    func run(timeLimit: Duration) throws(PluginProblem) -> [UInt8] {
        let isTerminal = isatty(STDIN_FILENO) == 1
        if interactiveMode == .always, !isTerminal {
            throw PluginProblem("it has to ask a person, and standard input is no terminal")
        }
        let isInteractive = isTerminal && interactiveMode != .never
        var pipes: [Int32] = [-1, -1]
        guard pipe(&pipes) == 0 else { throw PluginProblem(lastSystemError()) }
        for pipe in pipes { _ = fcntl(pipe, F_SETFD, FD_CLOEXEC) }
        defer { close(pipes[0]) }
        let pid: pid_t
        do {
            defer { close(pipes[1]) }
            pid = try spawn(output: pipes[1], isInteractive: isInteractive)
        }
        let end = ContinuousClock.now + timeLimit
        let output = read(pipes[0], until: end)
        var status: Int32 = 0
        guard let output, isDone(pid, &status, by: end) else {
            // The group of an interactive program is ours.
            kill(isInteractive ? pid : -pid, SIGKILL)
            while waitpid(pid, &status, 0) < 0, errno == EINTR {}
            throw PluginProblem("it was not done after \(timeLimit), or printed too much")
        }
        let signal = status & 0x7f
        guard signal == 0 else { throw PluginProblem("it ended by signal \(signal)") }
        guard status == 0 else {
            throw PluginProblem(
                "it ended with status \(status >> 8 & 0xff); standard error has what it said"
            )
        }
        return output
    }

    private func spawn(output: Int32, isInteractive: Bool) throws(PluginProblem) -> pid_t {
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        if !isInteractive {
            posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0)
        }
        posix_spawn_file_actions_adddup2(&actions, output, STDOUT_FILENO)
        for file in openFiles() where file > STDERR_FILENO {
            posix_spawn_file_actions_addclose(&actions, file)
        }
        var attributes = posix_spawnattr_t()
        posix_spawnattr_init(&attributes)
        defer { posix_spawnattr_destroy(&attributes) }
        var signals = sigset_t()
        sigemptyset(&signals)
        posix_spawnattr_setsigmask(&attributes, &signals)
        sigfillset(&signals)
        posix_spawnattr_setsigdefault(&attributes, &signals)
        posix_spawnattr_setpgroup(&attributes, 0)
        var flags = POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF
        if !isInteractive { flags |= POSIX_SPAWN_SETPGROUP }
        posix_spawnattr_setflags(&attributes, Int16(flags))
        var argumentList = ([command] + arguments).map { strdup($0) } + [nil]
        var environmentList = try variables(isInteractive).map { strdup($0) } + [nil]
        defer { (argumentList + environmentList).forEach { free($0) } }
        var pid: pid_t = 0
        let code = posix_spawnp(
            &pid,
            command,
            &actions,
            &attributes,
            &argumentList,
            &environmentList
        )
        guard code == 0 else {
            let reason = code == ENOENT ? "no such program" : String(cString: strerror(code))
            throw PluginProblem(installHint.isEmpty ? reason : "\(reason); \(installHint)")
        }
        return pid
    }

    /// `NAME=value`: ours, then the kubeconfig's, which take the place of ours.
    private func variables(_ isInteractive: Bool) throws(PluginProblem) -> [String] {
        let info: String
        do {
            info = try execInfo(isInteractive: isInteractive)
        } catch {
            throw PluginProblem("what it is to be told of the cluster is no JSON")
        }
        let own = environment + [("KUBERNETES_EXEC_INFO", info)]
        var result: [String] = []
        var place = environ
        while let text = place.pointee {
            let variable = String(cString: text)
            if !own.contains(where: { variable.hasPrefix("\($0.name)=") }) {
                result.append(variable)
            }
            place += 1
        }
        return result + own.map { "\($0.name)=\($0.value)" }
    }

    /// What is open in this process, not all of which is closed by itself for a program.
    private func openFiles() -> [Int32] {
        guard let folder = opendir("/proc/self/fd") else { return [] }
        defer { closedir(folder) }
        var files: [Int32] = []
        while let entry = readdir(folder) {
            let name = withUnsafeBytes(of: entry.pointee.d_name) { bytes in
                String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
            }
            if let file = Int32(name) { files.append(file) }
        }
        return files
    }

    /// Whether the process has ended by `end`; it has printed all then, so that comes soon.
    private func isDone(
        _ pid: pid_t,
        _ status: inout Int32,
        by end: ContinuousClock.Instant
    ) -> Bool {
        while true {
            let ended = waitpid(pid, &status, WNOHANG)
            if ended == pid { return true }
            guard ended == 0 || errno == EINTR, ContinuousClock.now < end else { return false }
            usleep(2000)
        }
    }

    /// All that comes until every writer has closed the pipe; nil when that takes too long, or is too
    /// much.
    private func read(_ pipe: Int32, until end: ContinuousClock.Instant) -> [UInt8]? {
        var bytes: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 4096)
        while ContinuousClock.now < end, bytes.count < Self.outputLimit {
            var poll = pollfd(fd: pipe, events: Int16(POLLIN), revents: 0)
            guard Glibc.poll(&poll, 1, 100) > 0 else { continue }
            let count = Glibc.read(pipe, &buffer, buffer.count)
            guard count > 0 else { return bytes }
            bytes += buffer[..<count]
        }
        return nil
    }
}

/// Runs `body`, which blocks, on a thread of its own.
func startThread(_ body: @escaping @Sendable () -> Void) {
    final class Work: Sendable {
        let body: @Sendable () -> Void
        init(_ body: @escaping @Sendable () -> Void) { self.body = body }
    }
    let work = Unmanaged.passRetained(Work(body))
    var thread = pthread_t()
    let code = pthread_create(
        &thread,
        nil,
        { work in
            guard let work else { return nil }
            Unmanaged<Work>.fromOpaque(work).takeRetainedValue().body()
            return nil
        },
        work.toOpaque()
    )
    precondition(code == 0, "cannot start a thread: \(String(cString: strerror(code)))")
    pthread_detach(thread)
}
