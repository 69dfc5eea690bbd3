import Foundation
import Logging
import MeshModel
import MeshPlan
import Testing

@testable import EnvoySupervisor

@Suite(.timeLimit(.minutes(1)))
struct LeftoversTests {
    /// Starts a process as an earlier daemon would have, and records it.
    private func leave(
        _ script: String,
        in state: String,
        changeRecord: (inout ProcessRecord) -> Void = { _ in }
    ) throws -> (process: RunningProcess, folder: ProxyFolder) {
        let proxy = ProxyID(ObjectReference(namespace: "demo", name: "old"))
        let folder = ProxyFolder(of: proxy, stateDirectory: state)
        try folder.make()
        let command = Command(
            arguments: ["sh", "-c", script],
            environment: Command.ownEnvironment
        )
        let pid = try command.start(logPath: folder.logPath(.envoy))
        let process = try #require(RunningProcess(pid: pid))
        var record = ProcessRecord(envoy: process.identity)
        changeRecord(&record)
        try folder.write(record)
        return (process, folder)
    }

    @Test(arguments: ["exec sleep 1000", "trap '' TERM; sleep 1000; sleep 1000"])
    func `processes of an earlier daemon are ended at start`(script: String) async throws {
        let state = Harness.newFolder()
        let old = try leave(script, in: state)
        let plan = makePlan(command: ["sleep", "1000"])
        try await Harness.run(stateDirectory: state) { harness in
            harness.supervisor.apply(plan)
            await harness.wait(for: plan.id) { $0?.application?.pid != nil }
            #expect(!isRunning(Int(old.process.identity.pid)))
            #expect(ProcessRecord.read(old.folder.path) == nil)
        }
    }

    @Test func `a process that merely has a recorded number is spared`() async throws {
        let state = Harness.newFolder()
        let foreign = try leave("exec sleep 1000", in: state) { $0.envoy?.startTime -= 1 }
        defer { foreign.process.signalGroup(SIGKILL) }
        let plan = makePlan(command: ["sleep", "1000"])
        try await Harness.run(stateDirectory: state) { harness in
            harness.supervisor.apply(plan)
            await harness.wait(for: plan.id) { $0?.application?.pid != nil }
            #expect(isRunning(Int(foreign.process.identity.pid)))
        }
        #expect(isRunning(Int(foreign.process.identity.pid)))
    }

    @Test func `a record of another boot counts for nothing`() throws {
        let state = Harness.newFolder()
        defer { try? FileManager.default.removeItem(atPath: state) }
        let old = try leave("exec sleep 1000", in: state) { $0.boot = "another" }
        defer { old.process.signalGroup(SIGKILL) }
        #expect(ProcessRecord.read(old.folder.path) == nil)
    }

    @Test func `running processes are recorded with their start times`() async throws {
        let plan = makePlan(command: ["sleep", "1000"])
        try await Harness.run { harness in
            harness.supervisor.apply(plan)
            let seen = await harness.wait(for: plan.id) { processes in
                processes?.process.pid != nil && processes?.application?.pid != nil
            }
            let folder = ProxyFolder(of: plan.id, stateDirectory: harness.stateDirectory)
            let record = try #require(ProcessRecord.read(folder.path))
            #expect(record.envoy.map { Int($0.pid) } == seen?.process.pid)
            #expect(record.application.map { Int($0.pid) } == seen?.application?.pid)
            #expect(record.envoy.flatMap { RunningProcess($0) } != nil)
        }
    }
}
