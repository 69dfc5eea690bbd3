import Foundation
import HTTPClient
import MeshModel
import MeshTesting
import Synchronization
import Testing

/// `heddle run` on a folder of the test's own, with real Envoys and applications.
final class RunningMesh: Sendable {
    /// The folder of manifests.
    let folder: URL
    /// The state directory.
    let state: URL
    private let firstPort: Int
    private let arguments: [String]
    private let environment: [String: String]
    /// What runs, or ran last; nil before the first.
    private let daemon = Mutex<Daemon?>(nil)
    /// Asks Heddle, proxies and applications.
    let client = HTTPClient()

    /// A process of `heddle run`.
    private struct Daemon: Sendable {
        let process: Process
        let output: OutputLines

        init(_ arguments: [String], _ environment: [String: String]) throws {
            output = OutputLines()
            process = Process()
            process.executableURL = heddleBinary
            process.arguments = arguments
            process.environment = ProcessInfo.processInfo.environment
                .merging(environment) { _, new in new }
            process.standardInput = FileHandle.nullDevice
            process.standardOutput = output.pipe
            process.standardError = output.pipe
            try process.run()
            try output.pipe.fileHandleForWriting.close()
            output.start()
        }
    }

    /// How many meshes were started: each has a range of addresses and ports of its own.
    private static let count = Mutex(0)

    private init(
        folder: URL,
        state: URL,
        firstPort: Int,
        arguments: [String],
        environment: [String: String]
    ) {
        self.folder = folder
        self.state = state
        self.firstPort = firstPort
        self.arguments = arguments
        self.environment = environment
    }

    /// Runs `body` on a mesh of `files` once all its workloads are ready, and ends it after.
    ///
    /// `APP1` to `APP9` in a file or an option stand for ports that are this mesh's own. Its folders are
    /// in `place`, by default in one that goes with it. Where some shall not get ready, `beginning` is
    /// in the line of output that `body` waits for.
    static func run(
        _ files: [String: String],
        options: [String] = [],
        environment: [String: String] = [:],
        after beginning: String = "workloads are ready",
        in place: TestFolder? = nil,
        _ body: (RunningMesh) async throws -> Void
    ) async throws {
        if let place {
            try await run(files, options, environment, beginning, at: place.url, body)
        } else {
            try await TestFolder.use {
                try await run(files, options, environment, beginning, at: $0.url, body)
            }
        }
    }

    private static func run(
        _ files: [String: String],
        _ options: [String],
        _ environment: [String: String],
        _ beginning: String,
        at root: URL,
        _ body: (RunningMesh) async throws -> Void
    ) async throws {
        let number = count.withLock { count in
            count += 1
            return count
        }
        let folder = root.appendingPathComponent("mesh")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        // Below the ports that the system gives to clients.
        let firstPort = 20_000 + Int(getpid()) % 60 * 200 + number % 20 * 10
        let mesh = RunningMesh(
            folder: folder,
            state: root.appendingPathComponent("state"),
            firstPort: firstPort,
            arguments: [
                "run", folder.path, "--state-dir", root.appendingPathComponent("state").path,
                "--http-address", "none", "--xray-address", "none", "--otlp-address", "none",
                "--envoy", try requireEnvoy(), "--proxy-addresses",
                // Those before have ended.
                "127.\(100 + number % 77 * 2).0.0/16,127.\(101 + number % 77 * 2).0.0/16",
            ] + options.map { Self.ports($0, from: firstPort) },
            environment: environment
        )
        try mesh.save("app.py", TestApplication.program)
        for (name, text) in files { try mesh.save(name, text) }
        defer { mesh.endAll() }
        do {
            try await mesh.start(after: beginning)
            try await body(mesh)
        } catch {
            print("output of heddle run:\n" + mesh.output.all.joined(separator: "\n"))
            throw error
        }
    }

    private var process: Process? { daemon.withLock { $0?.process } }
    private var output: OutputLines { daemon.withLock { $0?.output } ?? OutputLines() }

    /// Starts Heddle, at first and after its end, and waits for the line that contains `beginning`.
    func start(
        _ options: [String] = [],
        after beginning: String = "workloads are ready"
    ) async throws {
        let started = try Daemon(arguments + options, environment)
        daemon.withLock { $0 = started }
        _ = try await line(containing: beginning)
    }

    /// Ends Heddle, and what it left running.
    private func endAll() {
        process?.terminate()
        process?.waitUntilExit()
        for pid in (try? processes()) ?? [] { kill(pid_t(pid), SIGKILL) }
    }

