internal import FoundationEssentials

/// Decides how one replica gets, keeps and gives up a Lease, and does nothing itself: `step` says what to
/// do next, and each result changes it.
///
/// The holder leads until `renewDeadline` after it sent the last renewal that succeeded. The others take
/// the Lease when nothing in it has changed for `duration`, or what the holder has written there, by
/// their own clock and from when they saw it: that is after the holder has sent it, and for longer. Times
/// that are written in the Lease decide nothing. Each write names the version that it replaces.
struct LeaseClaim: Sendable {
    typealias Instant = ContinuousClock.Instant

    /// What to do next.
    enum Step: Hashable, Sendable {
        case read
        case create(Lease)
        case replace(Lease)
        case wait(until: Instant)
    }

    /// Why nothing was written.
    enum Failure: Hashable, Sendable {
        /// The Lease is of another version, or is there already.
        case conflict
        /// There is no Lease.
        case missing
        /// Nobody knows whether it was written.
        case unknown
    }

    /// What is known of the Lease.
    private enum View: Hashable {
        case unknown, missing
        case seen(Lease)
    }

    /// A Lease that claims to hold for longer was written by mistake.
    static let longestDuration = Duration.seconds(300)
    /// What a holder writes that gives the Lease back.
    private static let releasedSeconds = 1

    let key: ObjectKey
    let identity: String
    let duration: Duration
    let renewDeadline: Duration
    let retryPeriod: Duration

    private var view = View.unknown
    /// What the Lease said last, and when this replica saw that first.
    private var observed: (spec: Lease.Spec?, since: Instant)?
    private var nextAttempt: Instant?
    /// Whether a write met another version since the last read.
    private var isInDoubt = false
    private var end: Instant?

    init(
        key: ObjectKey,
        identity: String,
        duration: Duration,
        renewDeadline: Duration,
        retryPeriod: Duration
    ) {
        self.key = key
        self.identity = identity
        self.duration = duration
        self.renewDeadline = renewDeadline
        self.retryPeriod = retryPeriod
    }

    /// Until when this replica leads; nil when it does not.
    func leadershipEnd(at now: Instant) -> Instant? { end.flatMap { $0 > now ? $0 : nil } }

    /// When the next request has to be over: in half the time that a leader has, so that it can ask again
    /// over another connection, and it is of no use to one that leads no more.
    func requestEnd(at now: Instant) -> Instant {
        let half = now + renewDeadline / 2
        return leadershipEnd(at: now).map { min($0, half) } ?? half
    }

    // MARK: Steps

    /// What to do at `now`; `date` is written in the Lease for people.
    mutating func step(at now: Instant, _ date: Date) -> Step {
        if let nextAttempt, now < nextAttempt {
            return .wait(until: leadershipEnd(at: now).map { min($0, nextAttempt) } ?? nextAttempt)
        }
        switch view {
        case .unknown: return .read
        case .missing where isFree(at: now):
            return .create(Lease(key, spec(after: nil, date)))
        case .seen(let lease) where isHeldByMe(lease) || isFree(at: now):
            var lease = lease
            lease.spec = spec(after: lease.spec, date)
            return .replace(lease)
        case .missing, .seen:
            wait(from: now)
            return step(at: now, date)
        }
    }

    /// What gives the Lease back; nil when this replica does not hold it.
    func release(_ date: Date) -> Lease? {
        guard case .seen(var lease) = view, isHeldByMe(lease) else { return nil }
        lease.spec?.holderIdentity = ""
        lease.spec?.leaseDurationSeconds = Self.releasedSeconds
        lease.spec?.renewTime = microTime(date)
        return lease
    }

    private func isHeldByMe(_ lease: Lease) -> Bool { lease.spec?.holderIdentity == identity }

    /// Whether nobody can lead any more by what the Lease said last.
    private func isFree(at now: Instant) -> Bool {
        // No replica has ever seen it, as far as this one can know.
        guard let (spec, since) = observed else { return true }
        let seconds = spec?.leaseDurationSeconds ?? 0
        // One that was emptied in another way may still be led by.
        if (spec?.holderIdentity ?? "").isEmpty, seconds == Self.releasedSeconds { return true }
        if spec?.holderIdentity == identity { return true }
        let written = min(Duration.seconds(min(max(seconds, 0), 86_400)), Self.longestDuration)
        return since + max(duration, written) <= now
    }

    private func spec(after old: Lease.Spec?, _ date: Date) -> Lease.Spec {
        let now = microTime(date)
        let isMine = old?.holderIdentity == identity
        // The API takes 32 bits.
        let transitions = min(max(old?.leaseTransitions ?? 0, 0), Int(Int32.max) - 1)
        return Lease.Spec(
            holderIdentity: identity,
            leaseDurationSeconds: duration.wholeSeconds,
            acquireTime: isMine ? old?.acquireTime ?? now : now,
            renewTime: now,
            leaseTransitions: old == nil || isMine ? transitions : transitions + 1
        )
    }

    // MARK: Results

    /// The Lease was read; nil when there is none.
    mutating func found(_ lease: Lease?, at now: Instant) {
        isInDoubt = false
        guard let lease else {
            view = .missing
            // What was seen of it before still counts: its holder may not know yet.
            end = nil
            return
        }
        view = .seen(lease)
        observe(lease.spec, at: now)
        if !isHeldByMe(lease) { end = nil }
    }

    /// It was not read.
    mutating func readFailed(at now: Instant) {
        if isInDoubt { end = nil }
        isInDoubt = false
        wait(from: now)
    }

    /// It was written, by a request that was sent at `sent`.
    mutating func wrote(_ lease: Lease, sent: Instant, at now: Instant) {
        view = .seen(lease)
        observe(lease.spec, at: now)
        end = sent + renewDeadline
        nextAttempt = sent + retryPeriod
    }

    /// It was not written, or nobody knows.
    mutating func writeFailed(_ failure: Failure, at now: Instant) {
        view = .unknown
        let isLeading = leadershipEnd(at: now) != nil
        // A leader has to know at once; but two in a row may go on for ever.
        if failure != .unknown, isLeading, !isInDoubt {
            isInDoubt = true
        } else {
            wait(from: now)
        }
    }

    /// This replica leads no more.
    mutating func resign() { end = nil }

    private mutating func observe(_ spec: Lease.Spec?, at now: Instant) {
        if let observed, observed.spec == spec { return }
        observed = (spec, now)
    }

    private mutating func wait(from now: Instant) {
        view = .unknown
        nextAttempt = now + retryPeriod
    }
}

extension Duration {
    /// Rounded up.
    fileprivate var wholeSeconds: Int {
        let (seconds, attoseconds) = components
        return Int(seconds) + (attoseconds > 0 ? 1 : 0)
    }
}
