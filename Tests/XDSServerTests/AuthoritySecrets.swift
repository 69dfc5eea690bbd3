import FoundationEssentials
import MeshIdentity
import MeshTesting

extension TestAuthority {
    /// Trust in what the authority signs.
    func trust(version: String = "trust") throws -> SecretMaterial {
        SecretMaterial(version: version, content: .trust(try text(certificate)))
    }

    /// A certificate for `uri`, of the serial number that is its version.
    func certificate(_ uri: String, serial: Int) async throws -> SecretMaterial {
        let leaf = try await issue("leaf\(serial)", for: [uri], serial: serial)
        return SecretMaterial(
            version: "\(serial)",
            content: .certificate(chain: try text(leaf.chain), privateKey: try text(leaf.key))
        )
    }

    private func text(_ path: String) throws -> String {
        String(decoding: try Data(contentsOf: URL(filePath: path)), as: UTF8.self)
    }
}

/// The serial number of the certificate that is presented at `port`; nil when there is none.
func serial(at port: UInt16) async throws -> Int? {
    let presented = try await presentedCertificate("127.0.0.1", port: Int(port))
    return presented.serial.flatMap { Int($0, radix: 16) }
}
