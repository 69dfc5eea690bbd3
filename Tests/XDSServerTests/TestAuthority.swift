import FoundationEssentials
import Glibc
import MeshIdentity

/// An authority of the tests' own, made with openssl.
struct TestAuthority {
    struct Failed: Error { var command: String }

    let folder: String

    init() throws {
        folder = try temporaryFolder()
        try run(
            "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2"
                + " -subj /CN=authority -keyout ca.key -out ca.pem"
        )
    }

    /// Trust in what the authority signs.
    func trust(version: String = "trust") throws -> SecretMaterial {
        SecretMaterial(version: version, content: .trust(try read("ca.pem")))
    }

    /// A certificate for `uri`, of the serial number that is its version.
    func certificate(_ uri: String, serial: Int) throws -> SecretMaterial {
        let name = "leaf\(serial)"
        try run(
            "openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=\(name)"
                + " -keyout \(name).key -out \(name).csr"
                + " && printf 'subjectAltName=URI:\(uri)' > \(name).ext"
                + " && openssl x509 -req -in \(name).csr -CA ca.pem -CAkey ca.key -days 1"
                + " -set_serial \(serial) -extfile \(name).ext -out \(name).pem"
        )
        return SecretMaterial(
            version: "\(serial)",
            content: .certificate(
                chain: try read("\(name).pem"),
                privateKey: try read("\(name).key")
            )
        )
    }

    /// The serial number of the certificate that is presented at `port` to one who shows the
    /// certificate `client`; nil when there is none.
    func serial(at port: UInt16, client: Int) -> Int? {
        let command =
            "cd \(folder) && timeout 5 openssl s_client -connect 127.0.0.1:\(port)"
            + " -cert leaf\(client).pem -key leaf\(client).key </dev/null 2>/dev/null"
            + " | openssl x509 -noout -serial 2>/dev/null"
        guard let pipe = popen(command, "r") else { return nil }
        defer { pclose(pipe) }
        var line = [CChar](repeating: 0, count: 256)
        guard fgets(&line, CInt(line.count), pipe) != nil else { return nil }
        let text = String(decoding: line.prefix { $0 > 10 }.map(UInt8.init), as: UTF8.self)
        return text.split(separator: "=").last.flatMap { Int($0, radix: 16) }
    }

    private func read(_ name: String) throws -> String {
        let data = try Data(contentsOf: URL(filePath: folder).appending(path: name))
        return String(decoding: data, as: UTF8.self)
    }

    private func run(_ command: String) throws {
        guard system("cd \(folder) && (\(command)) 2>/dev/null") == 0 else {
            throw Failed(command: command)
        }
    }
}