    /// `text` with ports in place of `APP1` to `APP9`.
    private static func ports(_ text: String, from firstPort: Int) -> String {
        text.replacing(/APP(\d)/) { "\(firstPort + (Int($0.1) ?? 0))" }
    }

    /// Saves a file as an editor does.
    func save(_ name: String, _ text: String) throws {
        try Data(Self.ports(text, from: firstPort).utf8).write(
            to: folder.appendingPathComponent(name),
            options: .atomic
        )
    }

    /// The next line of Heddle's output that contains `text`.
    func line(containing text: String) async throws -> String {
        try await output.next(containing: text)
    }

    /// All lines of Heddle's output so far.
    var lines: [String] { output.all }

    /// What a command of heddle prints about this mesh.
    func heddle(_ arguments: String...) async throws -> String {
        try await heddle(arguments)
    }

    /// What a command of heddle prints about this mesh.
    func heddle(_ arguments: [String]) async throws -> String {
        try await result(arguments).output
    }

    /// How a command of heddle about this mesh ends, and what it prints.
    func result(_ arguments: [String]) async throws -> CommandResult {
        try await runCommand(heddleBinary.path, arguments + ["--state-dir", state.path])
    }

    /// Begins a command of heddle about this mesh that goes on until it is ended.
    func follow(_ arguments: String...) throws -> FollowedCommand {
        try FollowedCommand(heddleBinary, arguments + ["--state-dir", state.path])
    }

    /// Sends `signal` and waits for the end.
    func end(by signal: Int32) async -> Int32 {
        guard let process else { return 0 }
        kill(process.processIdentifier, signal)
        await output.end()
        process.waitUntilExit()
        return process.terminationStatus
    }

    /// Runs `body` while Heddle is stopped, so that it tells no proxy of what goes on.
    func withoutHeddle(_ body: () async throws -> Void) async throws {
        let daemon = try #require(process).processIdentifier
        kill(daemon, SIGSTOP)
        defer { kill(daemon, SIGCONT) }
        try await body()
    }

