import Foundation
import Logging
import MeshModel
import MeshPlan
import Testing

@testable import EnvoySupervisor

@Suite(.timeLimit(.minutes(1)))
struct LeftoversTests {
    /// Starts a process as an earlier daemon would have, and records it as a proxy's application.
    private func leave(
        _ script: String,
        in state: String,
        changeRecord: (inout ProxyRecord) -> Void = { _ in }
    ) throws -> (process: RunningProcess, folder: ProxyFolder) {
        let proxy = ProxyID(ObjectReference(namespace: "demo", name: "old"))
        let folder = ProxyFolder(of: proxy, stateDirectory: state)
        try folder.make()
        let command = Command(
            arguments: ["sh", "-c", script],
            environment: Command.ownEnvironment
        )
        let pid = try command.start(logPath: folder.logPath(.application))
        let process = try #require(RunningProcess(pid: pid))
        var record = ProxyRecord(proxy)
        record.application = ProxyRecord.Application(
            identity: process.identity,
            plan: Fingerprint(["old"])
        )
        changeRecord(&record)
        try folder.write(record)
        return (process, folder)
    }

    @Test(arguments: ["exec sleep 1000", "trap '' TERM; sleep 1000; sleep 1000"])
    func `processes of a proxy that the first plan does not have are ended`(
        script: String
    ) async throws {
        let state = Harness.newFolder()
        let old = try leave(script, in: state)
        let plan = makePlan(command: ["sleep", "1000"])
        try await Harness.run(stateDirectory: state) { harness in
            harness.supervisor.apply(plan)
            await harness.wait(for: ProxyID(ObjectReference(namespace: "demo", name: "old"))) {
                $0 != nil
            }
            await harness.wait(for: ProxyID(ObjectReference(namespace: "demo", name: "old"))) {
                $0 == nil
            }
            #expect(!isRunning(Int(old.process.identity.pid)))
            #expect(ProxyRecord.read(old.folder.path) == nil)
        }
    }

    @Test func `a process that merely has a recorded number is spared`() async throws {
        let state = Harness.newFolder()
        let foreign = try leave("exec sleep 1000", in: state) {
            $0.application?.identity.startTime -= 1
        }
        defer { foreign.process.signalGroup(SIGKILL) }
        let plan = makePlan(command: ["sleep", "1000"])
        try await Harness.run(stateDirectory: state) { harness in
            harness.supervisor.apply(plan)
            await harness.wait(for: plan.id) { $0?.application?.pid != nil }
            #expect(isRunning(Int(foreign.process.identity.pid)))
        }
        #expect(isRunning(Int(foreign.process.identity.pid)))
    }

    @Test func `a record of another boot or of a newer format counts for nothing`() throws {
        for change: (inout ProxyRecord) -> Void in [{ $0.boot = "another" }, { $0.format = 99 }] {
            let state = Harness.newFolder()
            defer { try? FileManager.default.removeItem(atPath: state) }
            let old = try leave("exec sleep 1000", in: state, changeRecord: change)
            defer { old.process.signalGroup(SIGKILL) }
            #expect(ProxyRecord.read(old.folder.path) == nil)
        }
    }

    @Test func `a record of format 1 is read, whatever later versions add`() throws {
        let boot = ProxyRecord.currentBoot
        let texts = [
            """
            {"format": 1, "boot": "\(boot)", "namespace": "demo", "name": "old", "envoys": [
             {"start": {"slot": "second", "adminSocketPath": "/s/admin.sock", "baseID": 7, "epoch": 1,
              "token": "t", "settings": {"nodeID": "n"}, "template": "a", "binary": "b"}}],
             "application": {"identity": {"pid": 5, "startTime": 6}, "plan": "p"}, "later": 1}
            """,
            "{\"format\": 1, \"boot\": \"\(boot)\", \"namespace\": \"demo\", \"name\": \"old\"}",
        ]
        let folder = Harness.newFolder()
        defer { try? FileManager.default.removeItem(atPath: folder) }
        try Files.makeFolder(folder)
        for text in texts {
            try Data(text.utf8).write(to: URL(fileURLWithPath: folder + "/process.json"))
            let record = try #require(try ProxyRecord.load(folder))
            #expect(record.restarts == 0 && !record.wasReady && record.stateDirectory == nil)
            #expect(record.envoys.allSatisfy { $0.start.baseID == 7 && $0.start.settings == nil })
            #expect(record.application?.restarts ?? 0 == 0)
        }
        try Data("no record".utf8).write(to: URL(fileURLWithPath: folder + "/process.json"))
        #expect(throws: ProxyRecord.Unreadable.self) { try ProxyRecord.load(folder) }
    }

    @Test func `running processes are recorded with their start times`() async throws {
        let plan = makePlan(command: ["sleep", "1000"])
        try await Harness.run { harness in
            harness.supervisor.apply(plan)
            let seen = await harness.wait(for: plan.id) { processes in
                processes?.process.pid != nil && processes?.application?.phase == .running
            }
            let folder = ProxyFolder(of: plan.id, stateDirectory: harness.stateDirectory)
            let record = try #require(ProxyRecord.read(folder.path))
            #expect(record.proxy == plan.id)
            let envoy = try #require(record.envoys.first)
            #expect(record.envoys.count == 1 && envoy.isReady)
            #expect(envoy.identity.map { Int($0.pid) } == seen?.process.pid)
            #expect(record.application.map { Int($0.identity.pid) } == seen?.application?.pid)
            #expect(envoy.identity.flatMap { RunningProcess($0) } != nil)
            #expect(harness.tokens[plan.id] == [envoy.start.token])
            let attributes = try FileManager.default.attributesOfItem(atPath: folder.recordPath)
            #expect(attributes[.posixPermissions] as? Int == 0o600)
        }
    }
}
