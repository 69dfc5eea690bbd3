import EnvoySupervisor
import MeshModel
import MeshPlan
import Testing

@testable import MeshDaemon

@Suite struct ReunionTests {
    private let now = ContinuousClock.now
    private let blue = ProxyID(ObjectReference(namespace: "demo", name: "blue"))
    private let red = ProxyID(ObjectReference(namespace: "demo", name: "red"))

    private func reunion(_ phases: [ProxyID: ProcessObservation.Phase]) -> Reunion {
        let adopted = phases.mapValues {
            ProxyProcesses(process: ProcessObservation(phase: $0))
        }
        return Reunion(of: adopted, Plan(), until: now + .seconds(3))
    }

    private func isOver(
        _ reunion: inout Reunion,
        _ observations: [ProxyID: XDSObservation],
        after seconds: Int = 0
    ) -> Bool {
        reunion.isOver(observations, now: now + .seconds(seconds))
    }

    @Test func `it waits for those that run to connect`() {
        var reunion = reunion([blue: .running, red: .starting])
        let connected = XDSObservation(isConnected: true)
        #expect(!isOver(&reunion, [:]))
        #expect(!isOver(&reunion, [red: connected]))
        #expect(!isOver(&reunion, [blue: XDSObservation()]))
        #expect(isOver(&reunion, [blue: connected]))
        // It has told, whatever comes then.
        #expect(isOver(&reunion, [:]))
    }

    @Test func `it does not wait for ever`() {
        var reunion = reunion([blue: .running])
        #expect(!isOver(&reunion, [:], after: 2))
        #expect(isOver(&reunion, [:], after: 3))
    }

    @Test func `where nobody runs there is nothing to wait for`() {
        var empty = reunion([:])
        #expect(isOver(&empty, [:]))
        var stopped = reunion([blue: .stopped])
        #expect(isOver(&stopped, [:]))
    }
}
