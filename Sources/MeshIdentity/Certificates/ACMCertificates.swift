internal import Crypto
internal import FoundationEssentials
internal import MeshModel
internal import SwiftASN1
internal import X509

/// A certificate that an authority of ACM Private CA shall issue.
struct ACMCertificateName: Hashable, Sendable {
    var authority: ACMPrivateCA
    var identity: Identity
}

/// What to ask of ACM Private CA; the answers may come much later.
enum ACMRequest: Sendable {
    case certificate(ACMCertificateName, ACMOrder)
    case chain(ACMPrivateCA)

    /// Asks, and gives the answer.
    func send(
        to client: any PrivateCertificateAuthority,
        lifetime: Duration
    ) async -> ACMAnswer {
        switch self {
        case .certificate(let name, let order):
            do {
                let chain = try await client.issue(
                    csrPEM: order.csr,
                    lifetime: lifetime,
                    orderedSeconds: order.seconds,
                    from: name.authority
                )
                return .certificate(name, order, .success(chain))
            } catch {
                return .certificate(name, order, .failure(FileFailure(text: "\(error)")))
            }
        case .chain(let authority):
            do {
                return .chain(authority, .success(try await client.authorityChain(of: authority)))
            } catch {
                return .chain(authority, .failure(FileFailure(text: "\(error)")))
            }
        }
    }
}

/// What ACM Private CA answered.
enum ACMAnswer: Sendable {
    case certificate(ACMCertificateName, ACMOrder, Result<String, FileFailure>)
    case chain(ACMPrivateCA, Result<String, FileFailure>)
}

/// What is asked for a certificate.
///
/// It is the same in every attempt, so that one whose answer got lost is not paid for twice.
struct ACMOrder: Sendable {
    /// For how long AWS takes equal requests for one; it says five minutes.
    private static let lifetime = 240

    /// A PKCS#10 request with `key`.
    let csr: String
    let key: ACMKey
    /// When it was placed first, in seconds since 1970.
    let seconds: Int

    /// Places an order with a new key.
    init(of identity: Identity, at now: Duration) throws {
        let key = P256.Signing.PrivateKey()
        csr = try signingRequest(of: identity, key: key)
        self.key = ACMKey(pem: key.pemRepresentation + "\n")
        seconds = now.wholeSeconds
    }

    /// Whether AWS would know it again.
    func isFresh(at now: Duration) -> Bool {
        (0..<Self.lifetime).contains(now.wholeSeconds - seconds)
    }
}

/// A private key in PEM that no log can show.
struct ACMKey: Sendable, CustomStringConvertible, CustomReflectable {
    let pem: String
    var description: String { "private key" }
    var customMirror: Swift.Mirror { Swift.Mirror(self, children: []) }
}

/// Certificates and chains of ACM Private CA: when to ask for which, and what was answered.
///
/// They cost money, so they are kept on disk with their keys and used again by the next daemon.
struct ACMCertificates: Sendable {
    /// What is known of a certificate or chain.
    struct Entry<Content: Sendable>: Sendable {
        /// The last good one.
        fileprivate(set) var content: Content?
        /// Why there is no newer one, with its remedy.
        fileprivate(set) var problem: String?
        fileprivate var renewal: Duration = .zero
        fileprivate var attempts = Attempts()
        /// What was asked for and has not come.
        fileprivate var order: ACMOrder?
        fileprivate var isAsked = false
    }

    /// Requests at one time; AWS allows 25 a second for an account.
    private static let limit = 8
    /// An authority's chain changes when it is renewed, which is rare.
    private static let chainRenewal = Duration.seconds(3600)

    private(set) var certificates: [ACMCertificateName: Entry<ChainContent>] = [:]
    private(set) var chains: [ACMPrivateCA: Entry<TrustContent>] = [:]
    private var askedCount = 0
    private var isSwept = false
    private let folder: String
    private var generator: any RandomNumberGenerator & Sendable

    /// Keeps certificates in `folder`, which is made when the first comes.
    init(folder: String, generator: any RandomNumberGenerator & Sendable) {
        self.folder = folder
        self.generator = generator
    }

