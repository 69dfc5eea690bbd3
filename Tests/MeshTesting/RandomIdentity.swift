internal import MeshModel

// TLS, and what stands for the ARNs of ACM, in random worlds.

extension RandomWorld {
    /// The names of certificate mappings; not every world has each.
    static let mappingNames = ["certificate", "authority"]

    private static let certificateARN = "arn:aws:acm:eu-west-1:123456789012:certificate/a"
    private static let authorityARN =
        "arn:aws:acm-pca:eu-west-1:123456789012:certificate-authority/a"

    /// A mapping, whose name says whether it is of a certificate or of an authority.
    mutating func certificateMapping(_ name: String) -> MeshObject {
        let isAuthority = name == "authority"
        let authority = ACMPrivateCA(
            authorityARN: Self.authorityARN,
            endpoint: generator.pick([nil, "http://127.0.0.1:5000"])
        )
        let spec = CertificateMappingSpec(
            arn: isAuthority ? Self.authorityARN : Self.certificateARN,
            source: generator.pick([
                .heddle, .acmPrivateCA(authority),
                .file(
                    certificateChain: "/certs/mapped.pem",
                    privateKey: isAuthority ? nil : "/certs/mapped.key"
                ),
            ])
        )
        return .certificateMapping(
            CertificateMapping(metadata: Metadata(name: name), spec: spec)
        )
    }

    /// What a Mesh's annotations say of identities.
    mutating func identitySettings(of mesh: inout MeshSpec) {
        mesh.mutualTLS = generator.pick([nil, .permissive, .strict])
        mesh.accessControl = generator.pick([nil] + AccessControlMode.allCases)
        mesh.trustDomain = generator.pick([nil, "example.org"])
    }

    /// `tls` of a listener; mostly none.
    mutating func listenerTLS(_ namespace: String) -> ListenerTLS? {
        guard generator.chance(40) else { return nil }
        let certificate: TLSCertificate = generator.pick([
            .acm(certificateARN: Self.certificateARN), .acm(certificateARN: "arn:unmapped"),
            fileOrSDSCertificate(namespace),
        ])
        return ListenerTLS(
            mode: generator.pick(ListenerTLS.Mode.allCases),
            certificate: certificate,
            validation: generator.chance(40) ? validation(namespace, allowsACM: false) : nil
        )
    }

    /// A client policy; mostly none.
    mutating func clientPolicy(_ namespace: String) -> ClientTLS? {
        guard generator.chance(30) else { return nil }
        return ClientTLS(
            enforce: generator.chance(50),
            ports: generator.chance(30) ? [generator.pick(ports)] : [],
            certificate: generator.chance(50) ? fileOrSDSCertificate(namespace) : nil,
            validation: validation(namespace, allowsACM: true)
        )
    }

    /// Folders in place of the one that certificates' paths name; mostly none.
    mutating func secretMounts() -> [String: String] {
        generator.chance(20) ? ["/certs": generator.pick(["/srv/a", "/srv/b"])] : [:]
    }

    private mutating func fileOrSDSCertificate(_ namespace: String) -> TLSCertificate {
        let name = generator.pick(["a", "b"])
        let file = FileCertificate(
            certificateChain: "/certs/\(name).pem",
            privateKey: "/certs/\(name).key"
        )
        return generator.pick([.file(file), .sds(secretName: "spiffe://m0/\(namespace)/\(name)")])
    }

    private mutating func validation(_ namespace: String, allowsACM: Bool) -> TLSValidation {
        let authorities = generator.pick([
            [Self.authorityARN], [Self.authorityARN, "arn:unmapped"],
        ])
        var trusts: [TLSTrust] = [
            .file(certificateChain: "/certs/ca.pem"),
            .sds(secretName: "spiffe://\(generator.pick(["m0", "m1", "example.org"]))"),
        ]
        if allowsACM { trusts.append(.acm(certificateAuthorityARNs: authorities)) }
        let names = [["spiffe://m0/\(namespace)/o0"], ["o0.\(namespace).example.com", "*.b"]]
        return TLSValidation(
            trust: generator.pick(trusts),
            subjectAlternativeNames: generator.pick([nil] + names)
        )
    }
}
