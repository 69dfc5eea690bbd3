import Foundation
import Logging
import MeshModel
import MeshTesting
import ServiceLifecycle
import Testing

@testable import MeshDaemon

/// The path of a program, if it is on PATH.
private func program(_ name: String) -> String? {
    let path = ProcessInfo.processInfo.environment["PATH"] ?? ""
    return path.split(separator: ":").map { "\($0)/\(name)" }.first {
        FileManager.default.isExecutableFile(atPath: $0)
    }
}

private let requiresKubectl = ProcessInfo.processInfo.environment["HEDDLE_REQUIRE_KUBECTL"] == "1"

/// A program that runs beside the test; its output arrives without blocking a thread.
private struct Running {
    let process = Process()
    let output: AsyncStream<String>

    init(_ name: String, _ arguments: [String]) throws {
        process.executableURL = URL(filePath: try #require(program(name), "no \(name) on PATH"))
        process.arguments = arguments
        let home = FileManager.default.temporaryDirectory.path()
        let path = ProcessInfo.processInfo.environment["PATH"] ?? ""
        process.environment = ["KUBECONFIG": "/dev/null", "HOME": home, "PATH": path]
        let pipe = Pipe()
        process.standardOutput = pipe
        process.standardError = pipe
        let (stream, parts) = AsyncStream.makeStream(of: String.self)
        output = stream
        try process.run()
        try pipe.fileHandleForWriting.close()
        let reader = Thread {
            while true {
                let data = pipe.fileHandleForReading.availableData
                guard !data.isEmpty else { return parts.finish() }
                parts.yield(String(decoding: data, as: UTF8.self))
            }
        }
        reader.start()
    }
}

/// Runs a program to its end and returns what it printed.
private func run(_ name: String, _ arguments: [String]) async throws -> String {
    try await Running(name, arguments).output.reduce(into: "") { $0 += $1 }
}

/// A program that listens at a port of 127.0.0.1.
private func listeningProgram() -> (descriptor: Int32, port: Int)? {
    let type = Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue)
    let descriptor = socket(AF_INET, type, 0)
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
    var size = socklen_t(MemoryLayout<sockaddr_in>.size)
    let isListening = withUnsafeMutablePointer(to: &address) {
        $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
            bind(descriptor, $0, size) == 0 && listen(descriptor, 1) == 0
                && getsockname(descriptor, $0, &size) == 0
        }
    }
    return isListening ? (descriptor, Int(UInt16(bigEndian: address.sin_port))) : nil
}

