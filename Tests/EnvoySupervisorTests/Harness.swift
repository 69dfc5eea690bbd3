import EnvoySupervisor
import Foundation
import Logging
import MeshModel
import MeshPlan
import ServiceLifecycle
import Synchronization
import Testing

/// A supervisor that runs in a state directory of its own, and its newest observations.
final class Harness: Sendable {
    let supervisor: EnvoySupervisor
    let stateDirectory: String
    let tokens: TokenBook
    let answers: AnswerBook
    private let services: ServiceGroup
    private let latest = Mutex<[ProxyID: ProxyProcesses]>([:])

    private init(
        envoyPath: String,
        stateDirectory: String,
        bootstrap: @escaping @Sendable (ProxyPlan, BootstrapParameters) -> [UInt8],
        configure: (inout SupervisorConfiguration) -> Void
    ) {
        let logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
        let tokens = TokenBook()
        let answers = AnswerBook()
        self.answers = answers
        self.stateDirectory = stateDirectory
        self.tokens = tokens
        var configuration = SupervisorConfiguration(
            envoyPath: envoyPath,
            stateDirectory: stateDirectory,
            xdsSocketPath: "\(stateDirectory)/xds.sock"
        )
        configure(&configuration)
        supervisor = EnvoySupervisor(
            configuration: configuration,
            bootstrap: bootstrap,
            authorize: { proxy, token in if let token { tokens.add(proxy, token) } },
            statistics: { _, generation, text, _ in answers.add(generation, text) },
            logger: logger
        )
        services = ServiceGroup(services: [supervisor], logger: logger)
    }

    /// Runs a supervisor while `body` runs, and shuts it down gracefully afterwards.
    static func run(
        envoyPath: String = Harness.idleEnvoy,
        stateDirectory: String? = nil,
        bootstrap: @escaping @Sendable (ProxyPlan, BootstrapParameters) -> [UInt8] = idleBootstrap,
        configure: (inout SupervisorConfiguration) -> Void = { _ in },
        _ body: @Sendable (Harness) async throws -> Void
    ) async throws {
        let folder = stateDirectory ?? newFolder()
        var keepsFolder = false
        let harness = Harness(envoyPath: envoyPath, stateDirectory: folder, bootstrap: bootstrap) {
            configure(&$0)
            keepsFolder = $0.keepsProxies
        }
        defer { if !keepsFolder { try? FileManager.default.removeItem(atPath: folder) } }
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { try await harness.services.run() }
            do {
                try await body(harness)
            } catch {
                await harness.shutDown()
                throw error
            }
            await harness.shutDown()
            try await group.waitForAll()
        }
    }

    /// Begins the graceful shutdown.
    func shutDown() async { await services.triggerGracefulShutdown() }

    static func newFolder() -> String {
        NSTemporaryDirectory() + "heddle-" + UUID().uuidString.prefix(8)
    }

    /// Waits until the processes of `proxy` are as `condition` asks; nil when the proxy is gone.
    @discardableResult
    func wait(
        for proxy: ProxyID,
        until condition: (ProxyProcesses?) -> Bool
    ) async -> ProxyProcesses? {
        var current = latest.withLock { $0[proxy] }
        if condition(current) { return current }
        for await observations in supervisor.observations {
            latest.withLock { $0 = observations }
            current = observations[proxy]
            if condition(current) { return current }
        }
        return current
    }

    /// The text of a log as soon as it contains `text`.
    func log(_ proxy: ProxyID, _ kind: ProcessKind, until text: String) async -> String {
        await wait(for: proxy) { processes in
            switch kind {
            case .envoy: processes?.process.pid != nil
            case .application: processes?.application?.pid != nil
            }
        }
        var bytes: [UInt8] = []
        for await chunk in supervisor.log(of: proxy, kind: kind, follow: true) {
            bytes += chunk
            if String(decoding: bytes, as: UTF8.self).contains(text) { break }
        }
        return String(decoding: bytes, as: UTF8.self)
    }

    /// A program that answers as Envoy's admin interface does, at the socket that its bootstrap is.
    ///
    /// It takes no change of its runtime before the fifth, and logs each.
    static let idleEnvoy: String = {
        let path = NSTemporaryDirectory() + "idle-envoy-\(getpid())"
        let script = Data(
            """
            #!/usr/bin/env python3
            import socket, sys
            if "validate" in sys.argv: sys.exit(0)
            path = open(sys.argv[sys.argv.index("-c") + 1]).read().split("\\n")[0]
            server = socket.socket(socket.AF_UNIX)
            server.bind(path)
            server.listen(64)
            changes = 0
            while True:
                client, _ = server.accept()
                asked = client.recv(4096).decode()
                body = ""
                if "workers_started" in asked: body = "listener_manager.workers_started: 1\\n"
                if "server_info" in asked: body = '"version": "0/1.40.0/Clean"'
                status = "200 OK"
                if "runtime_modify" in asked:
                    changes += 1
                    if changes < 5: status = "503 Service Unavailable"
                    print(status, asked.split()[1], flush=True)
                head = f"HTTP/1.1 {status}\\r\\ncontent-length: {len(body)}\\r\\nconnection: close"
                client.sendall(f"{head}\\r\\n\\r\\n{body}".encode())
                client.close()

            """.utf8
        )
        _ = FileManager.default.createFile(
            atPath: path,
            contents: script,
            attributes: [.posixPermissions: 0o755]
        )
        return path
    }()

    /// The bootstrap of `idleEnvoy`.
    @Sendable static func idleBootstrap(
        _ plan: ProxyPlan,
        _ parameters: BootstrapParameters
    ) -> [UInt8] {
        Array(parameters.adminSocketPath.utf8)
    }
}

