import Foundation
import HTTPClient
import MeshModel
import MeshPlan
import Synchronization
import Testing

@testable import EnvoySupervisor

/// Tests in which a second supervisor finds what a first one left running.
@Suite(.timeLimit(.minutes(1)), .enabled(if: RealEnvoy.isAvailable || RealEnvoy.isRequired))
struct AdoptionTests {
    /// Runs `body` on a supervisor that leaves everything running.
    private func leave(
        in state: String,
        _ body: @Sendable (Harness) async throws -> Void
    ) async throws {
        try await RealEnvoy.run(
            in: state,
            configure: {
                $0.keepsProxies = true
                $0.drainTime = .seconds(1)
            },
            body
        )
    }

    private func leave(_ plan: ProxyPlan, in state: String) async throws -> ProxyProcesses {
        let seen = Box<ProxyProcesses>()
        try await leave(in: state) { harness in
            harness.supervisor.apply(plan)
            seen.set(
                await harness.wait(for: plan.id) { processes in
                    processes?.process.phase == .running
                        && processes?.application?.phase ?? .running == .running
                }
            )
        }
        return try #require(seen.value)
    }

    private func record(_ plan: ProxyPlan, _ state: String) throws -> ProxyRecord {
        try #require(ProxyRecord.read(ProxyFolder(of: plan.id, stateDirectory: state).path))
    }

    @Test func `a proxy and its application outlive their supervisor, and no request fails`()
        async throws
    {
        let state = Harness.newFolder()
        let plan = makePlan(ingress: "127.91.3.1", command: ["sleep", "1000"])
        let old = try await leave(plan, in: state)
        #expect(isRunning(old.process.pid) && isRunning(old.application?.pid))
        let load = Load(address: "127.91.3.1")
        try await load.run {
            try await RealEnvoy.run(in: state) { harness in
                let found = harness.supervisor.adopt()
                #expect(found[plan.id] == old)
                let token = try record(plan, state).envoys.first?.start.token
                #expect(harness.tokens.last(plan.id) == token)
                harness.supervisor.apply(plan)
                let seen = await harness.wait(for: plan.id) { $0?.process.phase == .running }
                #expect(seen?.process.pid == old.process.pid)
                #expect(seen?.application?.pid == old.application?.pid)
                #expect(seen?.process.isOutdated == false && seen?.process.upgrades == 0)
                #expect(load.failures == [])
                load.stop()
            }
        }
        #expect(load.failures == [] && load.answers > 0)
        #expect(!isRunning(old.process.pid) && !isRunning(old.application?.pid))
    }

    @Test func `an adopted Envoy with other settings is replaced, with other options outdated`()
        async throws
    {
        let state = Harness.newFolder()
        let plan = makePlan(ingress: "127.91.3.2")
        let old = try await leave(plan, in: state)
        try await RealEnvoy.run(
            in: state,
            configure: {
                $0.keepsProxies = true
                $0.logLevel = "warning"
                $0.drainTime = .seconds(1)
            }
        ) { harness in
            harness.supervisor.apply(plan)
            let seen = await harness.wait(for: plan.id) { $0?.process.isOutdated ?? false }
            #expect(seen?.process.pid == old.process.pid && seen?.process.upgrades == 0)
        }
        try await RealEnvoy.run(in: state, configure: { $0.drainTime = .seconds(1) }) { harness in
            let load = Load(address: "127.91.3.2")
            try await load.run {
                harness.supervisor.apply(makePlan(ingress: "127.91.3.2", concurrency: 2))
                let seen = await harness.wait(for: plan.id) { $0?.process.upgrades == 1 }
                #expect(seen?.process.isOutdated == false && seen?.process.pid != old.process.pid)
            }
            #expect(load.failures == [])
        }
    }

