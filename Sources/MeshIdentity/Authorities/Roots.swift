internal import Logging
internal import MeshModel
internal import X509

/// The root of the installation, Heddle's own or brought by a user, and those before it.
struct Roots: Sendable {
    private(set) var signing: Authority
    private(set) var retiring: [Authority] = []
    /// Why a newer one is not in use; nil when all is well.
    private(set) var problem: String?

    private let folder: AuthorityFolder
    private let installation: String
    let brought: BroughtFiles?
    private var stamps: [FileStamp?] = []
    private var attempts = Attempts()
    private let logger: Logger

    /// Opens the root in `folder`, or makes the first.
    ///
    /// Never a new one in place of one that can't be read: all that trust it would be cut off.
    init(
        in folder: AuthorityFolder,
        of installation: String,
        brought: BroughtFiles?,
        at now: Duration,
        logger: Logger
    ) throws(IdentityError) {
        self.folder = folder
        self.installation = installation
        self.brought = brought
        self.logger = logger
        let record = try folder.roots()
        if record == nil, brought == nil, folder.hasMeshes {
            throw IdentityError(
                "\(folder.rootPath) is missing, and there are authorities of meshes that it signed; "
                    + "restore the file from a copy, or remove its folder to begin with a new root"
            )
        }
        if let brought {
            stamps = brought.files.stamps
            signing = try Authority.brought(brought, at: now)
        } else if let record, !record.isBrought,
            let own = try? record.signing.authority(mustSign: true)
        {
            signing = own
        } else {
            signing = try Self.makeRoot(of: installation, at: now)
        }
        guard let record else {
            try save()
            log("root made", signing)
            return
        }
        retiring = record.retiring.compactMap { try? $0.authority(mustSign: false) }
        guard let old = try? record.signing.authority(mustSign: false),
            old.fingerprint != signing.fingerprint
        else { return }
        retiring.append(old.withoutKey)
        try save()
        log("root replaced", signing)
    }

    /// Looks whether the brought root changed, and replaces the own one when half of its time is over.
    mutating func turn(at moment: Moment) {
        if let brought {
            let stamps = brought.files.stamps
            // A problem may pass with time, as that of a certificate that has not begun.
            guard stamps != self.stamps || (problem != nil && attempts.isTime(at: moment)) else {
                return
            }
            self.stamps = stamps
            take(brought, at: moment)
        } else if moment.wall.wholeSeconds >= signing.halfLifeSeconds, attempts.isTime(at: moment) {
            _ = try? rotate(at: moment)
        }
    }

    /// Makes a new root of Heddle's own sign from now on; gives its serial number.
    mutating func rotate(at moment: Moment) throws(IdentityError) -> String {
        if let brought {
            throw IdentityError(
                "the root is \(brought.certificateName); write a new certificate "
                    + "and key to \(brought.place), and Heddle takes them"
            )
        }
        do {
            try replace(by: Self.makeRoot(of: installation, at: moment.wall))
            attempts.succeed()
        } catch {
            // One that is not due leaves nothing behind that would have to be mended.
            if moment.wall.wholeSeconds >= signing.halfLifeSeconds {
                attempts.fail(at: moment, spread: 0.5)
                problem = error.description
            }
            throw error
        }
        return signing.serial
    }

    /// Forgets those that signed none of the authorities `inUse`, by the fingerprints of who signed.
    mutating func forget(except inUse: Set<String>) {
        let rest = retiring.filter { inUse.contains($0.fingerprint) }
        guard rest.count != retiring.count else { return }
        let old = retiring
        retiring = rest
        // It is only forgotten a little later when this fails.
        do { try save() } catch { retiring = old }
    }

    /// What is known of each.
    func observations(at now: Duration) -> [AuthorityObservation] {
        let own = signing.validity.problem(at: now).map { "the root \(signing.serial): \($0)" }
        return [observation(signing, .signing, problem: problem ?? own ?? nearEnd(at: now))]
            + retiring.map { observation($0, .retiring, problem: nil) }
    }

    /// Asks for a new one while there is time; Heddle's own is replaced long before.
    private func nearEnd(at now: Duration) -> String? {
        guard let brought else { return nil }
        let end = signing.validity.notAfterSeconds
        let life = end - signing.validity.notBeforeSeconds
        guard end - now.wholeSeconds < min(30 * 86400, life / 3) else { return nil }
        return "\(brought.certificateName): it ends at "
            + "\(timestamp(secondsSince1970: end)); write a new certificate and key to \(brought.place)"
    }

    private mutating func take(_ brought: BroughtFiles, at moment: Moment) {
        do {
            let new = try Authority.brought(brought, at: moment.wall)
            if new.fingerprint != signing.fingerprint { try replace(by: new) }
            problem = nil
            attempts.succeed()
        } catch {
            let end = timestamp(secondsSince1970: signing.validity.notAfterSeconds)
            let new =
                "\(error); the certificate \(signing.serial) stays in use until \(end)"
            if problem != new {
                logger.error("the new CA is not taken", metadata: ["error": "\(new)"])
            }
            problem = new
            attempts.fail(at: moment, spread: 0.5)
        }
    }

    private mutating func replace(by new: Authority) throws(IdentityError) {
        let old = self
        retiring.append(signing.withoutKey)
        signing = new
        do {
            try save()
        } catch {
            self = old
            throw error
        }
        problem = nil
        log("root replaced", new)
    }

    private func save() throws(IdentityError) {
        let record: RootRecord
        do {
            record = RootRecord(
                signing: try AuthorityRecord(signing, withKey: brought == nil),
                isBrought: brought != nil,
                retiring: try retiring.map { try AuthorityRecord($0, withKey: false) }
            )
        } catch {
            preconditionFailure("a certificate that was parsed or made can be encoded")
        }
        try folder.save(record)
    }

    private static func makeRoot(
        of installation: String,
        at now: Duration
    ) throws(IdentityError) -> Authority {
        do {
            return try Authority.root(of: installation, at: now)
        } catch {
            throw IdentityError("cannot make a root: \(error)")
        }
    }

    private func log(_ message: Logger.Message, _ root: Authority) {
        logger.notice(
            message,
            metadata: [
                "serial": "\(root.serial)", "subject": "\(root.certificate.subject)",
                "ends": "\(timestamp(secondsSince1970: root.validity.notAfterSeconds))",
            ]
        )
    }

    private func observation(
        _ root: Authority,
        _ phase: AuthorityObservation.Phase,
        problem: String?
    ) -> AuthorityObservation {
        AuthorityObservation(
            mesh: nil,
            serial: root.serial,
            phase: phase,
            issuedSeconds: root.issuedSeconds,
            notBeforeSeconds: root.validity.notBeforeSeconds,
            notAfterSeconds: root.validity.notAfterSeconds,
            problem: problem
        )
    }
}

extension FileCertificate {
    /// The stamps of both files.
    var stamps: [FileStamp?] { [FileStamp(certificateChain), FileStamp(privateKey)] }
}