/// What Envoys answered last of their statistics.
final class AnswerBook: Sendable {
    private let answers = Mutex<[ProxyGeneration: String]>([:])

    func add(_ generation: ProxyGeneration, _ text: String) {
        answers.withLock { $0[generation] = text }
    }

    /// How many Envoys answered.
    var count: Int { answers.withLock(\.count) }

    /// The sum over all Envoys of what each had counted in the end.
    func sum(of name: String) -> Int {
        answers.withLock { answers in
            answers.values.reduce(0) { sum, text in
                let line = text.split(separator: "\n").first { $0.hasPrefix("\(name): ") }
                return sum + (line.flatMap { Int($0.dropFirst(name.count + 2)) } ?? 0)
            }
        }
    }
}

/// The tokens that were made known.
final class TokenBook: Sendable {
    private let tokens = Mutex<[ProxyID: [String]]>([:])

    func add(_ proxy: ProxyID, _ token: String) {
        tokens.withLock { $0[proxy, default: []].append(token) }
    }

    subscript(proxy: ProxyID) -> Set<String> { tokens.withLock { Set($0[proxy] ?? []) } }

    /// The one that counts.
    func last(_ proxy: ProxyID) -> String? { tokens.withLock { $0[proxy]?.last } }
}

/// A proxy's plan for tests.
func makePlan(
    _ name: String = "blue",
    ingress: String = "127.91.0.1",
    concurrency: Int = 1,
    command: [String]? = nil,
    environment: [String: String] = [:]
) -> ProxyPlan {
    let reference = ObjectReference(namespace: "demo", name: name)
    return ProxyPlan(
        id: ProxyID(reference),
        owner: ObjectID(.virtualNode, reference),
        nodeID: "mesh/demo/virtualNode/\(name)_demo",
        addresses: ProxyAddresses(ingress: ingress, egress: "127.92.0.1"),
        concurrency: concurrency,
        application: command.map { ApplicationPlan(command: $0, environment: environment) }
    )
}

extension EnvoySupervisor {
    /// Applies these plans and no others.
    func apply(_ plans: ProxyPlan...) {
        apply(Dictionary(uniqueKeysWithValues: plans.map { ($0.id, $0) }))
    }
}

/// Whether a process runs; a zombie does not.
func isRunning(_ pid: Int?) -> Bool {
    guard let pid else {
        Issue.record("there was no process")
        return false
    }
    let text = (try? String(contentsOfFile: "/proc/\(pid)/stat", encoding: .utf8)) ?? ""
    guard let end = text.lastIndex(of: ")") else { return false }
    return !text[end...].hasPrefix(") Z")
}