    @Test func `what ended while no supervisor ran starts again`() async throws {
        let state = Harness.newFolder()
        let plan = makePlan(ingress: "127.91.3.3")
        let old = try await leave(plan, in: state)
        let process = try #require(RunningProcess(pid: Int32(old.process.pid ?? 0)))
        process.signal(SIGKILL)
        await process.end()
        try await RealEnvoy.run(in: state) { harness in
            let found = harness.supervisor.adopt()
            #expect(found[plan.id]?.process.phase == .starting)
            harness.supervisor.apply(plan)
            let seen = await harness.wait(for: plan.id) { $0?.process.phase == .running }
            #expect(seen?.process.restarts == 1)
            #expect(
                seen?.process.lastError?.hasPrefix("ended while no daemon watched it") ?? false
            )
        }
    }

    @Test func `an adopted proxy that no plan has stays while that is asked, and is ended then`()
        async throws
    {
        let state = Harness.newFolder()
        let plan = makePlan(ingress: "127.91.3.4")
        let other = makePlan("other", ingress: "127.91.3.5")
        let old = try await leave(plan, in: state)
        try await RealEnvoy.run(in: state) { harness in
            harness.supervisor.apply([other.id: other], keepsUnowned: true)
            await harness.wait(for: other.id) { $0?.process.phase == .running }
            let kept = await harness.wait(for: plan.id) { _ in true }
            #expect(kept?.process.phase == .running)
            harness.supervisor.apply(other)
            await harness.wait(for: plan.id) { $0 == nil }
            #expect(!isRunning(old.process.pid))
            let folder = ProxyFolder(of: plan.id, stateDirectory: state).path
            #expect(!FileManager.default.fileExists(atPath: folder))
        }
    }

    @Test func `an Envoy that was started and not recorded yet is found by its arguments`()
        async throws
    {
        let state = Harness.newFolder()
        let plan = makePlan(ingress: "127.91.3.6")
        let old = try await leave(plan, in: state)
        var record = try record(plan, state)
        record.envoys[0].identity = nil
        record.envoys[0].isReady = false
        try ProxyFolder(of: plan.id, stateDirectory: state).write(record)
        try await RealEnvoy.run(in: state) { harness in
            harness.supervisor.apply(plan)
            let seen = await harness.wait(for: plan.id) { $0?.process.phase == .running }
            #expect(seen?.process.pid == old.process.pid && seen?.process.restarts == 0)
        }
    }

    @Test(arguments: ["{", ""])
    func `an Envoy without a record that can be read is taken over from, and not ended`(
        record: String
    ) async throws {
        let state = Harness.newFolder()
        let plan = makePlan(ingress: "127.91.3.9")
        let old = try await leave(plan, in: state)
        let folder = ProxyFolder(of: plan.id, stateDirectory: state)
        if record.isEmpty {
            unlink(folder.recordPath)
        } else {
            try Data(record.utf8).write(to: URL(fileURLWithPath: folder.recordPath))
        }
        let load = Load(address: "127.91.3.9")
        try await load.run {
            try await RealEnvoy.run(in: state, configure: { $0.drainTime = .seconds(1) }) {
                harness in
                #expect(harness.supervisor.adopt()[plan.id]?.process.pid == old.process.pid)
                harness.supervisor.apply(plan)
                let seen = await harness.wait(for: plan.id) { $0?.process.upgrades == 1 }
                #expect(seen?.process.phase == .running && seen?.process.restarts == 0)
                #expect(load.failures == [])
                load.stop()
            }
        }
        #expect(load.failures == [])
    }

    @Test func `only the owner reaches the sockets by which Envoys take over`() async throws {
        let state = Harness.newFolder()
        let plan = makePlan(ingress: "127.91.3.10")
        try await RealEnvoy.run(in: state) { harness in
            harness.supervisor.apply(plan)
            await harness.wait(for: plan.id) { $0?.process.phase == .running }
            let start = try #require(try record(plan, state).envoys.first?.start)
            let path = HotRestart.socketPath(
                start.restartSocketPath,
                "parent",
                baseID: start.baseID,
                epoch: 0
            )
            var status = stat()
            #expect(lstat(path, &status) == 0 && status.st_mode == S_IFSOCK | 0o600)
            let size = HotRestart.memoryBytes
            #expect(
                try Descriptor.open(HotRestart.memoryPath(start.baseID), O_RDONLY).status.size
                    == size
            )
            let sockets = Files.read("/proc/net/unix").map { String(decoding: $0, as: UTF8.self) }
            #expect(!(sockets ?? "").contains("@envoy_domain_socket_parent_\(start.baseID)"))
            let standIn = ParentStandIn(
                start.restartSocketPath,
                baseID: start.baseID,
                epoch: 0,
                DescriptorWatcher()
            )
            #expect(standIn == nil)
        }
    }

    @Test func `a proxy that was started by hand is taken over from without a lost request`()
        async throws
    {
        let state = Harness.newFolder()
        let plan = makePlan(ingress: "127.91.3.8")
        let folder = ProxyFolder(of: plan.id, stateDirectory: state)
        try await leave(in: state) { harness in
            let path = harness.supervisor.standaloneAdminSocketPath(of: plan.id)
            let parameters = BootstrapParameters(
                xdsSocketPath: "",
                adminSocketPath: path,
                token: ""
            )
            try harness.supervisor.saveLastGood(
                RealEnvoy.bootstrap(plan, parameters),
                of: plan.id,
                concurrency: 1
            )
        }
        let script = Command(
            arguments: [folder.runPath],
            environment: ["PATH": "/usr/bin:/bin"],
            directory: "/"
        )
        let pid = try script.start(logPath: folder.logPath(.envoy))
        let byHand = try #require(RunningProcess(pid: pid))
        defer { byHand.signalGroup(SIGKILL) }
        let admin = EnvoyAdmin(
            client: HTTPClient(),
            socketPath: folder.adminSocketPath(.standalone)
        )
        #expect(await EnvoyWatch.untilReady(admin, stop: StopFlag()) {})
        let load = Load(address: "127.91.3.8")
        try await load.run {
            try await RealEnvoy.run(in: state, configure: { $0.drainTime = .seconds(1) }) {
                harness in
                let found = harness.supervisor.adopt()
                #expect(found[plan.id]?.process.pid == Int(pid))
                harness.supervisor.apply(plan)
                let seen = await harness.wait(for: plan.id) { $0?.process.upgrades == 1 }
                #expect(seen?.process.pid != Int(pid) && seen?.process.phase == .running)
                await byHand.end()
                #expect(load.failures == [])
                load.stop()
            }
        }
        #expect(load.failures == [])
    }

    @Test func `a takeover under way goes on under the next supervisor`() async throws {
        let state = Harness.newFolder()
        let plan = makePlan(ingress: "127.91.3.7")
        let changed = makePlan(ingress: "127.91.3.7", concurrency: 2)
        let old = try await leave(plan, in: state)
        let load = Load(address: "127.91.3.7")
        try await load.run {
            // Both live when the second supervisor goes.
            try await leave(in: state) { harness in
                harness.supervisor.apply(changed)
                await harness.wait(for: plan.id) { $0?.process.upgrades == 1 }
            }
            #expect(try record(plan, state).envoys.count == 2)
            try await RealEnvoy.run(in: state, configure: { $0.drainTime = .seconds(1) }) {
                harness in
                harness.supervisor.apply(changed)
                let seen = await harness.wait(for: plan.id) { $0?.process.phase == .running }
                #expect(seen?.process.pid != old.process.pid && seen?.process.upgrades == 1)
                let process = RunningProcess(pid: Int32(old.process.pid ?? 0))
                await process?.end()
                #expect(load.failures == [])
                load.stop()
            }
        }
        #expect(load.failures == [])
    }
}

