import EnvoySupervisor
import Foundation
import Logging
import MeshIdentity
import MeshModel
import MeshPlan
import Synchronization
import Testing
import XDSServer

@testable import MeshDaemon

/// Proxies of which something is known before anybody is told.
private struct KnownProxies: ProxyHost {
    let current: [ProxyID: ProxyProcesses]?

    func observe(_ tell: @Sendable ([ProxyID: ProxyProcesses]) -> Void) async {}
    func restore() throws -> EarlierRun { EarlierRun() }
    func prepare(for plan: Plan, of world: World) {}
    func apply(_ plan: Plan, of world: World) {}
    func look(at plan: Plan) {}
    func keep(_ addresses: [ProxyID: ProxyAddresses]) -> Bool { true }
}

@Suite(.timeLimit(.minutes(1))) struct FirstPlanTests {
    private let path = "/tmp/heddle-first-\(UInt64.random(in: 0...UInt64.max))"

    @Test func `the first plan knows of proxies what the world was told with`() async throws {
        defer { try? FileManager.default.removeItem(atPath: path) }
        let logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
        let proxy = ProxyID(ObjectReference(namespace: "demo", name: "blue-1"))
        let process = ProcessObservation(phase: .running)
        let state = try StateDirectory(path)
        let store = SnapshotStore()
        let (worlds, world) = AsyncStream.makeStream(of: World.self)
        let (plans, planned) = AsyncStream.makeStream(of: Observations.self)
        let reconciler = Reconciler(
            worlds: worlds,
            store: store,
            host: KnownProxies(current: [proxy: ProxyProcesses(process: process)]),
            identities: try IdentityKeeper(
                IdentityConfiguration(stateDirectory: path),
                now: { .seconds(Date.now.timeIntervalSince1970) },
                logger: logger,
                publish: { store.publish(secrets: $0) },
                isDistributed: { true }
            ),
            state: state,
            sizing: SizingKeeper(
                folder: path,
                nowSeconds: { Date.now.timeIntervalSince1970 },
                logger: logger
            ),
            record: { _ in },
            telemetry: DaemonTelemetry(
                xRayAddress: nil,
                openTelemetryAddress: nil,
                folder: path,
                processLog: { _ in nil },
                logger: logger
            ),
            options: PlanOptions(assumesServing: false, isInCluster: true),
            nowSeconds: { Int(Date.now.timeIntervalSince1970) },
            metrics: DaemonMetrics(),
            show: { _, _, observations, _ in planned.yield(observations) },
            stopping: {},
            logger: logger
        )
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { try await reconciler.run() }
            defer { group.cancelAll() }
            world.yield(World())
            var iterator = plans.makeAsyncIterator()
            let first = try #require(await iterator.next(isolation: #isolation))
            #expect(first.proxies[proxy]?.process?.phase == .running)
        }
    }
}
