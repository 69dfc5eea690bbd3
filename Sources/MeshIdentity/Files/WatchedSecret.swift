internal import MeshModel
internal import SwiftASN1
internal import X509

/// What files hold, checked before it is served.
protocol FileContent: Sendable {
    /// Of what the files have to be good for.
    var validity: Validity { get }
}

/// A secret in files, looked at again and again; the last good content stays.
///
/// Looking tells by their stamps whether the files changed, so it costs a system call each.
struct WatchedSecret<Content: FileContent>: Sendable {
    /// How far the files are good at a moment; a text is made only when this changes.
    private enum Condition: Hashable {
        case good, damaged, early, late
    }

    private let paths: [String]
    /// As messages name the files.
    private let name: String
    private let load: @Sendable () throws(FileFailure) -> Content
    private var stamps: [FileStamp?] = []
    private var newest: Result<Content, FileFailure>?
    private var condition: Condition?
    private var isServedOver = false

    /// The newest content that was good; nil when there was none yet.
    private(set) var served: Content?
    /// Why the newest is not served, with its remedy.
    private(set) var problem: String?

    init(
        _ name: String,
        paths: [String],
        load: @escaping @Sendable () throws(FileFailure) -> Content
    ) {
        self.name = name
        self.paths = paths
        self.load = load
    }

    /// Looks at the files, and reads them when they changed; tells whether anything is new.
    mutating func look(at now: Duration) -> Bool {
        let stamps = paths.map { FileStamp($0) }
        let mustRead = newest == nil || stamps != self.stamps
        if mustRead {
            self.stamps = stamps
            do throws(FileFailure) { newest = .success(try load()) } catch {
                newest = .failure(error)
            }
        }
        let condition = condition(at: now)
        if condition == .good, mustRead || self.condition != .good, case .success(let new) = newest
        {
            served = new
        }
        let isServedOver = served.map { $0.validity.notAfterSeconds <= now.wholeSeconds } ?? false
        guard mustRead || condition != self.condition || isServedOver != self.isServedOver else {
            return false
        }
        self.condition = condition
        self.isServedOver = isServedOver
        problem = problem(at: now)
        return true
    }

    private func condition(at now: Duration) -> Condition {
        guard case .success(let content) = newest else { return .damaged }
        if now.wholeSeconds < content.validity.notBeforeSeconds { return .early }
        return now.wholeSeconds >= content.validity.notAfterSeconds ? .late : .good
    }

    private func problem(at now: Duration) -> String? {
        let cause: String?
        switch newest {
        case .failure(let failure): cause = failure.text
        case .success(let content): cause = content.validity.problem(at: now)
        case nil: cause = nil
        }
        guard let cause else { return nil }
        guard let served else { return "\(name): \(cause)" }
        return "\(name): \(cause); \(served.validity.rest(at: now))"
    }
}

/// A certificate chain with its key.
struct ChainContent: FileContent {
    var material: SecretMaterial
    var serial: String
    var validity: Validity
    /// When Heddle had it issued, in seconds since 1970; nil of files.
    var issuedSeconds: Int?
}

extension ChainContent {
    /// Checks that the texts in PEM belong together.
    ///
    /// `chain` is the leaf, and after each certificate the one that signed it; `key` is the leaf's
    /// private key, which messages call `keyName`.
    init(chain: String, key: () throws(FileFailure) -> String, keyName: String) throws(FileFailure)
    {
        let certificates = try PEMReading.certificates(in: chain)
        let leaf = certificates[0]
        let privateKey: Certificate.PrivateKey
        do throws(FileFailure) {
            privateKey = try PEMReading.privateKey(in: try key())
        } catch {
            throw FileFailure(code: error.code, text: "\(keyName): \(error.text)")
        }
        guard leaf.publicKey == privateKey.publicKey else {
            if certificates.contains(where: { $0.publicKey == privateKey.publicKey }) {
                throw FileFailure(text: "the leaf is not the first certificate in it; put it first")
            }
            throw FileFailure(
                text: "\(keyName) is the key of another certificate; give the one that this "
                    + "certificate was made with"
            )
        }
        if let problem = PEMReading.problem(ofOrder: certificates) {
            throw FileFailure(text: problem)
        }
        do {
            let pem = try certificates.map { try $0.pem }.joined()
            self.init(
                material: SecretMaterial(
                    version: "\(leaf.serial)-\(shortHash(pem))",
                    content: .certificate(
                        chain: pem,
                        privateKey: try privateKey.serializeAsPEM().pemString + "\n"
                    )
                ),
                serial: leaf.serial,
                validity: Validity(
                    notBeforeSeconds: leaf.notBeforeSeconds,
                    notAfterSeconds: leaf.notAfterSeconds
                )
            )
        } catch {
            throw FileFailure(text: "it can't be encoded again; write the file anew")
        }
    }
}

/// Authorities to trust.
struct TrustContent: FileContent {
    /// Each in PEM.
    var certificates: [String]
    /// While at least one of them is good.
    var validity: Validity
    /// Of the one that ends last.
    var last: Validity
}

extension TrustContent {
    /// Checks that `text` holds authorities in PEM.
    init(_ text: String) throws(FileFailure) {
        let all = try PEMReading.certificates(in: text)
        let authorities = all.filter(\.isAuthority)
        guard !authorities.isEmpty else {
            throw FileFailure(
                text: "none of the \(all.count) certificates in it is a CA's; give the certificate "
                    + "of the CA that signed those of the peers"
            )
        }
        let validities = authorities.map {
            Validity(notBeforeSeconds: $0.notBeforeSeconds, notAfterSeconds: $0.notAfterSeconds)
        }
        last =
            validities.max { $0.notAfterSeconds < $1.notAfterSeconds }
            ?? Validity(notBeforeSeconds: 0, notAfterSeconds: 0)
        validity = Validity(
            notBeforeSeconds: validities.map(\.notBeforeSeconds).min() ?? 0,
            notAfterSeconds: validities.map(\.notAfterSeconds).max() ?? 0
        )
        do { certificates = try all.map { try $0.pem } } catch {
            throw FileFailure(text: "it can't be encoded again; write the file anew")
        }
    }
}

extension WatchedSecret<ChainContent> {
    /// The certificate in `files`.
    init(_ files: FileCertificate) {
        self.init(
            "certificate \(files.certificateChain)",
            paths: [files.certificateChain, files.privateKey]
        ) { () throws(FileFailure) in
            try ChainContent(
                chain: FileText.read(files.certificateChain),
                key: { () throws(FileFailure) in try FileText.read(files.privateKey) },
                keyName: "key \(files.privateKey)"
            )
        }
    }
}

extension WatchedSecret<TrustContent> {
    /// The authorities in the file `path`.
    init(_ path: String) {
        self.init("trusted CA \(path)", paths: [path]) { () throws(FileFailure) in
            try TrustContent(FileText.read(path))
        }
    }
}
