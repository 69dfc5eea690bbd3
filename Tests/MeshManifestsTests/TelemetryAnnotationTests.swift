import MeshManifests
import MeshModel
import Testing

/// The annotations that say what is traced and where telemetry goes.
@Suite struct TelemetryAnnotationTests {
    private static let prefix = "heddle.dev/"
    /// Rules that Envoy takes.
    private static let rules = #"{"version": 2, "default": {"fixed_target": 1, "rate": 0.5}}"#

    /// An object with `annotations`, the first on line 6.
    private func object(_ kind: Kind = .mesh, _ annotations: [(String, String)]) -> String {
        let lines = annotations.map { "    \(Self.prefix)\($0): '\($1)'" }
        return """
            apiVersion: appmesh.k8s.aws/v1beta2
            kind: \(kind.rawValue)
            metadata:
              name: m
              annotations:
            \(lines.joined(separator: "\n"))
            """
    }

    /// What is reported of a Mesh with `annotations`, without what each line begins with.
    private func mistakes(_ annotations: [(String, String)]) -> [String] {
        reports(object(.mesh, annotations)).map {
            $0.replacing("demo.yaml:", with: "").replacing("Mesh m: metadata.annotations", with: "")
        }
    }

    @Test(arguments: TracingSpec.Provider.allCases)
    func `who takes the spans`(provider: TracingSpec.Provider) {
        let file = decode(object(.mesh, [("tracing", provider.rawValue)]))
        #expect(file.diagnostics.isEmpty, "\(file.diagnostics)")
        #expect(file.mesh?.spec.tracing == TracingSpec(provider: provider))
    }

    @Test func `off is no tracing, whatever else is said of it`() {
        let file = decode(
            object(
                .mesh,
                [("tracing", "off"), ("tracing-endpoint", "a:1"), ("trace-sampling", "1")]
            )
        )
        #expect(file.diagnostics.isEmpty, "\(file.diagnostics)")
        #expect(file.mesh != nil)
        #expect(file.mesh?.spec.tracing == nil)
    }

    @Test func `what is said of tracing goes with it`() {
        let file = decode(
            object(
                .mesh,
                [
                    ("tracing", "x-ray"), ("tracing-endpoint", "[::1]:2001"),
                    ("trace-sampling", "0.25"), ("trace-sampling-rules", Self.rules),
                ]
            )
        )
        #expect(file.diagnostics.isEmpty, "\(file.diagnostics)")
        let tracing = TracingSpec(
            provider: .xRay,
            endpoint: Port(2001).map { TelemetryEndpoint(host: "::1", port: $0) },
            sampling: TraceSampling(rate: 0.25, rules: Self.rules)
        )
        #expect(file.mesh?.spec.tracing == tracing)
    }

    @Test(arguments: ["0", "0.05", "1", "1.0", ".5"])
    func `a node and a gateway have a rate of their own`(rate: String) {
        for kind in [Kind.virtualNode, .virtualGateway] {
            let file = decode(
                object(kind, [("trace-sampling", rate), ("trace-sampling-rules", Self.rules)])
                    + "\nspec: {\(kind == .virtualNode ? "" : "listeners: []")}"
            )
            #expect(file.diagnostics.isEmpty, "\(file.diagnostics)")
            let expected = TraceSampling(rate: Double(rate), rules: Self.rules)
            #expect((file.node?.spec.traceSampling ?? file.gateway?.spec.traceSampling) == expected)
        }
    }

    @Test(arguments: ["tracing-endpoint", "trace-sampling"])
    func `what is said of tracing has no effect without it`(name: String) {
        let value = name == "trace-sampling" ? "1" : "a:1"
        let expected =
            "6: warning: [\"heddle.dev/\(name)\"]: it has no effect without heddle.dev/tracing; add that "
            + "annotation, such as x-ray, or remove this one"
        #expect(mistakes([(name, value)]) == [expected])
    }

