internal import Crypto
internal import FoundationEssentials
internal import SwiftASN1
internal import X509

/// The folder in which authorities and their keys outlive the daemon, one file for each Mesh and one
/// for the root.
///
/// A file holds all authorities of its Mesh and what each does, so a step of a rotation is one rename.
struct AuthorityFolder: Sendable {
    private let path: String

    /// Opens the folder `path`, made if it is not there.
    init(_ path: String) throws(IdentityError) {
        self.path = path
        try PrivateFile.makeFolder(path)
        try PrivateFile.makeFolder("\(path)/meshes")
    }

    /// The file of the root.
    var rootPath: String { "\(path)/root.json" }

    /// The file of the Mesh `mesh`.
    func path(ofMesh mesh: String) -> String {
        let isPlain =
            !mesh.hasPrefix(".") && mesh.utf8.count <= 200
            && mesh.utf8.allSatisfy {
                (UInt8(ascii: "a")...UInt8(ascii: "z")).contains($0)
                    || (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0)
                    || $0 == UInt8(ascii: "-") || $0 == UInt8(ascii: ".")
            }
        let name = isPlain ? mesh : "_\(hexadecimal(SHA256.hash(data: Array(mesh.utf8))))"
        return "\(path)/meshes/\(name).json"
    }

    /// Whether any Mesh has authorities here.
    var hasMeshes: Bool {
        let files = try? FileManager.default.contentsOfDirectory(atPath: "\(path)/meshes")
        return files?.contains { $0.hasSuffix(".json") } ?? false
    }

    /// The authorities of the Mesh `mesh`; nil when it had none yet.
    func lineage(ofMesh mesh: String) throws(IdentityError) -> Lineage? {
        let path = path(ofMesh: mesh)
        let remedy =
            "restore the file, or remove it and Heddle makes a new authority, which proxies trust "
            + "once they hear of it"
        guard let record: LineageRecord = try record(path, remedy: remedy) else { return nil }
        do {
            guard record.mesh == mesh else { throw FileFailure(text: "it is of another Mesh") }
            return try record.lineage
        } catch {
            throw damaged(path, error, remedy: remedy)
        }
    }

    /// Keeps the authorities of a Mesh.
    func save(_ lineage: Lineage) throws(IdentityError) {
        try write(path(ofMesh: lineage.mesh)) { try LineageRecord(lineage) }
    }

    /// The roots; nil when there was none yet.
    func roots() throws(IdentityError) -> RootRecord? {
        let record: RootRecord? = try record(rootPath, remedy: rootRemedy)
        if let record, let problem = record.problem {
            throw IdentityError("\(rootPath): \(problem); \(rootRemedy)")
        }
        return record
    }

    /// Keeps the roots.
    func save(_ roots: RootRecord) throws(IdentityError) { try write(rootPath) { roots } }

    private var rootRemedy: String {
        "restore the file from a copy, or remove the folder \(path) to begin with a new root, which "
            + "all proxies and callers have to learn"
    }

    private func record<Record: Decodable>(
        _ path: String,
        remedy: String
    ) throws(IdentityError) -> Record? {
        guard let text = try PrivateFile.read(path) else { return nil }
        do {
            return try JSONDecoder().decode(Record.self, from: Data(text.utf8))
        } catch {
            throw damaged(path, error, remedy: remedy)
        }
    }

    // The cause of a decoder may quote the file, and the file holds keys.
    private func damaged(
        _ path: String,
        _ cause: any Error,
        remedy: String
    ) -> IdentityError {
        let what = (cause as? FileFailure)?.text ?? "it is damaged"
        return IdentityError("\(path): \(what); \(remedy)")
    }

    private func write(
        _ path: String,
        _ record: () throws -> some Encodable
    ) throws(IdentityError) {
        let text: String
        do {
            let encoder = JSONEncoder()
            encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
            text = String(decoding: try encoder.encode(try record()), as: UTF8.self) + "\n"
        } catch {
            preconditionFailure("records of authorities can always be encoded")
        }
        try PrivateFile.write(text, to: path)
    }
}

/// An authority as it stands in a file.
struct AuthorityRecord: Codable, Sendable, CustomStringConvertible, CustomReflectable {
    var certificate: String
    /// Its private key in PKCS#8; a retiring authority keeps none.
    var key: String?
    var above: String
    var issuer: String
    var issuedSeconds: Int?

    init(_ authority: Authority, withKey: Bool = true) throws {
        certificate = authority.pem
        key = withKey ? try authority.key.map { try $0.serializeAsPEM().pemString + "\n" } : nil
        above = authority.above
        issuer = authority.issuer
        issuedSeconds = authority.issuedSeconds
    }

    var description: String { "record of an authority" }
    var customMirror: Swift.Mirror { Swift.Mirror(self, children: []) }

    /// The authority, checked.
    func authority(mustSign: Bool) throws(FileFailure) -> Authority {
        let certificate = try PEMReading.certificates(in: certificate)[0]
        var ownKey: Certificate.PrivateKey?
        if let key {
            let parsed = try PEMReading.privateKey(in: key)
            guard parsed.publicKey == certificate.publicKey else {
                throw FileFailure(text: "its key belongs to another certificate")
            }
            ownKey = parsed
        }
        guard ownKey != nil || !mustSign else {
            throw FileFailure(text: "its key is missing")
        }
        guard
            let authority = try? Authority(
                certificate,
                key: ownKey,
                above: above,
                issuer: issuer,
                issuedSeconds: issuedSeconds
            )
        else { throw FileFailure(text: "its certificate is damaged") }
        return authority
    }
}

/// The authorities of a Mesh as they stand in a file.
private struct LineageRecord: Codable {
    struct Retiring: Codable {
        var authority: AuthorityRecord
        var trustedUntilSeconds: Int
    }

    var mesh: String
    var signing: AuthorityRecord
    var announced: AuthorityRecord?
    var retiring: [Retiring]
    var longestLifetimeSeconds: Int

    init(_ lineage: Lineage) throws {
        mesh = lineage.mesh
        signing = try AuthorityRecord(lineage.signing)
        announced = try lineage.announced.map { try AuthorityRecord($0) }
        retiring = try lineage.retiring.map {
            Retiring(
                authority: try AuthorityRecord($0.authority, withKey: false),
                trustedUntilSeconds: $0.trustedUntilSeconds
            )
        }
        longestLifetimeSeconds = lineage.longestLifetimeSeconds
    }

    var lineage: Lineage {
        get throws(FileFailure) {
            var retired: [Lineage.Retiring] = []
            for entry in retiring {
                retired.append(
                    Lineage.Retiring(
                        authority: try entry.authority.authority(mustSign: false),
                        trustedUntilSeconds: entry.trustedUntilSeconds
                    )
                )
            }
            var announced: Authority?
            if let record = self.announced { announced = try record.authority(mustSign: true) }
            return Lineage(
                mesh: mesh,
                signing: try signing.authority(mustSign: true),
                announced: announced,
                retiring: retired,
                longestLifetimeSeconds: longestLifetimeSeconds
            )
        }
    }
}

/// The roots as they stand in a file.
struct RootRecord: Codable, Sendable {
    /// The one that signs; without a key it was brought by a user.
    var signing: AuthorityRecord
    var isBrought: Bool
    /// Those that signed authorities which are in use yet, without keys.
    var retiring: [AuthorityRecord]

    /// What is wrong with it.
    var problem: String? {
        do throws(FileFailure) {
            _ = try signing.authority(mustSign: !isBrought)
            for record in retiring { _ = try record.authority(mustSign: false) }
            return nil
        } catch {
            return error.text
        }
    }
}
