import Crypto
import Foundation
import MeshModel
import Testing
import X509

@testable import MeshIdentity

@Suite struct BroughtAuthorityTests {
    private let folder: TemporaryFolder

    init() throws { folder = try TemporaryFolder() }

    private func trial(
        _ files: FileCertificate,
        at wall: Duration = Trial.start
    ) throws -> Trial {
        try Trial(in: folder, wanting: [issued("blue"), trust("color")], at: wall) {
            $0.broughtAuthority = files
        }
    }

    @Test(arguments: ["P-256", "P-384", "Ed25519"])
    func `a root that is brought signs the authorities of meshes`(kind: String) async throws {
        let key: Certificate.PrivateKey =
            switch kind {
            case "P-384": Certificate.PrivateKey(P384.Signing.PrivateKey())
            case "Ed25519": Certificate.PrivateKey(Curve25519.Signing.PrivateKey())
            default: Certificate.PrivateKey(P256.Signing.PrivateKey())
            }
        let root = try TestAuthority(key: key)
        var trial = try trial(root.write(to: folder))
        await trial.turn()
        let chain = try trial.chain(issued("blue"))
        #expect(certificateCount(chain) == 2)
        let isSigned = try await isAccepted(
            chain,
            by: root.pem,
            at: trial.moment.wall.wholeSeconds,
            in: folder
        )
        #expect(isSigned)
        // The key stays in the user's file.
        #expect(!(try folder.read("ca/root.json").contains("PRIVATE KEY")))
    }

    @Test(arguments: [
        ["genrsa", "-traditional", "-out", "ca.key", "2048"],
        ["genrsa", "-out", "ca.key", "2048"],
        ["ecparam", "-name", "prime256v1", "-genkey", "-out", "ca.key"],
        ["genpkey", "-algorithm", "ed25519", "-out", "ca.key"],
    ])
    func `keys as OpenSSL writes them are read`(words: [String]) async throws {
        let made = await command(["openssl"] + words, in: folder.path)
        #expect(made.status == 0, "\(made.said)")
        let wall = Duration.seconds(Date.now.timeIntervalSince1970)
        try await openssl(
            in: folder,
            "req",
            "-x509",
            "-key",
            "ca.key",
            "-subj",
            "/CN=mine",
            "-days",
            "30",
            "-addext",
            "keyUsage=critical,keyCertSign",
            "-out",
            "ca.pem"
        )
        let files = FileCertificate(
            certificateChain: "\(folder.path)/ca.pem",
            privateKey: "\(folder.path)/ca.key"
        )
        // A certificate begins in whole seconds.
        var trial = try trial(files, at: wall + .seconds(2))
        await trial.turn()
        let isSigned = try await isAccepted(
            trial.chain(issued("blue")),
            by: folder.read("ca.pem"),
            at: trial.moment.wall.wholeSeconds,
            in: folder
        )
        #expect(isSigned)
    }

    @Test func `an intermediate that is brought is presented too, so that its root is enough`()
        async throws
    {
        let root = try TestAuthority("root")
        let middle = try TestAuthority("middle", pathLength: 1, issuer: root)
        var trial = try trial(middle.write(to: folder, above: [root]))
        await trial.turn()
        let chain = try trial.chain(issued("blue"))
        #expect(certificateCount(chain) == 3)
        let isSigned = try await isAccepted(
            chain,
            by: root.pem,
            at: trial.moment.wall.wholeSeconds,
            in: folder
        )
        #expect(isSigned)
    }

    enum Mistake: String, CaseIterable {
        case noCA, pathLengthZero, otherKey, missing, noPEM, keyNoPEM, expired, notYetValid,
            encrypted
        case wrongOrder

