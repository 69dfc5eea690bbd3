import MeshManifests
import MeshModel
import Testing

@Suite struct WorkloadTests {
    @Test func `every field of a workload is decoded`() throws {
        let text = manifest(
            "Workload",
            "color-1",
            """
            address: "::1"
            ports: {8080: 9081, "8081": 9082}
            command: [python3, serve.py]
            env: {COLOR: blue}
            workingDirectory: ./apps/../bin
            sidecar:
              resources: {requests: {cpu: 0.1, memory: 64Mi}, limits: {cpu: 1, memory: 1G}}
              secretMounts: {/certs: ./certs/blue, /etc//tls/: /srv/tls}
            """
        )
        let file = decode(text)
        #expect(file.diagnostics.isEmpty, "\(file.diagnostics)")
        let ports = try [8080, 9081, 8081, 9082].map { try #require(Port($0)) }
        let expected = WorkloadSpec(
            address: "::1",
            ports: [ports[0]: ports[1], ports[2]: ports[3]],
            command: ["python3", "serve.py"],
            environment: ["COLOR": "blue"],
            workingDirectory: "/srv/demo/bin",
            sidecar: SidecarResources(
                cpuRequestMillicores: 100,
                memoryRequestBytes: 64 << 20,
                cpuLimitMillicores: 1000,
                memoryLimitBytes: 1_000_000_000
            ),
            secretMounts: ["/certs": "/srv/demo/certs/blue", "/etc/tls": "/srv/tls"]
        )
        #expect(file.workload?.spec == expected)
    }

    @Test func `a workload that says nothing gets the defaults`() {
        #expect(decode(manifest("Workload", "a", "{}")).workload?.spec == WorkloadSpec())
    }

    @Test(arguments: [
        ("command: [a]", "/srv/demo"), ("workingDirectory: /x", "/x"), ("{}", nil),
        ("workingDirectory: ../..", "/"),
    ])
    func `a working directory is absolute`(spec: String, expected: String?) {
        let workload = decode(manifest("Workload", "a", spec)).workload
        #expect(workload?.spec.workingDirectory == expected)
    }

    @Test(arguments: [
        ("limits: {memory: 128Mi}", 250, 128 << 20),
        ("limits: {memory: 512Mi, cpu: 100m}", 100, 256 << 20),
        ("requests: {cpu: 1500m}", 1500, 256 << 20),
        ("requests: {memory: 268435457}", 250, 256 << 20 + 1),
        ("requests: {memory: 0.5Gi}", 250, 512 << 20),
        ("requests: {memory: 1e6, cpu: 0.0001}", 1, 1_000_000),
    ])
    func `default requests give way to limits`(resources: String, cpu: Int, memory: Int) {
        let spec = "sidecar: {resources: {\(resources)}}"
        let sidecar = decode(manifest("Workload", "a", spec)).workload?.spec.sidecar
        #expect(sidecar?.cpuRequestMillicores == cpu)
        #expect(sidecar?.memoryRequestBytes == memory)
    }

    @Test(arguments: [
        BrokenRule(
            "Workload",
            "address: localhost",
            #"spec.address: "localhost" is not an IP address; give an IPv4 or IPv6 address such as 127.0.0.1"#
        ),
        BrokenRule(
            "Workload",
            "ports: {http: 1}",
            #"spec.ports.http: "http" is not a port; use 1 to 65535"#
        ),
        BrokenRule(
            "Workload",
            "ports: {80: 0}",
            "spec.ports.80: 0 is out of range; use 1 to 65535"
        ),
        BrokenRule(
            "Workload",
            "ports: [80]",
            "spec.ports: expected a mapping, found a list; write it as {8080: 9081}"
        ),
        BrokenRule(
            "Workload",
            "command: []",
            "spec.command: the list has 0 elements; give at least 1"
        ),
        BrokenRule(
            "Workload",
            "command: serve",
            #"spec.command: expected a list, found the string "serve"; give a list"#
        ),
        BrokenRule(
            "Workload",
            "env: {PORT: 8080}",
            "spec.env.PORT: expected a string, found the number 8080; quote it"
        ),
        BrokenRule(
            "Workload",
            "env: {DEBUG: true}",
            "spec.env.DEBUG: expected a string, found true; quote it"
        ),
        BrokenRule(
            "Workload",
            #"env: {A: "x\0y"}"#,
            #"spec.env.A: "x\u{0}y" contains a NUL character; remove it"#
        ),
        BrokenRule(
            "Workload",
            "sidecar: {resources: {requests: {cpu: -1}}}",
            "spec.sidecar.resources.requests.cpu: expected a quantity above zero, found the number -1; write it as 250m or 0.5"
        ),
        BrokenRule(
            "Workload",
            "sidecar: {resources: {requests: {memory: 256MB}}}",
            #"spec.sidecar.resources.requests.memory: expected a quantity above zero, found the string "256MB"; write it as 256Mi"#
        ),
        BrokenRule(
            "Workload",
            "sidecar: {resources: {requests: {memory: 1Gi}, limits: {memory: 256Mi}}}",
            #"spec.sidecar.resources.requests.memory: the request "1Gi" is above the limit "256Mi"; lower the request or raise the limit"#
        ),
        BrokenRule(
            "Workload",
            "sidecar: {secretMounts: {certs: ./certs}}",
            #"spec.sidecar.secretMounts.certs: "certs" is not an absolute path; begin it with "/""#
        ),
        BrokenRule(
            "Workload",
            "sidecar: {secretMounts: {/certs: a, /certs/: b}}",
            #"spec.sidecar.secretMounts./certs/: "/certs/" is "/certs", which is given already; keep one"#
        ),
        BrokenRule(
            "Workload",
            "sidecar: {secretMounts: {/certs: ''}}",
            "spec.sidecar.secretMounts./certs: the string is empty; use 1 to 4096 characters"
        ),
        BrokenRule(
            "Workload",
            "sidecar: {secretMounts: {/certs: [a]}}",
            "spec.sidecar.secretMounts./certs: expected a string, found a list; give a string"
        ),
        BrokenRule(
            "Workload",
            "sidecar: {secretMounts: [/certs]}",
            "spec.sidecar.secretMounts: expected a mapping, found a list; write it as {/certs: ./certs}"
        ),
    ])
    func `a broken rule is one error`(rule: BrokenRule) {
        let file = decode(manifest(rule.kind, "a", rule.spec))
        #expect(file.diagnostics.map(\.message) == ["Workload demo/a: \(rule.message)"])
        #expect(file.objects.isEmpty)
    }

    @Test(arguments: [
        ("127.0.0.1", true), ("0.0.0.0", true), ("256.0.0.1", false), ("1.2.3", false),
        ("01.2.3.4", false), ("::", true), ("::1", true), ("fe80::1:2", true),
        ("1:2:3:4:5:6:7:8", true), ("1:2:3:4:5:6:7", false), ("1::2::3", false),
        ("::ffff:10.0.0.1", true), ("1:2:3:4:5:6:1.2.3.4", true), ("1:2:3:4:5:6:7:1.2.3.4", false),
        ("::1%eth0", false), ("12345::", false), (":1", false), ("1:", false), ("", false),
        ("1:2:3:4:5:6:7::8", false), ("1.2.3.4::", false), (":::", false), ("+1.2.3.4", false),
    ])
    func `an address is an IP literal`(text: String, isAddress: Bool) {
        let file = decode(manifest("Workload", "a", "address: \"\(text)\""))
        #expect(file.objects.isEmpty == !isAddress)
    }
}
