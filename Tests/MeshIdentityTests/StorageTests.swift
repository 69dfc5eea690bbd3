import Foundation
import MeshModel
import Testing

@testable import MeshIdentity

@Suite struct StorageTests {
    private let specs: Set<SecretSpec> = [issued("blue"), trust("color")]

    @Test func `keys are for their owner only`() async throws {
        var trial = try Trial(wanting: specs)
        await trial.turn()
        let modes = try ["ca", "ca/meshes", "ca/root.json", "ca/meshes/color.json"].map {
            try mode("\(trial.folder.path)/\($0)")
        }
        #expect(modes == [0o700, 0o700, 0o600, 0o600])
        let files = FileManager.default.subpaths(atPath: trial.folder.path)
        #expect(
            files?.sorted() == ["ca", "ca/meshes", "ca/meshes/color.json", "ca/root.json"]
        )
    }

    @Test func `authorities outlive the daemon, and those of a mesh that nobody wants do too`()
        async throws
    {
        let folder = try TemporaryFolder()
        var first = try Trial(in: folder, wanting: specs)
        await first.turn()
        let color = first.authorities("color", .signing).map(\.serial)
        first.specs = [trust("shape")]
        await first.turn()
        #expect(first.authorities("color", .signing) == [])
        var second = try Trial(in: folder, wanting: specs)
        await second.turn()
        #expect(second.authorities("color", .signing).map(\.serial) == color)
    }

    enum Damage: String, CaseIterable {
        case empty, half, noJSON, noKey, otherKey, damagedCertificate
    }

    /// The text of an authority's file with something wrong in it.
    private func damaged(_ text: String, _ damage: Damage) throws -> String {
        let key = "(-----BEGIN PRIVATE KEY-----).*?(-----END PRIVATE KEY-----)"
        let other = try TestAuthority().keyPEM.trimmingCharacters(in: .newlines)
            .replacingOccurrences(of: "\n", with: "\\\\n")
        switch damage {
        case .empty: return ""
        case .half: return String(text.prefix(text.count / 2))
        case .noJSON: return "-----BEGIN CERTIFICATE-----"
        case .noKey:
            return text.replacingOccurrences(
                of: #",\s*"key" : "[^"]*""#,
                with: "",
                options: .regularExpression
            )
        case .otherKey:
            return text.replacingOccurrences(of: key, with: other, options: .regularExpression)
        case .damagedCertificate:
            return text.replacingOccurrences(
                of: "CERTIFICATE-----\\nMI",
                with: "CERTIFICATE-----\\nMA"
            )
        }
    }

    @Test(arguments: Damage.allCases)
    func `a damaged root is an error, and never a new root`(damage: Damage) async throws {
        let folder = try TemporaryFolder()
        var first = try Trial(in: folder, wanting: specs)
        await first.turn()
        let broken = try damaged(folder.read("ca/root.json"), damage)
        try folder.write("ca/root.json", broken)
        let error = #expect(throws: IdentityError.self) { try Trial(in: folder, wanting: specs) }
        let said = try #require(error?.description)
        let what: [Damage: String] = [
            .noKey: "its key is missing", .otherKey: "its key belongs to another certificate",
            .damagedCertificate: "certificate 1 of 1 in it is damaged, or its key is not EC, "
                + "RSA or Ed25519; write the file anew",
        ]
        #expect(
            said
                == "\(folder.path)/ca/root.json: \(what[damage] ?? "it is damaged"); restore the file "
                + "from a copy, or remove the folder \(folder.path)/ca to begin with a new root, which "
                + "all proxies and callers have to learn"
        )
        #expect(try folder.read("ca/root.json") == broken)
    }

    @Test func `a root that is missed is an error, and never a new root`() async throws {
        let folder = try TemporaryFolder()
        var first = try Trial(in: folder, wanting: specs)
        await first.turn()
        try FileManager.default.removeItem(atPath: "\(folder.path)/ca/root.json")
        let error = #expect(throws: IdentityError.self) { try Trial(in: folder, wanting: specs) }
        #expect(
            error?.description
                == "\(folder.path)/ca/root.json is missing, and there are authorities of "
                + "meshes that it signed; restore the file from a copy, or remove its folder to begin "
                + "with a new root"
        )
    }

    @Test func `a root that can't be read is an error, and never a new root`() async throws {
        let folder = try TemporaryFolder()
        var first = try Trial(in: folder, wanting: specs)
        await first.turn()
        let path = "\(folder.path)/ca/root.json"
        try FileManager.default.removeItem(atPath: path)
        try FileManager.default.createSymbolicLink(atPath: path, withDestinationPath: path)
        let error = #expect(throws: IdentityError.self) { try Trial(in: folder, wanting: specs) }
        #expect(
            error?.description == "\(path): cannot read it: too many levels of symbolic links"
        )
    }

    @Test func `a damaged authority stops its mesh only, until its file is mended`() async throws {
        let folder = try TemporaryFolder()
        let all = specs.union([issued("round", mesh: "shape")])
        var first = try Trial(in: folder, wanting: all)
        await first.turn()
        let good = try folder.read("ca/meshes/color.json")
        try folder.write("ca/meshes/color.json", damaged(good, .half))
        var second = try Trial(in: folder, wanting: all)
        await second.turn()
        let problem =
            "\(folder.path)/ca/meshes/color.json: it is damaged; restore the file, or remove it and "
            + "Heddle makes a new authority, which proxies trust once they hear of it"
        #expect(second.problem(issued("blue")) == problem)
        #expect(second.problem(trust("color")) == problem)
        #expect(second.holdings.materials[issued("blue")] == nil)
        #expect(second.serial(issued("round", mesh: "shape")) != nil)
        try folder.write("ca/meshes/color.json", good)
        await second.turn(after: .seconds(60))
        #expect(second.problem(issued("blue")) == nil && second.serial(issued("blue")) != nil)
        #expect(
            second.authorities("color", .signing).map(\.serial)
                == first.authorities("color", .signing).map(\.serial)
        )
    }

    @Test func `a write that was cut off leaves the file that was there`() async throws {
        let folder = try TemporaryFolder()
        var first = try Trial(in: folder, wanting: specs)
        await first.turn()
        // As a daemon leaves it that is killed between the write and the rename.
        try folder.write("ca/root.json.new", "{\"signing\" : {")
        try folder.write("ca/meshes/color.json.new", "{")
        var second = try Trial(in: folder, wanting: specs)
        await second.turn()
        #expect(
            second.authorities("color", .signing).map(\.serial)
                == first.authorities("color", .signing).map(\.serial)
        )
        _ = try second.holdings.rotate(.root, at: second.moment)
        #expect(!FileManager.default.fileExists(atPath: "\(folder.path)/ca/root.json.new"))
        #expect(try mode("\(folder.path)/ca/root.json") == 0o600)
    }

    @Test func `a disk that is full leaves the old authority whole and in use`() async throws {
        let folder = try TemporaryFolder()
        let disk = await FullDisk(at: folder.path)
        do {
            var trial = try Trial(in: folder, wanting: specs)
            await trial.turn()
            let old = trial.authorities("color", .signing).map(\.serial)
            let stored = try folder.read("ca/meshes/color.json")
            await disk.fill()
            let error = #expect(throws: IdentityError.self) {
                try trial.holdings.rotate(.meshAuthority("color"), at: trial.moment)
            }
            let path = "\(folder.path)/ca/meshes/color.json"
            let full = "cannot write \(path): \(disk.reason); make room there"
            #expect(error?.description == full)
            #expect(try folder.read("ca/meshes/color.json") == stored)
            await trial.turn(after: .seconds(200 * 86400))
            let signing = try #require(trial.authorities("color", .signing).first)
            #expect([signing.serial] == old)
            #expect(
                signing.problem == "\(full); the authority \(signing.serial) stays in use until "
                    + timestamp(secondsSince1970: signing.notAfterSeconds)
            )
            #expect(trial.serial(issued("blue")) != nil)
            #expect(
                FileManager.default.subpaths(atPath: folder.path)?.filter { $0.hasSuffix(".new") }
                    == []
            )
            disk.free()
            await trial.turn(after: .seconds(60))
            #expect(trial.authorities("color", .announced).count == 1)
            #expect(trial.authorities("color", .signing).first?.problem == nil)
        } catch {
            Issue.record(error)
        }
        await disk.close()
    }

    @Test func `a Mesh has a file of its own whatever its name`() async throws {
        let names = ["a.b", "..", "A", "a/b", String(repeating: "m", count: 253), "color"]
        var trial = try Trial(wanting: Set(names.map { issued("blue", mesh: $0) }))
        await trial.turn()
        let files = try FileManager.default.contentsOfDirectory(
            atPath: "\(trial.folder.path)/ca/meshes"
        )
        #expect(files.count == names.count)
        #expect(files.contains("a.b.json") && files.contains("color.json"))
        for name in names { #expect(trial.authorities(name, .signing).count == 1) }
    }
}

private func mode(_ path: String) throws -> Int {
    let attributes = try FileManager.default.attributesOfItem(atPath: path)
    return (attributes[.posixPermissions] as? NSNumber)?.intValue ?? 0
}
