internal import Foundation
internal import Synchronization

/// One replica of Heddle, a process of `heddle run --kubernetes` that may be started again; it ends with
/// this object or the test.
public final class TestReplica: Sendable {
    private let command: [String]
    private let log: String
    private let process: Mutex<ServerProcess?>

    /// Starts `command`, whose output goes to the file `log`.
    public init(_ command: [String], log: String) async throws {
        self.command = command
        self.log = log
        process = Mutex(try await Self.launch(command, log))
    }

    private static func launch(_ command: [String], _ log: String) async throws -> ServerProcess {
        try await ServerProcess.start(
            ["sh", "-c", #"echo "pid $$"; log=$1; shift; exec "$@" >>"$log" 2>&1"#, "sh", log]
                + command,
            until: "pid "
        )
    }

    /// Its process; 0 once it was ended.
    public var processID: Int32 {
        let line = process.withLock { $0?.line }
        return line?.split(separator: " ").last.flatMap { Int32($0) } ?? 0
    }

    /// What it wrote so far, in all its lives.
    public var output: String { (try? String(contentsOfFile: log, encoding: .utf8)) ?? "" }

    /// Whether its process runs, be it paused.
    public var isRunning: Bool { isProcessRunning(processID) }

    /// Ends it as Kubernetes does, and waits until it is gone.
    public func stop() async throws { try await end(by: SIGTERM) }

    /// Ends it as `kill -9` does, and waits until it is gone.
    public func kill() async throws { try await end(by: SIGKILL) }

    private func end(by signal: Int32) async throws {
        let processID = processID
        send(signal)
        try await poll({ isProcessRunning(processID) }, until: { !$0 })
        end()
    }

    /// Ends it as `kill -9` does, and waits for nothing.
    public func end() {
        send(SIGKILL)
        let process = process.withLock { process in
            defer { process = nil }
            return process
        }
        // Not within the lock, as the end of the process is waited for.
        _ = process
    }

    /// Starts it again, with what it left behind.
    public func start() async throws {
        let new = try await Self.launch(command, log)
        process.withLock { $0 = new }
    }

    /// Has it stand still.
    public func pause() { send(SIGSTOP) }

    /// Has it go on.
    public func resume() { send(SIGCONT) }

    private func send(_ signal: Int32) {
        // 0 would be all processes of this group.
        guard processID > 0 else { return }
        _ = Foundation.kill(processID, signal)
    }

    deinit { send(SIGKILL) }
}

/// The address of a Service: new connections go to the replicas behind it that are ready, in turn, and
/// while none is to any.
public final class TestService: Sendable {
    private let process: ServerProcess

    /// Starts it.
    ///
    /// - Parameters:
    ///   - listeners: Addresses with ports, and the ports of the replicas to which they lead.
    ///   - backends: The addresses of replicas, be they there or not.
    ///   - healthPort: Where they answer `/readyz`.
    /// - Throws: When it cannot listen.
    public init(_ listeners: [String: Int], backends: [String], healthPort: Int) async throws {
        var command = ["python3", TestKubelet.file("service.py"), "--port", "\(healthPort)"]
        for (address, port) in listeners { command += ["--listen", "\(address)=\(port)"] }
        for address in backends { command += ["--backend", address] }
        process = try await .start(command, until: "serving")
    }
}
