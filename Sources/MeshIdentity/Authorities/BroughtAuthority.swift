internal import Glibc
internal import MeshModel
internal import X509

extension Authority {
    /// The authority that a user brings, in place of a root of our own.
    ///
    /// `files` are `--ca-certificate` and `--ca-key`. After the certificate may stand those that
    /// signed it, each after the one that it signed.
    static func brought(
        _ files: FileCertificate,
        at now: Duration
    ) throws(IdentityError) -> Authority {
        let option = "--ca-certificate \(files.certificateChain)"
        let chain: [Certificate]
        let key: Certificate.PrivateKey
        do throws(FileFailure) {
            chain = try PEMReading.certificates(in: FileText.read(files.certificateChain))
        } catch {
            throw IdentityError("\(option): \(error.text)")
        }
        do throws(FileFailure) {
            key = try PEMReading.privateKey(in: FileText.read(files.privateKey))
        } catch {
            throw IdentityError("--ca-key \(files.privateKey): \(error.text)")
        }
        if let problem = problem(ofBrought: chain, key, files, at: now) {
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
        _ files: FileCertificate,
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
            return "the key of --ca-key \(files.privateKey) belongs to another certificate; give "
                + "the one that it was made with"
        }
        let validity = Validity(
            notBeforeSeconds: certificate.notBeforeSeconds,
            notAfterSeconds: certificate.notAfterSeconds
        )
        return validity.problem(at: now) ?? PEMReading.problem(ofOrder: chain)
    }
}
