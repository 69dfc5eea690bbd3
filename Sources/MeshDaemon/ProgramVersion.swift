internal import Glibc

/// What a program says of itself when it is asked for its version.
struct ProgramVersion {
    /// A program that says nothing for so long hangs.
    static let patienceMilliseconds: Int32 = 10_000

    private let path: String
    private let output: String
    private let ending: Ending

    private enum Ending {
        case exit(Int32)
        case signal(Int32)
        case hung
    }

    /// Runs `path --version`.
    ///
    /// - Throws: `DaemonError` when it does not run.
    init(of path: String) throws {
        self.path = path
        if let machine = foreignMachine(of: path) {
            throw DaemonError(
                "\(path) does not run here: it is built for \(machine); pass an Envoy for this "
                    + "machine with --envoy"
            )
        }
        var pipes: [Int32] = [-1, -1]
        guard pipe(&pipes) == 0 else { throw unrunnable(path, errno) }
        defer { close(pipes[0]) }
        for pipe in pipes { _ = fcntl(pipe, F_SETFD, FD_CLOEXEC) }
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0)
        posix_spawn_file_actions_adddup2(&actions, pipes[1], 1)
        posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", O_WRONLY, 0)
        var arguments = [strdup(path), strdup("--version"), nil]
        defer { arguments.forEach { free($0) } }
        var pid: pid_t = 0
        let code = posix_spawn(&pid, path, &actions, nil, &arguments, environ)
        close(pipes[1])
        guard code == 0 else { throw unrunnable(path, code) }
        let (output, isEnded) = ProgramVersion.read(pipes[0])
        if !isEnded { kill(pid, SIGKILL) }
        var status: Int32 = 0
        while waitpid(pid, &status, 0) < 0, errno == EINTR {}
        self.output = output
        let signal = status & 0x7f
        ending = !isEnded ? .hung : signal == 0 ? .exit(status >> 8 & 0xff) : .signal(signal)
    }

    /// The version of the Envoy that the program is.
    ///
    /// - Throws: `DaemonError` when it is none.
    func envoyVersion() throws -> String {
        switch ending {
        case .hung:
            throw DaemonError(
                "\(path) does not answer to --version; pass another Envoy with --envoy"
            )
        case .signal(let signal):
            throw DaemonError(
                "\(path) does not run: it ends by signal \(signal); pass another Envoy with --envoy"
            )
        case .exit(let status):
            if let version = EnvoyBinary.version(in: output), status == 0 { return version }
            throw DaemonError(
                status == 0
                    ? "\(path) is no Envoy: it does not say which version it is; pass another with "
                        + "--envoy"
                    : "\(path) is no Envoy that runs: it ends with status \(status) when asked for "
                        + "its version; pass another with --envoy"
            )
        }
    }

    /// What comes from `pipe` until all writers closed it, and whether they did.
    private static func read(_ pipe: Int32) -> (output: String, isEnded: Bool) {
        let end = ContinuousClock.now + .milliseconds(Int(patienceMilliseconds))
        var bytes: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 4096)
        while ContinuousClock.now < end, bytes.count < 1 << 20 {
            var poll = pollfd(fd: pipe, events: Int16(POLLIN), revents: 0)
            guard Glibc.poll(&poll, 1, 100) > 0 else { continue }
            let count = Glibc.read(pipe, &buffer, buffer.count)
            guard count > 0 else { return (String(decoding: bytes, as: UTF8.self), true) }
            bytes += buffer[..<count]
        }
        return (String(decoding: bytes, as: UTF8.self), false)
    }
}

private func unrunnable(_ path: String, _ code: Int32) -> DaemonError {
    let reason = String(cString: strerror(code)).lowercased()
    return DaemonError("cannot run \(path): \(reason); pass another Envoy with --envoy")
}

/// The machine that the ELF file `path` is built for, if it is another than this one.
private func foreignMachine(of path: String) -> String? {
    guard let own = machine(of: "/proc/self/exe"), let other = machine(of: path), own != other
    else { return nil }
    return [3: "i386", 40: "arm", 62: "x86_64", 183: "aarch64", 243: "riscv64"][other]
        ?? "machine \(other)"
}

/// The number of the machine in an ELF file's header; nil for other files.
private func machine(of path: String) -> Int? {
    guard let file = fopen(path, "re") else { return nil }
    defer { fclose(file) }
    var header = [UInt8](repeating: 0, count: 20)
    guard fread(&header, 1, header.count, file) == header.count,
        header.starts(with: [0x7f, 0x45, 0x4c, 0x46])
    else { return nil }
    return header[5] == 2
        ? Int(header[18]) << 8 | Int(header[19]) : Int(header[19]) << 8 | Int(header[18])
}
