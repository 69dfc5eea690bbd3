internal import MeshModel

/// The authorities of one Mesh: the one that signs, the one that will, and those that did.
///
/// One is trusted from its announcement until the last certificate that it signed has ended. So
/// whoever presents a certificate is trusted by all, whichever of them signed it.
struct Lineage: Sendable {
    /// An authority that signs no more.
    struct Retiring: Sendable {
        var authority: Authority
        /// When the last certificate that it signed has ended.
        var trustedUntilSeconds: Int
    }

    let mesh: String
    private(set) var signing: Authority
    private(set) var announced: Authority?
    private(set) var retiring: [Retiring] = []
    /// The longest lifetime with which the one that signs has signed.
    private(set) var longestLifetimeSeconds: Int

    init(
        mesh: String,
        signing: Authority,
        announced: Authority? = nil,
        retiring: [Retiring] = [],
        longestLifetimeSeconds: Int
    ) {
        self.mesh = mesh
        self.signing = signing
        self.announced = announced
        self.retiring = retiring
        self.longestLifetimeSeconds = longestLifetimeSeconds
    }

    /// Those to trust, in an order that a rotation does not change.
    var trusted: [Authority] {
        ([signing] + (announced.map { [$0] } ?? []) + retiring.map(\.authority))
            .sorted { $0.serial < $1.serial }
    }

    /// Has `authority` trusted, in place of another that is announced.
    mutating func announce(_ authority: Authority) { announced = authority }

    /// Lets the announced one sign from now on, with certificates that last `lifetimeSeconds`.
    mutating func promote(at now: Duration, lifetimeSeconds: Int) {
        guard let announced else { return }
        self.announced = nil
        replace(by: announced, at: now, lifetimeSeconds: lifetimeSeconds)
    }

    /// Lets `authority` sign at once; the one before is trusted while certificates of it last.
    mutating func replace(by authority: Authority, at now: Duration, lifetimeSeconds: Int) {
        let end = min(
            signing.validity.notAfterSeconds,
            now.wholeSeconds + longestLifetimeSeconds
        )
        retiring.append(Retiring(authority: signing.withoutKey, trustedUntilSeconds: end))
        signing = authority
        longestLifetimeSeconds = lifetimeSeconds
    }

    /// Takes note that certificates last `seconds`; tells whether that was news.
    mutating func sign(lifetimeSeconds seconds: Int) -> Bool {
        guard seconds > longestLifetimeSeconds else { return false }
        longestLifetimeSeconds = seconds
        return true
    }

    /// Trusts no more those whose last certificate has ended; gives them.
    mutating func dropEnded(at now: Duration) -> [Authority] {
        let ended = retiring.filter { $0.trustedUntilSeconds <= now.wholeSeconds }
        guard !ended.isEmpty else { return [] }
        retiring.removeAll { $0.trustedUntilSeconds <= now.wholeSeconds }
        return ended.map(\.authority)
    }

    /// What is known of each, with `problem` at the one that signs.
    func observations(problem: String?) -> [AuthorityObservation] {
        var all = [observation(signing, .signing, problem: problem)]
        if let announced { all.append(observation(announced, .announced)) }
        return all + retiring.map { observation($0.authority, .retiring) }
    }

    private func observation(
        _ authority: Authority,
        _ phase: AuthorityObservation.Phase,
        problem: String? = nil
    ) -> AuthorityObservation {
        AuthorityObservation(
            mesh: mesh,
            serial: authority.serial,
            phase: phase,
            issuedSeconds: authority.issuedSeconds,
            notBeforeSeconds: authority.validity.notBeforeSeconds,
            notAfterSeconds: authority.validity.notAfterSeconds,
            problem: problem
        )
    }
}
