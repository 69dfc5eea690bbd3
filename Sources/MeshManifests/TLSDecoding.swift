import MeshModel

extension Fields {
    /// `clientPolicy`.
    func clientPolicy() -> ClientTLS? {
        object("clientPolicy") { policy in
            policy.object("tls") { $0.clientTLS() }
        }
    }

    private func clientTLS() -> ClientTLS? {
        let certificate = object("certificate") { $0.certificate(allowsACM: false) }
        let ports = list("ports") { node, path in
            integer(node, path, line: node.line, in: 1...65535).flatMap { Port($0) }
        }
        let enforce = bool("enforce")
        let validation = object("validation", .required) { $0.validation(allowsACM: true) }
        return validation.map {
            ClientTLS(
                enforce: enforce ?? true,
                ports: ports ?? [],
                certificate: certificate,
                validation: $0
            )
        }
    }

    /// `listeners[].tls`.
    func listenerTLS() -> ListenerTLS? {
        object("tls") { tls in
            let mode: ListenerTLS.Mode? = tls.choice("mode", .required)
            let certificate = tls.object("certificate", .required) {
                $0.certificate(allowsACM: true)
            }
            let validation = tls.object("validation") { $0.validation(allowsACM: false) }
            guard let mode, let certificate else { return nil }
            return ListenerTLS(mode: mode, certificate: certificate, validation: validation)
        }
    }

    private func certificate(allowsACM: Bool) -> TLSCertificate? {
        union(allowsACM ? ["acm", "file", "sds"] : ["file", "sds"])
        let file = object("file") { fields -> TLSCertificate? in
            let chain = fields.filePath("certificateChain", .required, length: Fields.nameLengths)
            let key = fields.filePath("privateKey", .required, length: Fields.nameLengths)
            guard let chain, let key else { return nil }
            return .file(FileCertificate(certificateChain: chain, privateKey: key))
        }
        let sds = secretName().map { TLSCertificate.sds(secretName: $0) }
        guard allowsACM else { return file ?? sds }
        let acm = object("acm") { fields in
            fields.string("certificateARN", .required, length: 1...2048)
        }
        return file ?? sds ?? acm.map { .acm(certificateARN: $0) }
    }

    /// `sds.secretName`.
    private func secretName() -> String? {
        object("sds") { $0.oneLine("secretName", .required, length: 1...2048) }
    }

    private func validation(allowsACM: Bool) -> TLSValidation? {
        let names = object("subjectAlternativeNames") { names in
            names.object("match", .required) { match in
                match.subjectAlternativeNames()
            }
        }
        let trust = object("trust", .required) { $0.trust(allowsACM: allowsACM) }
        return trust.map { TLSValidation(trust: $0, subjectAlternativeNames: names) }
    }

    /// `exact`, which App Mesh compares one for one.
    private func subjectAlternativeNames() -> [String]? {
        list("exact", .required, count: 1...Int.max) { node, path in
            let name = oneLine(node, path, line: node.line, length: 1...254)
            if let name, name.contains("*") {
                report.warning(
                    path,
                    line: node.line,
                    "\(quoted(name)) stands for itself and for no other name",
                    "name each host"
                )
            }
            return name
        }
    }

    private func trust(allowsACM: Bool) -> TLSTrust? {
        let acm = object("acm") { fields in
            fields.strings("certificateAuthorityARNs", .required, count: 1...3, length: 1...2048)
        }
        if !allowsACM, has("acm") {
            error("acm", "a listener cannot trust ACM authorities", "use file or sds")
        } else {
            union(allowsACM ? ["acm", "file", "sds"] : ["file", "sds"])
        }
        let file = object("file") {
            $0.filePath("certificateChain", .required, length: Fields.nameLengths)
        }
        let sds = secretName().map { TLSTrust.sds(secretName: $0) }
        return acm.map { .acm(certificateAuthorityARNs: $0) }
            ?? file.map { .file(certificateChain: $0) } ?? sds
    }
}