    /// Runs `body` while the Envoy of `workload` is stopped.
    func withoutProxy(_ workload: String, _ body: () async throws -> Void) async throws {
        let pid = pid_t(try #require(try await sidecar(workload, "pid")?.integer))
        kill(pid, SIGSTOP)
        defer { kill(pid, SIGCONT) }
        try await body()
    }

    /// The workload `name` as the local API shows it.
    func workload(_ name: String, namespace: String = "demo") async throws -> JSONValue {
        try await object("heddle.dev/v1alpha1", "workloads", name, namespace)
    }

    /// An object as the local API shows it.
    func object(
        _ apiVersion: String,
        _ plural: String,
        _ name: String,
        _ namespace: String = "demo"
    ) async throws -> JSONValue {
        let url = "http://localhost/apis/\(apiVersion)/namespaces/\(namespace)/\(plural)/\(name)"
        let socket = state.appendingPathComponent("api.sock").path
        let response = try await client.response(
            to: HTTPRequest("GET", url, unixSocketPath: socket)
        )
        return try JSONDecoder().decode(JSONValue.self, from: Data(response.body))
    }

    /// The condition `type` of a virtual node, once it is as `isExpected` says.
    func condition(
        _ type: String,
        of node: String,
        until isExpected: (JSONValue) -> Bool
    ) async throws -> JSONValue {
        let condition = try await poll {
            let object = try await object("appmesh.k8s.aws/v1beta2", "virtualnodes", node)
            return object["status"]?["conditions"]?.array?.first { $0["type"]?.string == type }
        } until: { condition in
            condition.map(isExpected) ?? false
        }
        return try #require(condition)
    }

    /// A field of a workload's sidecar.
    func sidecar(_ name: String, _ field: String) async throws -> JSONValue? {
        try await workload(name)["status"]?["sidecar"]?[field]
    }

    /// The application that listens on `APP<number>`.
    func application(_ number: Int) -> TestApplication {
        TestApplication(port: firstPort + number, client: client)
    }

    /// The egress address of a workload, where its application calls others.
    func egressAddress(of workload: String) async throws -> String {
        try #require(try await sidecar(workload, "egressAddress")?.string)
    }

    /// The ingress address of a workload, where others call its application.
    func ingressAddress(of workload: String) async throws -> String {
        try #require(try await sidecar(workload, "ingressAddress")?.string)
    }

    /// A number that the Envoy of a workload counts.
    func statistic(_ name: String, of workload: String) async throws -> Int {
        let line = try await statistics(of: workload).first { $0.hasPrefix("\(name): ") }
        return try #require(line?.split(separator: " ").last.flatMap { Int($0) }, "\(name)")
    }

    /// The sum of the numbers that the Envoy of a workload counts under names that begin and end so.
    func statistics(_ prefix: String, _ suffix: String, of workload: String) async throws -> Int {
        try await statistics(of: workload).reduce(0) { sum, line in
            let parts = line.split(separator: ": ")
            guard parts.count == 2, parts[0].hasPrefix(prefix), parts[0].hasSuffix(suffix) else {
                return sum
            }
            return sum + (Int(parts[1]) ?? 0)
        }
    }

    private func statistics(of workload: String) async throws -> [Substring] {
        let folder = state.appendingPathComponent("proxies/demo/\(workload)")
        func ask(_ name: String) async throws -> HTTPResponse {
            let socket = folder.appendingPathComponent(name).path
            return try await client.response(
                to: HTTPRequest("GET", "http://localhost/stats", unixSocketPath: socket)
            )
        }
        // An Envoy that took over from another has the other socket.
        let response =
            if let response = try? await ask("admin.sock") { response } else {
                try await ask("admin-2.sock")
            }
        return response.text.split(separator: "\n")
    }

    /// What Heddle counts, one metric a line.
    func metrics() async throws -> [Substring] {
        let socket = state.appendingPathComponent("api.sock").path
        let response = try await client.response(
            to: HTTPRequest("GET", "http://localhost/metrics", unixSocketPath: socket)
        )
        return response.text.split(separator: "\n")
    }

    /// The answer to a request through the egress of the workload `caller`.
    ///
    /// With the port 15001 it goes as through an HTTP proxy.
    func request(
        from caller: String,
        host: String,
        method: String = "GET",
        path: String = "/",
        port: Int = 15001,
        headers: [HTTPField] = [],
        body: String? = nil
    ) async throws -> HTTPResponse {
        let address = try await egressAddress(of: caller)
        return try await client.response(
            to: HTTPRequest(
                method,
                "http://\(address):\(port)\(path)",
                headers: [HTTPField("Host", host)] + headers,
                body: body.map { Array($0.utf8) }
            )
        )
    }

    /// The answer to `url`.
    func request(
        _ url: String,
        method: String = "GET",
        headers: [HTTPField] = []
    ) async throws -> HTTPResponse {
        try await client.response(to: HTTPRequest(method, url, headers: headers))
    }

    /// Processes, but Heddle's own, that run on this mesh's folders.
    func processes() throws -> [Int] {
        let files = FileManager.default
        let ownPID = process.map { Int($0.processIdentifier) }
        return try files.contentsOfDirectory(atPath: "/proc").compactMap(Int.init).filter { pid in
            let arguments = files.contents(atPath: "/proc/\(pid)/cmdline") ?? Data()
            let directory = try? files.destinationOfSymbolicLink(atPath: "/proc/\(pid)/cwd")
            return pid != ownPID
                && (directory == folder.path
                    || String(decoding: arguments, as: UTF8.self).contains(state.path))
        }
    }
}

/// A command that goes on while a test looks at what it prints.
final class FollowedCommand: Sendable {
    private let process = Process()
    private let output = OutputLines()

    fileprivate init(_ program: URL, _ arguments: [String]) throws {
        process.executableURL = program
        process.arguments = arguments
        process.standardInput = FileHandle.nullDevice
        process.standardOutput = output.pipe
        process.standardError = output.pipe
        try process.run()
        try output.pipe.fileHandleForWriting.close()
        output.start()
    }

    /// All lines so far.
    var lines: [String] { output.all }

    /// The next line that contains `text`.
    func line(containing text: String) async throws -> String {
        try await output.next(containing: text)
    }

    /// Ends it as Ctrl-C does; its exit code.
    func interrupt() async -> Int32 {
        process.interrupt()
        return await status()
    }

    /// Its exit code, once it has ended.
    func status() async -> Int32 {
        await output.end()
        process.waitUntilExit()
        return process.terminationStatus
    }

    /// Ends it at once.
    func end() { if process.isRunning { process.terminate() } }
}

/// The program under test, beside the test's own binary.
private let heddleBinary: URL =
    URL(fileURLWithPath: CommandLine.arguments[0]).deletingLastPathComponent()
    .appendingPathComponent("heddle")
