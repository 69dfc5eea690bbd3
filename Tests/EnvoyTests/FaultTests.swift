import Foundation
import HTTPClient
import MeshModel
import MeshTesting
import Testing

/// What goes wrong on a host: one clear message, and the rest goes on.
@Suite(.enabled(if: envoyIsExpected), .serialized, .timeLimit(.minutes(3)))
struct FaultTests {
    private var manifests: String {
        Manifests.mesh() + Manifests.served("front", appPort: "APP1", backends: ["color"])
            + Manifests.served("color", appPort: "APP2") + Manifests.service("color")
    }

    private func expectTraffic(_ mesh: RunningMesh) async throws {
        let answer = try await mesh.request(from: "front", host: "color.demo:8080")
        #expect(answer.name == "color", "\(answer.status) \(answer.text)")
    }

    @Test func `a state directory has one daemon, also after that one was killed`() async throws {
        try await TestFolder.use { place in
            var processes: [Int] = []
            try await RunningMesh.run(["mesh.yaml": manifests], in: place) { mesh in
                let pid = try await mesh.daemonPID()
                let second = try await mesh.result([
                    "run", mesh.folder.path, "--http-address", "none",
                ])
                #expect(second.status == 1)
                #expect(
                    second.output.contains(
                        "heddle: another heddle (pid \(pid)) runs on the state directory "
                            + "\(mesh.state.path); stop it or pass another --state-dir"
                    )
                )
                processes = try mesh.processes()
                kill(pid, SIGKILL)
                // Neither Envoys nor applications hold its lock.
                let lock = open(mesh.state.appendingPathComponent("lock").path, O_RDWR | O_CLOEXEC)
                defer { close(lock) }
                try await poll {
                    flock(lock, LOCK_EX | LOCK_NB)
                } until: {
                    $0 == 0
                }
                #expect(!processes.isEmpty)
                #expect(processes.contains { kill(pid_t($0), 0) == 0 })
            }
            try await RunningMesh.run(["mesh.yaml": manifests], in: place) { mesh in
                try await expectTraffic(mesh)
            }
        }
    }

    @Test func `a port that another program has keeps only itself from being served`() async throws
    {
        let (program, port) = try #require(occupy("127.0.0.1", 0))
        let address = "127.0.0.1:\(port)"
        try await RunningMesh.run(
            ["mesh.yaml": manifests],
            options: ["--http-address", address],
            after: "cannot listen on \(address) for the API: address in use"
        ) { mesh in
            _ = try await mesh.line(containing: "workloads are ready")
            try await expectTraffic(mesh)
            close(program)
            try await poll {
                try? await mesh.request("http://\(address)/healthz").status
            } until: {
                $0 == 200
            }
        }
    }

    @Test func `an address that another program has is told and had when it is free`() async throws
    {
        // Whichever of the first addresses the two get.
        let programs = try (1...8).map { try #require(occupy("127.99.0.\($0)", 15001)).descriptor }
        try await RunningMesh.run(
            ["mesh.yaml": manifests],
            options: ["--proxy-addresses", "127.98.0.0/16,127.99.0.0/16"],
            after: "Address already in use"
        ) { mesh in
            programs.forEach { close($0) }
            try await poll {
                try? await mesh.request(from: "front", host: "color.demo:8080").name
            } until: {
                $0 == "color"
            }
        }
    }

    @Test func `a state directory that is removed is told, and requests go on`() async throws {
        try await RunningMesh.run(["mesh.yaml": manifests]) { mesh in
            let egress = try await mesh.egressAddress(of: "front")
            try FileManager.default.removeItem(at: mesh.state)
            _ = try await mesh.line(containing: "state directory removed")
            let answer = try await mesh.request(
                "http://\(egress):15001/",
                headers: [HTTPField("Host", "color.demo:8080")]
            )
            #expect(answer.name == "color", "\(answer.status) \(answer.text)")
        }
    }

    @Test func `a full disk is told once, and the mesh goes on`() async throws {
        try await TestFolder.use { place in
            let state = place.path("state")
            try FileManager.default.createDirectory(
                atPath: state,
                withIntermediateDirectories: true
            )
            let mounting = ["-t", "tmpfs", "-o", "size=8m", "none", state]
            // Only who may mount can make a disk of its own.
            guard try await runCommand("/bin/mount", mounting).status == 0 else { return }
            try await RunningMesh.run(["mesh.yaml": manifests], in: place) { mesh in
                let filling = ["if=/dev/zero", "of=\(state)/filler", "bs=4k"]
                _ = try await runCommand("/bin/dd", filling)
                // A third proxy has an address, which is to be saved.
                let more = Manifests.served("more", appPort: "APP3")
                try mesh.save("more.yaml", more)
                let line = try await mesh.line(containing: "not saved")
                #expect(line.contains("no space left on device; make room"), "\(line)")
                // A change comes into force meanwhile. Applications that fail when they cannot print are
                // not asked.
                try mesh.save(
                    "mesh.yaml",
                    Manifests.mesh() + Manifests.served("front", appPort: "APP1")
                        + Manifests.served("color", appPort: "APP2") + Manifests.service("color")
                )
                try await poll {
                    try await mesh.request(from: "front", host: "color.demo:8080").status
                } until: {
                    $0 == 404
                }
                try FileManager.default.removeItem(atPath: "\(state)/filler")
                _ = try await mesh.line(containing: "saved again")
                try mesh.save("mesh.yaml", manifests)
                try await poll {
                    try? await mesh.request(from: "front", host: "color.demo:8080").name
                } until: {
                    $0 == "color"
                }
                try await poll {
                    try? await mesh.sidecar("more", "connected")?.bool
                } until: {
                    $0 == true
                }
                // Each thing that could not be saved is told once; the time stands before it.
                let told = mesh.lines.filter { $0.contains("not saved") }.map {
                    $0.drop { $0 != " " }
                }
                #expect(Set(told).count == told.count)
            }
            _ = try await runCommand("/bin/umount", [state])
        }
    }

    @Test func `an Envoy that is gone keeps no proxy that runs, and is told`() async throws {
        try await TestFolder.use { place in
            let envoy = place.path("envoy")
            let target = try requireEnvoy()
            try FileManager.default.createSymbolicLink(
                atPath: envoy,
                withDestinationPath: target
            )
            try await RunningMesh.run(
                ["mesh.yaml": manifests],
                options: ["--envoy", envoy],
                in: place
            ) { mesh in
                try FileManager.default.removeItem(atPath: envoy)
                try await expectTraffic(mesh)
                let pid = pid_t(try #require(try await mesh.sidecar("front", "pid")?.integer))
                kill(pid, SIGKILL)
                let line = try await mesh.line(containing: "process not started")
                #expect(line.contains(envoy), "\(line)")
                try FileManager.default.createSymbolicLink(
                    atPath: envoy,
                    withDestinationPath: target
                )
                try await poll {
                    try? await mesh.request(from: "front", host: "color.demo:8080").name
                } until: {
                    $0 == "color"
                }
            }
        }
    }

    @Test func `a daemon without descriptors says so, rests, and goes on when it has some`()
        async throws
    {
        try await RunningMesh.run(["mesh.yaml": manifests]) { mesh in
            let pid = try await mesh.daemonPID()
            try await limitDescriptors(of: pid, to: "3")
            let socket = mesh.state.appendingPathComponent("api.sock").path
            let client = try #require(connectUnix(socket))
            defer { close(client) }
            _ = try await mesh.line(containing: "no more files can be opened")
            let before = try cpuTicks(of: pid)
            try await Task.sleep(for: .seconds(1))
            let used = try cpuTicks(of: pid) - before
            #expect(used < 50, "\(used) of 100 ticks")
            try await limitDescriptors(of: pid, to: "1024")
            _ = try await mesh.line(containing: "open files again below the limit")
            try await poll {
                try? await mesh.workload("front")["kind"]?.string
            } until: {
                $0 == "Workload"
            }
        }
    }
}

extension RunningMesh {
    /// The process of the daemon.
    fileprivate func daemonPID() async throws -> pid_t {
        let lock = state.appendingPathComponent("lock")
        let text = try String(contentsOf: lock, encoding: .utf8)
        return try #require(pid_t(text))
    }
}

/// Lets a process have `count` open files.
private func limitDescriptors(of pid: pid_t, to count: String) async throws {
    let arguments = ["prlimit", "--pid", String(pid), "--nofile=\(count):"]
    let result = try await runCommand("/usr/bin/env", arguments)
    #expect(result.status == 0, "\(result.output)")
}

/// The time that a process has had of processors, in hundredths of a second.
private func cpuTicks(of pid: pid_t) throws -> Int {
    let text = try String(contentsOfFile: "/proc/\(pid)/stat", encoding: .utf8)
    let fields = try #require(text.split(separator: ")").last).split(separator: " ")
    return (Int(fields[11]) ?? 0) + (Int(fields[12]) ?? 0)
}

/// A program that listens at `address`, on `port` or on a free one.
func occupy(_ address: String, _ port: UInt16) -> (descriptor: Int32, port: Int)? {
    let type = Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue)
    let descriptor = socket(AF_INET, type, 0)
    var socketAddress = sockaddr_in()
    socketAddress.sin_family = sa_family_t(AF_INET)
    socketAddress.sin_port = port.bigEndian
    socketAddress.sin_addr.s_addr = inet_addr(address)
    var size = socklen_t(MemoryLayout<sockaddr_in>.size)
    let isListening = withUnsafeMutablePointer(to: &socketAddress) {
        $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
            bind(descriptor, $0, size) == 0 && listen(descriptor, 1) == 0
                && getsockname(descriptor, $0, &size) == 0
        }
    }
    return isListening ? (descriptor, Int(UInt16(bigEndian: socketAddress.sin_port))) : nil
}

/// A connection to the Unix socket `path`.
private func connectUnix(_ path: String) -> Int32? {
    var address = sockaddr_un()
    address.sun_family = sa_family_t(AF_UNIX)
    withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path.utf8) }
    let descriptor = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
    let size = socklen_t(MemoryLayout<sockaddr_un>.size)
    let isConnected = withUnsafePointer(to: &address) {
        $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { connect(descriptor, $0, size) == 0 }
    }
    return isConnected ? descriptor : nil
}
