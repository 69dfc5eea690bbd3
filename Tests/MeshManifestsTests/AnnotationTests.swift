import MeshManifests
import MeshModel
import Testing

@Suite struct AnnotationTests {
    /// A Mesh with the annotation `name: value` on line 6.
    private func mesh(_ name: String, _ value: String) -> String {
        """
        apiVersion: appmesh.k8s.aws/v1beta2
        kind: Mesh
        metadata:
          name: m
          annotations:
            \(name): \(value)
        """
    }

    @Test(arguments: [
        (#""""#, []), (#""  ""#, []),
        ("example.com", [AllowedDestination(host: "example.com")]),
        (
            #"" *.Example.com:8443 ,a_b.c,example.com:443,example.com, 10.0.0.1:80""#,
            [
                AllowedDestination(host: "*.example.com", port: Port(8443) ?? .https),
                AllowedDestination(host: "a_b.c"), AllowedDestination(host: "example.com"),
                AllowedDestination(host: "10.0.0.1", port: .http),
            ]
        ),
    ])
    func `hosts that are always allowed`(value: String, expected: [AllowedDestination]) {
        let file = decode(mesh("heddle.dev/always-allowed", value))
        #expect(file.diagnostics.isEmpty, "\(file.diagnostics)")
        #expect(file.mesh?.spec.alwaysAllowed == expected)
    }

    @Test func `without annotations a mesh is as App Mesh had it`() {
        let spec = decode(manifest("Mesh", "m", "")).mesh?.spec
        #expect(spec?.alwaysAllowed == [AllowedDestination(host: "*.amazonaws.com", port: .https)])
        #expect(spec?.healthChecks == .callers)
        #expect(spec?.mutualTLS == nil)
        #expect(spec?.accessControl == nil)
        #expect(spec?.trustDomain == nil)
        #expect(spec?.tracing == nil)
        #expect(spec?.export == TelemetryExport())
        #expect(spec?.dogStatsD == nil)
    }

    @Test(arguments: [("PERMISSIVE", MutualTLSMode.permissive), ("STRICT", .strict)])
    func `mutual TLS of the whole mesh`(value: String, mode: MutualTLSMode) {
        #expect(decode(mesh("heddle.dev/mtls", value)).mesh?.spec.mutualTLS == mode)
    }

    @Test(arguments: [
        ("enforce", AccessControlMode.enforce), ("shadow", .shadow), ("\"off\"", .off),
        ("off", .off),
    ])
    func `access control, which may be asked for without mutual TLS`(
        value: String,
        mode: AccessControlMode
    ) {
        let file = decode(mesh("heddle.dev/access-control", value))
        #expect(file.diagnostics.isEmpty, "\(file.diagnostics)")
        #expect(file.mesh?.spec.accessControl == mode)
    }

    @Test(arguments: [
        "example.org", "a", "a_b-c.d", "..", "0", String(repeating: "a", count: 255),
    ])
    func `a trust domain has the characters of SPIFFE`(value: String) {
        let file = decode(mesh("heddle.dev/trust-domain", "'\(value)'"))
        #expect(file.diagnostics.isEmpty, "\(file.diagnostics)")
        #expect(file.mesh?.spec.trustDomain == value)
    }

    @Test(arguments: ["Example.org", "spiffe://example.org", "a b", "a:1", "é", "a/b"])
    func `what is no trust domain is named`(value: String) {
        let expected =
            "demo.yaml:6: error: Mesh m: metadata.annotations[\"heddle.dev/trust-domain\"]: "
            + "\"\(value)\" is not a SPIFFE trust domain; use lower-case letters, digits, \".\", "
            + "\"-\" and \"_\", without \"spiffe://\""
        #expect(reports(mesh("heddle.dev/trust-domain", "'\(value)'")) == [expected])
    }

    @Test(arguments: HealthCheckMode.allCases)
    func `who probes endpoints`(mode: HealthCheckMode) {
        let file = decode(mesh("heddle.dev/health-checks", mode.rawValue))
        #expect(file.mesh?.spec.healthChecks == mode)
    }

    @Test(arguments: [
        ("'*'", "*"), ("'a,'", ""), ("'a,,b'", ""), ("'*.'", "*."), ("a.*", "a.*"),
        ("https://a", "https://a"), ("'a:'", "a:"), ("a:0", "a:0"), ("a:+1", "a:+1"),
        ("a:b:1", "a:b:1"), ("'[::1]:80'", "[::1]:80"), ("a b", "a b"), ("a/b", "a/b"),
        ("é.com", "é.com"), ("a..b", "a..b"),
    ])
    func `what is no host is named`(value: String, quoted: String) {
        let expected =
            "demo.yaml:6: error: Mesh m: metadata.annotations[\"heddle.dev/always-allowed\"]: "
            + "\"\(quoted)\" is no host; write host or host:port with commas between; the host may "
            + "begin with \"*.\""
        #expect(reports(mesh("heddle.dev/always-allowed", value)) == [expected])
    }

    @Test(arguments: [
        (
            "heddle.dev/health-checks", "twice",
            #"error: Mesh m: metadata.annotations["heddle.dev/health-checks"]: unknown value "twice"; use callers or once"#
        ),
        (
            "heddle.dev/health-checks", "1",
            #"error: Mesh m: metadata.annotations["heddle.dev/health-checks"]: expected a string, found the number 1; quote it"#
        ),
        (
            "heddle.dev/mtls", "strict",
            #"error: Mesh m: metadata.annotations["heddle.dev/mtls"]: unknown value "strict"; use PERMISSIVE or STRICT"#
        ),
        (
            "heddle.dev/access-control", "warn",
            #"error: Mesh m: metadata.annotations["heddle.dev/access-control"]: unknown value "warn"; use enforce, shadow or off"#
        ),
        (
            "heddle.dev/trust-domain", "''",
            #"error: Mesh m: metadata.annotations["heddle.dev/trust-domain"]: the string is empty; use 1 to 255 characters"#
        ),
        (
            "heddle.dev/health-check", "once",
            #"warning: Mesh m: metadata.annotations["heddle.dev/health-check"]: unknown annotation "heddle.dev/health-check" is ignored; did you mean "heddle.dev/health-checks"?"#
        ),
        (
            "heddle.dev/colour", "blue",
            #"warning: Mesh m: metadata.annotations["heddle.dev/colour"]: unknown annotation "heddle.dev/colour" is ignored; known are heddle.dev/always-allowed, heddle.dev/health-checks, heddle.dev/mtls, heddle.dev/access-control, heddle.dev/trust-domain, heddle.dev/tracing, heddle.dev/tracing-endpoint, heddle.dev/trace-sampling, heddle.dev/trace-sampling-rules, heddle.dev/export and heddle.dev/dogstatsd"#
        ),
    ])
    func `a wrong annotation is named`(name: String, value: String, report: String) {
        #expect(reports(mesh(name, value)) == ["demo.yaml:6: \(report)"])
    }

    @Test func `an annotation on another kind says where it acts`() {
        let text = """
            apiVersion: appmesh.k8s.aws/v1beta2
            kind: VirtualNode
            metadata:
              name: a
              namespace: demo
              annotations: {heddle.dev/health-checks: once, example.com/x: y}
            """
        let expected =
            "demo.yaml:6: warning: VirtualNode demo/a: metadata.annotations"
            + "[\"heddle.dev/health-checks\"]: unknown annotation \"heddle.dev/health-checks\" is "
            + "ignored; it acts on a Mesh"
        #expect(reports(text) == [expected])
        #expect(decode(text).objects.count == 1)
    }
}
