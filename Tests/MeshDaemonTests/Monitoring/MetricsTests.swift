import MeshModel
import MeshPlan
import MeshTelemetry
import Testing

@testable import MeshDaemon

@Suite struct `Metrics` {
    @Test func `tell when certificates and authorities end`() {
        let (plan, identity) = colorCertificates()
        let red = ProxyID(ObjectReference(namespace: "demo", name: "red-1"))
        let counts = [
            AccessCount(proxy: red, caller: "spiffe://colors/demo/x", verdict: "denied", count: 3),
            AccessCount(proxy: red, caller: "", verdict: "denied", count: 1),
        ]
        let report = CertificateReport(plan, identity)
        let trust = report.entries[5].name
        var text = MetricsText()
        text.addCertificates(report)
        text.addAccess(counts)
        #expect(
            text.text == """
                # HELP heddle_certificate_expiry_timestamp_seconds When a certificate or trust ends, in seconds since 1970.
                # TYPE heddle_certificate_expiry_timestamp_seconds gauge
                heddle_certificate_expiry_timestamp_seconds{name="demo/blue",identity="spiffe://colors/demo/blue",mesh="colors",source="issued"} 1795402280
                heddle_certificate_expiry_timestamp_seconds{name="demo/red",identity="/certs/red.pem",mesh="colors",source="file"} 1797992000
                # HELP heddle_authority_expiry_timestamp_seconds When an authority of Heddle's own ends, in seconds since 1970; without mesh the root.
                # TYPE heddle_authority_expiry_timestamp_seconds gauge
                heddle_authority_expiry_timestamp_seconds{mesh="",serial="ABBA",phase="Signing"} 2110760000
                heddle_authority_expiry_timestamp_seconds{mesh="colors",serial="C0FFEE",phase="Retiring"} 1795400100
                heddle_authority_expiry_timestamp_seconds{mesh="colors",serial="C0FFEF",phase="Signing"} 1795900000
                # HELP heddle_certificate_problem 1 when the newest of a certificate, trust or authority could not be had.
                # TYPE heddle_certificate_problem gauge
                heddle_certificate_problem{name="demo/blue",identity="spiffe://colors/demo/blue",mesh="colors",source="issued"} 0
                heddle_certificate_problem{name="demo/red",identity="/certs/red.pem",mesh="colors",source="file"} 1
                heddle_certificate_problem{name="demo/\(trust)",identity="/certs/ca.pem",mesh="colors",source="trust"} 0
                heddle_certificate_problem{name="mesh.colors",identity="mesh/colors",mesh="colors",source="authority"} 0
                heddle_certificate_problem{name="mesh.colors.c0ffee",identity="mesh/colors",mesh="colors",source="authority"} 0
                heddle_certificate_problem{name="root",identity="root",mesh="",source="authority"} 0
                # HELP heddle_access_denied_total Requests and connections whose caller has no backend for what it calls.
                # TYPE heddle_access_denied_total counter
                heddle_access_denied_total{proxy="demo/red-1",caller="",verdict="denied"} 1
                heddle_access_denied_total{proxy="demo/red-1",caller="spiffe://colors/demo/x",verdict="denied"} 3

                """
        )
    }

    @Test func `of nothing are nothing`() {
        var text = MetricsText()
        text.addCertificates(CertificateReport())
        text.addAccess([])
        text.addProxies(ProxyReport(), [:])
        text.addTelemetry([], notKept: nil, [])
        text.addResponses([:])
        #expect(text.text == "")
    }

    @Test func `escape what would end a value or a line`() {
        var text = MetricsText()
        text.add("a", .gauge, help: "one\\two\n\"three\"", [(["x": "a\"b\\c\nd"], 1)])
        #expect(
            text.text == #"""
                # HELP a one\\two\n"three"
                # TYPE a gauge
                a{x="a\"b\\c\nd"} 1

                """#
        )
    }

    @Test func `are served as text`() async {
        let response = await certificatesHandler().respond(to: APIRequest(target: "/metrics"))
        #expect(response.status == 200)
        #expect(response.contentType == "text/plain; version=0.0.4; charset=utf-8")
    }
}
