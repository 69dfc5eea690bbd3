import Foundation
import HTTPClient
import MeshTesting
import Synchronization
import Testing

/// Requests that go on while something else happens.
final class SteadyTraffic: Sendable {
    private let state = Mutex((answered: 0, failures: [String]()))

    /// How many were answered as they should.
    var answered: Int { state.withLock { $0.answered } }
    /// What became of the others.
    var failures: [String] { state.withLock { $0.failures } }

    fileprivate func note(_ failure: String?) {
        state.withLock { state in
            guard let failure else {
                state.answered += 1
                return
            }
            // The first ones tell why.
            if state.failures.count < 20 { state.failures.append(failure) }
        }
    }
}

extension ClusterMesh {
    /// Does `work` while the application of `front` calls `color` without a break, and expects that no
    /// call fails; with `keepsObjects`, that no replica takes an object for gone either, Pods aside.
    func underTraffic(
        keepsObjects: Bool = false,
        _ work: (SteadyTraffic) async throws -> Void
    ) async throws {
        let traffic = SteadyTraffic()
        let url = try await callOfFront()
        let objects = keepsObjects ? try await objects() : []
        try await withThrowingTaskGroup { group in
            defer { group.cancelAll() }
            group.addTask { [client] in
                while (try? await Task.sleep(for: .milliseconds(10))) != nil {
                    let begin = Date.now
                    var failure: String?
                    do {
                        let answer = try await client.response(
                            to: HTTPRequest("GET", url, timeout: .seconds(10))
                        )
                        if answer.status != 200 { failure = "\(answer.status) \(answer.text)" }
                    } catch {
                        if Task.isCancelled { return }
                        failure = "\(error)"
                    }
                    traffic.note(failure.map { "\(begin) to \(Date.now): \($0)" })
                }
            }
            group.addTask {
                while keepsObjects, (try? await Task.sleep(for: .milliseconds(20))) != nil {
                    guard let now = try? await self.objects() else { continue }
                    for gone in objects.subtracting(now) { traffic.note("no longer \(gone)") }
                }
            }
            try await work(traffic)
        }
        #expect(traffic.failures == [])
        #expect(traffic.answered > 0)
    }

    /// How many objects of each kind but Pods each replica knows.
    private func objects() async throws -> Set<String> {
        var found: Set<String> = []
        for index in all.indices where all[index].isRunning {
            let lines = try await metrics(of: index).filter { line in
                line.hasPrefix("heddle_objects{") && !line.contains("Workload")
            }
            found.formUnion(lines.map { "replica \(index): \($0)" })
        }
        return found
    }
}
