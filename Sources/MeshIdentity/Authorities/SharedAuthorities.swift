internal import Crypto
internal import Logging
internal import MeshModel
internal import SwiftASN1
internal import X509

extension MeshAuthorities {
    /// A step of a mesh whose authorities all replicas derive from one root.
    ///
    /// They trust each a whole epoch before it signs, so that nobody has to tell anybody. One below
    /// another root is trusted for 30 s first, within which every replica has heard of the root.
    func stepShared(
        _ mesh: String,
        _ entry: inout Entry,
        at moment: Moment
    ) throws(IdentityError) {
        let root = roots.signing
        let epoch = AuthorityEpoch(at: moment.wall)
        let current = try entry.derived.authority(mesh, installation, root, epoch)
        let next = try entry.derived.authority(mesh, installation, root, epoch.next)
        guard var lineage = entry.lineage else {
            let first = try firstShared(mesh, &entry, current, next, epoch, at: moment)
            try adopt(first, in: &entry)
            log("authority signs", mesh, current)
            return
        }
        let isOfUse = lineage.signing.validity.contains(moment.wall)
        if lineage.signing.serial == current.serial {
            guard lineage.announced?.serial != next.serial else {
                return try dropEnded(mesh, &entry, at: moment)
            }
            lineage.announce(next)
        } else if !isOfUse {
            lineage.replace(
                by: current,
                at: moment.wall,
                lifetimeSeconds: lifetime.wholeSeconds
            )
            lineage.announce(next)
            log("authority signs", mesh, current)
        } else if lineage.announced?.serial != current.serial {
            lineage.announce(current)
            entry.announcement = Announcement(since: moment.steady, turn: turns)
            log("authority announced", mesh, current)
        } else {
            let isKnown =
                turns > entry.announcement.turn
                && moment.steady - entry.announcement.since >= Self.distributionLimit
            guard isKnown else { return try dropEnded(mesh, &entry, at: moment) }
            lineage.promote(at: moment.wall, lifetimeSeconds: lifetime.wholeSeconds)
            lineage.announce(next)
            log("authority signs", mesh, current)
        }
        try adopt(lineage, in: &entry)
    }

    /// The authorities of a mesh of which this replica knew nothing.
    ///
    /// What another signed with the one before, in the last epoch, may be in use yet.
    private func firstShared(
        _ mesh: String,
        _ entry: inout Entry,
        _ current: Authority,
        _ next: Authority,
        _ epoch: AuthorityEpoch,
        at moment: Moment
    ) throws(IdentityError) -> Lineage {
        var lineage = Lineage(
            mesh: mesh,
            signing: current,
            announced: next,
            longestLifetimeSeconds: lifetime.wholeSeconds
        )
        let end = epoch.beginSeconds + lifetime.wholeSeconds + 300
        if moment.wall.wholeSeconds < end {
            let previous = try entry.derived.authority(
                mesh,
                installation,
                roots.signing,
                epoch.previous
            )
            lineage = Lineage(
                mesh: mesh,
                signing: current,
                announced: next,
                retiring: [.init(authority: previous.withoutKey, trustedUntilSeconds: end)],
                longestLifetimeSeconds: lifetime.wholeSeconds
            )
        }
        return lineage
    }
}

/// A span of time in which one authority of each mesh signs, the same for all that have the root.
struct AuthorityEpoch: Hashable, Sendable {
    /// A third of a year.
    private static let seconds = AuthorityLifetime.meshSeconds / 3

    let number: Int

    init(at now: Duration) { number = now.wholeSeconds / Self.seconds }

    private init(_ number: Int) { self.number = number }

    var next: AuthorityEpoch { AuthorityEpoch(number + 1) }
    var previous: AuthorityEpoch { AuthorityEpoch(number - 1) }

    /// In seconds since 1970.
    var beginSeconds: Int { number * Self.seconds }

    /// Of its authority: trusted in the epoch before, and while what it signed is in use.
    var validity: Validity {
        Validity(
            notBeforeSeconds: previous.beginSeconds - AuthorityLifetime.backdatingSeconds,
            notAfterSeconds: next.next.beginSeconds
        )
    }
}

/// The authorities of a mesh that were derived from a root, made once.
struct DerivedAuthorities: Sendable {
    private var root = ""
    private var authorities: [AuthorityEpoch: Authority] = [:]

    /// The authority of `mesh` in `epoch`, below `root`.
    mutating func authority(
        _ mesh: String,
        _ installation: String,
        _ root: Authority,
        _ epoch: AuthorityEpoch
    ) throws(IdentityError) -> Authority {
        if self.root != root.fingerprint {
            self = DerivedAuthorities()
            self.root = root.fingerprint
        }
        if let known = authorities[epoch] { return known }
        do {
            let new = try root.derive(mesh, installation, epoch)
            authorities = authorities.filter { abs($0.key.number - epoch.number) < 3 }
            authorities[epoch] = new
            return new
        } catch {
            throw IdentityError(
                "Mesh \(mesh): cannot derive its authority from the root \(root.serial): \(error)"
            )
        }
    }
}

extension Authority {
    /// The authority of `mesh` in `epoch` below this root: everybody who has the root's key makes the
    /// same, name and key and serial number, and nobody else can.
    ///
    /// Only the signatures of two differ, as ECDSA has chance in it; a certificate that one signed is
    /// good for who trusts the other.
    fileprivate func derive(
        _ mesh: String,
        _ installation: String,
        _ epoch: AuthorityEpoch
    ) throws -> Authority {
        let key = try derivedKey("heddle mesh authority \(epoch.number) \(mesh)")
        var validity = epoch.validity
        validity.notBeforeSeconds = max(
            validity.notBeforeSeconds,
            self.validity.notBeforeSeconds
        )
        validity.notAfterSeconds = min(validity.notAfterSeconds, self.validity.notAfterSeconds)
        guard validity.notBeforeSeconds < validity.notAfterSeconds else {
            throw IdentityError(
                "it ends before; put a new certificate and key of a CA in its place"
            )
        }
        let name = "\(fingerprint) \(epoch.number) \(mesh)"
        return try makeMeshAuthority(
            of: mesh,
            in: installation,
            key: key,
            serialNumber: serialNumber(Array(SHA256.hash(data: Array(name.utf8)))),
            validity: validity,
            issuedSeconds: validity.notBeforeSeconds
        )
    }

    private func derivedKey(_ purpose: String) throws -> P256.Signing.PrivateKey {
        guard let key else { preconditionFailure("a retired root derives no more") }
        let secret = SymmetricKey(data: try key.serializeAsPEM().derBytes)
        // One number in 2^32 is no key.
        for attempt in 0..<8 {
            let bytes = HKDF<SHA256>.deriveKey(
                inputKeyMaterial: secret,
                info: Array("\(purpose) \(attempt)".utf8),
                outputByteCount: 32
            )
            let key = bytes.withUnsafeBytes {
                try? P256.Signing.PrivateKey(rawRepresentation: $0)
            }
            if let key { return key }
        }
        throw IdentityError("no key can be made of it")
    }
}
