import MeshModel
import MeshPlan
import Synchronization
import Testing

@testable import MeshDaemon

@Suite(.timeLimit(.minutes(1))) struct `Proxy commands` {
    private let recorder = Recorder()

    private func list(
        _ change: (inout ProxiesCommand) -> Void = { _ in }
    ) async throws -> MeshDaemon.ExitStatus {
        var command = ProxiesCommand()
        change(&command)
        let transport = HandlerTransport(handler: ProxySample().handler())
        return try await command.run(transport, recorder.console())
    }

    @Test func `proxies are one line each`() async throws {
        #expect(try await list() == .ok)
        #expect(
            recorder.output == """
                NAME           OWNER   STATE           ENVOY               RESTARTS   UPGRADES   CPU      MEMORY   AGE
                demo/blue-1    blue    Running         1.40.0              1          2          31m      64Mi     5m
                demo/green-1   green   Running         1.40.0              1          2          125m     27Mi     5m
                demo/red-1     red     ProxyStarting   1.39.0 (outdated)   0          0          <none>   <none>   <none>

                """
        )
    }

    @Test(arguments: ["blue-1", "demo/blue-1"])
    func `one that is named is shown as itself`(name: String) async throws {
        #expect(
            try await list {
                $0.name = name
                $0.format = .yaml
            } == .ok
        )
        #expect(recorder.output.hasPrefix("apiVersion: heddle.dev/v1alpha1\nkind: Proxy\n"))
        #expect(recorder.output.contains("envoyVersion: 1.40.0"))
    }

    @Test func `a list is a list`() async throws {
        #expect(try await list { $0.format = .json } == .ok)
        #expect(recorder.output.contains("\"kind\": \"ProxyList\""))
    }

    @Test(arguments: [
        (["blu-1"], nil, "no proxy \"blu-1\"; did you mean \"blue-1\"?"),
        (["demo/blu-1"], nil, "no proxy \"demo/blu-1\"; did you mean \"demo/blue-1\"?"),
        (["blue-1"], "other", "no proxy \"blue-1\" in namespace other; see \"heddle proxies\""),
    ])
    func `one that is not there is bad news`(
        names: [String],
        namespace: String?,
        message: String
    ) async throws {
        let failure = await #expect(throws: ClientFailure.self) {
            try await list {
                $0.name = names.first
                $0.namespace = namespace
            }
        }
        #expect(failure == ClientFailure(.badNews, message))
    }

    @Test func `a name that several have must be told apart`() async throws {
        var sample = ProxySample()
        let other = ProxyID(ObjectReference(namespace: "other", name: "blue-1"))
        sample.plan.proxies[other] = sample.plan.proxies[proxyID("blue-1")]
        sample.plan.proxies[other]?.id = other
        let transport = HandlerTransport(handler: sample.handler())
        var command = ProxiesCommand()
        command.name = "blue-1"
        let ambiguous = command
        let failure = await #expect(throws: ClientFailure.self) {
            try await ambiguous.run(transport, recorder.console())
        }
        #expect(
            failure?.description
                == "\"blue-1\" names several proxies: demo/blue-1, other/blue-1; write one of them"
        )
        command.namespace = "other"
        #expect(try await command.run(transport, recorder.console()) == .ok)
    }

    @Test func `nothing is said to be nothing`() async throws {
        let transport = HandlerTransport(handler: handler(APIState()))
        var command = ProxiesCommand()
        command.namespace = "demo"
        #expect(try await command.run(transport, recorder.console()) == .ok)
        #expect(recorder.notes == "No proxies in namespace demo: no Workload has one.\n")
    }

    @Test func `a watch shows each change`() async throws {
        var sample = ProxySample()
        let api = sample.handler()
        sample.observations.proxies[proxyID("blue-1")]?.process?.version = "1.41.0"
        let changed = sample
        let (shown, parts) = AsyncStream.makeStream(of: String.self)
        let console = recorder.console(onPrint: { parts.yield($0) })
        await withTaskGroup { group in
            group.addTask {
                var command = ProxiesCommand()
                command.isWatching = true
                _ = try? await command.run(HandlerTransport(handler: api), console)
            }
            for await text in shown {
                if text.contains("1.41.0") { break }
                if text.contains("1.40.0") { changed.publish(in: api.state) }
            }
            group.cancelAll()
        }
        #expect(recorder.output.contains("1.41.0"))
    }

    @Test func `get names the command for proxies`() {
        let failure = #expect(throws: ClientFailure.self) { try KindName.kind("Proxy") }
        #expect(failure?.description.hasPrefix("proxies are listed by \"heddle proxies\"") ?? false)
    }
}