    /// Forgets those that are not wanted, and takes what is on disk of those that are new.
    mutating func keep(
        _ names: Set<ACMCertificateName>,
        _ authorities: Set<ACMPrivateCA>,
        at now: Duration
    ) {
        if !isSwept { sweep(at: now) }
        certificates = certificates.filter { names.contains($0.key) }
        chains = chains.filter { authorities.contains($0.key) }
        for name in names where certificates[name] == nil { certificates[name] = stored(name, now) }
        for authority in authorities where chains[authority] == nil {
            chains[authority] = Entry(content: storedChain(authority))
        }
    }

    /// What to ask for at `moment`.
    mutating func requests(at moment: Moment) -> [ACMRequest] {
        var requests: [ACMRequest] = []
        for (authority, entry) in chains where entry.isDue(at: moment) && askedCount < Self.limit {
            chains[authority]?.isAsked = true
            askedCount += 1
            requests.append(.chain(authority))
        }
        for (name, entry) in certificates where entry.isDue(at: moment) && askedCount < Self.limit {
            let last = entry.order.flatMap { $0.isFresh(at: moment.wall) ? $0 : nil }
            guard let order = last ?? (try? ACMOrder(of: name.identity, at: moment.wall)) else {
                continue
            }
            certificates[name]?.isAsked = true
            certificates[name]?.order = order
            askedCount += 1
            requests.append(.certificate(name, order))
        }
        return requests
    }

    /// Takes an answer.
    mutating func take(_ answer: ACMAnswer, at moment: Moment) {
        askedCount -= 1
        let spread = Double.random(in: 0...1, using: &generator)
        switch answer {
        case .certificate(let name, let order, let result):
            guard var entry = certificates[name] else { return }
            entry.isAsked = false
            do throws(FileFailure) {
                let chain = try result.get()
                entry.order = nil
                let content = try checked(chain, order.key, at: moment.wall)
                entry.succeed(content, renewal: renewal(of: content.validity, now: moment.wall))
                entry.problem = store(name, content)
            } catch {
                entry.fail(error, of: name.authority, entry.content?.validity, at: moment, spread)
            }
            certificates[name] = entry
        case .chain(let authority, let result):
            guard var entry = chains[authority] else { return }
            entry.isAsked = false
            do throws(FileFailure) {
                let text = try result.get()
                entry.succeed(try TrustContent(text), renewal: moment.wall + Self.chainRenewal)
                entry.problem = storeChain(authority, text)
            } catch {
                entry.fail(error, of: authority, entry.content?.first, at: moment, spread)
            }
            chains[authority] = entry
        }
    }

    /// Makes the certificates of `owner` due, nil for all; tells how many there are.
    mutating func expire(of owner: ObjectID?) -> Int {
        let chosen = certificates.keys.filter { owner == nil || $0.identity.owner == owner }
        for name in chosen {
            certificates[name]?.renewal = .zero
            // Who asks for it may have mended what an attempt failed of.
            certificates[name]?.attempts.succeed()
        }
        return chosen.count
    }

    private func checked(
        _ chain: String,
        _ key: ACMKey,
        at now: Duration
    ) throws(FileFailure) -> ChainContent {
        let content = try ChainContent(
            chain: chain,
            key: { () throws(FileFailure) in key.pem },
            keyName: "the key"
        )
        if let problem = content.validity.problem(at: now) { throw FileFailure(text: problem) }
        return content
    }

    private mutating func renewal(of validity: Validity, now: Duration) -> Duration {
        let begin = Duration.seconds(validity.notBeforeSeconds)
        let life = Duration.seconds(validity.notAfterSeconds) - begin
        return begin + life * renewalShare(&generator)
    }
}

extension ACMCertificates.Entry {
    fileprivate func isDue(at moment: Moment) -> Bool {
        !isAsked && renewal <= moment.wall && attempts.isTime(at: moment)
    }

    fileprivate mutating func succeed(_ content: Content, renewal: Duration) {
        self.content = content
        self.renewal = renewal
        problem = nil
        attempts.succeed()
    }

    fileprivate mutating func fail(
        _ failure: FileFailure,
        of authority: ACMPrivateCA,
        _ last: Validity?,
        at moment: Moment,
        _ spread: Double
    ) {
        var problem = "ACM Private CA \(authority.authorityARN): \(failure.text)"
        if let last { problem += "; \(last.rest(at: moment.wall))" }
        self.problem = problem
        attempts.fail(at: moment, spread: spread)
    }
}

