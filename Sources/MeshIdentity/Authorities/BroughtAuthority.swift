internal import Glibc
internal import MeshModel
internal import X509

/// Where an authority is that a user brings, and how messages call it.
struct BroughtFiles: Hashable, Sendable {
    /// The certificate with those that signed it, and its key; one file may hold both.
    var files: FileCertificate
    /// The Secret that they are copies of, `namespace/name`; nil when the files are the user's own.
    var secret: String?

    var certificateName: String {
        secret.map { "Secret \($0): tls.crt" } ?? "--ca-certificate \(files.certificateChain)"
    }
    var keyName: String {
        secret.map { "Secret \($0): tls.key" } ?? "--ca-key \(files.privateKey)"
    }
    /// Where a new one is to be put.
    var place: String { secret.map { "the Secret \($0)" } ?? "the files" }
}

extension Authority {
    /// The authority that a user brings, in place of a root of our own.
    ///
    /// After the certificate may stand those that signed it, each after the one that it signed.
    static func brought(
        _ brought: BroughtFiles,
        at now: Duration
    ) throws(IdentityError) -> Authority {
        let chain: String
        let key: String
        do throws(FileFailure) {
            chain = try FileText.read(brought.files.certificateChain)
        } catch {
            throw IdentityError("\(brought.certificateName): \(error.text)")
        }
        do throws(FileFailure) {
            key = try FileText.read(brought.files.privateKey)
        } catch {
            throw IdentityError("\(brought.keyName): \(error.text)")
        }
        return try Authority.brought(chain: chain, key: key, brought, at: now)
    }

    /// The authority in the texts `chain` and `key`, in PEM, which `brought` names in messages.
    static func brought(
        chain chainText: String,
        key keyText: String,
        _ brought: BroughtFiles,
        at now: Duration
    ) throws(IdentityError) -> Authority {
        let option = brought.certificateName
        let chain: [Certificate]
        let key: Certificate.PrivateKey
        do throws(FileFailure) {
            chain = try PEMReading.certificates(in: chainText)
        } catch {
            throw IdentityError("\(option): \(error.text)")
        }
        do throws(FileFailure) {
            key = try PEMReading.privateKey(in: keyText)
        } catch {
            throw IdentityError("\(brought.keyName): \(error.text)")
        }
        if let problem = problem(ofBrought: chain, key, brought, at: now) {
            throw IdentityError("\(option): \(problem)")
        }
        do {
            let above = try chain.dropFirst().filter { $0.subject != $0.issuer }.map { try $0.pem }
            return try Authority(
                chain[0],
                key: key,
                above: above.joined(),
                issuer: nil,
                issuedSeconds: nil
            )
        } catch {
            throw IdentityError("\(option): its encoding is damaged; write the file anew")
        }
    }

    /// Whether others than the owner may read the file of a key.
    static func isExposed(_ path: String) -> Bool {
        var status = stat()
        return stat(path, &status) == 0 && status.st_mode & 0o077 != 0
    }

    private static func problem(
        ofBrought chain: [Certificate],
        _ key: Certificate.PrivateKey,
        _ brought: BroughtFiles,
        at now: Duration
    ) -> String? {
        let certificate = chain[0]
        guard let pathLength = certificate.pathLength else {
            return "it is not the certificate of a CA; give one with basicConstraints CA:TRUE"
        }
        guard pathLength > 0 else {
            return
                "its path length is 0, so it may not sign the CA of a mesh; give one with a path "
                + "length of 1 or more, or none"
        }
        if let usage = try? certificate.extensions.keyUsage, !usage.keyCertSign {
            return "its key usage has no keyCertSign, so it may not sign; give a CA's certificate"
        }
        guard certificate.publicKey == key.publicKey else {
            return "the key of \(brought.keyName) belongs to another certificate; give "
                + "the one that it was made with"
        }
        let validity = Validity(
            notBeforeSeconds: certificate.notBeforeSeconds,
            notAfterSeconds: certificate.notAfterSeconds
        )
        return validity.problem(at: now) ?? PEMReading.problem(ofOrder: chain)
    }
}
