import MeshAdmission
import MeshModel
import MeshTesting
import Testing

/// What the injector says of Pods that it lets in.
@Suite struct InjectionWarningTests {
    private func world(mtls: String? = nil, tls: String? = nil) -> World {
        var yaml = clusterYAML
        if let mtls {
            yaml = yaml.replacing(
                "metadata: {name: demo, uid: mesh-uid}",
                with:
                    "metadata: {name: demo, uid: mesh-uid, annotations: {heddle.dev/mtls: \(mtls)}}"
            )
        }
        if let tls {
            yaml = yaml.replacing(
                "- portMapping: {port: 8080, protocol: http}",
                with: "- portMapping: {port: 8080, protocol: http}\n      tls: {\(tls)}"
            )
        }
        return World(yaml: yaml)
    }

    private func probed(
        _ probe: JSONValue,
        _ name: String = "readinessProbe",
        annotations: [String: String] = [:]
    ) -> JSONValue {
        let ports: JSONValue = [["name": "web", "containerPort": 8080]]
        var container: JSONValue = ["name": "app", "image": "app:1", "ports": ports]
        container[name] = probe
        return pod(annotations: annotations, spec: ["containers": [container]])
    }

    private func warnings(_ pod: JSONValue, _ world: World) throws -> [String] {
        let outcome = try inject(pod, world: world)
        #expect(outcome.refusal == nil)
        return outcome.verdict.warnings
    }

    private static let web: JSONValue = ["httpGet": ["port": 8080, "path": "/"]]

    @Test(
        arguments: [
            ("readinessProbe", web), ("livenessProbe", ["httpGet": ["port": "web"]]),
            ("startupProbe", ["grpc": ["port": 9090]]),
            ("readinessProbe", ["httpGet": ["port": 8080, "scheme": "HTTPS"]]),
        ] as [(String, JSONValue)]
    )
    func `a probe that the mesh's TLS refuses is told`(name: String, probe: JSONValue) throws {
        let found = try warnings(probed(probe, name), world(mtls: "STRICT"))
        let port = probe["grpc"] == nil ? 8080 : 9090
        #expect(
            found == [
                "container app: kubelet's \(name) of port \(port) fails, as VirtualNode demo/blue takes "
                    + "nothing but TLS there (STRICT); use exec, a port of no listener, or PERMISSIVE"
            ]
        )
        #expect(try warnings(probed(probe, name), world(mtls: "PERMISSIVE")) == [])
        #expect(try warnings(probed(probe, name), world()) == [])
    }

    @Test(
        arguments: [
            ["exec": ["command": ["true"]]], ["tcpSocket": ["port": 8080]],
            ["httpGet": ["port": 8081]], ["httpGet": ["port": "none"]],
            ["httpGet": ["port": 8080, "host": "example.com"]],
        ] as [JSONValue]
    )
    func `a probe that no proxy refuses is left alone`(probe: JSONValue) throws {
        #expect(try warnings(probed(probe), world(mtls: "STRICT")) == [])
    }

    @Test func `a port that does not lead through the proxy may be probed`() throws {
        let sent = probed(Self.web, annotations: ["ports": "9090"])
        #expect(try warnings(sent, world(mtls: "STRICT")) == [])
    }

    @Test func `TLS of a listener's own counts in place of the mesh's`() throws {
        let file = "certificate: {file: {certificateChain: /a.pem, privateKey: /b.pem}}"
        let https: JSONValue = ["httpGet": ["port": 8080, "scheme": "HTTPS"]]
        let strict = world(tls: "mode: STRICT, \(file)")
        #expect(try warnings(probed(Self.web), strict).count == 1)
        #expect(try warnings(probed(https), strict) == [], "no certificate is asked for")
        let mutual = world(
            tls: "mode: STRICT, \(file), validation: {trust: {file: {certificateChain: /c.pem}}}"
        )
        #expect(try warnings(probed(https), mutual).count == 1)
        let permissive = world(mtls: "STRICT", tls: "mode: PERMISSIVE, \(file)")
        #expect(try warnings(probed(Self.web), permissive) == [])
    }

    @Test func `probes that AWS' image answered in a gateway's Pod are told`() throws {
        func gateway(_ probe: JSONValue, _ annotations: [String: String] = [:]) throws -> [String] {
            let envoy: JSONValue = ["name": "envoy", "image": "aws:1", "livenessProbe": probe]
            let labels: [String: JSONValue] = ["app": "ingress"]
            let sent = pod(
                labels: labels,
                annotations: annotations,
                spec: ["containers": [envoy]]
            )
            return try warnings(sent, cluster)
        }
        #expect(
            try gateway(["httpGet": ["port": 9901, "path": "/ready"]]) == [
                "container envoy: livenessProbe asks port 9901, Envoy's admin interface, which listens "
                    + "on 127.0.0.1 alone, and fails; take it away, or let it ask GET /ready on port 9902"
            ]
        )
        let curl: JSONValue = ["exec": ["command": ["sh", "-c", "curl localhost:9901/ready"]]]
        #expect(try gateway(curl).first?.contains("runs curl") == true)
        #expect(try gateway(["httpGet": ["port": 9902, "path": "/ready"]]) == [])
        #expect(try gateway(curl, ["virtualGatewaySkipImageOverride": "enabled"]) == [])
    }

    @Test func `an annotation that nobody reads is told`() throws {
        let sent = pod(annotations: ["cpuRequests": "1", "ignoredUID": "1337", "colour": "blue"])
        #expect(
            try warnings(sent, cluster) == [
                "appmesh.k8s.aws/colour has no effect: the injector has no such annotation",
                "appmesh.k8s.aws/cpuRequests has no effect: the injector has no such annotation; did "
                    + "you mean appmesh.k8s.aws/cpuRequest?",
            ]
        )
    }

    @Test func `a variable that the injector sets otherwise is told`() throws {
        let sent = pod(annotations: ["sidecarEnv": "ENVOY_LOG_LEVEL=trace, MINE=1"])
        let found = try warnings(sent, cluster)
        #expect(found.count == 1)
        #expect(found.first?.contains("sidecarEnv: ENVOY_LOG_LEVEL has no effect") == true)
        let same = pod(annotations: ["sidecarEnv": "ENVOY_LOG_LEVEL=info"])
        #expect(try warnings(same, cluster) == [])
    }
}
