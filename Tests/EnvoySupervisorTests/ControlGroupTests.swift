import Foundation
import MeshModel
import Testing

@testable import EnvoySupervisor

/// Whether this host lets us make control groups.
private enum HostControlGroups {
    static let isAvailable: Bool = {
        let groups = ControlGroups(stateDirectory: "/no/such/state/\(getpid())")
        groups.removeParents()
        return groups.problem == nil
    }()
}

/// Real processes in the control groups of this host.
@Suite(
    .timeLimit(.minutes(1)),
    .enabled(if: HostControlGroups.isAvailable || RealEnvoy.isRequired)
)
struct ControlGroupTests {
    private let proxy = ProxyID(ObjectReference(namespace: "demo", name: "blue"))
    private let watcher = DescriptorWatcher()

    /// Runs `body` with groups for a state directory of its own.
    private func withGroups(
        _ body: (ControlGroups, _ stateDirectory: String) async throws -> Void
    ) async throws {
        let state = Harness.newFolder()
        let groups = ControlGroups(stateDirectory: state)
        try #require(groups.problem == nil)
        try FileManager.default.createDirectory(
            atPath: state,
            withIntermediateDirectories: true
        )
        defer {
            groups.removeStale(except: [])
            groups.removeParents()
            watcher.stop()
            try? FileManager.default.removeItem(atPath: state)
        }
        try await body(groups, state)
        groups.removeStale(except: [])
        groups.removeParents()
        for parent in groups.parents.values {
            #expect(access(parent.path, F_OK) != 0, "\(parent.path) is left")
        }
    }

    private func start(
        _ arguments: [String],
        in group: ControlGroup,
        log: String = "/dev/null"
    ) throws -> RunningProcess {
        let command = Command(arguments: arguments, environment: Command.ownEnvironment)
        let started = try command.start(logPath: log, controlGroup: group)
        #expect(started.joinProblem == nil)
        return try #require(RunningProcess(pid: started.pid))
    }

    private func end(of process: RunningProcess) async -> ProcessExit {
        await withCheckedContinuation { continuation in
            process.onExit(watcher) { continuation.resume(returning: $0) }
        }
    }

    private func end(_ process: RunningProcess) async {
        process.signalGroup(SIGKILL)
        _ = await end(of: process)
    }

    @Test func `a program is in its group before it runs`() async throws {
        try await withGroups { groups, state in
            let group = groups.make(
                for: proxy,
                start: 1,
                SidecarResources(cpuLimitMillicores: 500, memoryLimitBytes: 64 << 20)
            )
            #expect(group.enforcement == .controlGroup)
            let log = "\(state)/log"
            let process = try start(["cat", "/proc/self/cgroup"], in: group, log: log)
            #expect(await end(of: process) == .exited(code: 0))
            let text = try String(contentsOfFile: log, encoding: .utf8)
            for folder in group.folders {
                let name = (folder.path as NSString).lastPathComponent
                #expect(folder.path.hasSuffix("/\(name)"))
                #expect(text.contains("/\(name)\n"), "\(text)")
            }
            #expect(group.remove())
        }
    }

    @Test func `a process that takes more memory than its limit is ended, and counted`()
        async throws
    {
        try await withGroups { groups, _ in
            let limit = 48 << 20
            let group = groups.make(
                for: proxy,
                start: 1,
                SidecarResources(memoryLimitBytes: limit)
            )
            let greedy = "x = b'x' * (200 << 20); print(len(x))"
            let process = try start(["python3", "-c", greedy], in: group)
            #expect(await end(of: process) == .killed(signal: Int(SIGKILL)))
            let evidence = group.evidence
            #expect(evidence.outOfMemoryKills == 1)
            let peak = try #require(evidence.peakMemoryBytes)
            #expect(peak <= limit && peak > limit / 2)
            #expect(group.remove())
        }
    }

    @Test func `a process that wants more processor time than its limit is held up`()
        async throws
    {
        try await withGroups { groups, _ in
            let group = groups.make(
                for: proxy,
                start: 1,
                SidecarResources(cpuLimitMillicores: 100)
            )
            let process = try start(["sh", "-c", "while :; do :; done"], in: group)
            // It never ends by itself: it is throttled, or the suite's time is over.
            while group.evidence.throttledPeriods < 3 {
                try await Task.sleep(for: .milliseconds(20))
            }
            #expect(group.evidence.throttledSeconds > 0.05)
            #expect(group.evidence.outOfMemoryKills == 0)
            await end(process)
        }
    }