    @Test func `rules have no effect without X-Ray`() {
        let expected =
            "7: warning: [\"heddle.dev/trace-sampling-rules\"]: sampling rules have no effect with "
            + "zipkin, as they are X-Ray's; give a rate by heddle.dev/trace-sampling"
        #expect(
            mistakes([("tracing", "zipkin"), ("trace-sampling-rules", Self.rules)]) == [expected]
        )
    }

    @Test(arguments: [
        ("tracing", "xray", #"unknown value "xray"; did you mean "x-ray"?"#),
        (
            "tracing", "lightstep",
            #"unknown value "lightstep"; use x-ray, otlp, zipkin, jaeger, datadog or off"#
        ),
        (
            "tracing-endpoint", "collector",
            #""collector" is no endpoint; write host:port, such as 127.0.0.1:4317"#
        ),
        (
            "tracing-endpoint", "a:65536",
            #""a:65536" is no endpoint; write host:port, such as 127.0.0.1:4317"#
        ),
        (
            "tracing-endpoint", "::1:2000",
            #""::1:2000" is no endpoint; write host:port, such as 127.0.0.1:4317"#
        ),
        (
            "trace-sampling", "1.5",
            #""1.5" is no share of requests; give a number from 0 to 1, such as 0.05 for 5 %"#
        ),
        (
            "trace-sampling", "5%",
            #""5%" is no share of requests; give a number from 0 to 1, such as 0.05 for 5 %"#
        ),
        (
            "trace-sampling", "-0.1",
            #""-0.1" is no share of requests; give a number from 0 to 1, such as 0.05 for 5 %"#
        ),
        (
            "trace-sampling", "nan",
            #""nan" is no share of requests; give a number from 0 to 1, such as 0.05 for 5 %"#
        ),
        (
            "trace-sampling", "0x1p-3",
            #""0x1p-3" is no share of requests; give a number from 0 to 1, such as 0.05 for 5 %"#
        ),
        (
            "dogstatsd", "8125",
            #""8125" is no address of a DogStatsD server; write 127.0.0.1:8125, or unix: and the path of its socket"#
        ),
        (
            "dogstatsd", "statsd.local:8125",
            #""statsd.local" is a name, and Envoy sends statistics to an IP address; give its IP address, such as 127.0.0.1:8125"#
        ),
        (
            "dogstatsd", "unix:run/dsd.sock",
            #""run/dsd.sock" is no path of a socket; write unix: and an absolute path of at most 107 bytes"#
        ),
        ("export", "xray", #"unknown export "xray"; did you mean "x-ray"?"#),
        (
            "export", "cloudwatch, otl=http://a",
            #"unknown export "otl=http://a"; did you mean "otlp=http://host:4318"?"#
        ),
        (
            "export", "prometheus",
            #"unknown export "prometheus"; use x-ray, cloudwatch, cloudwatch-logs or otlp=http://host:4318, with commas between"#
        ),
        ("export", "x-ray=eu", #"unknown export "x-ray=eu"; write x-ray without "=""#),
        (
            "export", "otlp",
            "otlp is without a URL; write otlp=http://host:4318; paths are added to it"
        ),
        (
            "export", "otlp=http://a/v1",
            #""http://a/v1" is no URL of a collector; write otlp=http://host:4318; paths are added to it"#
        ),
        (
            "export", "otlp=https://u:secret@a",
            "the URL of otlp has a user name, which is not sent; write otlp=http://host:4318; paths are added to it"
        ),
        (
            "export", "otlp=http://a,otlp=http://b",
            "otlp is given twice; keep one; a collector can pass it on"
        ),
    ])
    func `a wrong annotation is one error`(name: String, value: String, report: String) {
        let provider = name.hasPrefix("trac") && name != "tracing" ? [("tracing", "otlp")] : []
        let expected = "\(6 + provider.count): error: [\"heddle.dev/\(name)\"]: \(report)"
        #expect(mistakes(provider + [(name, value)]) == [expected])
    }

    @Test func `X-Ray's daemon has an IP address`() {
        let expected =
            "7: error: [\"heddle.dev/tracing-endpoint\"]: \"localhost\" is a name, and Envoy sends to "
            + "X-Ray's daemon by IP address; give its IP address, such as 127.0.0.1:2000"
        #expect(
            mistakes([("tracing", "x-ray"), ("tracing-endpoint", "localhost:2000")]) == [expected]
        )
        #expect(mistakes([("tracing", "otlp"), ("tracing-endpoint", "localhost:2000")]).isEmpty)
    }

    @Test(arguments: [
        ("", TelemetryExport()), (" x-ray ,x-ray", TelemetryExport(xRay: true)),
        (
            "cloudwatch,cloudwatch-logs",
            TelemetryExport(cloudWatch: true, cloudWatchLogs: true)
        ),
        ("otlp=https://a.b", TelemetryExport(openTelemetryURL: "https://a.b")),
        ("otlp=http://[::1]:4318/", TelemetryExport(openTelemetryURL: "http://[::1]:4318")),
    ])
    func `where telemetry goes`(value: String, export: TelemetryExport) {
        let file = decode(object(.mesh, [("export", value)]))
        #expect(file.diagnostics.isEmpty, "\(file.diagnostics)")
        #expect(file.mesh?.spec.export == export)
    }

    @Test func `DogStatsD takes datagrams at an address and at a socket`() throws {
        let port = try #require(Port(8125))
        for (text, address) in [
            (
                "127.0.0.1:8125",
                DogStatsDAddress.udp(TelemetryEndpoint(host: "127.0.0.1", port: port))
            ),
            ("[fd00::1]:8125", .udp(TelemetryEndpoint(host: "fd00::1", port: port))),
            ("unix:/run/dsd.sock", .unixSocket("/run/dsd.sock")),
        ] {
            let file = decode(object(.mesh, [("dogstatsd", text)]))
            #expect(file.diagnostics.isEmpty, "\(file.diagnostics)")
            #expect(file.mesh?.spec.dogStatsD == address)
        }
    }
}
