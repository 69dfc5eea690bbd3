internal import MeshModel

/// The certificates that Heddle's own authorities have signed, and when each is due again.
struct IssuedCertificates: Sendable {
    /// What is known of one; the secret itself is with those that are served.
    private struct Held: Sendable {
        /// nil of one that could not be signed.
        var validity: Validity?
        var signer: String
        /// When it is due again.
        var renewal: Duration

        func isOfUse(at now: Duration) -> Bool { validity?.contains(now) ?? false }

        func isDue(at now: Duration, by signer: String) -> Bool {
            guard let validity else { return renewal <= now }
            return renewal <= now || self.signer != signer || !validity.contains(now)
        }
    }

    /// Those of which a turn signs at most; what is asked for meanwhile waits no longer.
    static let batch = 1000

    private var held: [Identity: Held] = [:]
    /// Those that are wanted and were not signed yet.
    private var waiting: Set<Identity> = []
    private var generator: any RandomNumberGenerator & Sendable

    /// `generator` spreads the renewals.
    init(generator: any RandomNumberGenerator & Sendable) { self.generator = generator }

    /// Holds those of `wanted`, and no others.
    mutating func keep(_ wanted: Set<Identity>) {
        held = held.filter { wanted.contains($0.key) }
        waiting = wanted.filter { held[$0] == nil }
    }

    /// Those to sign now, at most `batch`, and whether there are more; `signers` has one for each Mesh.
    ///
    /// First come those that have no certificate of use: none yet, one that ended, and one that has
    /// not begun because the clock went back.
    func due(
        at now: Duration,
        signers: [String: LeafSigner]
    ) -> (jobs: [SigningJob], more: Bool) {
        var urgent: [SigningJob] = []
        for identity in waiting {
            guard let signer = signers[identity.mesh] else { continue }
            urgent.append(SigningJob(identity: identity, signer: signer))
            guard urgent.count < Self.batch else { return (urgent, true) }
        }
        var others: [SigningJob] = []
        for (identity, held) in held {
            guard let signer = signers[identity.mesh], held.isDue(at: now, by: signer.serial) else {
                continue
            }
            let job = SigningJob(identity: identity, signer: signer)
            if held.isOfUse(at: now) {
                if others.count < Self.batch { others.append(job) }
            } else {
                urgent.append(job)
                guard urgent.count < Self.batch else { return (urgent, true) }
            }
        }
        let jobs = urgent + others.prefix(Self.batch - urgent.count)
        return (jobs, jobs.count >= Self.batch)
    }

    /// Takes a certificate that was signed at `now`.
    mutating func take(_ certificate: IssuedCertificate, of identity: Identity, at now: Duration) {
        waiting.remove(identity)
        let life = Duration.seconds(certificate.validity.notAfterSeconds) - now
        held[identity] = Held(
            validity: certificate.validity,
            signer: certificate.signer,
            renewal: now + life * renewalShare(&generator)
        )
    }

    /// Takes note that `identity` could not be signed at `now`; it is tried again a little later.
    mutating func fail(_ identity: Identity, at now: Duration) {
        waiting.remove(identity)
        held[identity] = Held(validity: nil, signer: "", renewal: now + .seconds(10))
    }

    /// Makes those of `owner` due, nil for all; tells how many there are.
    mutating func expire(of owner: ObjectID?) -> Int {
        let chosen = held.keys.filter { owner == nil || $0.owner == owner }
        for identity in chosen { held[identity]?.renewal = .zero }
        return chosen.count
    }

    /// How many begin after or have ended before `now`.
    func uselessCount(at now: Duration) -> Int {
        held.values.count { $0.validity != nil && !$0.isOfUse(at: now) }
    }
}

/// After which share of its life a certificate is renewed: half of it, up to 10 % sooner or later.
func renewalShare(_ generator: inout any RandomNumberGenerator & Sendable) -> Double {
    .random(in: 0.45...0.55, using: &generator)
}

/// A certificate to sign.
struct SigningJob: Sendable {
    var identity: Identity
    var signer: LeafSigner

    /// Signs all of `jobs` on `cores` cores, each in its place.
    ///
    /// Signing keeps a core busy, so each task lets others run now and then.
    static func sign(
        _ jobs: [SigningJob],
        at now: Duration,
        cores: Int
    ) async -> [Result<IssuedCertificate, any Error>] {
        let share = max(1, (jobs.count + cores - 1) / cores)
        return await withTaskGroup { group in
            for start in stride(from: 0, to: jobs.count, by: share) {
                let part = jobs[start..<min(start + share, jobs.count)]
                group.addTask {
                    var signed: [Result<IssuedCertificate, any Error>] = []
                    for job in part {
                        if signed.count % 16 == 15 { await Task.yield() }
                        signed.append(Result { try job.signer.issue(job.identity, at: now) })
                    }
                    return (start, signed)
                }
            }
            var parts: [Int: [Result<IssuedCertificate, any Error>]] = [:]
            for await (start, signed) in group { parts[start] = signed }
            return parts.sorted { $0.key < $1.key }.flatMap(\.value)
        }
    }
}
