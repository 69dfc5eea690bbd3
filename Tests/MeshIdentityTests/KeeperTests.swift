import Foundation
import MeshModel
import ServiceLifecycle
import Synchronization
import Testing

@testable import MeshIdentity

@Suite(.timeLimit(.minutes(2))) struct KeeperTests {
    @Test func `what is wanted is published at once, and what is wanted later too`() async throws {
        try await RunningKeeper.run { keeper in
            keeper.keeper.want([issued("blue"), trust("color")])
            let first = await keeper.published { $0.count == 2 }
            keeper.keeper.want([issued("blue"), issued("green"), trust("color")])
            let second = await keeper.published { $0.count == 3 }
            #expect(second[issued("blue")] == first[issued("blue")])
            keeper.keeper.want([issued("green"), trust("color")])
            let third = await keeper.published { $0.count == 2 }
            #expect(third[issued("green")] == second[issued("green")])
            #expect(third[issued("blue")] == nil)
        }
    }

    @Test func `many identities are published in batches, the first without waiting for the last`()
        async throws
    {
        try await RunningKeeper.run { keeper in
            let specs = Set((0..<1500).map { issued("n\($0)") })
            keeper.keeper.want(specs)
            _ = await keeper.published { $0.count == 1500 }
            #expect(keeper.counts.withLock { $0 } == [1000, 1500])
        }
    }

    @Test func `a certificate is renewed as the clock goes on`() async throws {
        try await RunningKeeper.run { keeper in
            keeper.keeper.want([issued("blue")])
            let first = await keeper.published { $0.count == 1 }
            await keeper.clock.advance(by: .seconds(34 * 60))
            let second = await keeper.published { $0[issued("blue")] != first[issued("blue")] }
            #expect(second.count == 1)
        }
    }

    @Test func `observations follow, and a rotation ends once all proxies know`() async throws {
        try await RunningKeeper.run { keeper in
            keeper.keeper.want([issued("blue"), trust("color")])
            let first = await keeper.published { $0.count == 2 }
            let said = try await keeper.keeper.rotate(.meshAuthority("color"))
            #expect(said.hasPrefix("Mesh color: authority "))
            let phases = keeper.keeper.currentObservations.authorities.map(\.phase)
            #expect(phases == [.signing, .signing, .announced])
            _ = await keeper.published { $0[trust("color")] != first[trust("color")] }
            keeper.isDistributed.withLock { $0 = true }
            await keeper.clock.advance(by: .seconds(1))
            _ = await keeper.published { $0[issued("blue")] != first[issued("blue")] }
            for await observations in keeper.keeper.observations {
                if observations.authorities.map(\.phase) == [.signing, .signing, .retiring] {
                    break
                }
            }
        }
    }

    @Test func `a rotation in the plan's first moment finds what the plan wants`() async throws {
        try await RunningKeeper.run { keeper in
            keeper.keeper.want([issued("blue")])
            let said = try await keeper.keeper.rotate(.certificates(of: nil))
            #expect(said == "1 certificate is issued anew")
        }
    }

    @Test func `a keeper that has stopped refuses rotations`() async throws {
        let keeper = try RunningKeeper()
        await withTaskGroup { group in
            group.addTask { try? await keeper.keeper.run() }
            group.cancelAll()
        }
        await #expect(throws: IdentityError.self) {
            try await keeper.keeper.rotate(.root)
        }
    }

    @Test func `ACM Private CA is asked by the keeper, and its answer published`() async throws {
        let authority = ACMPrivateCA(
            authorityARN: "arn:aws:acm-pca:eu-west-1:1:certificate-authority/x"
        )
        let asked = FakePrivateCA(root: try TestAuthority("acm"))
        try await RunningKeeper.run(asking: asked) { keeper in
            keeper.keeper.want([.trust([.acmPrivateCA(authority)])])
            let published = await keeper.published { $0.count == 1 }
            let pem = try asked.root.pem
            #expect(published.values.first?.content == .trust(pem))
        }
    }

    @Test func `no key is in a log, a message, an observation or a dump`() async throws {
        try await RunningKeeper.run { keeper in
            let wrong = FileCertificate(
                certificateChain: "\(keeper.folder.path)/ca/root.json",
                privateKey: "\(keeper.folder.path)/ca/root.json"
            )
            keeper.keeper.want([issued("blue"), trust("color"), .certificate(.files(wrong))])
            let published = await keeper.published { $0.count == 2 }
            _ = try await keeper.keeper.rotate(.root)
            _ = try await keeper.keeper.rotate(.certificates(of: nil))
            let later = await keeper.published { $0[issued("blue")] != published[issued("blue")] }
            var keys: Set<String> = []
            for materials in [published, later] {
                guard case .certificate(_, let key) = materials[issued("blue")]?.content else {
                    continue
                }
                keys.insert(key)
            }
            let stored = try ["ca/root.json", "ca/meshes/color.json"].map {
                try keeper.folder.read($0)
            }
            // Lines of base64 within keys, which are of no certificate.
            var secrets = Set(keys.flatMap { keyLines($0) })
            for text in stored {
                secrets.formUnion(keyLines(text.replacingOccurrences(of: "\\n", with: "\n")))
            }
            #expect(keys.count == 2 && secrets.count >= 8)
            var shown = keeper.log.lines.joined(separator: "\n")
            shown += "\(published) \(later) \(keeper.keeper.currentObservations)"
            shown += String(reflecting: published)
            dump(published, to: &shown)
            dump(keeper.keeper, to: &shown)
            var trial = try Trial(in: keeper.folder, wanting: [issued("blue")])
            await trial.turn()
            dump(trial.holdings, to: &shown)
            shown += "\(trial.holdings) \(String(reflecting: trial.holdings))"
            #expect(secrets.filter { shown.contains($0) } == [])
            #expect(!shown.contains("PRIVATE KEY-----"))
        }
    }
}

