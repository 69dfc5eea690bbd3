internal import Crypto
internal import FoundationEssentials
internal import Logging
internal import MeshModel
internal import SwiftASN1
internal import X509

/// The certificate of Heddle's own servers, the root that signs it, and what is due.
///
/// When the root is another, both are trusted for 30 s before the new one signs, so that who verifies
/// hears of it first.
struct ServingIssuer: Sendable {
    /// How long a new root is trusted before it signs.
    static let announcement = Duration.seconds(30)

    private let configuration: ServingCertificates.Configuration
    private let names: SubjectAlternativeNames
    private let brought: BroughtFiles
    private var stamps: [FileStamp?]
    private var signing: Authority
    /// The root that signs next, and since when it is trusted.
    private var next: (authority: Authority, since: Duration)?
    /// Those that signed before, while what they signed lasts.
    private var retired: [Authority] = []
    private var renewalSeconds: Int
    private var attempts = Attempts()
    private var problem: String?
    private let logger: Logger
    private(set) var current: ServingCertificate

    init(
        _ configuration: ServingCertificates.Configuration,
        at now: Duration,
        logger: Logger
    ) throws(IdentityError) {
        self.configuration = configuration
        self.logger = logger
        names = try Self.names(configuration)
        brought = BroughtFiles(files: configuration.authority, secret: configuration.secret)
        stamps = configuration.authority.stamps
        signing = try Authority.brought(brought, at: now)
        let first = try Self.issue(names, by: signing, lifetime: configuration.lifetime, at: now)
        renewalSeconds = first.renewalSeconds
        current = first.certificate(authorities: signing.pem)
    }

    /// Does what is due; tells whether the certificate or whom to trust is another.
    mutating func turn(at moment: Moment) -> Bool {
        let before = current.version
        look(at: moment)
        let ended = retired.filter { !$0.validity.contains(moment.wall) }
        if !ended.isEmpty {
            retired.removeAll { !$0.validity.contains(moment.wall) }
            publish(current)
        }
        if let next, moment.steady - next.since >= Self.announcement {
            retired.append(signing.withoutKey)
            signing = next.authority
            self.next = nil
            renewalSeconds = 0
        }
        // A clock that was set back makes it useless as well.
        let isEarly = moment.wall.wholeSeconds < signing.validity.notBeforeSeconds
        if moment.wall.wholeSeconds >= renewalSeconds || isEarly, attempts.isTime(at: moment) {
            renew(at: moment)
        }
        return current.version != before
    }

    private mutating func look(at moment: Moment) {
        let stamps = brought.files.stamps
        guard stamps != self.stamps || (problem != nil && attempts.isTime(at: moment)) else {
            return
        }
        self.stamps = stamps
        do {
            let new = try Authority.brought(brought, at: moment.wall)
            problem = nil
            attempts.succeed()
            guard new.fingerprint != signing.fingerprint else { return next = nil }
            guard new.fingerprint != next?.authority.fingerprint else { return }
            next = (new, moment.steady)
            publish(current)
        } catch {
            tell("the new CA is not taken for the serving certificate", error)
            attempts.fail(at: moment, spread: 0.5)
        }
    }

    private mutating func renew(at moment: Moment) {
        do {
            let new = try Self.issue(
                names,
                by: signing,
                lifetime: configuration.lifetime,
                at: moment.wall
            )
            renewalSeconds = new.renewalSeconds
            publish(new.certificate(authorities: ""))
            problem = nil
            attempts.succeed()
            logger.info(
                "serving certificate renewed",
                metadata: [
                    "serial": "\(current.serial)",
                    "ends": "\(timestamp(secondsSince1970: current.notAfterSeconds))",
                ]
            )
        } catch {
            tell("the serving certificate can't be renewed", error)
            attempts.fail(at: moment, spread: 0.5)
        }
    }