        var message: String {
            switch self {
            case .noCA:
                "--ca-certificate F.pem: it is not the certificate of a CA; give one with "
                    + "basicConstraints CA:TRUE"
            case .pathLengthZero:
                "--ca-certificate F.pem: its path length is 0, so it may not sign the CA of a mesh; give "
                    + "one with a path length of 1 or more, or none"
            case .otherKey:
                "--ca-certificate F.pem: the key of --ca-key F.key belongs to another certificate; give "
                    + "the one that it was made with"
            case .missing:
                "--ca-certificate F.pem: cannot read it: no such file or directory; put a file there"
            case .noPEM:
                "--ca-certificate F.pem: there is no PEM in it; give certificates between lines "
                    + "-----BEGIN CERTIFICATE----- and -----END CERTIFICATE-----"
            case .keyNoPEM:
                "--ca-key F.key: there is no key in it, only CERTIFICATE; give PRIVATE KEY"
            case .expired:
                "--ca-certificate F.pem: it ended 3 days ago (2026-11-20T07:00:00Z); put a new one there"
            case .notYetValid:
                "--ca-certificate F.pem: it begins in 5 minutes (2026-11-23T07:05:00Z); is the clock "
                    + "right?"
            case .encrypted:
                "--ca-key F.key: the key is encrypted; take the passphrase off (openssl pkey -in FILE "
                    + "-out FILE.new) and protect the file by its permissions"
            case .wrongOrder:
                "--ca-certificate F.pem: certificate 2 in it did not sign certificate 1; put the leaf "
                    + "first and after each certificate the one that signed it"
            }
        }
    }

    @Test(arguments: Mistake.allCases)
    func `a CA that is of no use is refused with its reason`(mistake: Mistake) async throws {
        let files = try await write(mistake)
        let error = #expect(throws: IdentityError.self) { try trial(files) }
        let path = files.certificateChain.dropLast(4)
        let said = error?.description.replacingOccurrences(of: path, with: "F")
        #expect(said == mistake.message)
        #expect(!FileManager.default.fileExists(atPath: "\(folder.path)/ca/root.json"))
    }

    private func write(_ mistake: Mistake) async throws -> FileCertificate {
        let start = Trial.start
        switch mistake {
        case .noCA:
            return try TestAuthority(isAuthority: false).write(to: folder)
        case .pathLengthZero:
            return try TestAuthority(pathLength: 0).write(to: folder)
        case .otherKey:
            let files = try TestAuthority().write(to: folder)
            try folder.write("brought.key", TestAuthority().keyPEM)
            return files
        case .missing:
            let files = try TestAuthority().write(to: folder)
            try FileManager.default.removeItem(atPath: files.certificateChain)
            return files
        case .noPEM:
            let files = try TestAuthority().write(to: folder)
            try folder.write("brought.pem", "certificate")
            return files
        case .keyNoPEM:
            let files = try TestAuthority().write(to: folder)
            try folder.write("brought.key", TestAuthority().pem)
            return files
        case .expired:
            return try TestAuthority(
                begins: start - .seconds(9 * 86400),
                ends: start - .seconds(3 * 86400)
            ).write(to: folder)
        case .notYetValid:
            return try TestAuthority(begins: start + .seconds(300)).write(to: folder)
        case .encrypted:
            let files = try TestAuthority().write(to: folder)
            try await encrypt("brought.key", in: folder)
            return files
        case .wrongOrder:
            return try TestAuthority("root").write(to: folder, above: [TestAuthority("other")])
        }
    }

    @Test func `a new CA in the files is a rotation`() async throws {
        let old = try TestAuthority("old")
        let new = try TestAuthority("new")
        var trial = try trial(old.write(to: folder))
        await trial.turn()
        let leaf = try trial.chain(issued("blue"))
        try new.write(to: folder)
        await trial.turn(after: .seconds(1))
        #expect(trial.authorities(nil, .signing).map(\.serial) == [new.certificate.serial])
        #expect(trial.authorities(nil, .retiring).map(\.serial) == [old.certificate.serial])
        #expect(trial.authorities("color", .announced).count == 1)
        #expect(try trial.chain(issued("blue")) == leaf)
        trial.isDistributed = true
        await trial.turn(after: .seconds(1))
        let now = trial.moment.wall.wholeSeconds
        let bundle = try trial.trust(trust("color"))
        let isOldTrusted = try await isAccepted(leaf, by: bundle, at: now, in: folder)
        let chain = try trial.chain(issued("blue"))
        let isNewTrusted = try await isAccepted(chain, by: bundle, at: now, in: folder)
        let isSigned = try await isAccepted(chain, by: new.pem, at: now, in: folder)
        #expect(isOldTrusted && isNewTrusted && isSigned)
    }