@Suite(.serialized, .timeLimit(.minutes(2))) struct `API service` {
    /// Serves `state` while `body` runs, with the socket's path and the TCP port.
    private func serving(
        _ state: APIState,
        bounds: ConnectionBounds? = nil,
        _ body: (_ socket: String, _ port: Int) async throws -> Void
    ) async throws {
        let directory = FileManager.default.temporaryDirectory.appending(path: UUID().uuidString)
        try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: directory) }
        let socket = directory.appending(path: "api.sock").path()
        #expect(FileManager.default.createFile(atPath: socket, contents: nil))
        let (ready, listening) = AsyncStream.makeStream(of: Int?.self)
        var service = APIService(
            state: state,
            socketPath: socket,
            address: HostAndPort(host: "127.0.0.1", port: 0),
            logs: { _, _, _, _ in AsyncStream { $0.finish() } },
            rotation: { "rotated \($0)" },
            usage: { sampleUsage },
            upgrade: upgrading([.starting, .done(version: "1.40.1", seconds: 0.6)]),
            logger: Logger(label: "test"),
            onListening: { port in listening.yield(port) }
        )
        if let bounds {
            service.bounds = bounds
            service.idleTime = .milliseconds(300)
        }
        try await withThrowingTaskGroup(of: Void.self) { [service] group in
            let services = ServiceGroup(services: [service], logger: Logger(label: "test"))
            group.addTask { try await services.run() }
            var listeners: [Int?] = []
            for await port in ready {
                listeners.append(port)
                if listeners.count == 2 { break }
            }
            try await body(socket, try #require(listeners.compactMap { $0 }.first))
            await services.triggerGracefulShutdown()
            try await group.waitForAll()
        }
        #expect(!FileManager.default.fileExists(atPath: socket))
    }

    private func colorsState() -> APIState {
        let state = APIState(firstVersion: 100)
        let (objects, statuses) = colors()
        let (plan, identity) = colorCertificates()
        state.publish(
            objects: objects,
            statuses: statuses,
            certificates: CertificateReport(plan, identity),
            proxies: ProxySample().report
        )
        return state
    }

    @Test func `the socket replaces a stale file and is the owner's alone`() async throws {
        try await serving(colorsState()) { socket, _ in
            let attributes = try FileManager.default.attributesOfItem(atPath: socket)
            #expect(attributes[.posixPermissions] as? Int == 0o600)
            #expect(!FileManager.default.fileExists(atPath: "\(socket).d"))
            let second = APIService(
                state: APIState(),
                socketPath: socket,
                logs: { _, _, _, _ in AsyncStream { $0.finish() } },
                logger: Logger(label: "test")
            )
            await #expect(throws: APIServiceError.socketInUse(socket)) { try await second.run() }
        }
    }

    @Test func `an address in use is said once, and had when it is free`() async throws {
        let directory = FileManager.default.temporaryDirectory.appending(path: UUID().uuidString)
        try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: directory) }
        let socket = directory.appending(path: "api.sock").path()
        let (program, port) = try #require(listeningProgram())
        let log = Lines()
        let (ready, listening) = AsyncStream.makeStream(of: Int?.self)
        let service = APIService(
            state: colorsState(),
            socketPath: socket,
            address: HostAndPort(host: "127.0.0.1", port: port),
            logs: { _, _, _, _ in AsyncStream { $0.finish() } },
            logger: log.logger,
            onListening: { port in listening.yield(port) }
        )
        try await withThrowingTaskGroup(of: Void.self) { group in
            let services = ServiceGroup(services: [service], logger: Logger(label: "test"))
            group.addTask { try await services.run() }
            var listeners = ready.makeAsyncIterator()
            #expect(await listeners.next() == .some(nil))
            let health = try await run("curl", ["-s", "--unix-socket", socket, "http://x/healthz"])
            #expect(health == "ok")
            while log.all.isEmpty { await Task.yield() }
            close(program)
            #expect(await listeners.next() == port)
            #expect(
                log.all == [
                    "warning cannot listen on 127.0.0.1:\(port) for the API: address in use; only the "
                        + "Unix socket serves it until the other process is stopped; else pass "
                        + "--http-address"
                ]
            )
            await services.triggerGracefulShutdown()
            try await group.waitForAll()
        }
    }

    @Test func `the socket answers curl`() async throws {
        try await serving(colorsState()) { socket, port in
            let health = try await run("curl", ["-s", "--unix-socket", socket, "http://x/healthz"])
            #expect(health == "ok")
            let problems = try await run("curl", ["-s", "http://127.0.0.1:\(port)/problems"])
            #expect(problems == "[]")
            let named = try await run(
                "curl",
                ["-s", "-H", "Host: evil.example", "http://127.0.0.1:\(port)/healthz"]
            )
            #expect(named.contains("\"reason\":\"Forbidden\""))
        }
    }

    @Test func `certificates are rotated through the socket, and not through the port`()
        async throws
    {
        try await serving(colorsState()) { socket, port in
            let path = "/apis/heddle.dev/v1alpha1/certificates/rotate"
            let port = try await run(
                "curl",
                ["-s", "-X", "POST", "http://127.0.0.1:\(port)\(path)"]
            )
            #expect(port.contains("\"code\":403"))
            let command = RotateCommand(.all)
            let recorder = Recorder()
            let transport = SocketTransport(socketPath: socket)
            #expect(try await command.run(transport, recorder.console()) == .ok)
            #expect(recorder.output == "rotated certificates(of: nil)\n")
        }
    }

    @Test func `proxies are upgraded through the socket, and not through the port`() async throws {
        try await serving(colorsState()) { socket, port in
            let path = "/apis/heddle.dev/v1alpha1/proxies/upgrade"
            let refused = try await run(
                "curl",
                ["-s", "-X", "POST", "http://127.0.0.1:\(port)\(path)"]
            )
            #expect(refused.contains("\"code\":403"))
            let steps = try await run(
                "curl",
                ["-s", "-X", "POST", "--unix-socket", socket, "http://x\(path)"]
            )
            #expect(steps.split(separator: "\n").count == 2)
            let recorder = Recorder()
            let transport = SocketTransport(socketPath: socket)
            #expect(try await UpgradeCommand().run(transport, recorder.console()) == .ok)
            #expect(recorder.output == "proxy demo/red-1: 1.40.0 -> 1.40.1 in 0.6 s\n")
            #expect(try await TopCommand().run(transport, recorder.console()) == .ok)
            #expect(recorder.output.contains("TOTAL          3 proxies   156m"))
            #expect(try await SizingCommand().run(transport, recorder.console()) == .ok)
            #expect(recorder.output.contains("3 proxies asked for 750m"))
        }
    }

    @Test func `who holds many connections to the port holds nobody else's`() async throws {
        let bounds = ConnectionBounds(limit: 4, firstRequest: .seconds(3600))
        try await serving(colorsState(), bounds: bounds) { _, port in
            let many = (0..<8).map { _ in SilentConnection(port: port, from: "127.0.0.2") }
            let health = try await run("curl", ["-s", "http://127.0.0.1:\(port)/healthz"])
            #expect(health == "ok")
            try await poll {
                many.count(where: \.hasEnded)
            } until: {
                $0 >= 4
            }
        }
    }

    @Test func `a connection to the port that is silent or idle ends, and a watch goes on`()
        async throws
    {
        let state = colorsState()
        let bounds = ConnectionBounds(limit: 1024, firstRequest: .milliseconds(300))
        try await serving(state, bounds: bounds) { _, port in
            let target = "http://127.0.0.1:\(port)/apis/heddle.dev/v1alpha1/workloads?watch=true"
            let watch = try Running("curl", ["-sN", target])
            for await text in watch.output where !text.isEmpty { break }
            try await SilentConnection(port: port).waitForEnd()
            // It ends when the server closes the connection.
            let script = """
                exec 3<>/dev/tcp/127.0.0.1/\(port)
                printf 'GET /healthz HTTP/1.1\\r\\nHost: localhost\\r\\n\\r\\n' >&3; cat <&3
                """
            #expect(try await run("bash", ["-c", script]).hasSuffix("ok"))
            #expect(state.subscriptionCount == 1)
            kill(watch.process.processIdentifier, SIGKILL)
        }
    }

    @Test func `a watch ends with its client`() async throws {
        let state = colorsState()
        try await serving(state) { socket, _ in
            let target = "http://x/apis/heddle.dev/v1alpha1/workloads?watch=true"
            let curl = try Running("curl", ["-sN", "--unix-socket", socket, target])
            for await text in curl.output where !text.isEmpty { break }
            #expect(state.subscriptionCount == 1)
            kill(curl.process.processIdentifier, SIGKILL)
            while state.subscriptionCount > 0 { await Task.yield() }
        }
    }

    @Test(.enabled(if: requiresKubectl || program("kubectl") != nil))
    func `kubectl gets, describes and discovers`() async throws {
        try await serving(colorsState()) { _, port in
            func kubectl(_ arguments: String...) async throws -> String {
                let server = ["--server=http://127.0.0.1:\(port)", "--cache-dir=/dev/null/none"]
                return try await run("kubectl", server + arguments)
            }
            let nodes = try await kubectl("get", "virtualnodes", "-A")
            #expect(
                nodes.split(separator: "\n").first
                    == "NAMESPACE   NAME   PORTS       READY   REASON       AGE"
            )
            #expect(nodes.contains("demo        blue   8080/http   True    Programmed"))

            let yaml = try await kubectl("get", "virtualnode", "blue", "-n", "demo", "-o", "yaml")
            #expect(yaml.contains("awsName: blue_demo"))

            let resources = try await kubectl("api-resources")
            #expect(resources.contains("virtualgateways"))
            #expect(resources.contains("heddle.dev/v1alpha1"))

            let all = try await kubectl("get", "all", "-n", "demo", "-l", "app=color")
            #expect(all.contains("workload.heddle.dev/blue-1   blue   Running"))

            let described = try await kubectl("describe", "workload", "red-1", "-n", "demo")
            #expect(described.contains("invalid regex"))
            let namespace = try await kubectl("describe", "namespace", "demo")
            #expect(namespace.contains("Active"))

            let certificates = try await kubectl("get", "certificates.heddle.dev", "-A")
            #expect(
                certificates.split(separator: "\n").first?.split(separator: " ").prefix(4)
                    == ["NAMESPACE", "NAME", "SOURCE", "STATE"]
            )
            #expect(certificates.contains("demo        blue                 issued      "))
            let certificate = try await kubectl(
                "get",
                "certificate",
                "blue",
                "-n",
                "demo",
                "-o",
                "yaml"
            )
            #expect(certificate.contains("identity: spiffe://colors/demo/blue"))

            let proxies = try await kubectl("get", "proxies", "-A")
            #expect(
                proxies.split(separator: "\n").first?.split(separator: " ") == [
                    "NAMESPACE", "NAME", "OWNER", "STATE", "ENVOY", "RESTARTS", "UPGRADES", "CPU",
                    "MEMORY", "AGE",
                ]
            )
            #expect(proxies.contains("demo        blue-1    blue    Running         1.40.0"))
            #expect(proxies.contains("31m      64Mi"))
            let proxy = try await kubectl("get", "proxy", "blue-1", "-n", "demo", "-o", "yaml")
            #expect(proxy.contains("verdict: Oversized"))

            let missing = try await kubectl("get", "virtualnode", "green", "-n", "demo")
            #expect(
                missing
                    == "Error from server (NotFound): virtualnodes.appmesh.k8s.aws \"green\" not found\n"
            )
            let waited = try await kubectl(
                "wait",
                "virtualnode/blue",
                "-n",
                "demo",
                "--for=condition=VirtualNodeActive",
                "--timeout=5s"
            )
            #expect(waited == "virtualnode.appmesh.k8s.aws/blue condition met\n")
        }
    }

    @Test(.enabled(if: requiresKubectl || program("kubectl") != nil))
    func `kubectl shows events, and with the object that they are of`() async throws {
        try await serving(eventsHandler().state) { _, port in
            func kubectl(_ arguments: String...) async throws -> String {
                let server = ["--server=http://127.0.0.1:\(port)", "--cache-dir=/dev/null/none"]
                return try await run("kubectl", server + arguments)
            }
            let events = try await kubectl("get", "events", "-n", "demo")
            #expect(
                events.split(separator: "\n").first?.split(separator: " ")
                    == ["LAST", "SEEN", "TYPE", "REASON", "OBJECT", "MESSAGE"]
            )
            #expect(events.contains("Warning   Restarted   workload/blue-1    Killed."))
            let selected = try await kubectl(
                "get",
                "ev",
                "-A",
                "-o",
                "name",
                "--field-selector",
                "involvedObject.name=colors"
            )
            #expect(selected == "event/colors.1f7\n")
            let newest = try await kubectl("events", "-n", "demo", "--types", "Warning")
            #expect(newest.contains(" (x2 over "), "\(newest)")
            // By the object's uid.
            let node = try await kubectl("describe", "virtualnode", "blue", "-n", "demo")
            #expect(node.contains("heddle  It happened."), "\(node)")
        }
    }

    @Test(.enabled(if: requiresKubectl || program("kubectl") != nil))
    func `kubectl watches`() async throws {
        let state = colorsState()
        try await serving(state) { _, port in
            let server = "--server=http://127.0.0.1:\(port)"
            let arguments = [server, "get", "virtualnodes", "-n", "demo", "-w"]
            let kubectl = try Running("kubectl", arguments)
            var text = ""
            var isPublished = false
            for await part in kubectl.output {
                text += part
                if text.contains("violet") { break }
                if text.contains("red"), !isPublished {
                    isPublished = true
                    let (objects, statuses) = colors()
                    state.publish(objects: objects + [virtualNode("violet")], statuses: statuses)
                }
            }
            kill(kubectl.process.processIdentifier, SIGKILL)
            #expect(text.contains("violet"))
        }
    }
}
