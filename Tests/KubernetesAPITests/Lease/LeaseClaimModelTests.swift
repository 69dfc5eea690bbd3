import Foundation
import MeshTesting
import Testing

@testable import KubernetesAPI

private typealias Instant = ContinuousClock.Instant

/// A request on its way, as it may go on while its sender is paused or gone.
private struct Request {
    enum Answer { case read(Lease?), wrote(Lease), failed(LeaseClaim.Failure) }

    let step: LeaseClaim.Step
    let sent: Instant
    /// When the server gets it; nil when it is lost.
    let arrival: Instant?
    /// When its sender gets the answer; nil when that is lost.
    let answerArrival: Instant?
    let end: Instant
    var answer: Answer?
}

private struct Replica {
    var claim: LeaseClaim
    var request: Request?
    var wakeUp: Instant
    var pauseEnd: Instant
}

/// Several replicas with one Lease, and chance in place of a network.
private struct Simulation {
    var now = ContinuousClock.now
    let begin: Instant
    var generator: SeededGenerator
    var isCalm = false
    var lease: Lease?
    var version = 0
    var replicas: [Replica] = []
    /// Of replicas that are gone.
    var orphans: [Request] = []
    var names = 0
    var leaders: Set<String> = []

    init(seed: UInt64) {
        generator = SeededGenerator(seed: seed)
        begin = now
        replicas = (0..<3).map { _ in newReplica() }
    }

    mutating func newReplica() -> Replica {
        names += 1
        return Replica(claim: .of("replica-\(names)"), wakeUp: now, pauseEnd: now)
    }

    private var date: Date {
        let (seconds, attoseconds) = begin.duration(to: now).components
        return Date(
            timeIntervalSince1970: 1_767_225_600 + Double(seconds) + Double(attoseconds) / 1e18
        )
    }

    mutating func tick() {
        now += .milliseconds(100)
        for index in orphans.indices {
            var request = orphans[index]
            serve(&request)
            orphans[index] = request
        }
        orphans.removeAll { request in request.arrival.map { $0 < now } ?? true }
        for index in replicas.indices {
            var replica = replicas[index]
            if var request = replica.request {
                serve(&request)
                replica.request = request
            }
            if replica.pauseEnd <= now { act(&replica) }
            replicas[index] = replica
        }
        let leading = replicas.filter { $0.claim.leadershipEnd(at: now) != nil }
        leaders.formUnion(leading.map(\.claim.identity))
        #expect(leading.count <= 1, "at \(begin.duration(to: now)): \(leading)")
    }

    private mutating func act(_ replica: inout Replica) {
        if !isCalm, disturb(&replica) { return }
        if let request = replica.request {
            if request.answerArrival.map({ $0 <= now }) == true, let answer = request.answer {
                take(answer, request, &replica)
            } else if request.end <= now {
                orphans.append(request)
                fail(&replica, request)
            }
            return
        }
        guard replica.wakeUp <= now else { return }
        let step = replica.claim.step(at: now, date)
        if case .wait(let instant) = step {
            replica.wakeUp = max(instant, now)
        } else {
            replica.request = request(step, replica)
        }
    }

    private mutating func disturb(_ replica: inout Replica) -> Bool {
        if generator.chance(1) {
            replica.pauseEnd = now + .milliseconds(Int.random(in: 0...30_000, using: &generator))
            return true
        }
        guard Int.random(in: 0..<1000, using: &generator) < 3 else { return false }
        // It ends, well or not, and another one starts.
        if let request = replica.request {
            orphans.append(request)
        } else if generator.chance(50), let lease = replica.claim.release(date) {
            orphans.append(request(.replace(lease), replica))
        }
        replica = newReplica()
        return true
    }

    private mutating func request(_ step: LeaseClaim.Step, _ replica: Replica) -> Request {
        let isSlow = !isCalm && generator.chance(20)
        let longest = isSlow ? 12_000 : 200
        let arrival = now + .milliseconds(Int.random(in: 0...longest, using: &generator))
        let back = arrival + .milliseconds(Int.random(in: 0...longest, using: &generator))
        return Request(
            step: step,
            sent: now,
            arrival: !isCalm && generator.chance(15) ? nil : arrival,
            answerArrival: !isCalm && generator.chance(15) ? nil : back,
            end: replica.claim.requestEnd(at: now)
        )
    }

    private mutating func serve(_ request: inout Request) {
        guard request.answer == nil, let arrival = request.arrival, arrival <= now else { return }
        switch request.step {
        case .wait: return
        case .read: request.answer = .read(lease)
        case .create(let new): request.answer = lease == nil ? .wrote(put(new)) : .failed(.conflict)
        case .replace(let new):
            let isMissing = lease == nil
            let isCurrent = lease?.metadata.resourceVersion == new.metadata.resourceVersion
            request.answer =
                isMissing ? .failed(.missing) : isCurrent ? .wrote(put(new)) : .failed(.conflict)
        }
    }

    private mutating func put(_ new: Lease) -> Lease {
        version += 1
        var new = new
        new.metadata.resourceVersion = "\(version)"
        lease = new
        return new
    }

    private func take(_ answer: Request.Answer, _ request: Request, _ replica: inout Replica) {
        replica.request = nil
        switch answer {
        case .read(let lease): replica.claim.found(lease, at: now)
        case .wrote(let lease): replica.claim.wrote(lease, sent: request.sent, at: now)
        case .failed(let failure): replica.claim.writeFailed(failure, at: now)
        }
    }

    private func fail(_ replica: inout Replica, _ request: Request) {
        replica.request = nil
        if case .read = request.step {
            replica.claim.readFailed(at: now)
        } else {
            replica.claim.writeFailed(.unknown, at: now)
        }
    }
}

@Suite struct LeaseClaimModelTests {
    @Test(arguments: seeds(40))
    func `whatever is lost, late or paused, at most one leads, and one does when it is calm`(
        seed: UInt64
    ) {
        var simulation = Simulation(seed: seed)
        for _ in 0..<3000 { simulation.tick() }
        simulation.isCalm = true
        for _ in 0..<900 { simulation.tick() }
        let leading = simulation.replicas.filter {
            $0.claim.leadershipEnd(at: simulation.now) != nil
        }
        #expect(leading.count == 1)
        #expect(simulation.leaders.count > 1)
    }
}
