internal import Logging
internal import MeshModel

/// The authorities of all meshes below the root, and their rotation.
struct MeshAuthorities: Sendable {
    /// What a mesh has.
    struct Entry: Sendable {
        var lineage: Lineage?
        var signer: LeafSigner?
        var announcement = Announcement(since: .zero, turn: 0)
        /// Whether proxies may have outlived the run that made it.
        var isOfEarlierRun = false
        var problem: String?
        var attempts = Attempts()
        /// Those that are derived from a shared root.
        var derived = DerivedAuthorities()
    }

    /// When proxies hear of the authority that is announced.
    struct Announcement: Sendable {
        /// Since when this run knows of it.
        var since: Duration
        /// It is published at the end of this turn.
        var turn: Int
    }

    /// How long a new authority waits until all proxies trust it before it signs; then it signs anyway.
    static let distributionLimit = Duration.seconds(30)

    private(set) var roots: Roots
    private var entries: [String: Entry] = [:]
    private(set) var turns = 0
    private let folder: AuthorityFolder
    let installation: String
    let lifetime: Duration
    private let logger: Logger

    init(
        in folder: AuthorityFolder,
        roots: Roots,
        of installation: String,
        lifetime: Duration,
        logger: Logger
    ) {
        self.folder = folder
        self.roots = roots
        self.installation = installation
        self.lifetime = lifetime
        self.logger = logger
    }

    /// Does what is due: one step of each rotation, for the meshes `wanted`.
    ///
    /// `isDistributed` tells whether all proxies know what was published after the last turn.
    mutating func turn(_ wanted: Set<String>, at moment: Moment, isDistributed: () -> Bool) {
        turns += 1
        roots.turn(at: moment)
        for mesh in entries.keys where !wanted.contains(mesh) { entries[mesh] = nil }
        for mesh in wanted.sorted() {
            var entry = entries[mesh] ?? Entry()
            step(mesh, &entry, at: moment, isDistributed: isDistributed)
            entries[mesh] = entry
        }
        if !roots.retiring.isEmpty, !entries.isEmpty,
            entries.values.allSatisfy({ $0.lineage != nil })
        {
            let trusted = entries.values.flatMap { $0.lineage?.trusted ?? [] }
            roots.forget(except: Set(trusted.map(\.issuer)))
        }
    }

    /// Who signs for `mesh`; nil while nobody can.
    func signer(of mesh: String, at now: Duration) -> LeafSigner? {
        guard let signer = entries[mesh]?.signer, signer.isOfUse(at: now) else { return nil }
        return signer
    }

    /// Why nobody can sign for `mesh`, or not by the newest authority.
    func problem(of mesh: String) -> String? { entries[mesh]?.problem }

    /// The authorities to trust in `mesh`.
    func trusted(in mesh: String) -> [Authority] { entries[mesh]?.lineage?.trusted ?? [] }

    /// What is known of each, that of the root first.
    func observations(at now: Duration) -> [AuthorityObservation] {
        roots.observations(at: now)
            + entries.sorted { $0.key < $1.key }
            .flatMap { $1.lineage?.observations(problem: $1.problem) ?? [] }
    }

    /// Announces a new authority of `mesh`; gives its serial number.
    mutating func rotate(_ mesh: String, at moment: Moment) throws(IdentityError) -> String {
        if let secret = roots.brought?.secret {
            throw IdentityError(
                "Mesh \(mesh): its authority is derived from the Secret \(secret), as all replicas "
                    + "have the same; put a new certificate and key of a CA into it"
            )
        }
        guard var entry = entries[mesh], var lineage = entry.lineage else {
            let known = entries.keys.sorted().map { "\"\($0)\"" }.joined(separator: ", ")
            throw IdentityError(
                "Mesh \(mesh) has no authority, as none of its proxies has a certificate of Heddle's; "
                    + (known.isEmpty ? "no Mesh has" : "those that have: \(known)")
            )
        }
        if let announced = lineage.announced {
            throw IdentityError(
                "Mesh \(mesh): its next authority \(announced.serial) is announced already; wait until "
                    + "it signs"
            )
        }
        let new = try makeAuthority(of: mesh, at: moment.wall)
        lineage.announce(new)
        try adopt(lineage, in: &entry)
        entry.announcement = Announcement(since: moment.steady, turn: turns + 1)
        entries[mesh] = entry
        log("authority announced", mesh, new)
        return new.serial
    }

    /// Makes a new root sign; every mesh's next authority is announced in the next turn.
    mutating func rotateRoot(at moment: Moment) throws(IdentityError) -> String {
        try roots.rotate(at: moment)
    }

    private func step(
        _ mesh: String,
        _ entry: inout Entry,
        at moment: Moment,
        isDistributed: () -> Bool
    ) {
        guard entry.attempts.isTime(at: moment) else { return }
        do {
            if entry.lineage == nil {
                entry.lineage = try folder.lineage(ofMesh: mesh)
                entry.isOfEarlierRun = entry.lineage != nil
                entry.announcement = Announcement(since: moment.steady, turn: turns)
                entry.signer = nil
            }
            if roots.brought?.secret != nil {
                try stepShared(mesh, &entry, at: moment)
            } else {
                try stepOwn(mesh, &entry, at: moment, isDistributed: isDistributed)
            }
            if entry.signer == nil, let lineage = entry.lineage {
                entry.signer = try makeSigner(lineage)
            }
            entry.problem = nil
            entry.attempts.succeed()
        } catch {
            var problem = "\(error)"
            if let signing = entry.lineage?.signing {
                let end = timestamp(secondsSince1970: signing.validity.notAfterSeconds)
                problem += "; the authority \(signing.serial) stays in use until \(end)"
            }
            if entry.problem != problem {
                logger.error(
                    "the authority of a mesh is not as it should be",
                    metadata: ["mesh": "\(mesh)", "error": "\(problem)"]
                )
            }
            entry.problem = problem
            entry.attempts.fail(at: moment, spread: 0.5)
        }
    }