/// The lines of base64 in the private keys of `text` that hold the secret half; the last, a shorter
/// one, is of the public half.
private func keyLines(_ text: String) -> [String] {
    var isKey = false
    var lines: [String] = []
    for line in text.split(whereSeparator: \.isNewline) {
        if line.contains("-----BEGIN") {
            isKey = line.contains("PRIVATE KEY")
        } else if line.contains("-----END") {
            isKey = false
        } else if isKey, line.count == 64 {
            lines.append(String(line))
        }
    }
    return lines
}

private struct FakePrivateCA: PrivateCertificateAuthority {
    let root: TestAuthority

    func issue(
        csrPEM: String,
        lifetime: Duration,
        orderedSeconds: Int,
        from: ACMPrivateCA
    ) async throws -> String {
        try root.pem
    }

    func authorityChain(of authority: ACMPrivateCA) async throws -> String { try root.pem }
}

/// A keeper with a clock that the test turns, and what it publishes.
struct RunningKeeper: Sendable {
    let folder: TemporaryFolder
    let keeper: IdentityKeeper
    let clock: TurnedClock
    let log: CapturedLog
    let isDistributed: Shared<Bool>
    /// How many secrets each publication had.
    let counts: Shared<[Int]>
    private let publications: AsyncStream<[SecretSpec: SecretMaterial]>

    init(asking privateAuthority: (any PrivateCertificateAuthority)? = nil) throws {
        let folder = try TemporaryFolder()
        let clock = TurnedClock()
        let log = CapturedLog()
        let isDistributed = Shared(false)
        let counts = Shared<[Int]>([])
        let (publications, published) = AsyncStream.makeStream(
            of: [SecretSpec: SecretMaterial].self
        )
        keeper = try IdentityKeeper(
            IdentityConfiguration(stateDirectory: folder.path, installation: "test"),
            privateAuthority: privateAuthority,
            now: { Trial.start + clock.now.offset },
            clock: clock,
            logger: log.logger,
            publish: { materials in
                counts.withLock { $0.append(materials.count) }
                published.yield(materials)
            },
            isDistributed: { isDistributed.withLock { $0 } }
        )
        self.folder = folder
        self.clock = clock
        self.log = log
        self.isDistributed = isDistributed
        self.counts = counts
        self.publications = publications
    }

