internal import Foundation

/// A certificate with its key, in files.
public struct TestCertificate: Sendable {
    /// The certificate and those above it.
    public var chain: String
    /// Its private key.
    public var key: String
    /// The serial number, as openssl prints it.
    public var serial: String
}

/// An authority that signs certificates by `openssl`.
public struct TestAuthority: Sendable {
    /// Its certificate, a file.
    public let certificate: String
    private let folder: String
    private let key: String
    private let configuration: String

    /// Makes an authority whose files are in `folder`.
    public init(_ name: String, in folder: String) async throws {
        try self.init(files: name, in: folder)
        try await request(
            "/CN=\(name)",
            to: certificate,
            key,
            ["basicConstraints=critical,CA:TRUE", "keyUsage=critical,keyCertSign"]
        )
    }

    /// An authority that is there already, as PEM; its files will be in `folder`.
    public init(_ name: String, certificate: String, key: String, in folder: String) throws {
        try self.init(files: name, in: folder)
        try certificate.write(toFile: self.certificate, atomically: true, encoding: .utf8)
        try key.write(toFile: self.key, atomically: true, encoding: .utf8)
    }

    private init(files name: String, in folder: String) throws {
        self.folder = folder
        certificate = "\(folder)/\(name).pem"
        key = "\(folder)/\(name).key"
        // Without a file of our own the system's adds extensions.
        configuration = "\(folder)/openssl.cnf"
        try "[req]\ndistinguished_name = name\n[name]\n"
            .write(toFile: configuration, atomically: true, encoding: .utf8)
    }

    /// Copies its certificate to `path`, whose folder is made if it is not there.
    public func publish(as path: String) throws {
        let file = URL(fileURLWithPath: path)
        try FileManager.default.createDirectory(
            at: file.deletingLastPathComponent(),
            withIntermediateDirectories: true
        )
        try FileManager.default.copyItem(atPath: certificate, toPath: path)
    }

    /// Signs a certificate for `names`, URIs and host names, as `name.pem` and `name.key` in the folder
    /// at `place`, by default beside its own; those that are there already are replaced.
    @discardableResult
    public func issue(
        _ name: String,
        for names: [String],
        serial: Int? = nil,
        in place: String? = nil
    ) async throws -> TestCertificate {
        let place = place ?? folder
        try FileManager.default.createDirectory(atPath: place, withIntermediateDirectories: true)
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
                + (serial.map { ["-set_serial", "\($0)"] } ?? [])
        )
        let printed = try await openssl(["x509", "-in", new.chain, "-noout", "-serial"])
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
            serial: String(printed.trimmingPrefix("serial=")).trimmingCharacters(in: .newlines)
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

/// A certificate as a server presents it.
public struct PresentedCertificate: Hashable, Sendable {
    /// The serial number, as openssl prints it; nil when there is no certificate.
    public var serial: String?
    /// The names, such as `URI:spiffe://demo/demo/blue` and `DNS:blue.demo`.
    public var names: [String] = []
}

/// The certificate that a server presents to `openssl s_client`; one that `trust`, a file of
/// authorities, does not cover counts as none.
public func presentedCertificate(
    _ address: String,
    port: Int,
    trust: String? = nil
) async throws -> PresentedCertificate {
    let script = """
        openssl s_client -connect "$1" $2 $3 $4 $5 </dev/null 2>/dev/null \
            | openssl x509 -noout -serial -ext subjectAltName
        """
    let check = trust.map { ["-CAfile", $0, "-partial_chain", "-verify_return_error"] } ?? []
    let arguments = ["-c", script, "sh", "\(address):\(port)"] + check
    let output = try await runCommand("/bin/sh", arguments).output
    var presented = PresentedCertificate()
    presented.serial = output.firstMatch(of: /serial=(\w+)/).map { String($0.1) }
    presented.names = output.matches(of: /(?:URI|DNS):[^\s,]+/).map { String($0.0) }
    return presented
}
