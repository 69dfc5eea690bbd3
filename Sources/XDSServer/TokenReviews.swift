internal import Crypto
internal import Synchronization

/// Whom a token proves, as far as the Kubernetes API says.
public struct PodIdentity: Hashable, Sendable {
    /// The namespace of the service account, and of its Pods.
    public var namespace: String
    /// The service account.
    public var serviceAccount: String
    /// The Pod that the token is bound to; nil of a token that is bound to none.
    public var podName: String?
    /// That Pod's `metadata.uid`.
    public var podUID: String?

    /// Makes an identity.
    public init(
        namespace: String,
        serviceAccount: String,
        podName: String? = nil,
        podUID: String? = nil
    ) {
        self.namespace = namespace
        self.serviceAccount = serviceAccount
        self.podName = podName
        self.podUID = podUID
    }
}

/// Asks whom tokens prove, once for many streams of each Envoy, and of many at once no more than
/// the Kubernetes API can bear.
///
/// Guarantee: what can't be asked is an error, and never an identity. Tokens are remembered by their
/// hashes, and no more of them than `Limits` says.
final class TokenReviews: Sendable {
    /// Asks whom a token proves; nil when it proves nobody.
    ///
    /// An error is that nobody could be asked.
    typealias Review = @Sendable (_ token: String) async throws -> PodIdentity?

    /// How long and how much is remembered and asked.
    struct Limits: Hashable, Sendable {
        /// How long an identity is believed.
        var lifetime = Duration.seconds(30)
        /// How long a token is taken for one that proves nobody.
        var refusedLifetime = Duration.seconds(5)
        /// The identities that are remembered.
        var identities = 20_000
        /// The tokens that are remembered to prove nobody.
        var refused = 2_000
        /// The reviews under way at once.
        var reviews = 16
        /// The reviews that wait for one of these to end.
        var waiting = 2_000
        /// Those of one address; each Pod has its own, unless it is in the network of its Kubernetes node.
        var waitingOfOneAddress = 64
        /// The tokens of one address that may prove nobody within `refusedLifetime`; others are not asked
        /// about then.
        var refusedOfOneAddress = 16
        /// The longest time of a review.
        var deadline = Duration.seconds(10)
        /// The longest token; those of the Kubernetes API have about 1,200 bytes.
        var tokenBytes = 16_384
    }

    /// Why nobody could be asked.
    struct Unavailable: Error, CustomStringConvertible {
        var description: String
    }

    private typealias Key = SHA256Digest
    private typealias Answer = Result<PodIdentity?, Unavailable>

    private enum Turn {
        case answer(Answer)
        /// Nobody asks yet.
        case ask
    }

    private struct State {
        var identities: RecentAnswers<Key, PodIdentity>
        var refused: RecentAnswers<Key, Void>
        /// Those who wait for a review that another asked for.
        var underWay: [Key: [CheckedContinuation<Turn, Never>]] = [:]
        /// How many tokens of an address proved nobody of late.
        var refusedOfAddress: RecentAnswers<String, Int>
    }

    private let review: Review
    private let limits: Limits
    private let gate: FairGate
    private let now: @Sendable () -> Duration
    private let sleep: @Sendable (Duration) async throws -> Void
    private let state: Mutex<State>

    init(
        limits: Limits = Limits(),
        clock: some Clock<Duration> = ContinuousClock(),
        review: @escaping Review
    ) {
        self.review = review
        self.limits = limits
        gate = FairGate(
            places: limits.reviews,
            waiting: limits.waiting,
            waitingOfOne: limits.waitingOfOneAddress
        )
        let begin = clock.now
        now = { begin.duration(to: clock.now) }
        sleep = { try await clock.sleep(for: $0) }
        state = Mutex(
            State(
                identities: RecentAnswers(lifetime: limits.lifetime, limit: limits.identities),
                refused: RecentAnswers(lifetime: limits.refusedLifetime, limit: limits.refused),
                refusedOfAddress: RecentAnswers(
                    lifetime: limits.refusedLifetime,
                    limit: limits.refused
                )
            )
        )
    }