    private mutating func tell(_ message: Logger.Message, _ error: IdentityError) {
        if problem != error.description {
            logger.error(message, metadata: ["error": "\(error)"])
        }
        problem = error.description
    }

    /// Puts `certificate` in the place of the current one, with whom to trust now.
    private mutating func publish(_ certificate: ServingCertificate) {
        let all = [signing] + (next.map { [$0.authority] } ?? []) + retired
        var seen: Set<String> = []
        current = ServingCertificate(
            chain: certificate.chain,
            privateKey: certificate.privateKey,
            authorities: all.map(\.pem).filter { seen.insert($0).inserted }.joined(),
            serial: certificate.serial,
            notAfterSeconds: certificate.notAfterSeconds
        )
    }
}

// MARK: - Issuing

extension ServingIssuer {
    private struct Issued {
        var chain: String
        var privateKey: String
        var serial: String
        var notAfterSeconds: Int
        var renewalSeconds: Int

        func certificate(authorities: String) -> ServingCertificate {
            ServingCertificate(
                chain: chain,
                privateKey: privateKey,
                authorities: authorities,
                serial: serial,
                notAfterSeconds: notAfterSeconds
            )
        }
    }

    private static func issue(
        _ names: SubjectAlternativeNames,
        by authority: Authority,
        lifetime: Duration,
        at now: Duration
    ) throws(IdentityError) -> Issued {
        guard authority.validity.contains(now), let signingKey = authority.key else {
            throw IdentityError(
                "the root \(authority.serial) is of no use: "
                    + (authority.validity.problem(at: now) ?? "it signs no more")
            )
        }
        let end = min(now.wholeSeconds + lifetime.wholeSeconds, authority.validity.notAfterSeconds)
        do {
            let key = P256.Signing.PrivateKey()
            let leaf = try certificate(names, key.publicKey, authority, signingKey, now, end)
            let above = authority.isSelfSigned ? "" : authority.pem + authority.above
            return Issued(
                chain: try leaf.pem + above,
                privateKey: key.pemRepresentation + "\n",
                serial: leaf.serial,
                notAfterSeconds: end,
                renewalSeconds: now.wholeSeconds + (end - now.wholeSeconds) * 2 / 3
            )
        } catch {
            throw IdentityError("the serving certificate can't be signed: \(error)")
        }
    }

    private static func certificate(
        _ names: SubjectAlternativeNames,
        _ key: P256.Signing.PublicKey,
        _ authority: Authority,
        _ signingKey: Certificate.PrivateKey,
        _ now: Duration,
        _ endSeconds: Int
    ) throws -> Certificate {
        let publicKey = Certificate.PublicKey(key)
        let begin = max(
            now.wholeSeconds - LeafSigner.backdatingSeconds,
            authority.validity.notBeforeSeconds
        )
        return try Certificate(
            version: .v3,
            serialNumber: randomSerialNumber(),
            publicKey: publicKey,
            notValidBefore: Date(timeIntervalSince1970: Double(begin)),
            notValidAfter: Date(timeIntervalSince1970: Double(endSeconds)),
            issuer: authority.certificate.subject,
            subject: try DistinguishedName { OrganizationName("Heddle") },
            extensions: Certificate.Extensions {
                Critical(BasicConstraints.notCertificateAuthority)
                Critical(KeyUsage(digitalSignature: true))
                try ExtendedKeyUsage([.serverAuth])
                AuthorityKeyIdentifier(keyIdentifier: authority.keyID)
                SubjectKeyIdentifier(hash: publicKey)
                names
            },
            issuerPrivateKey: signingKey
        )
    }

    private static func names(
        _ configuration: ServingCertificates.Configuration
    ) throws(IdentityError) -> SubjectAlternativeNames {
        for name in configuration.dnsNames where !isDNSName(name) {
            throw IdentityError("the serving certificate can't have the DNS name \"\(name)\"")
        }
        return SubjectAlternativeNames(configuration.dnsNames.map(GeneralName.dnsName))
    }
}
