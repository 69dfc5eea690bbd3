import MeshManifests
import MeshModel
import Testing

@Suite struct CertificateMappingTests {
    static let text = manifest(
        "CertificateMapping",
        "colors",
        """
        arn: \(certificate)
        file: {certificateChain: certs/chain.pem, privateKey: /keys/key.pem}
        """
    )

    private static let certificate = "arn:aws:acm:eu-west-1:123456789012:certificate/1a2b-3c"
    private static let authority =
        "arn:aws-us-gov:acm-pca:us-gov-west-1:123456789012:certificate-authority/4d-5e"
    private static let other = "arn:aws:acm-pca:eu-west-1:123456789012:certificate-authority/6f"

    @Test(arguments: [
        (
            certificate, "file: {certificateChain: ./c.pem, privateKey: ../k.pem}",
            CertificateMappingSpec.Source.file(
                certificateChain: "/srv/demo/c.pem",
                privateKey: "/srv/k.pem"
            )
        ),
        (
            authority, "file: {certificateChain: /ca.pem}",
            .file(certificateChain: "/ca.pem", privateKey: nil)
        ),
        (certificate, "heddle: {}", .heddle),
        (authority, "heddle: {}", .heddle),
        (authority, "acmPrivateCA: {}", .acmPrivateCA(ACMPrivateCA(authorityARN: authority))),
        (
            authority, "acmPrivateCA: {certificateAuthorityARN: '\(other)'}",
            .acmPrivateCA(ACMPrivateCA(authorityARN: other))
        ),
        (
            certificate,
            "acmPrivateCA: {certificateAuthorityARN: '\(other)', endpoint: 'http://[::1]:5000'}",
            .acmPrivateCA(ACMPrivateCA(authorityARN: other, endpoint: "http://[::1]:5000"))
        ),
    ])
    func `an ARN is a file, Heddle's own or an authority's`(
        arn: String,
        source: String,
        expected: CertificateMappingSpec.Source
    ) {
        let file = decode(manifest("CertificateMapping", "a", "arn: '\(arn)'\n\(source)"))
        #expect(file.diagnostics.isEmpty, "\(file.diagnostics)")
        #expect(file.mapping?.spec == CertificateMappingSpec(arn: arn, source: expected))
        #expect(file.mapping?.metadata.namespace == "")
    }

    @Test(arguments: [
        "https://ca.example.com", "http://127.0.0.1:5000", "https://localhost", "HTTPS://a",
    ])
    func `an endpoint is a server`(url: String) {
        let spec = "arn: '\(Self.other)'\nacmPrivateCA: {endpoint: '\(url)'}"
        let isServer = !url.hasPrefix("HTTPS")
        #expect(decode(manifest("CertificateMapping", "a", spec)).objects.isEmpty == !isServer)
    }

    @Test(arguments: [
        BrokenRule(
            "CertificateMapping",
            "heddle: {}",
            "spec.arn: missing; give a string"
        ),
        BrokenRule(
            "CertificateMapping",
            "{arn: 'arn:aws:acm:eu-west-1:1:certificate/a', heddle: {}}",
            #"spec.arn: "arn:aws:acm:eu-west-1:1:certificate/a" is not the ARN of a certificate or a certificate authority; write arn:aws:acm:<region>:<account>:certificate/<id> or arn:aws:acm-pca:<region>:<account>:certificate-authority/<id>"#
        ),
        BrokenRule(
            "CertificateMapping",
            "arn: \(certificate)",
            "spec: none of file, heddle and acmPrivateCA is given; give exactly one"
        ),
        BrokenRule(
            "CertificateMapping",
            "{arn: '\(certificate)', heddle: {}, acmPrivateCA: {certificateAuthorityARN: '\(other)'}}",
            "spec.acmPrivateCA: heddle and acmPrivateCA are given, and only one is allowed; keep one"
        ),
        BrokenRule(
            "CertificateMapping",
            "{arn: '\(certificate)', file: {certificateChain: a.pem}}",
            "spec.file.privateKey: missing; name the file of the certificate's key"
        ),
        BrokenRule(
            "CertificateMapping",
            "{arn: '\(authority)', file: {certificateChain: a.pem, privateKey: k.pem}}",
            "spec.file.privateKey: proxies trust an authority, and need no key of it; remove it"
        ),
        BrokenRule(
            "CertificateMapping",
            "{arn: '\(authority)', file: {}}",
            "spec.file.certificateChain: missing; give a string"
        ),
        BrokenRule(
            "CertificateMapping",
            "{arn: '\(certificate)', acmPrivateCA: {}}",
            "spec.acmPrivateCA.certificateAuthorityARN: missing; name the authority that shall issue the certificate"
        ),
        BrokenRule(
            "CertificateMapping",
            "{arn: '\(authority)', acmPrivateCA: {certificateAuthorityARN: '\(certificate)'}}",
            #"spec.acmPrivateCA.certificateAuthorityARN: "\#(certificate)" is not the ARN of a certificate authority; write arn:aws:acm-pca:<region>:<account>:certificate-authority/<id>"#
        ),
        BrokenRule(
            "CertificateMapping",
            "{arn: '\(authority)', acmPrivateCA: {endpoint: 'https://ca.example.com/v1'}}",
            #"spec.acmPrivateCA.endpoint: "https://ca.example.com/v1" is not the URL of a server; write https://host or https://host:port, without a path"#
        ),
        BrokenRule(
            "CertificateMapping",
            "{arn: '\(certificate)', heddle: yes}",
            #"spec.heddle: expected a mapping, found the string "yes"; put fields under it"#
        ),
    ])
    func `a broken rule is one error`(rule: BrokenRule) {
        let file = decode(manifest(rule.kind, "a", rule.spec))
        #expect(file.diagnostics.map(\.message) == ["CertificateMapping a: \(rule.message)"])
        #expect(file.objects.isEmpty)
    }

    @Test func `a mistake is on its line`() {
        let text = Self.text.replacing("/keys/key.pem", with: "7")
        #expect(
            reports(text) == [
                "demo.yaml:6: error: CertificateMapping colors: spec.file.privateKey: "
                    + "expected a string, found the number 7; quote it"
            ]
        )
    }

    @Test(arguments: [
        "arn:aws:acm:eu-west-1:123456789012:certificate/", "arn:aws:acm:eu-west-1:123456789012:x/a",
        "arn:gcp:acm:eu-west-1:123456789012:certificate/a",
        "arn:aws:acm-pca:eu-west-1:123456789012:certificate/a",
        "arn:aws:acm::123456789012:certificate/a",
        "arn:aws:acm:eu-west-1:12345678901x:certificate/a",
        "arn:aws:acm:eu-west-1:123456789012:certificate/a/b",
        "arn:aws:acm:eu-west-1:123456789012:certificate/a:b", "certificate/a", "",
    ])
    func `what is no ARN of a certificate is refused`(arn: String) {
        let file = decode(manifest("CertificateMapping", "a", "arn: '\(arn)'\nheddle: {}"))
        #expect(file.diagnostics.map(\.field) == ["spec.arn"])
        #expect(file.objects.isEmpty)
    }

    @Test func `a mapping has no namespace`() {
        let text = Self.text.replacing("name: colors", with: "name: colors, namespace: demo")
        #expect(
            reports(text) == [
                "demo.yaml:3: warning: CertificateMapping colors: metadata.namespace: "
                    + "a CertificateMapping has no namespace; \"demo\" is ignored; remove it"
            ]
        )
    }
}
