import MeshManifests
import MeshModel
import Testing

/// What `tls` of listeners and client policies may say.
@Suite struct TLSTests {
    private static func listener(_ tls: String) -> String {
        "listeners: [{portMapping: {port: 80, protocol: http}, tls: {mode: STRICT, \(tls)}}]\n"
            + "serviceDiscovery: {dns: {hostname: a}}"
    }

    private static let sds = "certificate: {sds: {secretName: a}}"

    private static func policy(_ tls: String) -> String {
        "backendDefaults: {clientPolicy: {tls: {\(tls)}}}"
    }

    @Test(arguments: ["VirtualNode", "VirtualGateway"])
    func `paths of files count from the manifest's folder`(kind: String) {
        let text = manifest(
            kind,
            "a",
            """
            listeners:
              - portMapping: {port: 80, protocol: http}
                tls:
                  mode: STRICT
                  certificate: {file: {certificateChain: ./a/../c.pem, privateKey: /keys//k.pem}}
                  validation: {trust: {file: {certificateChain: ../ca.pem}}}
            \(kind == "VirtualNode" ? "serviceDiscovery: {dns: {hostname: a}}" : "")
            backendDefaults:
              clientPolicy:
                tls:
                  certificate: {file: {certificateChain: c.pem, privateKey: k.pem}}
                  validation: {trust: {file: {certificateChain: /ca.pem}}}
            """
        )
        let file = decode(text)
        #expect(file.diagnostics.isEmpty, "\(file.diagnostics)")
        let listener = file.node?.spec.listeners.first ?? file.gateway?.spec.listeners.first
        let served = FileCertificate(certificateChain: "/srv/demo/c.pem", privateKey: "/keys/k.pem")
        #expect(listener?.tls?.certificate == .file(served))
        #expect(listener?.tls?.validation?.trust == .file(certificateChain: "/srv/ca.pem"))
        let policy = file.node?.spec.backendDefaults ?? file.gateway?.spec.backendDefaults
        let own = FileCertificate(
            certificateChain: "/srv/demo/c.pem",
            privateKey: "/srv/demo/k.pem"
        )
        #expect(policy?.certificate == .file(own))
        #expect(policy?.validation.trust == .file(certificateChain: "/ca.pem"))
    }

    @Test func `a path's length is that which is written`() {
        let text = manifest(
            "VirtualNode",
            "a",
            Self.policy(
                "validation: {trust: {file: {certificateChain: \(String(repeating: "x", count: 255))}}}"
            )
        )
        #expect(decode(text).diagnostics.isEmpty)
    }

    @Test func `a name with a wildcard stands for itself`() {
        let text = manifest(
            "VirtualNode",
            "a",
            """
            backendDefaults:
              clientPolicy:
                tls:
                  validation:
                    trust: {sds: {secretName: a}}
                    subjectAlternativeNames: {match: {exact: [a.b, "*.b"]}}
            """
        )
        let file = decode(text)
        #expect(
            file.diagnostics.map(\.description) == [
                "demo.yaml:10: warning: VirtualNode demo/a: spec.backendDefaults.clientPolicy.tls."
                    + "validation.subjectAlternativeNames.match.exact[1]: \"*.b\" stands for itself "
                    + "and for no other name; name each host"
            ]
        )
        let names = file.node?.spec.backendDefaults?.validation.subjectAlternativeNames
        #expect(names == ["a.b", "*.b"])
    }

    @Test(arguments: [
        BrokenRule(
            "VirtualNode",
            listener("certificate: {file: {certificateChain: c.pem}}"),
            "spec.listeners[0].tls.certificate.file.privateKey: missing; give a string"
        ),
        BrokenRule(
            "VirtualGateway",
            "listeners: [{portMapping: {port: 80, protocol: http}, tls: {certificate: {acm: {certificateARN: a}}}}]",
            "spec.listeners[0].tls.mode: missing; use DISABLED, PERMISSIVE or STRICT"
        ),
        BrokenRule(
            "VirtualNode",
            listener("certificate: {sds: {secretName: a}, acm: {certificateARN: a}}"),
            "spec.listeners[0].tls.certificate.sds: acm and sds are given, and only one is allowed; keep one"
        ),
        BrokenRule(
            "VirtualNode",
            listener("\(sds), validation: {}"),
            "spec.listeners[0].tls.validation.trust: missing; add it"
        ),
        BrokenRule(
            "VirtualNode",
            listener("\(sds), validation: {trust: {acm: {certificateAuthorityARNs: [a]}}}"),
            "spec.listeners[0].tls.validation.trust.acm: a listener cannot trust ACM authorities; use file or sds"
        ),
        BrokenRule(
            "VirtualNode",
            listener(#"certificate: {sds: {secretName: "a\nb"}}"#),
            #"spec.listeners[0].tls.certificate.sds.secretName: "a\nb" contains a control character; remove it"#
        ),
        BrokenRule(
            "VirtualNode",
            listener("certificate: {sds: {secretName: ''}}"),
            "spec.listeners[0].tls.certificate.sds.secretName: the string is empty; use 1 to 2048 characters"
        ),
        BrokenRule(
            "VirtualNode",
            policy(#"validation: {trust: {file: {certificateChain: "a\tb"}}}"#),
            #"spec.backendDefaults.clientPolicy.tls.validation.trust.file.certificateChain: "a\tb" contains a control character; remove it"#
        ),
        BrokenRule(
            "VirtualNode",
            policy("validation: {trust: {acm: {certificateAuthorityARNs: [a, b, c, d]}}}"),
            "spec.backendDefaults.clientPolicy.tls.validation.trust.acm.certificateAuthorityARNs: the list has 4 elements; give 1 to 3"
        ),
        BrokenRule(
            "VirtualNode",
            policy("ports: [0], validation: {trust: {sds: {secretName: a}}}"),
            "spec.backendDefaults.clientPolicy.tls.ports[0]: 0 is out of range; use 1 to 65535"
        ),
        BrokenRule(
            "VirtualNode",
            policy(
                "validation: {trust: {sds: {secretName: a}}, subjectAlternativeNames: {match: {}}}"
            ),
            "spec.backendDefaults.clientPolicy.tls.validation.subjectAlternativeNames.match.exact: missing; give a list"
        ),
        BrokenRule(
            "VirtualNode",
            policy(
                "validation: {trust: {sds: {secretName: a}}, subjectAlternativeNames: {match: {exact: [1]}}}"
            ),
            "spec.backendDefaults.clientPolicy.tls.validation.subjectAlternativeNames.match.exact[0]: expected a string, found the number 1; quote it"
        ),
        BrokenRule(
            "VirtualNode",
            policy("certificate: {}, validation: {trust: {sds: {secretName: a}}}"),
            "spec.backendDefaults.clientPolicy.tls.certificate: neither file nor sds is given; give exactly one"
        ),
    ])
    func `a broken rule is one error`(rule: BrokenRule) {
        let file = decode(manifest(rule.kind, "a", rule.spec))
        #expect(file.diagnostics.map(\.message) == ["\(rule.kind) demo/a: \(rule.message)"])
        #expect(file.diagnostics.first?.severity == .error)
        #expect(file.objects.isEmpty)
    }
}