    @Test func `limits can change while a process runs`() async throws {
        try await withGroups { groups, _ in
            var group = groups.make(for: proxy, start: 1, SidecarResources())
            let process = try start(["sleep", "1000"], in: group)
            groups.limit(
                &group,
                to: SidecarResources(cpuLimitMillicores: 200, memoryLimitBytes: 32 << 20)
            )
            #expect(group.enforcement == .controlGroup)
            let memory = try #require(group.memory)
            let file = memory.version == .v1 ? "memory.limit_in_bytes" : "memory.max"
            #expect(memory.number(in: file) == 32 << 20)
            await end(process)
        }
    }

    @Test func `a later daemon finds a group again, and removes those of nobody`() async throws {
        try await withGroups { groups, state in
            let kept = groups.make(for: proxy, start: 1, SidecarResources())
            let empty = groups.make(for: proxy, start: 2, SidecarResources())
            let known = groups.make(for: proxy, start: 3, SidecarResources())
            let process = try start(["sleep", "1000"], in: kept)

            let record = try JSONEncoder().encode(kept)
            let found = try JSONDecoder().decode(ControlGroup.self, from: record)
            let later = ControlGroups(stateDirectory: state)
            later.removeStale(except: [known])
            #expect(found.enforcement(of: process.identity.pid) == .controlGroup)
            #expect(found.folders.allSatisfy { access($0.path, F_OK) == 0 })
            #expect(known.folders.allSatisfy { access($0.path, F_OK) == 0 })
            #expect(empty.folders.allSatisfy { access($0.path, F_OK) != 0 })
            guard case .proxyOnly(let reason) = found.enforcement(of: getpid()) else {
                Issue.record("this process is in no proxy's group")
                return
            }
            #expect(reason.hasPrefix("process \(getpid()) is not in /"))

            #expect(!found.remove(), "a process is in it")
            // A start of the same number does not get a group in which a process runs.
            let second = later.make(for: proxy, start: 1, SidecarResources())
            #expect(second.folders.map(\.path) == kept.folders.map { "\($0.path).2" })
            await end(process)
            #expect(found.remove())
        }
    }

    @Test func `a program runs though its group is gone, and the reason is known`() async throws {
        try await withGroups { groups, _ in
            let group = groups.make(for: proxy, start: 1, SidecarResources())
            #expect(group.remove())
            let command = Command(
                arguments: ["sleep", "1000"],
                environment: Command.ownEnvironment
            )
            let started = try command.start(logPath: "/dev/null", controlGroup: group)
            let process = try #require(RunningProcess(pid: started.pid))
            #expect(isRunning(Int(started.pid)))
            let path = try #require(group.folders.first).path
            #expect(
                started.joinProblem
                    == "cannot open \(path)/cgroup.procs: no such file or directory"
            )
            await end(process)
        }
    }
}

/// What a started program gets from us.
@Suite(.timeLimit(.minutes(1)))
struct StartedProgramTests {
    @Test func `a program has its session, default signals and no files of ours`() async throws {
        let folder = Harness.newFolder()
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let script = """
            grep -E '^Sig(Blk|Ign):' /proc/self/status; ls /proc/self/fd | tr '\\n' ' '
            echo; cut -d' ' -f1,6 /proc/$$/stat; pwd; readlink /proc/self/fd/0
            """
        signal(SIGPIPE, SIG_IGN)
        let command = Command(
            arguments: ["sh", "-c", script],
            environment: Command.ownEnvironment,
            directory: folder
        )
        let pid = try command.start(logPath: "\(folder)/log")
        let watcher = DescriptorWatcher()
        defer { watcher.stop() }
        let process = try #require(RunningProcess(pid: pid))
        let exit = await withCheckedContinuation { continuation in
            process.onExit(watcher) { continuation.resume(returning: $0) }
        }
        #expect(exit == .exited(code: 0))
        let lines = try String(contentsOfFile: "\(folder)/log", encoding: .utf8)
            // Signals 32 and 33 are the C library's own, which it lets nobody set.
            .replacing(/SigIgn:\t0000000[01][08]/, with: "SigIgn:\t000000000")
            .split(separator: "\n").map(String.init)
        #expect(
            lines
                == [
                    "SigBlk:\t0000000000000000", "SigIgn:\t0000000000000000",
                    // The last one is the folder that ls reads.
                    "0 1 2 3 ", "\(pid) \(pid)", folder, "/dev/null",
                ]
        )
    }
}