extension ACMCertificates {
    private struct Stored: Codable, CustomReflectable {
        var chain: String
        var key: String?
        var customMirror: Swift.Mirror { Swift.Mirror(self, children: []) }

        init(chain: String, key: String? = nil) {
            self.chain = chain
            self.key = key
        }
    }

    private func path(_ kind: String, _ parts: [String]) -> String {
        let hash = SHA256.hash(data: Array(parts.joined(separator: "\n").utf8)).prefix(16)
        return "\(folder)/\(kind)-\(hexadecimal(hash)).json"
    }

    private func path(_ name: ACMCertificateName) -> String {
        let identity = name.identity
        return path(
            "certificate",
            [name.authority.authorityARN, name.authority.endpoint ?? "", identity.mesh]
                + ["\(identity.owner)", identity.uri] + identity.dnsNames
        )
    }

    private func path(_ authority: ACMPrivateCA) -> String {
        path("authority", [authority.authorityARN, authority.endpoint ?? ""])
    }

    /// What an earlier daemon got; one that is damaged, or half over, is asked for anew.
    private mutating func stored(
        _ name: ACMCertificateName,
        _ now: Duration
    ) -> Entry<ChainContent> {
        guard let stored = read(path(name)), let key = stored.key,
            let content = try? checked(stored.chain, ACMKey(pem: key), at: now)
        else { return Entry() }
        return Entry(content: content, renewal: renewal(of: content.validity, now: now))
    }

    private func storedChain(_ authority: ACMPrivateCA) -> TrustContent? {
        read(path(authority)).flatMap { try? TrustContent($0.chain) }
    }

    private func store(_ name: ACMCertificateName, _ content: ChainContent) -> String? {
        guard case .certificate(let chain, let key) = content.material.content else { return nil }
        return write(Stored(chain: chain, key: key), to: path(name))
    }

    private func storeChain(_ authority: ACMPrivateCA, _ chain: String) -> String? {
        write(Stored(chain: chain), to: path(authority))
    }

    /// Removes the files of certificates that have ended, which nobody may want any more.
    private mutating func sweep(at now: Duration) {
        isSwept = true
        for file in (try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? [] {
            let path = "\(folder)/\(file)"
            guard let stored = read(path), stored.key != nil,
                let leaf = try? PEMReading.certificates(in: stored.chain).first,
                leaf.notAfterSeconds <= now.wholeSeconds
            else { continue }
            try? FileManager.default.removeItem(atPath: path)
        }
    }

    private func read(_ path: String) -> Stored? {
        guard let text = try? PrivateFile.read(path) else { return nil }
        return try? JSONDecoder().decode(Stored.self, from: Data(text.utf8))
    }

    private func write(_ stored: Stored, to path: String) -> String? {
        do {
            try PrivateFile.makeFolder(folder)
            let text = String(decoding: try JSONEncoder().encode(stored), as: UTF8.self)
            try PrivateFile.write(text, to: path)
            return nil
        } catch {
            let text = (error as? IdentityError)?.description ?? "cannot write \(path)"
            return "\(text); it is in use, and is bought again after a restart"
        }
    }
}

/// A PKCS#10 request for a certificate of `identity`, in PEM.
private func signingRequest(of identity: Identity, key: P256.Signing.PrivateKey) throws -> String {
    let names = SubjectNames(of: identity)
    let extensions = try Certificate.Extensions {
        Critical(BasicConstraints.notCertificateAuthority)
        Critical(KeyUsage(digitalSignature: true))
        try ExtendedKeyUsage([.serverAuth, .clientAuth])
        names.extension
    }
    // ACM's templates take the subject from the request, and want one.
    let subject = try DistinguishedName { CommonName(String(identity.owner.name.prefix(64))) }
    let request = try CertificateSigningRequest(
        version: .v1,
        subject: subject,
        privateKey: Certificate.PrivateKey(key),
        attributes: CertificateSigningRequest.Attributes([
            CertificateSigningRequest.Attribute(ExtensionRequest(extensions: extensions))
        ]),
        signatureAlgorithm: .ecdsaWithSHA256
    )
    return try request.serializeAsPEM().pemString + "\n"
}
