import MeshDaemon
import MeshModel
import Testing

/// The rules of a Pod, as text for iptables-restore.
@Suite struct RedirectRulesTests {
    /// What App Mesh's injector gave its init container.
    private static let variables = [
        "APPMESH_START_ENABLED": "1", "APPMESH_IGNORE_UID": "1337",
        "APPMESH_ENVOY_INGRESS_PORT": "15000", "APPMESH_ENVOY_EGRESS_PORT": "15001",
        "APPMESH_APP_PORTS": "8080,9090", "APPMESH_EGRESS_IGNORED_IP": "169.254.169.254",
        "APPMESH_EGRESS_IGNORED_PORTS": "22", "APPMESH_ENABLE_IPV6": "1",
    ]

    @Test func `the rules are those of App Mesh`() throws {
        let settings = try RedirectSettings(Self.variables)
        #expect(
            RedirectRules(settings, for: .ipv4).text == """
                *nat
                :APPMESH_INGRESS - [0:0]
                :APPMESH_EGRESS - [0:0]
                -A APPMESH_EGRESS -m owner --uid-owner 1337 -j RETURN
                -A APPMESH_EGRESS -p tcp -m multiport --dports 22 -j RETURN
                -A APPMESH_EGRESS -p tcp -d 169.254.169.254 -j RETURN
                -A APPMESH_EGRESS -p tcp -j REDIRECT --to-ports 15001
                -A APPMESH_INGRESS -p tcp -m multiport --dports 8080,9090 -j REDIRECT --to-ports 15000
                -A OUTPUT -p tcp -m addrtype ! --dst-type LOCAL -j APPMESH_EGRESS
                -A PREROUTING -p tcp -m addrtype ! --src-type LOCAL -j APPMESH_INGRESS
                COMMIT

                """
        )
        let ipv6 = RedirectRules(settings, for: .ipv6).text
        #expect(!ipv6.contains("169.254"))
        #expect(ipv6.contains("REDIRECT --to-ports 15001"))
    }

    @Test func `without variables the proxy's own connections pass all the same`() throws {
        let text = RedirectRules(try RedirectSettings([:]), for: .ipv4).text
        #expect(text.contains("--uid-owner 1337"))
        #expect(text.contains("--dports 22 -j RETURN"))
        #expect(!text.contains("APPMESH_INGRESS -p tcp"))
        let group = try RedirectSettings(["APPMESH_IGNORE_GID": "2000"])
        let rules = RedirectRules(group, for: .ipv4).text
        #expect(rules.contains("--gid-owner 2000"))
        #expect(!rules.contains("--uid-owner"))
    }

    @Test func `one rule has 15 ports at most`() throws {
        let ports = (1...31).map { "\(8000 + $0)" }
        let settings = try RedirectSettings([
            "APPMESH_APP_PORTS": ports.joined(separator: ", "),
            "APPMESH_EGRESS_IGNORED_PORTS": (1...16).map(String.init).joined(separator: ","),
        ])
        let lines = RedirectRules(settings, for: .ipv4).text.split(separator: "\n")
        let ingress = lines.filter { $0.hasPrefix("-A APPMESH_INGRESS") }
        #expect(ingress.map { $0.split(separator: ",").count } == [15, 15, 1])
        #expect(ingress.last?.contains("--dports 8031 -j") == true)
        // Port 22 comes on top of the 16.
        #expect(lines.count { $0.contains("--dports") && $0.contains("RETURN") } == 2)
    }

    @Test func `a container that starts again makes no rule twice`() throws {
        let saved = """
            *nat
            :PREROUTING ACCEPT [0:0]
            -A PREROUTING -p tcp -m addrtype ! --src-type LOCAL -j APPMESH_INGRESS
            -A OUTPUT -p tcp -m addrtype ! --dst-type LOCAL -j APPMESH_EGRESS
            -A OUTPUT -p tcp -j OTHERS
            -A APPMESH_EGRESS -p tcp -j REDIRECT --to-ports 15001
            COMMIT
            """
        let settings = try RedirectSettings(Self.variables)
        let again = RedirectRules(settings, for: .ipv4, replacing: saved).text
        let hooks = again.split(separator: "\n").filter { $0.contains("addrtype") }
        #expect(hooks.map { $0.prefix(2) } == ["-D", "-D", "-A", "-A"])
        #expect(!again.contains("OTHERS"))
        #expect(
            RedirectRules(settings, isEnabled: false, for: .ipv4, replacing: saved).text == """
                *nat
                :APPMESH_INGRESS - [0:0]
                :APPMESH_EGRESS - [0:0]
                -D PREROUTING -p tcp -m addrtype ! --src-type LOCAL -j APPMESH_INGRESS
                -D OUTPUT -p tcp -m addrtype ! --dst-type LOCAL -j APPMESH_EGRESS
                -X APPMESH_INGRESS
                -X APPMESH_EGRESS
                COMMIT

                """
        )
    }

    @Test func `an option comes before its variable`() throws {
        let settings = try RedirectSettings(
            Self.variables,
            options: [.applicationPorts: "7070", .ipv6: "0", .ignoredIPs: "10.0.0.0/8,fd00::/8"]
        )
        #expect(settings.applicationPorts.map(\.number) == [7070])
        #expect(!settings.includesIPv6)
        #expect(settings.ignoredRanges.map(\.isIPv6) == [false, true])
        #expect(settings.ignoredUID == 1337)
    }

    @Test(arguments: [
        ("APPMESH_APP_PORTS", "8080,http"), ("APPMESH_APP_PORTS", "0"),
        ("APPMESH_APP_PORTS", "65536"), ("APPMESH_APP_PORTS", "8000:8010"),
        ("APPMESH_APP_PORTS", "٨٠"), ("APPMESH_IGNORE_UID", "envoy"),
        ("APPMESH_IGNORE_UID", "-1"), ("APPMESH_IGNORE_UID", "4294967295"),
        ("APPMESH_EGRESS_IGNORED_IP", "10.0.0.1 -j ACCEPT"),
        ("APPMESH_EGRESS_IGNORED_IP", "10.0.0.1\nCOMMIT"),
        ("APPMESH_EGRESS_IGNORED_IP", "example.com"), ("APPMESH_EGRESS_IGNORED_IP", "10.0.0.0/33"),
        ("APPMESH_EGRESS_IGNORED_IP", "fd00::/129"), ("APPMESH_EGRESS_IGNORED_IP", "10.0.0.0/+8"),
        ("APPMESH_EGRESS_IGNORED_IP", "fe80::1%eth0"), ("APPMESH_ENABLE_IPV6", "yes please"),
        ("APPMESH_START_ENABLED", "2"), ("APPMESH_ENVOY_EGRESS_PORT", "15001;reboot"),
    ])
    func `what is no port, address or user is refused, and named`(
        _ name: String,
        _ value: String
    ) throws {
        let error = #expect(throws: ClientFailure.self) { try RedirectSettings([name: value]) }
        #expect(error?.description.hasPrefix("\(name): \"") == true)
    }

    @Test func `all mistakes are told at once`() {
        let error = #expect(throws: ClientFailure.self) {
            try RedirectSettings(
                ["APPMESH_APP_PORTS": "x", "APPMESH_EGRESS_IGNORED_IP": "y"],
                options: [.egressPort: "z"]
            )
        }
        #expect(error?.status == .usage)
        let lines = error?.description.split(separator: "\n") ?? []
        #expect(
            lines.map { $0.prefix { $0 != ":" } }.sorted() == [
                "--egress-port", "APPMESH_APP_PORTS", "APPMESH_EGRESS_IGNORED_IP",
            ]
        )
    }
}
