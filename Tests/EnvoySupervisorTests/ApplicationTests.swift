import Foundation
import Logging
import MeshModel
import MeshPlan
import Synchronization
import Testing

@testable import EnvoySupervisor

@Suite(.timeLimit(.minutes(1)))
struct ApplicationTests {
    @Test func `an application gets its environment, no open files and default signals`()
        async throws
    {
        let script = """
            echo color=$COLOR home=$HOME; ls -l /proc/self/fd
            grep -E 'Sig(Blk|Ign)' /proc/self/status
            echo done; exec sleep 1000
            """
        let plan = makePlan(command: ["sh", "-c", script], environment: ["COLOR": "blue"])
        try await Harness.run { harness in
            harness.supervisor.apply(plan)
            await harness.wait(for: plan.id) { $0?.application?.phase == .running }
            let log = await harness.log(plan.id, .application, until: "done\n")
            #expect(log.contains("color=blue home=/"))
            #expect(log.contains("0 -> /dev/null"))
            let folder = "\(harness.stateDirectory)/proxies/demo/blue"
            #expect(log.contains("1 -> \(folder)/application.log"))
            // 3 is the folder that ls itself reads.
            #expect(!log.contains(" 4 -> "))
            #expect(log.contains("SigBlk:\t0000000000000000"))
            // glibc ignores its own signals 32 and 33 in what it spawns.
            let ignored = try #require(log.split(separator: "SigIgn:\t").last?.prefix(16))
            #expect(UInt64(ignored, radix: 16).map { $0 & 0x7fff_ffff } == 0)
        }
    }