@Suite(.timeLimit(.minutes(1))) struct `Upgrade command` {
    private let recorder = Recorder()
    private let done = [
        ProxyUpgradeStep.Progress.starting, .done(version: "1.40.1", seconds: 0.61),
    ]

    private func upgrade(
        _ steps: [ProxyUpgradeStep.Progress],
        _ sample: ProxySample = ProxySample(),
        asked: Asked<Set<ProxyID>?> = Asked(),
        _ change: (inout UpgradeCommand) -> Void = { _ in }
    ) async throws -> MeshDaemon.ExitStatus {
        var command = UpgradeCommand()
        change(&command)
        let api = sample.handler(upgrade: upgrading(steps, asked: asked))
        return try await command.run(HandlerTransport(handler: api), recorder.console())
    }

    @Test func `without names those are upgraded that are outdated`() async throws {
        let asked = Asked<Set<ProxyID>?>()
        #expect(try await upgrade(done, asked: asked) == .ok)
        #expect(recorder.output == "proxy demo/red-1: 1.40.0 -> 1.40.1 in 0.6 s\n")
        #expect(asked.values == [[proxyID("red-1")]])
    }

    @Test func `names are upgraded one after the other, outdated or not`() async throws {
        let asked = Asked<Set<ProxyID>?>()
        let status = try await upgrade(done, asked: asked) {
            $0.names = ["green-1", "demo/blue-1"]
        }
        #expect(status == .ok)
        #expect(asked.values == [[proxyID("blue-1")], [proxyID("green-1")]])
    }

    @Test func `all are all`() async throws {
        #expect(try await upgrade(done) { $0.isForAll = true } == .ok)
        #expect(recorder.output.split(separator: "\n").count == 3)
    }

    @Test func `nothing to do is said`() async throws {
        var sample = ProxySample()
        sample.observations.proxies[proxyID("red-1")]?.process?.isOutdated = false
        #expect(try await upgrade(done, sample) == .ok)
        #expect(
            recorder.output
                == "nothing to do: all 3 proxies are up to date; --all upgrades them all the same\n"
        )
    }

    @Test func `the first failure ends it with Envoy's reason`() async throws {
        let asked = Asked<Set<ProxyID>?>()
        let failed = ProxyUpgradeStep.Progress.failed(
            reason: "the new Envoy exited with code 1: unknown field x",
            serving: "Envoy 1.40.0 (pid 4711)"
        )
        let status = try await upgrade([.starting, failed], asked: asked) { $0.isForAll = true }
        #expect(status == .badNews)
        #expect(asked.values.count == 1)
        #expect(recorder.output == "")
        #expect(
            recorder.notes == """
                proxy demo/blue-1: the new Envoy exited with code 1: unknown field x; \
                Envoy 1.40.0 (pid 4711) goes on serving
                2 proxies left as they are

                """
        )
    }

    @Test(arguments: [true, false])
    func `a proxy that does not run is passed over, and bad news when it was named`(
        isNamed: Bool
    ) async throws {
        let asked = Asked<Set<ProxyID>?>()
        let skipped = ProxyUpgradeStep.Progress.skipped(reason: "it does not run")
        let status = try await upgrade([skipped], asked: asked) {
            if isNamed { $0.names = ["green-1", "blue-1"] } else { $0.isForAll = true }
        }
        #expect(status == (isNamed ? .badNews : .ok))
        #expect(asked.values.count == (isNamed ? 2 : 3))
        #expect(recorder.notes.hasPrefix("proxy demo/blue-1: it does not run\n"))
        #expect(recorder.output == "")
    }

    @Test func `a failure that leaves nothing serving does not say otherwise`() async throws {
        let failed = ProxyUpgradeStep.Progress.failed(reason: "no", serving: "")
        #expect(try await upgrade([failed]) == .badNews)
        #expect(recorder.notes == "proxy demo/red-1: no\n")
    }

    @Test func `a daemon that goes away in between is bad news`() async throws {
        #expect(try await upgrade([.starting]) == .badNews)
        #expect(recorder.notes.contains("the daemon ended before the upgrade did"))
    }

    @Test func `a daemon that upgrades nothing says so`() async throws {
        let transport = HandlerTransport(handler: ProxySample().handler())
        let failure = await #expect(throws: ClientFailure.self) {
            try await UpgradeCommand().run(transport, recorder.console())
        }
        #expect(failure == ClientFailure(.badNews, "this Heddle runs no proxies"))
    }

    @Test func `it tells which it waits for`() async throws {
        let lines = Asked<String?>()
        let api = ProxySample().handler(upgrade: upgrading(done))
        let console = recorder.console(onProgress: { lines.add($0) })
        var command = UpgradeCommand()
        command.isForAll = true
        #expect(try await command.run(HandlerTransport(handler: api), console) == .ok)
        #expect(lines.values.contains("upgrading demo/green-1 (2 of 3) ..."))
        #expect(lines.values.last == .some(nil))
    }
}
