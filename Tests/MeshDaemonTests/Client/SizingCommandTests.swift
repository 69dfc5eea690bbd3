import Foundation
import MeshModel
import MeshPlan
import Testing

@testable import MeshDaemon

@Suite(.timeLimit(.minutes(1))) struct `Sizing command` {
    private let recorder = Recorder()

    private func sizing(
        _ sample: ProxySample = ProxySample(),
        _ change: (inout SizingCommand) -> Void = { _ in }
    ) async throws -> MeshDaemon.ExitStatus {
        var command = SizingCommand()
        change(&command)
        let transport = HandlerTransport(handler: sample.handler())
        return try await command.run(transport, recorder.console())
    }

    @Test func `proxies have what they ask for, used and should ask for, and why`() async throws {
        #expect(try await sizing() == .ok)
        #expect(
            recorder.output == """
                NAME           VERDICT      RESOURCE   REQUESTED   P50     P95     MAX     RECOMMENDED   CHANGE
                demo/blue-1    Oversized    cpu        250m        4m      8m      12m     25m           -225m
                                            memory     256Mi       20Mi    40Mi    60Mi    48Mi          -208Mi
                  measured for 2d6h, high confidence; used 12m at most
                demo/green-1   Fitting      cpu        250m        120m    240m    360m    250m          -
                                            memory     256Mi       100Mi   200Mi   300Mi   256Mi         -
                  measured for 7d, high confidence; uses what it asks for
                demo/red-1     Oversized?   cpu        250m        -       -       -       25m           -225m
                                            memory     256Mi       -       -       -       40Mi          -216Mi
                  forecast from its configuration; no history yet: 3 clusters

                3 proxies asked for 750m cpu and 768Mi memory, need 300m cpu and 344Mi memory
                Next: heddle sizing --apply --dry-run

                """
        )
    }

    @Test func `all reasons and the place are there when asked for`() async throws {
        var sample = ProxySample()
        sample.recommend("blue-1", cpu: 25, memoryMi: 48, .oversized, ["first", "second"])
        let status = try await sizing(sample) {
            $0.names = ["blue-1"]
            $0.isVerbose = true
        }
        #expect(status == .ok)
        #expect(
            recorder.output.contains("first\n  second\n  asked for at /mesh/mesh.yaml:3\n")
        )
        #expect(!recorder.output.contains("green"))
    }

    @Test func `limits are rows of their own`() async throws {
        var sample = ProxySample()
        sample.plan.sizing[proxyID("blue-1")]?.requested.memoryLimitBytes = 512 << 20
        sample.plan.sizing[proxyID("blue-1")]?.recommended.memoryLimitBytes = 96 << 20
        _ = try await sizing(sample)
        let line = try #require(
            recorder.output.split(separator: "\n").first { $0.contains("memory limit") }
        )
        #expect(
            line.split(separator: " ").joined(separator: " ")
                == "memory limit 512Mi - - - 96Mi -416Mi"
        )
    }

    @Test(arguments: [(0.01, "14m, low"), (0.5, "12h, medium"), (7, "7d, high")])
    func `confidence is said in words`(days: Double, words: String) async throws {
        var sample = ProxySample()
        sample.observations.proxies[proxyID("blue-1")]?.usage?.confidence = days
        _ = try await sizing(sample)
        #expect(recorder.output.contains("measured for \(words) confidence"))
    }

    @Test func `large sums compare in one unit`() async throws {
        var sample = ProxySample()
        sample.plan.sizing[proxyID("blue-1")]?.requested.memoryRequestBytes = 5 << 30
        _ = try await sizing(sample) { $0.names = ["blue-1"] }
        #expect(
            recorder.output.contains(
                "1 proxy asked for 250m cpu and 5.0Gi memory, needs 25m cpu and 0.0Gi memory"
            )
        )
    }

    @Test(arguments: [(true, MeshDaemon.ExitStatus.ok), (false, .badNews)])
    func `one that was measured and may run short is bad news`(
        isForecast: Bool,
        expected: MeshDaemon.ExitStatus
    ) async throws {
        var sample = ProxySample()
        sample.recommend("blue-1", cpu: 500, memoryMi: 512, .undersized, isForecast: isForecast)
        #expect(try await sizing(sample) == expected)
    }

    @Test(arguments: [SizingCommand.Format.json, .yaml])
    func `programs have it all`(format: SizingCommand.Format) async throws {
        var sample = ProxySample()
        sample.plan.sizing[proxyID("green-1")] = nil
        _ = try await sizing(sample) { $0.format = format }
        #expect(recorder.output.contains("/mesh/mesh.yaml"))
        #expect(recorder.output.contains("demo/green-1"))
        #expect(recorder.output.contains("measured for 2d6h, high confidence"))
    }

    @Test func `those without a recommendation are counted`() async throws {
        var sample = ProxySample()
        sample.plan.sizing = [:]
        #expect(try await sizing(sample) == .ok)
        #expect(recorder.output == "\n3 proxies have no recommendation yet\n")
    }

    @Test func `only forecasts are not to be applied`() async throws {
        var sample = ProxySample()
        sample.plan.sizing[proxyID("blue-1")] = nil
        _ = try await sizing(sample)
        #expect(recorder.output.contains("All changes are forecasts"))
        #expect(!recorder.output.contains("--apply"))
    }
}