    /// Whom `token` proves, which came from `address`; nil when it proves nobody.
    ///
    /// - Throws: `Unavailable` when nobody can be asked.
    func identity(
        of token: String,
        from address: String
    ) async throws(Unavailable) -> PodIdentity? {
        guard isPlausible(token) else { return nil }
        let key = SHA256.hash(data: Array(token.utf8))
        switch await turn(key) {
        case .answer(let answer): return try answer.get()
        case .ask:
            let answer = await ask(token, address)
            for waiter in finish(key, answer, address) { waiter.resume(returning: .answer(answer)) }
            return try answer.get()
        }
    }

    /// What is known of a token, once it is, or that the caller has to ask.
    private func turn(_ key: Key) async -> Turn {
        let now = now()
        return await withCheckedContinuation { caller in
            let turn: Turn? = state.withLock { state in
                if let identity = state.identities.value(of: key, at: now) {
                    return .answer(.success(identity))
                }
                if state.refused.value(of: key, at: now) != nil { return .answer(.success(nil)) }
                guard state.underWay[key] == nil else {
                    state.underWay[key]?.append(caller)
                    return nil
                }
                state.underWay[key] = []
                return .ask
            }
            if let turn { caller.resume(returning: turn) }
        }
    }

    /// Remembers an answer; gives those who wait for it.
    private func finish(
        _ key: Key,
        _ answer: Answer,
        _ address: String
    ) -> [CheckedContinuation<Turn, Never>] {
        let now = now()
        return state.withLock { state in
            switch answer {
            case .success(let identity?): state.identities.insert(identity, of: key, at: now)
            case .success(nil):
                state.refused.insert((), of: key, at: now)
                let others = state.refusedOfAddress.value(of: address, at: now) ?? 0
                state.refusedOfAddress.insert(others + 1, of: address, at: now)
            case .failure: break
            }
            return state.underWay.removeValue(forKey: key) ?? []
        }
    }

    private func ask(_ token: String, _ address: String) async -> Answer {
        let now = now()
        let refused = state.withLock { $0.refusedOfAddress.value(of: address, at: now) ?? 0 }
        guard refused < limits.refusedOfOneAddress else {
            let problem = "too many tokens from \(address) proved nobody; try again later"
            return .failure(Unavailable(description: problem))
        }
        guard await gate.enter(as: address) else {
            return .failure(Unavailable(description: "too many tokens wait to be reviewed"))
        }
        defer { gate.leave(as: address) }
        do {
            return .success(try await inTime { try await self.review(token) })
        } catch {
            return .failure(Unavailable(description: "\(error)"))
        }
    }

    /// The result of `operation`, or an error when it takes too long.
    private func inTime(
        _ operation: @escaping @Sendable () async throws -> PodIdentity?
    ) async throws -> PodIdentity? {
        let deadline = limits.deadline
        let sleep = sleep
        return try await withThrowingTaskGroup { group in
            group.addTask { try await operation() }
            group.addTask {
                try await sleep(deadline)
                throw Unavailable(description: "no answer within \(deadline)")
            }
            defer { group.cancelAll() }
            return try await group.next() ?? nil
        }
    }

    /// Whether `token` has the form of a JSON Web Token, as all of service accounts have.
    private func isPlausible(_ token: String) -> Bool {
        let bytes = token.utf8
        guard bytes.count <= limits.tokenBytes else { return false }
        let parts = bytes.split(separator: UInt8(ascii: "."), omittingEmptySubsequences: false)
        return parts.count == 3 && parts.allSatisfy { !$0.isEmpty && $0.allSatisfy(isOfToken) }
    }
}

private func isOfToken(_ byte: UInt8) -> Bool {
    switch byte {
    case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
        UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "_"):
        true
    default: false
    }
}