    @Test func `a new CA at the start waits for proxies that outlived the last daemon`()
        async throws
    {
        var first = try Trial(in: folder, wanting: [issued("blue"), trust("color")])
        await first.turn()
        let old = first.authorities("color", .signing).map(\.serial)
        var second = try trial(TestAuthority().write(to: folder))
        // Of those that are not back yet nobody knows.
        second.isDistributed = true
        await second.turn()
        let new = second.authorities("color", .announced).map(\.serial)
        #expect(new.count == 1)
        for pause in [Duration.seconds(1), .seconds(28)] {
            await second.turn(after: pause)
            #expect(second.authorities("color", .signing).map(\.serial) == old)
        }
        await second.turn(after: .seconds(1))
        #expect(second.authorities("color", .signing).map(\.serial) == new)
        // Later their word counts at once.
        _ = try second.holdings.rotate(.meshAuthority("color"), at: second.moment)
        await second.turn(after: .seconds(1))
        await second.turn(after: .seconds(1))
        #expect(second.authorities("color", .retiring).count == 2)
    }

    @Test func `a new CA that is of no use leaves the old one in use`() async throws {
        let old = try TestAuthority("old")
        var trial = try trial(old.write(to: folder))
        await trial.turn()
        try TestAuthority("new", pathLength: 0).write(to: folder)
        await trial.turn(after: .seconds(1))
        let root = try #require(trial.authorities(nil, .signing).first)
        #expect(root.serial == old.certificate.serial)
        #expect(
            root.problem
                == "--ca-certificate \(folder.path)/brought.pem: its path length is 0, so it may "
                + "not sign the CA of a mesh; give one with a path length of 1 or more, or none; the "
                + "certificate \(root.serial) stays in use until 2027-11-23T07:00:00Z"
        )
        try old.write(to: folder)
        await trial.turn(after: .seconds(1))
        #expect(trial.authorities(nil, .signing).first?.problem == nil)
    }

    @Test func `a CA that is brought replaces Heddle's own, and the other way round`() async throws
    {
        var own = try Trial(in: folder, wanting: [issued("blue")])
        await own.turn()
        let ownRoot = own.authorities(nil, .signing).map(\.serial)
        let brought = try TestAuthority()
        var second = try trial(brought.write(to: folder))
        await second.turn()
        #expect(second.authorities(nil, .signing).map(\.serial) == [brought.certificate.serial])
        #expect(second.authorities(nil, .retiring).map(\.serial) == ownRoot)
        #expect(second.authorities(nil, .signing).map { $0.issuedSeconds == nil } == [true])
        #expect(second.holdings.authorities.roots.retiring.map { $0.key == nil } == [true])
        #expect(second.authorities("color", .announced).count == 1)
        let third = try Trial(in: folder, wanting: [issued("blue")])
        #expect(third.authorities(nil, .signing).map(\.serial) != ownRoot)
        #expect(
            third.authorities(nil, .retiring).map(\.serial).contains(brought.certificate.serial)
        )
    }

    @Test func `a root that is brought is not rotated on request`() async throws {
        let files = try TestAuthority().write(to: folder)
        var trial = try trial(files)
        await trial.turn()
        let error = #expect(throws: IdentityError.self) {
            try trial.holdings.rotate(.root, at: trial.moment)
        }
        #expect(
            error?.description
                == "the root is --ca-certificate \(files.certificateChain); write a new "
                + "certificate and key to the files, and Heddle takes them"
        )
    }

    @Test func `a CA that ends soon is told of`() async throws {
        let begins = Trial.start - .seconds(300 * 86400)
        let ends = Trial.start + .seconds(20 * 86400)
        let files = try TestAuthority(begins: begins, ends: ends).write(to: folder)
        var trial = try trial(files)
        await trial.turn()
        #expect(
            trial.authorities(nil, .signing).first?.problem
                == "--ca-certificate \(files.certificateChain): it ends at 2026-12-13T07:00:00Z; write a "
                + "new certificate and key to the files"
        )
    }

    @Test func `a key that others may read is warned about`() throws {
        let files = try TestAuthority().write(to: folder)
        #expect(chmod(files.privateKey, 0o644) == 0)
        let trial = try trial(files)
        #expect(
            trial.log.lines.contains(
                "others may read the CA's key; take their permission (chmod 600) "
                    + "path=\(files.privateKey)"
            )
        )
    }
}