    static func run(
        asking privateAuthority: (any PrivateCertificateAuthority)? = nil,
        _ body: (RunningKeeper) async throws -> Void
    ) async throws {
        let running = try RunningKeeper(asking: privateAuthority)
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { try await running.keeper.run() }
            defer { group.cancelAll() }
            try await body(running)
        }
    }

    /// Waits for secrets of which `condition` holds.
    func published(
        _ condition: ([SecretSpec: SecretMaterial]) -> Bool
    ) async -> [SecretSpec: SecretMaterial] {
        for await materials in publications where condition(materials) { return materials }
        return [:]
    }
}

/// A value that several tasks share.
final class Shared<Value: Sendable>: Sendable {
    private let value: Mutex<Value>

    init(_ value: Value) { self.value = Mutex(value) }

    func withLock<Result>(_ body: (inout sending Value) -> sending Result) -> sending Result {
        value.withLock(body)
    }
}

/// A clock that goes on when a test turns it.
final class TurnedClock: Clock, Sendable {
    struct Instant: InstantProtocol {
        var offset: Duration
        func advanced(by duration: Duration) -> Instant { Instant(offset: offset + duration) }
        func duration(to other: Instant) -> Duration { other.offset - offset }
        static func < (left: Instant, right: Instant) -> Bool { left.offset < right.offset }
    }

    private struct State {
        var now = Instant(offset: .zero)
        var sleepers: [UUID: (deadline: Instant, wake: CheckedContinuation<Void, any Error>)] = [:]
        var cancelled: Set<UUID> = []
        var waitsForSleeper: [CheckedContinuation<Void, Never>] = []
    }

    private let state = Mutex(State())

    var now: Instant { state.withLock { $0.now } }
    var minimumResolution: Duration { .nanoseconds(1) }

    func sleep(until deadline: Instant, tolerance: Duration?) async throws {
        let id = UUID()
        try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { wake in
                let isOver = state.withLock { state -> Result<Void, any Error>? in
                    if state.cancelled.remove(id) != nil { return .failure(CancellationError()) }
                    if deadline <= state.now { return .success(()) }
                    state.sleepers[id] = (deadline, wake)
                    return nil
                }
                if let isOver {
                    wake.resume(with: isOver)
                    return
                }
                let waiting = state.withLock { state in
                    defer { state.waitsForSleeper = [] }
                    return state.waitsForSleeper
                }
                for continuation in waiting { continuation.resume() }
            }
        } onCancel: {
            let sleeper = state.withLock { state in
                let sleeper = state.sleepers.removeValue(forKey: id)
                if sleeper == nil { state.cancelled.insert(id) }
                return sleeper
            }
            sleeper?.wake.resume(throwing: CancellationError())
        }
    }

    /// Lets `duration` pass, once somebody sleeps: who sleeps later would not notice.
    func advance(by duration: Duration) async {
        await withCheckedContinuation { found in
            let isThere = state.withLock { state in
                if state.sleepers.isEmpty { state.waitsForSleeper.append(found) }
                return !state.sleepers.isEmpty
            }
            if isThere { found.resume() }
        }
        let woken = state.withLock { state in
            state.now = state.now.advanced(by: duration)
            let woken = state.sleepers.filter { $0.value.deadline <= state.now }
            for id in woken.keys { state.sleepers[id] = nil }
            return woken.values.map(\.wake)
        }
        for wake in woken { wake.resume() }
    }
}