    @Test func `a program that does not exist is reported and tried again`() async throws {
        let plan = makePlan(command: ["no-such-program"])
        try await Harness.run { harness in
            harness.supervisor.apply(plan)
            let seen = await harness.wait(for: plan.id) { $0?.application?.restarts == 2 }
            #expect(
                seen?.application?.lastError
                    == "cannot start \"no-such-program\": no such file in PATH"
            )
        }
    }

    @Test func `a crash is reported with its last line, and restarts back off`() async throws {
        let plan = makePlan(command: ["sh", "-c", "echo starting; echo boom; exit 3"])
        try await Harness.run { harness in
            harness.supervisor.apply(plan)
            let seen = await harness.wait(for: plan.id) { processes in
                processes?.application?.phase == .backingOff
            }
            #expect(seen?.application?.lastError == "exited with code 3: boom")
            #expect(seen?.application?.restarts == 1)
            await harness.wait(for: plan.id) { $0?.application?.restarts == 3 }
        }
    }

    @Test func `a killed application starts again at once`() async throws {
        let plan = makePlan(command: ["sleep", "1000"])
        try await Harness.run { harness in
            harness.supervisor.apply(plan)
            let first = await harness.wait(for: plan.id) { $0?.application?.pid != nil }
            let pid = try #require(first?.application?.pid)
            kill(Int32(pid), SIGKILL)
            let second = await harness.wait(for: plan.id) { processes in
                processes?.application?.restarts == 1 && processes?.application?.phase == .running
            }
            #expect(second?.application?.pid != pid)
            #expect(second?.application?.phase == .running)
            #expect(second?.application?.lastError == "killed by signal 9 (SIGKILL)")
        }
    }

    @Test func `a changed command or variable restarts the application and not its proxy`()
        async throws
    {
        let command = ["sh", "-c", "echo color=$COLOR; exec sleep 1000"]
        let blue = makePlan(command: command, environment: ["COLOR": "blue"])
        let green = makePlan(command: command, environment: ["COLOR": "green"])
        try await Harness.run { harness in
            harness.supervisor.apply(blue)
            _ = await harness.log(blue.id, .application, until: "color=blue\n")
            let first = await harness.wait(for: blue.id) { $0?.process.pid != nil }
            harness.supervisor.apply(green)
            _ = await harness.log(blue.id, .application, until: "color=green\n")
            let second = await harness.wait(for: blue.id) { processes in
                processes?.application?.phase == .running
                    && processes?.application?.pid != first?.application?.pid
            }
            #expect(second?.process.pid == first?.process.pid)
            #expect(second?.application?.restarts == 0)
        }
    }

    @Test func `an application that leaves the plan ends, and its proxy stays`() async throws {
        let with = makePlan(command: ["sleep", "1000"])
        try await Harness.run { harness in
            harness.supervisor.apply(with)
            let first = await harness.wait(for: with.id) { $0?.application?.pid != nil }
            harness.supervisor.apply(makePlan())
            let second = await harness.wait(for: with.id) { $0?.application == nil }
            #expect(second?.process.pid == first?.process.pid)
            #expect(!isRunning(first?.application?.pid))
        }
    }

    @Test func `a removed proxy takes its application and its folder along`() async throws {
        let plan = makePlan(command: ["sleep", "1000"])
        try await Harness.run { harness in
            harness.supervisor.apply(plan)
            let seen = await harness.wait(for: plan.id) { $0?.application?.pid != nil }
            harness.supervisor.apply()
            await harness.wait(for: plan.id) { $0 == nil }
            #expect(!isRunning(seen?.application?.pid))
            #expect(!isRunning(seen?.process.pid))
            let folder = "\(harness.stateDirectory)/proxies/demo/blue"
            #expect(!FileManager.default.fileExists(atPath: folder))
        }
    }

    @Test(arguments: [
        "sleep 1000 & echo $$ $! done; wait",
        "trap '' TERM; (trap '' TERM; sleep 1000; sleep 1000) & echo $$ $! done; wait; wait",
        "(trap '' TERM; sleep 1000; sleep 1000) & echo $$ $! done; wait",
    ])
    func `shutdown leaves neither a stubborn child nor a grandchild`(script: String) async throws {
        let plan = makePlan(command: ["sh", "-c", script])
        let pids = PidList()
        try await Harness.run { harness in
            harness.supervisor.apply(plan)
            let log = await harness.log(plan.id, .application, until: "done\n")
            pids.add(log)
            #expect(pids.all.count == 2 && pids.all.allSatisfy(isRunning))
        }
        #expect(!pids.all.contains(where: isRunning))
    }

    @Test func `cancelling the service ends all processes at once`() async throws {
        let plan = makePlan(command: ["sh", "-c", "trap '' TERM; sleep 1000; sleep 1000"])
        let state = Harness.newFolder()
        defer { try? FileManager.default.removeItem(atPath: state) }
        let supervisor = EnvoySupervisor(
            configuration: SupervisorConfiguration(
                envoyPath: Harness.idleEnvoy,
                stateDirectory: state,
                xdsSocketPath: ""
            ),
            bootstrap: Harness.idleBootstrap,
            authorize: { _, _ in },
            logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
        )
        supervisor.apply(plan)
        let service = Task { try await supervisor.run() }
        var pids: [Int] = []
        for await observations in supervisor.observations {
            let seen = observations[plan.id]
            pids = [seen?.process.pid, seen?.application?.pid].compactMap(\.self)
            if pids.count == 2 { break }
        }
        service.cancel()
        try await service.value
        #expect(pids.count == 2 && !pids.contains(where: isRunning))
    }

    @Test func `children that a crashed application left are ended before it starts again`()
        async throws
    {
        let plan = makePlan(command: ["sh", "-c", "sleep 1000 & echo $$ $! done; wait"])
        try await Harness.run { harness in
            harness.supervisor.apply(plan)
            let pids = PidList()
            pids.add(await harness.log(plan.id, .application, until: "done\n"))
            kill(Int32(try #require(pids.all.first)), SIGKILL)
            await harness.wait(for: plan.id) { $0?.application?.restarts == 1 }
            #expect(!pids.all.contains(where: isRunning))
        }
    }

    @Test func `a log can be read from its end`() async throws {
        let plan = makePlan(command: ["sh", "-c", "seq 1 20000; echo done; exec sleep 1000"])
        try await Harness.run { harness in
            harness.supervisor.apply(plan)
            _ = await harness.log(plan.id, .application, until: "done\n")
            var tail: [UInt8] = []
            let log = harness.supervisor.log(of: plan.id, kind: .application, tailLines: 3)
            for await chunk in log { tail += chunk }
            #expect(String(decoding: tail, as: UTF8.self) == "19999\n20000\ndone\n")
            var all = 0
            for await chunk in harness.supervisor.log(of: plan.id, kind: .application) {
                all += chunk.split(separator: UInt8(ascii: "\n")).count
            }
            #expect(all >= 20001)
            let none = makePlan("none").id
            var others = harness.supervisor.log(of: none, kind: .envoy).makeAsyncIterator()
            #expect(await others.next() == nil)
        }
    }

    @Test func `following a log survives its truncation and ends with its proxy`() async throws {
        let plan = makePlan(command: ["sh", "-c", "echo first; exec sleep 1000"])
        try await Harness.run { harness in
            harness.supervisor.apply(plan)
            _ = await harness.log(plan.id, .application, until: "first\n")
            let path = "\(harness.stateDirectory)/proxies/demo/blue/application.log"
            var chunks = harness.supervisor.log(
                of: plan.id,
                kind: .application,
                tailLines: 1,
                follow: true
            ).makeAsyncIterator()
            #expect(await chunks.next() == Array("first\n".utf8))
            #expect(truncate(path, 0) == 0)
            let file = try #require(FileHandle(forWritingAtPath: path))
            try file.write(contentsOf: Data("new\n".utf8))
            #expect(await chunks.next() == Array("new\n".utf8))
            harness.supervisor.apply()
            #expect(await chunks.next() == nil)
        }
    }
}

/// Process ids.
final class PidList: Sendable {
    private let pids = Mutex<[Int]>([])

    var all: [Int] { pids.withLock(\.self) }

    /// Adds the ids that a script printed.
    func add(_ log: String) {
        let words = log.split(whereSeparator: \.isWhitespace)
        pids.withLock { $0 += words.compactMap { Int($0) } }
    }

    func add(_ pid: Int?) { pids.withLock { $0 += pid.map { [$0] } ?? [] } }
}