/// Who does what among recorded Envoys that live.
struct RolesTests {
    struct Entry: RecordedEnvoy, Equatable {
        var entry: ProxyRecord.Envoy

        init(_ baseID: Int, _ epoch: Int, isReady: Bool) {
            entry = ProxyRecord.Envoy(
                start: EnvoyStart(
                    slot: .first,
                    adminSocketPath: "",
                    baseID: baseID,
                    epoch: epoch,
                    token: "",
                    settings: nil,
                    template: Fingerprint(["a"]),
                    binary: Fingerprint(["b"])
                ),
                isReady: isReady
            )
        }
    }

    private let old = Entry(1, 0, isReady: true)
    private let ready = Entry(1, 1, isReady: true)
    private let loading = Entry(1, 1, isReady: false)
    private let anew = Entry(2, 0, isReady: false)

    @Test func `the newest that is ready serves, and the older one finishes`() {
        let roles = Adoption.roles([old, ready], newest: ready.entry)
        #expect(roles.envoy == ready && roles.predecessor == old && roles.successor == nil)
    }

    @Test func `one that loads takes over from the older one`() {
        let roles = Adoption.roles([old, loading], newest: loading.entry)
        #expect(roles.envoy == old && roles.successor == loading && roles.predecessor == nil)
    }

