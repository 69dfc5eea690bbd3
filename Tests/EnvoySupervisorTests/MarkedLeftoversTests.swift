import Foundation
import Logging
import MeshModel
import MeshPlan
import Testing

@testable import EnvoySupervisor

@Suite(.timeLimit(.minutes(1))) struct MarkedLeftoversTests {
    private let state = Harness.newFolder()

    private var folder: ProxyFolder {
        let proxy = ProxyID(ObjectReference(namespace: "demo", name: "old"))
        return ProxyFolder(of: proxy, stateDirectory: state)
    }

    /// Starts a process with the mark of a state directory, with arguments as an Envoy has.
    private func start(
        _ mark: String,
        _ script: String = "sleep 1000; true",
        bootstrap: String? = nil
    ) throws -> RunningProcess {
        let path = Harness.newFolder() + ".sh"
        try Data(script.utf8).write(to: URL(fileURLWithPath: path))
        let command = Command(
            arguments: ["sh", path] + (bootstrap.map { ["-c", $0] } ?? []),
            environment: Command.ownEnvironment.merging([Command.mark: mark]) { $1 },
            directory: nil
        )
        return try #require(RunningProcess(pid: command.start(logPath: "/dev/null")))
    }

    /// Writes down an application, as the daemon of a state directory would have.
    private func record(_ identity: ProcessIdentity, of owner: String? = nil) throws {
        try folder.make()
        var record = ProxyRecord(ProxyID(ObjectReference(namespace: "demo", name: "old")))
        record.application = ProxyRecord.Application(identity: identity, plan: Fingerprint(["old"]))
        try folder.write(record)
        guard let owner else { return }
        record.stateDirectory = owner
        try JSONEncoder().encode(record).write(to: URL(fileURLWithPath: folder.recordPath))
    }

    @Test func `an Envoy that was started and not recorded is ended, and no other process`()
        async throws
    {
        let envoy = try start(state, bootstrap: "\(state)/proxies/a/b/bootstrap.json")
        let worker = try start(state)
        let stranger = try start(state + "x", bootstrap: "\(state)/proxies/a/b/bootstrap.json")
        let leftovers = Adoption(stateDirectory: state).leftovers
        #expect(leftovers.map(\.identity) == [envoy.identity])
        await Leftovers.end(leftovers, logger: .init(label: "test"))
        #expect(envoy.hasEnded && !envoy.hasGroup)
        for process in [worker, stranger] {
            #expect(!process.hasEnded)
            process.signalGroup(SIGKILL)
        }
    }

    @Test func `what an adopted application started in a session of its own is left alone`() throws
    {
        let application = try start(state, "setsid sleep 1000 & wait")
        defer { application.signalGroup(SIGKILL) }
        let pid = application.identity.pid
        let path = "/proc/\(pid)/task/\(pid)/children"
        var worker: RunningProcess?
        while worker == nil {
            let child = Files.read(path).map { String(decoding: $0, as: UTF8.self) } ?? ""
            let number = child.split(separator: " ").first.flatMap { Int32($0) }
            guard let number, ProcessEntry("\(number)")?.session == number else { continue }
            worker = RunningProcess(pid: number)
        }
        defer { worker?.signalGroup(SIGKILL) }
        try record(application.identity)
        let adoption = Adoption(stateDirectory: state)
        #expect(adoption.proxies.map(\.application?.identity) == [application.identity])
        #expect(adoption.leftovers.isEmpty)
    }

    @Test func `what an application that has ended left in its group is ended`() throws {
        // A shell that waits for the other end of a pipe: it never becomes another program, so that
        // there is no moment in which its environment cannot be read.
        let pipe = Harness.newFolder() + ".pipe"
        #expect(mkfifo(pipe, 0o600) == 0)
        let application = try start(state, "(read line < \(pipe)) & exit")
        defer { application.signalGroup(SIGKILL) }
        _ = application.hasEnded(within: -1)
        try record(application.identity)
        let leftovers = Adoption(stateDirectory: state).leftovers
        #expect(leftovers.count == 1)
        let entry = try #require(leftovers.first.flatMap { ProcessEntry("\($0.identity.pid)") })
        #expect(entry.group == application.identity.pid)
    }

    @Test func `a copy of a state directory takes over nothing and says so once`() throws {
        let application = try start(state + "-original")
        defer { application.signalGroup(SIGKILL) }
        try record(application.identity, of: state + "-original")
        let adoption = Adoption(stateDirectory: state)
        #expect(adoption.proxies.isEmpty && adoption.leftovers.isEmpty)
        let pid = application.identity.pid
        #expect(adoption.warnings.count == 1)
        #expect(adoption.warnings.first?.contains("\(state)-original") ?? false)
        #expect(adoption.warnings.first?.contains("\(pid)") ?? false)
    }

    @Test func `an application without a session of its own is not ours`() throws {
        let command = Command(arguments: ["sh", "-c", "sleep 1000 & wait"], environment: [:])
        let leader = try #require(RunningProcess(pid: command.start(logPath: "/dev/null")))
        defer { leader.signalGroup(SIGKILL) }
        let pid = leader.identity.pid
        var child: ProcessIdentity?
        while child == nil {
            let text = Files.read("/proc/\(pid)/task/\(pid)/children") ?? []
            let number = String(decoding: text, as: UTF8.self).split(separator: " ").first
            child = number.flatMap { Int32($0) }.flatMap { ProcessIdentity.current($0) }
        }
        try record(#require(child))
        #expect(Adoption(stateDirectory: state).proxies.allSatisfy { $0.application == nil })
    }

    @Test func `the tokens of all Envoys count, that of the newest most, and none of a stranger's`()
        throws
    {
        func entry(_ process: RunningProcess, _ slot: EnvoySlot, epoch: Int) -> ProxyRecord.Envoy {
            let start = EnvoyStart(
                slot: slot,
                adminSocketPath: folder.adminSocketPath(slot),
                baseID: 7,
                epoch: epoch,
                token: slot.rawValue,
                template: Fingerprint(["a"]),
                binary: Fingerprint(["b"])
            )
            return ProxyRecord.Envoy(identity: process.identity, start: start, isReady: epoch == 0)
        }
        let old = try start(state, bootstrap: folder.bootstrapPath(.first))
        let new = try start(state, bootstrap: folder.bootstrapPath(.second))
        let stranger = try start(state + "x", bootstrap: folder.bootstrapPath(.second))
        defer { for process in [old, new, stranger] { process.signalGroup(SIGKILL) } }
        try folder.make()
        var record = ProxyRecord(ProxyID(ObjectReference(namespace: "demo", name: "old")))
        record.envoys = [entry(old, .first, epoch: 0), entry(new, .second, epoch: 1)]
        try folder.write(record)
        let found = Adoption(stateDirectory: state).proxies
        #expect(found.map(\.tokens) == [["first", "second"]])
        record.envoys[1] = entry(stranger, .second, epoch: 1)
        try folder.write(record)
        #expect(Adoption(stateDirectory: state).proxies.map(\.tokens) == [["first"]])
    }

    @Test func `neither the first process nor we ourselves can be watched or ended`() throws {
        for pid in [0, 1, getpid()] {
            #expect(RunningProcess(pid: pid) == nil)
            if let identity = ProcessIdentity.current(pid) {
                #expect(RunningProcess(identity) == nil)
            }
        }
    }
}
