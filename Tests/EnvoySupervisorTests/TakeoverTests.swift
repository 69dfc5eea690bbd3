import Foundation
import HTTPClient
import MeshModel
import MeshPlan
import MeshTesting
import Synchronization
import Testing

@testable import EnvoySupervisor

/// Tests in which one real Envoy takes over from another.
@Suite(.timeLimit(.minutes(1)), .enabled(if: RealEnvoy.isAvailable || RealEnvoy.isRequired))
struct TakeoverTests {
    private static let shortDrain: @Sendable (inout SupervisorConfiguration) -> Void = {
        $0.drainTime = .seconds(1)
    }

    /// The steps of an upgrade, as text.
    private func steps(_ stream: AsyncStream<ProxyUpgrade>) async -> [ProxyUpgrade.Step] {
        var steps: [ProxyUpgrade.Step] = []
        for await upgrade in stream { steps.append(upgrade.step) }
        return steps
    }

    /// A link to Envoy, which can be made to lead elsewhere.
    private func linkedEnvoy() throws -> String {
        let link = Harness.newFolder() + "-envoy"
        let path = try #require(RealEnvoy.path)
        try FileManager.default.createSymbolicLink(atPath: link, withDestinationPath: path)
        return link
    }

    private func relink(_ link: String, to script: String) throws {
        try FileManager.default.removeItem(atPath: link)
        _ = FileManager.default.createFile(
            atPath: link,
            contents: Data(script.utf8),
            attributes: [.posixPermissions: 0o755]
        )
    }

    @Test func `changed settings lose no request, and the old Envoy ends by itself`() async throws {
        let plan = makePlan(ingress: "127.91.2.1", concurrency: 2)
        try await RealEnvoy.run(configure: Self.shortDrain) { harness in
            harness.supervisor.apply(plan)
            let first = await harness.wait(for: plan.id) { $0?.process.phase == .running }
            #expect(first?.process.version?.hasPrefix("1.") ?? false)
            let load = Load(address: "127.91.2.1")
            try await load.run {
                harness.supervisor.apply(makePlan(ingress: "127.91.2.1", concurrency: 3))
                let second = await harness.wait(for: plan.id) { $0?.process.upgrades == 1 }
                #expect(second?.process.phase == .running && second?.process.restarts == 0)
                #expect(second?.process.pid != first?.process.pid)
                #expect(second?.process.lastError == nil)
                // It ends once its time is over, and the new one goes on.
                let old = try #require(RunningProcess(pid: Int32(first?.process.pid ?? 0)))
                await old.end()
            }
            #expect(load.failures == [] && load.answers > 0)
            #expect(harness.tokens[plan.id].count == 2)
        }
    }

    @Test func `requests over a takeover are counted, and none twice`() async throws {
        let plan = makePlan(ingress: "127.91.2.7")
        let configure: @Sendable (inout SupervisorConfiguration) -> Void = {
            $0.drainTime = .seconds(1)
            $0.healthInterval = .milliseconds(300)
            $0.statisticsFilter = "http[.]ingress[.]downstream_rq_2xx"
        }
        try await RealEnvoy.run(configure: configure) { harness in
            harness.supervisor.apply(plan)
            let first = await harness.wait(for: plan.id) { $0?.process.phase == .running }
            let load = Load(address: "127.91.2.7")
            let counter = "http.ingress.downstream_rq_2xx"
            try await load.run {
                // The first has told of some before it is replaced, and counts on after that.
                _ = try await poll({ harness.answers.sum(of: counter) }, until: { $0 > 0 })
                harness.supervisor.apply(makePlan(ingress: "127.91.2.7", concurrency: 2))
                await harness.wait(for: plan.id) { $0?.process.upgrades == 1 }
                let old = try #require(RunningProcess(pid: Int32(first?.process.pid ?? 0)))
                await old.end()
            }
            #expect(load.failures == [])
            // What an Envoy counts between its last answer and the flush after it is handed to nobody.
            let lost = load.answers / 100
            let sum = try await poll(
                { harness.answers.sum(of: counter) },
                until: { $0 >= load.answers - lost }
            )
            #expect(sum <= load.answers)
            #expect(harness.answers.count == 2)
        }
    }

