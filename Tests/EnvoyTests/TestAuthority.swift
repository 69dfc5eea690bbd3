import Foundation
import MeshTesting

/// A certificate with its key, in files.
struct TestCertificate: Sendable {
    /// The certificate and those above it.
    var chain: String
    var key: String
    /// The serial number, as openssl prints it.
    var serial: String
}

/// An authority that signs certificates by `openssl`.
struct TestAuthority: Sendable {
    /// Its certificate, a file.
    let certificate: String
    private let key: String
    private let configuration: String

    /// Makes an authority whose files are in `folder`.
    init(_ name: String, in folder: TestFolder) async throws {
        certificate = folder.path("\(name).pem")
        key = folder.path("\(name).key")
        configuration = try Self.configuration(in: folder)
        try await request(
            "/CN=\(name)",
            to: certificate,
            key,
            ["basicConstraints=critical,CA:TRUE", "keyUsage=critical,keyCertSign"]
        )
    }

    /// The authority of `mesh` with which Heddle itself signs.
    init(ofMesh name: String, _ mesh: RunningMesh, in folder: TestFolder) async throws {
        struct File: Decodable {
            struct Authority: Decodable {
                var certificate: String
                var key: String
            }
            var signing: Authority
        }
        let path = mesh.state.appendingPathComponent("ca/meshes/\(name).json")
        let file = try JSONDecoder().decode(File.self, from: Data(contentsOf: path))
        certificate = folder.path("mesh-\(name).pem")
        key = folder.path("mesh-\(name).key")
        configuration = try Self.configuration(in: folder)
        try file.signing.certificate.write(toFile: certificate, atomically: true, encoding: .utf8)
        try file.signing.key.write(toFile: key, atomically: true, encoding: .utf8)
    }

    /// Without a file of our own the system's adds extensions.
    private static func configuration(in folder: TestFolder) throws -> String {
        let path = folder.path("openssl.cnf")
        try "[req]\ndistinguished_name = name\n[name]\n"
            .write(toFile: path, atomically: true, encoding: .utf8)
        return path
    }

    /// Copies its certificate to `path`, whose folder is made if it is not there.
    func publish(as path: String) throws {
        let file = URL(fileURLWithPath: path)
        try FileManager.default.createDirectory(
            at: file.deletingLastPathComponent(),
            withIntermediateDirectories: true
        )
        try FileManager.default.copyItem(atPath: certificate, toPath: path)
    }

    /// Signs a certificate for `names`, URIs and host names, as `name.pem` and `name.key` in the folder
    /// at `place`; those that are there already are replaced.
    @discardableResult
    func issue(
        _ name: String,
        for names: [String],
        in place: String
    ) async throws
        -> TestCertificate
    {
        try FileManager.default.createDirectory(
            atPath: place,
            withIntermediateDirectories: true
        )
        let alternatives = names.map { $0.contains("://") ? "URI:\($0)" : "DNS:\($0)" }
        let (chain, key) = ("\(place)/\(name).pem", "\(place)/\(name).key")
        let new = (chain: "\(place)/.\(name).pem.new", key: "\(place)/.\(name).key.new")
        try await request(
            "/O=Heddle",
            to: new.chain,
            new.key,
            ["subjectAltName=critical,\(alternatives.joined(separator: ","))"]
                + ["basicConstraints=critical,CA:FALSE", "keyUsage=critical,digitalSignature"],
            ["-CA", certificate, "-CAkey", self.key]
        )
        let serial = try await openssl(["x509", "-in", new.chain, "-noout", "-serial"])
        let text =
            try String(contentsOfFile: new.chain, encoding: .utf8)
            + String(contentsOfFile: certificate, encoding: .utf8)
        try text.write(toFile: new.chain, atomically: true, encoding: .utf8)
        guard rename(new.key, key) == 0, rename(new.chain, chain) == 0 else {
            throw OpenSSLFailure(output: "cannot write \(chain)")
        }
        return TestCertificate(
            chain: chain,
            key: key,
            serial: String(serial.trimmingPrefix("serial=")).trimmingCharacters(in: .newlines)
        )
    }

    private func request(
        _ subject: String,
        to path: String,
        _ key: String,
        _ extensions: [String],
        _ options: [String] = []
    ) async throws {
        _ = try await openssl(
            [
                "req", "-x509", "-config", configuration, "-newkey", "ec", "-pkeyopt",
                "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", key, "-out", path, "-subj",
                subject, "-days", "2",
            ] + extensions.flatMap { ["-addext", $0] } + options
        )
    }
}

/// What `openssl` did not do.
struct OpenSSLFailure: Error {
    var output: String
}

/// What `openssl` prints.
private func openssl(_ arguments: [String]) async throws -> String {
    let result = try await runCommand("/usr/bin/env", ["openssl"] + arguments)
    guard result.status == 0 else { throw OpenSSLFailure(output: result.output) }
    return result.output
}
