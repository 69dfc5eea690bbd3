// How long a start with many identities takes, and how many certificates a core signs a second.
//
//     swift run -c release certificate-benchmark [--identities N]
//
// The bars: 10,000 identities published within 10 seconds; over 2,000 certificates a second of one
// core's time, with their keys, their PEM and their keeping.

import ArgumentParser
import FoundationEssentials
import Glibc
import Logging
import MeshIdentity
import MeshModel
import ServiceLifecycle
import Synchronization

@main
struct CertificateBenchmark: AsyncParsableCommand {
    @Option(help: "How many identities to start with at once.")
    var identities = 10_000

    func run() async throws {
        let before = statusKilobytes("VmRSS:")
        let start = try await measureStart(identities)
        let rate = Double(identities) / start.cpuSeconds
        print(
            "\(identities) identities: first published after \(start.first), all after \(start.all), "
                + "in \(start.batches) batches"
        )
        print("one core: \(Int(rate)) certificates a second")
        print("at rest: \(start.restPercent) % of a core")
        print(
            "resident memory \(before / 1024) MiB before, "
                + "\(statusKilobytes("VmHWM:") / 1024) MiB at the peak"
        )
    }

    private func measureStart(
        _ count: Int
    ) async throws -> Start {
        let folder =
            FileManager.default.temporaryDirectory.path + "/heddle-certificates-\(getpid())"
        try FileManager.default.createDirectory(
            atPath: folder,
            withIntermediateDirectories: true
        )
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let clock = ContinuousClock()
        let published = Published()
        let (batches, arrived) = AsyncStream.makeStream(of: Int.self)
        let keeper = try IdentityKeeper(
            IdentityConfiguration(stateDirectory: folder),
            now: { .seconds(Date.now.timeIntervalSince1970) },
            logger: Logger(label: "benchmark") { _ in SwiftLogNoOpLogHandler() },
            publish: { materials in
                published.newest.withLock { $0 = materials }
                arrived.yield(materials.count)
            },
            isDistributed: { true }
        )
        var specs = Set((0..<count).map { SecretSpec.certificate(.issued(identity($0))) })
        specs.insert(.trust([.mesh("mesh")]))
        return await withThrowingTaskGroup(of: Void.self) { group in
            let start = clock.now
            let cpuBefore = cpuSeconds()
            keeper.want(specs)
            group.addTask { try await keeper.run() }
            var first: Duration?
            var number = 0
            for await materials in batches {
                number += 1
                first = first ?? clock.now - start
                if materials == specs.count { break }
            }
            let all = clock.now - start
            let cpu = cpuSeconds()
            try? await clock.sleep(for: .seconds(5))
            let rest = (cpuSeconds() - cpu) / 5 * 100
            group.cancelAll()
            return Start(
                first: first ?? all,
                all: all,
                batches: number,
                cpuSeconds: cpu - cpuBefore,
                restPercent: (rest * 10).rounded() / 10
            )
        }
    }

    private func identity(_ index: Int) -> Identity {
        Identity(
            mesh: "mesh",
            owner: ObjectID(
                .virtualNode,
                ObjectReference(namespace: "demo", name: "node-\(index)")
            ),
            uri: "spiffe://mesh/demo/node-\(index)",
            dnsNames: ["node-\(index).demo.svc.cluster.local"]
        )
    }
}

/// What a start took.
private struct Start {
    var first: Duration
    var all: Duration
    var batches: Int
    var cpuSeconds: Double
    /// While nothing was asked of it afterwards.
    var restPercent: Double
}

/// The secrets as an xDS server would keep them.
private final class Published: Sendable {
    let newest = Mutex<[SecretSpec: SecretMaterial]>([:])
}

/// Processor time of all threads.
private func cpuSeconds() -> Double { Double(clock()) / Double(CLOCKS_PER_SEC) }

/// A figure of the kernel's about this process.
private func statusKilobytes(_ name: String) -> Int {
    let status = (try? String(contentsOfFile: "/proc/self/status", encoding: .utf8)) ?? ""
    let line = status.split(separator: "\n").first { $0.hasPrefix(name) }
    return line?.split(whereSeparator: \.isWhitespace).dropFirst().first.flatMap { Int($0) } ?? 0
}