    /// A step of a mesh whose authorities are made here.
    private func stepOwn(
        _ mesh: String,
        _ entry: inout Entry,
        at moment: Moment,
        isDistributed: () -> Bool
    ) throws(IdentityError) {
        let due = Due(
            entry.lineage,
            root: roots.signing,
            at: moment,
            isAccepted: {
                let announcement = entry.announcement
                guard turns > announcement.turn else { return false }
                if moment.steady - announcement.since >= Self.distributionLimit {
                    if !isDistributed() {
                        logger.warning(
                            "authority signs, and not all proxies have said that they trust it",
                            metadata: ["mesh": "\(mesh)"]
                        )
                    }
                    return true
                }
                // Proxies that outlived the last run come back one by one.
                let areAllBack =
                    !entry.isOfEarlierRun || moment.steady >= Self.distributionLimit
                return areAllBack && isDistributed()
            }
        )
        try perform(due, mesh, &entry, at: moment)
    }

    /// What a turn has to do for a mesh.
    private enum Due {
        case nothing
        /// The first, or one in place of one that is of no use now: it signs at once.
        case replace
        case announce
        case promote

        init(
            _ lineage: Lineage?,
            root: Authority,
            at moment: Moment,
            isAccepted: () -> Bool
        ) {
            guard let lineage else {
                self = .replace
                return
            }
            let isOfUse = lineage.signing.validity.contains(moment.wall)
            if let announced = lineage.announced, announced.validity.contains(moment.wall) {
                self = !isOfUse || isAccepted() ? .promote : .nothing
            } else if !isOfUse {
                self = .replace
            } else if lineage.signing.issuer != root.fingerprint {
                self = .announce
            } else {
                // A new one can't last longer than the root.
                let isLast =
                    lineage.signing.validity.notAfterSeconds
                    >= root.validity.notAfterSeconds
                let isHalf = moment.wall.wholeSeconds >= lineage.signing.halfLifeSeconds
                self = isHalf && !isLast ? .announce : .nothing
            }
        }
    }

    private func perform(
        _ due: Due,
        _ mesh: String,
        _ entry: inout Entry,
        at moment: Moment
    ) throws(IdentityError) {
        let seconds = lifetime.wholeSeconds
        switch due {
        case .nothing:
            break
        case .replace:
            let new = try makeAuthority(of: mesh, at: moment.wall)
            var lineage = Lineage(mesh: mesh, signing: new, longestLifetimeSeconds: seconds)
            if var old = entry.lineage {
                old.replace(by: new, at: moment.wall, lifetimeSeconds: seconds)
                lineage = old
            }
            try adopt(lineage, in: &entry)
            log("authority signs", mesh, new)
        case .announce:
            guard var lineage = entry.lineage else { break }
            let new = try makeAuthority(of: mesh, at: moment.wall)
            lineage.announce(new)
            try adopt(lineage, in: &entry)
            entry.announcement = Announcement(since: moment.steady, turn: turns)
            log("authority announced", mesh, new)
        case .promote:
            guard var lineage = entry.lineage else { break }
            lineage.promote(at: moment.wall, lifetimeSeconds: seconds)
            try adopt(lineage, in: &entry)
            log("authority signs", mesh, lineage.signing)
        }
        try dropEnded(mesh, &entry, at: moment)
    }

    /// Trusts no more those whose last certificate has ended.
    func dropEnded(
        _ mesh: String,
        _ entry: inout Entry,
        at moment: Moment
    ) throws(IdentityError) {
        guard var lineage = entry.lineage else { return }
        let ended = lineage.dropEnded(at: moment.wall)
        let isNews = lineage.sign(lifetimeSeconds: lifetime.wholeSeconds)
        guard isNews || !ended.isEmpty else { return }
        try adopt(lineage, in: &entry)
        for authority in ended { log("authority dropped", mesh, authority) }
    }

    /// Puts `lineage` in the entry's place once it is on disk.
    func adopt(_ lineage: Lineage, in entry: inout Entry) throws(IdentityError) {
        let signer = try makeSigner(lineage)
        try folder.save(lineage)
        entry.lineage = lineage
        entry.signer = signer
    }

    private func makeSigner(_ lineage: Lineage) throws(IdentityError) -> LeafSigner {
        do {
            return try LeafSigner(lineage.signing, lifetime: lifetime)
        } catch {
            throw IdentityError("Mesh \(lineage.mesh): cannot sign: \(error)")
        }
    }

    private func makeAuthority(of mesh: String, at now: Duration) throws(IdentityError) -> Authority
    {
        let root = roots.signing
        // It would end before it begins.
        guard now.wholeSeconds < root.validity.notAfterSeconds else {
            throw IdentityError(
                "Mesh \(mesh): no new authority, as the root \(root.serial) ended at "
                    + timestamp(secondsSince1970: root.validity.notAfterSeconds)
                    + "; bring a new one to "
                    + (roots.brought?.secret.map { "the Secret \($0)" }
                        ?? "the files of --ca-certificate and --ca-key")
            )
        }
        do {
            return try root.makeMeshAuthority(of: mesh, in: installation, at: now)
        } catch {
            throw IdentityError("Mesh \(mesh): cannot make an authority: \(error)")
        }
    }

    func log(_ message: Logger.Message, _ mesh: String, _ authority: Authority) {
        logger.notice(
            message,
            metadata: [
                "mesh": "\(mesh)", "serial": "\(authority.serial)",
                "ends": "\(timestamp(secondsSince1970: authority.validity.notAfterSeconds))",
            ]
        )
    }
}