    @Test func `the older one is what is left when the newest died before it was ready`() {
        let roles = Adoption.roles([old], newest: loading.entry)
        #expect(roles.envoy == old && roles.predecessor == nil)
    }

    @Test func `an older one that was told to finish does not serve`() {
        for newest in [ready, anew] {
            let roles = Adoption.roles([old], newest: newest.entry)
            #expect(roles.envoy == nil && roles.predecessor == old)
        }
        let roles = Adoption.roles([old, anew], newest: anew.entry)
        #expect(roles.envoy == anew && roles.predecessor == old)
    }

    @Test func `the newest is what is left when the older one died`() {
        let roles = Adoption.roles([loading], newest: loading.entry)
        #expect(roles.envoy == loading && roles.predecessor == nil)
    }
}

struct HotRestartTests {
    @Test(
        arguments: [
            (424, 1, "_parent_4241", 4240),
            (424, 3, "_parent_4240", 4240),
            (248_901_737, 1, "_parent_18446744071903601691", 2_489_017_370),
        ] as [(Int, Int, String, Int)]
    )
    func `what Envoys share has the names that Envoy gives it`(
        baseID: Int,
        epoch: Int,
        socket: String,
        memory: Int
    ) {
        for (path, prefix) in [(nil, "@envoy_domain_socket"), ("/a/restart", "/a/restart")] {
            let name = HotRestart.socketPath(path, "parent", baseID: baseID, epoch: epoch)
            #expect(name == prefix + socket)
        }
        #expect(HotRestart.memoryPath(baseID) == "/dev/shm/envoy_shared_memory_\(memory)")
    }

    @Test func `a stand-in has neither sockets nor statistics to give`() {
        let length: [UInt8] = [0, 0, 0, 0, 0, 0, 0]
        let socket = length + [6, 0x0A, 0x04, 0x0A, 0x02, 0x0A, 0x00]
        let noSocket = ParentStandIn.reply(to: socket)
        #expect(
            noSocket == length + [15, 0x12, 0x0D, 0x0A, 0x0B, 0x08]
                + Array(repeating: 0xFF, count: 9) + [1]
        )
        let statistics = length + [4, 0x0A, 0x02, 0x1A, 0x00]
        #expect(ParentStandIn.reply(to: statistics) == length + [4, 0x12, 0x02, 0x1A, 0x00])
        let farewell = length + [4, 0x0A, 0x02, 0x2A, 0x00]
        #expect(ParentStandIn.reply(to: farewell) == nil && ParentStandIn.isFarewell(farewell))
    }
}

/// A value from a closure that may be sent elsewhere.
final class Box<Value: Sendable>: Sendable {
    private let state = Mutex<Value?>(nil)
    var value: Value? { state.withLock(\.self) }
    func set(_ value: Value?) { state.withLock { $0 = value } }
}
