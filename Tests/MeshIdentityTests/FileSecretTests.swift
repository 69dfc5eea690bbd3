import Foundation
import MeshModel
import Testing

@testable import MeshIdentity

@Suite struct FileSecretTests {
    private let folder: TemporaryFolder
    private let authority: TestAuthority

    init() throws {
        folder = try TemporaryFolder()
        authority = try TestAuthority("ca")
    }

    private var files: FileCertificate {
        FileCertificate(
            certificateChain: "\(folder.path)/tls.pem",
            privateKey: "\(folder.path)/tls.key"
        )
    }

    private var spec: SecretSpec { .certificate(.files(files)) }

    private func trial(_ specs: SecretSpec...) throws -> Trial {
        try Trial(wanting: Set(specs))
    }

    @Test func `a pair of files is served, and a new pair a second later`() async throws {
        let first = try authority.leaf()
        try first.write(to: folder, "tls", above: [authority])
        var trial = try trial(spec)
        await trial.turn()
        #expect(trial.serial(spec) == first.certificate.serial)
        #expect(try trial.chain(spec) == first.pem + authority.pem)
        #expect(try trial.key(spec) == first.keyPEM)
        #expect(
            trial.holdings.secrets[spec]?.notAfterSeconds == Trial.start.wholeSeconds + 30 * 86400
        )
        #expect(trial.holdings.secrets[spec]?.rotatedSeconds == nil)
        let version = try trial.material(spec).version
        await trial.turn(after: .seconds(1))
        #expect(try trial.material(spec).version == version)
        let second = try authority.leaf()
        try second.write(to: folder, "tls", above: [authority])
        await trial.turn(after: .seconds(1))
        #expect(trial.serial(spec) == second.certificate.serial)
        #expect(trial.holdings.secrets[spec]?.rotatedSeconds == Trial.start.wholeSeconds + 2)
        // No authority of Heddle's own is made for files.
        #expect(trial.holdings.authorities.observations(at: trial.moment.wall).count == 1)
    }

    @Test func `a volume of Kubernetes, which swaps a link, is seen`() async throws {
        let names = ["first", "second"]
        var serials: [String] = []
        for name in names {
            try FileManager.default.createDirectory(
                atPath: "\(folder.path)/\(name)",
                withIntermediateDirectories: true
            )
            let leaf = try authority.leaf()
            try leaf.write(to: folder, "\(name)/tls")
            serials.append(leaf.certificate.serial)
        }
        func link(_ name: String, to target: String) throws {
            try FileManager.default.createSymbolicLink(
                atPath: "\(folder.path)/\(name)",
                withDestinationPath: target
            )
        }
        try link("..data", to: "first")
        try link("tls.pem", to: "..data/tls.pem")
        try link("tls.key", to: "..data/tls.key")
        var trial = try trial(spec)
        await trial.turn()
        #expect(trial.serial(spec) == serials[0])
        try link("..tmp", to: "second")
        #expect(rename("\(folder.path)/..tmp", "\(folder.path)/..data") == 0)
        await trial.turn(after: .seconds(1))
        #expect(trial.serial(spec) == serials[1])
    }

    enum Mistake: String, CaseIterable {
        case missing, noPEM, noCertificate, damaged, otherKey, leafNotFirst, wrongOrder, expired
        case notYetValid, encryptedKey, damagedKey, keyMissing, folder, tooLarge

        var message: String {
            switch self {
            case .missing: "cannot read it: no such file or directory; put a file there"
            case .noPEM:
                "there is no PEM in it; give certificates between lines -----BEGIN CERTIFICATE----- and "
                    + "-----END CERTIFICATE-----"
            case .noCertificate: "there is no certificate in it, only PRIVATE KEY; give CERTIFICATE"
            case .damaged:
                "certificate 1 of 1 in it is damaged, or its key is not EC, RSA or Ed25519; write the file anew"
            case .otherKey:
                "key F.key is the key of another certificate; give the one that this certificate was made "
                    + "with"
            case .leafNotFirst: "the leaf is not the first certificate in it; put it first"
            case .wrongOrder:
                "certificate 2 in it did not sign certificate 1; put the leaf first and after each "
                    + "certificate the one that signed it"
            case .expired: "it ended 2 hours ago (2026-11-23T05:00:00Z); put a new one there"
            case .notYetValid: "it begins in 5 minutes (2026-11-23T07:05:00Z); is the clock right?"
            case .encryptedKey:
                "key F.key: the key is encrypted; take the passphrase off (openssl pkey -in FILE -out "
                    + "FILE.new) and protect the file by its permissions"
            case .damagedKey:
                "key F.key: the key is damaged or of an unknown kind; give an EC (P-256, P-384 or P-521), "
                    + "RSA or Ed25519 key"
            case .keyMissing:
                "key F.key: cannot read it: no such file or directory; put a file there"
            case .folder: "cannot read it: is a directory"
            case .tooLarge: "it is larger than 4 MiB; is the path right?"
            }
        }
    }

    @Test(arguments: Mistake.allCases)
    func `a wrong pair leaves the last good one in use, and says why`(mistake: Mistake) async throws
    {
        let good = try authority.leaf()
        try good.write(to: folder, "tls")
        var trial = try trial(spec)
        await trial.turn()
        try await write(mistake)
        await trial.turn(after: .milliseconds(1))
        let said = trial.problem(spec)?.replacingOccurrences(of: "\(folder.path)/tls", with: "F")
        #expect(
            said == "certificate F.pem: \(mistake.message); the one before stays in use until "
                + "2026-12-23T07:00:00Z"
        )
        #expect(trial.serial(spec) == good.certificate.serial)
        #expect(try trial.chain(spec) == good.pem)
        // Mended, all is well.
        let better = try authority.leaf()
        try? FileManager.default.removeItem(atPath: files.certificateChain)
        try better.write(to: folder, "tls")
        await trial.turn(after: .seconds(1))
        #expect(trial.problem(spec) == nil && trial.serial(spec) == better.certificate.serial)
    }

    @Test(arguments: Mistake.allCases)
    func `a wrong pair is not served at all when there was no other`(mistake: Mistake) async throws
    {
        try authority.leaf().write(to: folder, "tls")
        try await write(mistake)
        var trial = try trial(spec)
        await trial.turn()
        let said = trial.problem(spec)?.replacingOccurrences(of: "\(folder.path)/tls", with: "F")
        #expect(said == "certificate F.pem: \(mistake.message)")
        #expect(trial.holdings.materials == [:])
        #expect(trial.holdings.secrets[spec]?.notAfterSeconds == nil)
    }

    private func write(_ mistake: Mistake) async throws {
        let start = Trial.start
        switch mistake {
        case .missing: try FileManager.default.removeItem(atPath: files.certificateChain)
        case .noPEM: try folder.write("tls.pem", "hello")
        case .noCertificate: try folder.write("tls.pem", authority.keyPEM)
        case .damaged:
            try folder.write(
                "tls.pem",
                "-----BEGIN CERTIFICATE-----\nMAAA\n-----END CERTIFICATE-----\n"
            )
        case .otherKey: try folder.write("tls.key", authority.keyPEM)
        case .leafNotFirst:
            let leaf = try authority.leaf()
            try folder.write("tls.pem", authority.pem + leaf.pem)
            try folder.write("tls.key", leaf.keyPEM)
        case .wrongOrder:
            try authority.leaf().write(to: folder, "tls", above: [TestAuthority("other")])
        case .expired:
            try authority.leaf(ends: start - .seconds(7200)).write(to: folder, "tls")
        case .notYetValid:
            try authority.leaf(begins: start + .seconds(300)).write(to: folder, "tls")
        case .encryptedKey:
            try await encrypt("tls.key", in: folder)
        case .damagedKey:
            try folder.write(
                "tls.key",
                "-----BEGIN PRIVATE KEY-----\nMAAA\n-----END PRIVATE KEY-----\n"
            )
        case .keyMissing: try FileManager.default.removeItem(atPath: files.privateKey)
        case .folder:
            try FileManager.default.removeItem(atPath: files.certificateChain)
            try FileManager.default.createDirectory(
                atPath: files.certificateChain,
                withIntermediateDirectories: false
            )
        case .tooLarge: try folder.write("tls.pem", String(repeating: "x", count: 5 << 20))
        }
    }

    @Test func `a certificate that has not begun is served once it has`() async throws {
        let leaf = try authority.leaf(begins: Trial.start + .seconds(300))
        try leaf.write(to: folder, "tls")
        var trial = try trial(spec)
        await trial.turn()
        #expect(trial.serial(spec) == nil)
        await trial.turn(after: .seconds(300))
        #expect(trial.serial(spec) == leaf.certificate.serial)
        #expect(trial.problem(spec) == nil)
    }

    @Test func `a certificate that ends in use is told of, and stays as there is no other`()
        async throws
    {
        let leaf = try authority.leaf(ends: Trial.start + .seconds(60))
        try leaf.write(to: folder, "tls")
        var trial = try trial(spec)
        await trial.turn()
        #expect(trial.problem(spec) == nil)
        await trial.turn(after: .seconds(61))
        #expect(
            trial.problem(spec) == "certificate \(files.certificateChain): it ended 1 second ago "
                + "(2026-11-23T07:01:00Z); put a new one there; the one before ended at "
                + "2026-11-23T07:01:00Z, so peers refuse it"
        )
        #expect(trial.serial(spec) == leaf.certificate.serial)
        // The line does not change each second.
        let problem = trial.problem(spec)
        await trial.turn(after: .seconds(60))
        #expect(trial.problem(spec) == problem)
    }

    @Test func `a key that may not be read says for whom`() async throws {
        try authority.leaf().write(to: folder, "tls")
        #expect(chmod(files.privateKey, 0) == 0)
        let look = { @Sendable (secret: WatchedSecret<ChainContent>) in
            await asNobody {
                var secret = secret
                _ = secret.look(at: Trial.start)
                return secret
            }
        }
        let unreadable = await look(WatchedSecret(files))
        #expect(
            unreadable.problem
                == "certificate \(files.certificateChain): key \(files.privateKey): "
                + "cannot read it: permission denied; let the user \(geteuid()) read it and enter its "
                + "folders"
        )
        #expect(chmod(files.privateKey, 0o644) == 0)
        let readable = await look(unreadable)
        #expect(readable.problem == nil)
        #expect(readable.served != nil)
    }

    @Test func `trust is all authorities in a file`() async throws {
        let other = try TestAuthority("other", ends: Trial.start + .seconds(3600))
        let path = try folder.write("ca.pem", authority.pem + other.pem)
        let spec = SecretSpec.trust([.file(path)])
        var trial = try trial(spec)
        await trial.turn()
        #expect(certificateCount(try trial.trust(spec)) == 2)
        let end = Trial.start.wholeSeconds + 365 * 86400
        #expect(trial.holdings.secrets[spec]?.notAfterSeconds == end)
        let version = try trial.material(spec).version
        // The order is of no meaning, so nothing is sent for it.
        try folder.write("ca.pem", other.pem + authority.pem)
        await trial.turn(after: .seconds(1))
        #expect(try trial.material(spec).version == version)
        try folder.write("ca.pem", authority.leaf().pem)
        await trial.turn(after: .seconds(1))
        #expect(
            trial.problem(spec)
                == "trusted CA \(path): none of the 1 certificates in it is a CA's; give "
                + "the certificate of the CA that signed those of the peers; the one before stays in "
                + "use until 2027-11-23T07:00:00Z"
        )
        #expect(certificateCount(try trial.trust(spec)) == 2)
    }

    @Test func `trust ends with the last of its authorities`() async throws {
        let ended = try TestAuthority("ended", ends: Trial.start - .seconds(60))
        let ending = try TestAuthority("ending", ends: Trial.start + .seconds(60))
        let bundle = try folder.write("ca.pem", ended.pem + authority.pem)
        let other = try folder.write("other.pem", ending.pem)
        let both = SecretSpec.trust([.file(bundle), .file(other)])
        let one = SecretSpec.trust([.file(bundle)])
        var trial = try trial(one, both)
        await trial.turn()
        let end = Trial.start.wholeSeconds + 365 * 86400
        #expect(trial.holdings.secrets[one]?.notAfterSeconds == end)
        #expect(trial.problem(one) == nil)
        #expect(certificateCount(try trial.trust(one)) == 2)
        await trial.turn(after: .seconds(61))
        #expect(trial.holdings.secrets[both]?.notAfterSeconds == end)
        // A source of which nothing holds is told of.
        #expect(
            trial.problem(both)?.hasPrefix("trusted CA \(other): it ended 1 second ago") == true
        )
        #expect(certificateCount(try trial.trust(both)) == 3)
    }

    @Test func `trust of several sources is their union, of those that there are`() async throws {
        let path = try folder.write("ca.pem", authority.pem)
        let missing = "\(folder.path)/none.pem"
        let spec = SecretSpec.trust([.mesh("color"), .file(path), .file(missing), .mesh("shape")])
        var trial = try trial(spec, trust("color"))
        await trial.turn()
        let union = try trial.trust(spec)
        #expect(certificateCount(union) == 3)
        #expect(union.contains(try trial.trust(trust("color"))))
        #expect(union.contains(try authority.pem))
        #expect(
            trial.problem(spec)
                == "trusted CA \(missing): cannot read it: no such file or directory; put a file there"
        )
    }
}

/// Runs `body` on a thread that may read no more than any other user, as a superuser may read all.
private func asNobody<Result: Sendable>(_ body: @escaping @Sendable () -> Result) async -> Result {
    await withCheckedContinuation { done in
        Thread.detachNewThread {
            // A user of this thread alone, for access to files; Swift imports no header for it.
            typealias SetUser = @convention(c) (UInt32) -> Int32
            if geteuid() == 0, let symbol = dlsym(nil, "setfsuid") {
                _ = unsafeBitCast(symbol, to: SetUser.self)(65534)
            }
            done.resume(returning: body())
        }
    }
}