@Suite(.timeLimit(.minutes(1))) final class `Applying sizes` {
    private let recorder = Recorder()
    private let folder = FileManager.default.temporaryDirectory.appending(path: UUID().uuidString)
    private var file: String { folder.appending(path: "mesh.yaml").path() }

    init() throws {
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        try Self.manifest.write(toFile: file, atomically: true, encoding: .utf8)
    }

    deinit { try? FileManager.default.removeItem(at: folder) }

    private static let manifest = """
        apiVersion: heddle.dev/v1alpha1
        kind: Workload
        metadata: {name: blue-1, namespace: demo}
        spec:
          sidecar:
            resources:
              requests:
                cpu: 250m # as advised
                memory: 256Mi

        """

    private func text() throws -> String { try String(contentsOfFile: file, encoding: .utf8) }

    private func apply(
        _ application: SizingCommand.Application = SizingCommand.Application(),
        names: [String] = ["blue-1"],
        change: (inout ProxySample) -> Void = { _ in }
    ) async throws -> MeshDaemon.ExitStatus {
        var sample = ProxySample(folder: folder.path())
        change(&sample)
        var command = SizingCommand()
        command.names = names
        command.application = application
        let transport = HandlerTransport(handler: sample.handler())
        return try await command.run(transport, recorder.console())
    }

    @Test func `edits the file and prints the difference`() async throws {
        #expect(try await apply() == .ok)
        #expect(try text().hasSuffix("    cpu: 25m # as advised\n        memory: 48Mi\n"))
        #expect(
            recorder.output == """
                --- \(file)
                +++ \(file)
                @@ -5,5 +5,5 @@
                   sidecar:
                     resources:
                       requests:
                -        cpu: 250m # as advised
                -        memory: 256Mi
                +        cpu: 25m # as advised
                +        memory: 48Mi

                """
        )
        #expect(
            recorder.notes == "changed 1 proxy in 1 file; a running Heddle takes it up at once\n"
        )
    }

    @Test func `a dry run writes nothing`() async throws {
        #expect(try await apply(SizingCommand.Application(isDryRun: true)) == .ok)
        #expect(try text().contains("256Mi"))
        #expect(recorder.output.contains("+        memory: 48Mi"))
        #expect(recorder.notes == "would change 1 proxy in 1 file; nothing was written\n")
    }

    @Test func `what fits stays as it is`() async throws {
        #expect(try await apply(names: ["green-1"]) == .ok)
        #expect(recorder.output == "")
        #expect(
            recorder.notes == "nothing to do: every proxy asks for about what it needs\n"
        )
    }

    @Test func `a forecast is refused unless it is asked for`() async throws {
        func isForecast(_ sample: inout ProxySample) {
            sample.plan.sizing[proxyID("blue-1")]?.isForecast = true
        }
        #expect(try await apply(change: isForecast) == .badNews)
        #expect(
            recorder.notes == """
                proxy demo/blue-1: left as it is: its recommendation is a forecast; wait until it was \
                measured, or pass --include-forecasts
                nothing was changed

                """
        )
        let all = SizingCommand.Application(includesForecasts: true)
        #expect(try await apply(all, change: isForecast) == .ok)
        #expect(try text().contains("48Mi"))
    }

    @Test func `each refusal is told, and the others go on`() async throws {
        let all = SizingCommand.Application(includesForecasts: true)
        let status = try await apply(all, names: []) { sample in
            sample.recommend("green-1", cpu: 25, memoryMi: 30, .oversized)
        }
        #expect(status == .badNews)
        #expect(try text().contains("48Mi"))
        let lines = recorder.notes.split(separator: "\n")
        #expect(lines.count == 3)
        #expect(
            lines[0]
                == "proxy demo/green-1: left as it is: cannot read /home/me/mesh/green.yaml: No such file or directory"
        )
        #expect(lines[1].hasPrefix("proxy demo/red-1: left as it is: its Workload is in no file"))
    }

    @Test func `a Workload that is not in the file is refused`() async throws {
        let other = Self.manifest.replacing("blue-1", with: "other")
        try other.write(toFile: file, atomically: true, encoding: .utf8)
        #expect(try await apply() == .badNews)
        #expect(
            recorder.notes.contains(
                "\(file):1: error: Workload demo/blue-1: it is not in this file; name the file that has it"
            )
        )
        #expect(try text() == other)
    }
}