    @Test func `the last requests of a removed proxy are counted`() async throws {
        let plan = makePlan(ingress: "127.91.2.8")
        let configure: @Sendable (inout SupervisorConfiguration) -> Void = {
            // It is asked once it is ready, and not again.
            $0.healthInterval = .seconds(3600)
            $0.statisticsFilter = "http[.]ingress[.]downstream_rq_2xx"
        }
        try await RealEnvoy.run(configure: configure) { harness in
            harness.supervisor.apply(plan)
            await harness.wait(for: plan.id) { $0?.process.phase == .running }
            _ = try await poll({ harness.answers.count }, until: { $0 == 1 })
            let load = Load(address: "127.91.2.8")
            try await load.run { _ = try await poll({ load.answers }, until: { $0 >= 10 }) }
            harness.supervisor.apply()
            await harness.wait(for: plan.id) { $0 == nil }
            #expect(
                harness.answers.sum(of: "http.ingress.downstream_rq_2xx") == load.answers
            )
        }
    }

    @Test func `an upgrade replaces outdated Envoys one after the other`() async throws {
        let plans = (1...2).map { makePlan("blue-\($0)", ingress: "127.91.2.1\($0)") }
        let envoy = try linkedEnvoy()
        defer { try? FileManager.default.removeItem(atPath: envoy) }
        try await Harness.run(
            envoyPath: envoy,
            bootstrap: RealEnvoy.bootstrap,
            configure: Self.shortDrain
        ) { harness in
            harness.supervisor.apply(Dictionary(uniqueKeysWithValues: plans.map { ($0.id, $0) }))
            for plan in plans {
                await harness.wait(for: plan.id) { $0?.process.phase == .running }
            }
            let none = await steps(harness.supervisor.upgrade(nil))
            #expect(none == Array(repeating: .skipped(reason: "it is up to date"), count: 2))
            let path = try #require(RealEnvoy.path)
            try relink(envoy, to: "#!/bin/sh\nexec \(path) \"$@\"\n")
            let load = Load(address: "127.91.2.11")
            try await load.run {
                let all = await steps(harness.supervisor.upgrade(nil))
                guard all.count == 4, case .finished(let from, let to) = all[1] else {
                    Issue.record("\(all)")
                    return
                }
                #expect(from != nil && from == to)
            }
            #expect(load.failures == [])
            for plan in plans {
                let seen = await harness.wait(for: plan.id) { $0?.process.upgrades == 1 }
                #expect(seen?.process.isOutdated == false)
            }
        }
    }

    @Test(arguments: [
        "#!/bin/sh\necho 'this is no Envoy' >&2; exit 3\n",
        // Right when it is asked, wrong when it runs.
        "#!/bin/sh\n[ \"$1\" = --mode ] && exit 0; echo 'this is no Envoy' >&2; exit 3\n",
        // Never ready.
        "#!/bin/sh\n[ \"$1\" = --mode ] && exit 0; exec sleep 1000\n",
    ])
    func `an upgrade that fails leaves the old Envoy serving, with its token`(
        script: String
    ) async throws {
        let plan = makePlan(ingress: "127.91.2.2")
        let envoy = try linkedEnvoy()
        defer { try? FileManager.default.removeItem(atPath: envoy) }
        try await Harness.run(
            envoyPath: envoy,
            bootstrap: RealEnvoy.bootstrap,
            configure: {
                $0.drainTime = .seconds(1)
                $0.takeoverTime = .seconds(1)
            }
        ) { harness in
            harness.supervisor.apply(plan)
            let first = await harness.wait(for: plan.id) { $0?.process.phase == .running }
            let token = harness.tokens.last(plan.id)
            try relink(envoy, to: script)
            let load = Load(address: "127.91.2.2")
            try await load.run {
                let all = await steps(harness.supervisor.upgrade([plan.id]))
                guard all.count == 2, case .failed(let reason) = all[1] else {
                    Issue.record("\(all)")
                    return
                }
                #expect(reason.contains("this is no Envoy") || reason.contains("within 1 s"))
                let seen = await harness.wait(for: plan.id) { $0?.process.lastError != nil }
                #expect(seen?.process.lastError == reason)
                #expect(seen?.process.pid == first?.process.pid)
                #expect(seen?.process.phase == .running)
            }
            #expect(load.failures == [])
            #expect(harness.tokens.last(plan.id) == token)
            // The next one may take over.
            let path = try #require(RealEnvoy.path)
            try relink(envoy, to: "#!/bin/sh\nexec \(path) \"$@\"\n")
            let all = await steps(harness.supervisor.upgrade(nil))
            #expect(all.count == 2)
            let seen = await harness.wait(for: plan.id) { $0?.process.upgrades == 1 }
            #expect(seen?.process.pid != first?.process.pid && seen?.process.lastError == nil)
        }
    }

    @Test func `an Envoy outlives the sudden end of the one that it took over from`() async throws {
        let plan = makePlan(ingress: "127.91.2.3")
        try await RealEnvoy.run(configure: { $0.drainTime = .seconds(5) }) { harness in
            harness.supervisor.apply(plan)
            let first = await harness.wait(for: plan.id) { $0?.process.phase == .running }
            harness.supervisor.apply(makePlan(ingress: "127.91.2.3", concurrency: 2))
            let second = await harness.wait(for: plan.id) { $0?.process.upgrades == 1 }
            let load = Load(address: "127.91.2.3")
            try await load.run {
                kill(Int32(try #require(first?.process.pid)), SIGKILL)
                let log = await harness.log(
                    plan.id,
                    .envoy,
                    until: "shutting down parent after drain"
                )
                // Asked for statistics, it asks the other one: once between its end and ours seeing that.
                #expect(log.ranges(of: "connection refused, retrying").count <= 1)
            }
            #expect(load.failures == [])
            let seen = await harness.wait(for: plan.id) { _ in true }
            #expect(seen?.process.pid == second?.process.pid && seen?.process.restarts == 0)
        }
    }

    @Test func `a successor that loads goes on when the old Envoy ends`() async throws {
        let plan = makePlan(ingress: "127.91.2.4")
        // What comes second waits for the file before it begins.
        let gate = Harness.newFolder()
        let path = try #require(RealEnvoy.path)
        let envoy = try linkedEnvoy()
        defer { try? FileManager.default.removeItem(atPath: envoy) }
        defer { try? FileManager.default.removeItem(atPath: gate) }
        try await Harness.run(
            envoyPath: envoy,
            bootstrap: RealEnvoy.bootstrap,
            configure: Self.shortDrain
        ) { harness in
            harness.supervisor.apply(plan)
            let first = await harness.wait(for: plan.id) { $0?.process.phase == .running }
            try relink(
                envoy,
                to: """
                    #!/bin/sh
                    if [ "$1" != --mode ]; then
                      echo waiting
                      while [ ! -e \(gate) ]; do sleep 0.05; done
                    fi
                    exec \(path) "$@"
                    """
            )
            let upgrade = harness.supervisor.upgrade(nil)
            _ = await harness.log(plan.id, .envoy, until: "waiting\n")
            kill(Int32(try #require(first?.process.pid)), SIGKILL)
            let seen = await harness.wait(for: plan.id) { $0?.process.restarts == 1 }
            #expect(seen?.process.phase == .starting && seen?.process.pid != first?.process.pid)
            #expect(seen?.process.lastError == "killed by signal 9 (SIGKILL)")
            #expect(FileManager.default.createFile(atPath: gate, contents: nil))
            let second = await harness.wait(for: plan.id) { $0?.process.phase == .running }
            #expect(second?.process.pid == seen?.process.pid)
            let all = await steps(upgrade)
            #expect(all.count == 2)
            let load = Load(address: "127.91.2.4")
            try await load.run {}
            #expect(load.failures == [])
        }
    }

    @Test func `a plan that comes during a takeover waits for its end`() async throws {
        @Sendable func plan(_ concurrency: Int) -> ProxyPlan {
            makePlan(ingress: "127.91.2.7", concurrency: concurrency)
        }
        let id = plan(1).id
        // The check waits for the file.
        let gate = Harness.newFolder()
        let path = try #require(RealEnvoy.path)
        let envoy = try linkedEnvoy()
        defer { try? FileManager.default.removeItem(atPath: envoy) }
        defer { try? FileManager.default.removeItem(atPath: gate) }
        try await Harness.run(
            envoyPath: envoy,
            bootstrap: RealEnvoy.bootstrap,
            configure: Self.shortDrain
        ) { harness in
            harness.supervisor.apply(plan(1))
            await harness.wait(for: id) { $0?.process.phase == .running }
            let began = gate + "-began"
            defer { try? FileManager.default.removeItem(atPath: began) }
            try relink(
                envoy,
                to: """
                    #!/bin/sh
                    if [ "$1" = --mode ]; then
                      touch \(began)
                      while [ ! -e \(gate) ]; do sleep 0.05; done
                    else
                      echo "started as $@"
                    fi
                    exec \(path) "$@"
                    """
            )
            harness.supervisor.apply(plan(2))
            while access(began, F_OK) != 0 { try await Task.sleep(for: .milliseconds(10)) }
            harness.supervisor.apply(plan(3))
            // When another proxy of the same plan starts, the plan has arrived.
            let other = makePlan("other", ingress: "127.91.2.8")
            harness.supervisor.apply(plan(3), other)
            await harness.wait(for: other.id) { $0?.process.pid != nil }
            #expect(FileManager.default.createFile(atPath: gate, contents: nil))
            await harness.wait(for: id) { $0?.process.upgrades == 2 }
            let log = await harness.log(id, .envoy, until: "--concurrency 3")
            let starts = log.matches(of: /started as .*--concurrency (\d)/).map { String($0.1) }
            #expect(starts == ["2", "3"])
        }
    }

    @Test func `removal during a takeover ends both`() async throws {
        let plan = makePlan(ingress: "127.91.2.5")
        let envoy = try linkedEnvoy()
        defer { try? FileManager.default.removeItem(atPath: envoy) }
        try await Harness.run(
            envoyPath: envoy,
            bootstrap: RealEnvoy.bootstrap,
            configure: Self.shortDrain
        ) { harness in
            harness.supervisor.apply(plan)
            let first = await harness.wait(for: plan.id) { $0?.process.phase == .running }
            try relink(
                envoy,
                to: "#!/bin/sh\n[ \"$1\" = --mode ] && exit 0; echo $$ waiting; exec sleep 1000\n"
            )
            let upgrade = harness.supervisor.upgrade(nil)
            let log = await harness.log(plan.id, .envoy, until: " waiting\n")
            let line = log.split(separator: "\n").last { $0.hasSuffix(" waiting") }
            let pid = line.flatMap { Int($0.prefix { $0.isNumber }) }
            harness.supervisor.apply()
            await harness.wait(for: plan.id) { $0 == nil }
            #expect(!isRunning(first?.process.pid) && !isRunning(pid))
            let all = await steps(upgrade)
            #expect(all == [.started, .skipped(reason: "it was removed")])
        }
    }

    @Test func `an Envoy that hangs is ended and starts anew`() async throws {
        let plan = makePlan(ingress: "127.91.2.6")
        try await RealEnvoy.run(configure: {
            $0.healthInterval = .milliseconds(50)
            $0.silenceLimit = .milliseconds(100)
        }) { harness in
            harness.supervisor.apply(plan)
            let first = await harness.wait(for: plan.id) { $0?.process.phase == .running }
            kill(Int32(try #require(first?.process.pid)), SIGSTOP)
            let seen = await harness.wait(for: plan.id) { processes in
                processes?.process.restarts == 1 && processes?.process.phase == .running
            }
            #expect(seen?.process.lastError?.hasPrefix("did not answer for ") ?? false)
            #expect(seen?.process.failures == 1)
        }
    }
}

/// Starts on a disk that takes nothing more; needs the right to mount.
@Suite(.timeLimit(.minutes(1)), .enabled(if: geteuid() == 0 || RealEnvoy.isRequired))
struct FullDiskStartTests {
    @Test func `an Envoy that ends on a full disk starts with the bootstrap that is there`()
        async throws
    {
        let disk = try SmallDisk(kilobytes: 512)
        defer { disk.remove() }
        let plan = makePlan(ingress: "127.91.2.9")
        try await Harness.run(
            stateDirectory: "\(disk.path)/state",
            bootstrap: { _, parameters in
                Array("\(parameters.adminSocketPath)\n\(parameters.token)".utf8)
            }
        ) { harness in
            harness.supervisor.apply(plan)
            let first = await harness.wait(for: plan.id) { $0?.process.phase == .running }
            let token = harness.tokens.last(plan.id)
            let filler = try Descriptor.open("\(disk.path)/filler", O_WRONLY | O_CREAT)
            let block = [UInt8](repeating: 1, count: 4096)
            while write(filler.number, block, block.count) > 0 {}
            #expect(errno == ENOSPC)
            kill(Int32(try #require(first?.process.pid)), SIGKILL)
            let second = await harness.wait(for: plan.id) { processes in
                processes?.process.restarts == 1 && processes?.process.phase == .running
            }
            #expect(second?.process.failures == 1)
            #expect(harness.tokens.last(plan.id) == token)
        }
    }
}

/// What needs another Envoy.
struct LaunchTests {
    private func launch(_ template: String?, concurrency: Int = 1) -> Launch {
        Launch(
            settings: EnvoySettings(makePlan(concurrency: concurrency)),
            template: template.map { Fingerprint([$0]) }
        )
    }

    @Test func `a template that is not known equals any, and settings never do`() {
        #expect(!launch("a").differs(from: launch("a")))
        #expect(launch("a").differs(from: launch("b")))
        #expect(!launch(nil).differs(from: launch("b")))
        #expect(!launch("a").differs(from: launch(nil)))
        #expect(launch(nil).differs(from: launch(nil, concurrency: 2)))
    }
}

/// Looks at running Envoys, without any.
struct SilenceTests {
    @Test func `one late answer is no silence, and a closed admin interface is none`() async {
        let looks = Mutex<[EnvoyAdmin.Look]>(
            [
                .silent, .silent, .answered(""), .silent, .silent, .closed,
                .silent, .silent, .silent,
            ]
        )
        let silence = await EnvoyWatch.untilSilent(
            stop: StopFlag(),
            interval: .zero,
            limit: .zero
        ) {
            looks.withLock { $0.removeFirst() }
        }
        #expect(silence != nil && looks.withLock(\.isEmpty))
    }

    @Test func `the end of the process ends the looking`() async {
        let stop = StopFlag()
        let silence = await EnvoyWatch.untilSilent(stop: stop, interval: .zero, limit: .zero) {
            stop.set()
            return .silent
        }
        #expect(silence == nil)
    }
}

/// Requests all the time, from several clients at once.
final class Load: Sendable {
    private struct State {
        var answers = 0
        var failures: [String] = []
        var isOver = false
    }

    private let address: String
    private let client = HTTPClient()
    private let state = Mutex(State())

    init(address: String) { self.address = address }

    var answers: Int { state.withLock(\.answers) }
    var failures: [String] { state.withLock(\.failures) }

    /// Asks no more.
    func stop() { state.withLock { $0.isOver = true } }

    /// Asks while `body` runs, or until `stop`.
    func run(_ body: @Sendable () async throws -> Void) async throws {
        try await withThrowingTaskGroup(of: Void.self) { group in
            for _ in 0..<4 { group.addTask { await self.ask() } }
            defer { stop() }
            try await body()
        }
    }

    private func ask() async {
        repeat {
            do {
                let request = HTTPRequest("GET", "http://\(address):15000/")
                let response = try await client.response(to: request)
                state.withLock { state in
                    if response.status == 200 {
                        state.answers += 1
                    } else {
                        state.failures.append("status \(response.status)")
                    }
                }
            } catch {
                state.withLock { $0.failures.append("\(error)") }
            }
        } while !state.withLock(\.isOver)
    }
}

extension RunningProcess {
    /// Waits until it has ended, which another watches.
    func end() async { while !hasEnded { try? await Task.sleep(for: .milliseconds(10)) } }
}
