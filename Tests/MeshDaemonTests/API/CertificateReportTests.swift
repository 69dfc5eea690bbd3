import MeshModel
import MeshPlan
import Testing

@testable import MeshDaemon

@Suite struct `Certificate report` {
    private func report() -> CertificateReport {
        let (plan, identity) = colorCertificates()
        return CertificateReport(plan, identity)
    }

    @Test func `authorities come first, and trust in meshes is theirs`() {
        let entries = report().entries
        #expect(
            entries.map { "\($0.title) \($0.name.prefix(19)) \($0.source)" } == [
                "root root authority", "mesh/colors mesh.colors authority",
                "mesh/colors mesh.colors.c0ffee authority", "demo/blue blue issued",
                "demo/red red file", "demo/red red.\(entries[5].name.suffix(8)) trust",
            ]
        )
    }

    @Test func `an entry has its proxies`() {
        #expect(
            report().entries.map { $0.proxies.map(\.description) } == [
                ["demo/blue-1", "demo/blue-2"], ["demo/blue-1", "demo/blue-2"],
                ["demo/blue-1", "demo/blue-2"], ["demo/blue-1", "demo/blue-2"], ["demo/red-1"],
                ["demo/red-1"],
            ]
        )
    }

    @Test func `trust in a mesh is shown when something is wrong with it`() {
        var (plan, identity) = colorCertificates()
        identity.secrets[meshTrust] = SecretObservation(problem: "disk full")
        let entries = CertificateReport(plan, identity).entries
        #expect(entries.contains { $0.secret == meshTrust && $0.title == "demo/blue" })
        plan.proxies = [:]
        #expect(CertificateReport(plan, identity).entries.allSatisfy { $0.secret == nil })
    }

    @Test func `names are unique and do not depend on the order of what a proxy has`() {
        let secrets = [
            issued("blue"), issued("blue", uri: "spiffe://colors/other"), servedFiles, fileTrust,
        ]
        let gateway = ObjectID(.virtualGateway, nodeID("blue").reference)
        func names(_ secrets: [SecretSpec]) -> [String] {
            let proxies = [
                proxyPlan("a", nodeID("blue"), secrets), proxyPlan("b", gateway, secrets),
            ]
            return CertificateReport(plan(proxies), IdentityObservations()).entries.map(\.name)
        }
        #expect(names(secrets) == names(secrets.reversed()))
        #expect(Set(names(secrets)).count == 8)
        #expect(names(secrets).contains("blue"))
    }

    @Test func `equal inputs give equal reports, whatever the order of authorities`() {
        var (plan, identity) = colorCertificates()
        let first = CertificateReport(plan, identity)
        identity.authorities.reverse()
        #expect(CertificateReport(plan, identity) == first)
    }

    @Test(arguments: [
        ("demo", "blue", [RotationRequest.certificates(of: nodeID("blue"))]),
        (nil, nil, [.certificates(of: nil)]), (nil, "root", [.root]),
        (nil, "mesh.colors", [.meshAuthority("colors")]),
        (nil, "mesh.colors.c0ffee", [.meshAuthority("colors")]),
    ])
    func `a name says what to rotate`(
        namespace: String?,
        name: String?,
        expected: [RotationRequest]
    ) throws {
        #expect(try report().rotations(namespace: namespace, name: name) == expected)
    }

    @Test(arguments: [
        ("demo", "green", 404, "certificates.heddle.dev \"green\" not found"),
        ("other", "blue", 404, "certificates.heddle.dev \"blue\" not found"),
        (nil, "blue", 404, "certificates.heddle.dev \"blue\" not found"),
        (
            "demo", "red", 400,
            "file of demo/red is not Heddle's to replace; replace its files, and Heddle reads them anew"
        ),
    ])
    func `what cannot be rotated says why`(
        namespace: String?,
        name: String,
        code: Int,
        message: String
    ) {
        let failure = #expect(throws: APIFailure.self) {
            try report().rotations(namespace: namespace, name: name)
        }
        #expect(failure?.code == code)
        #expect(failure?.message == message)
    }

    @Test func `a node with files and an identity rotates the identity`() throws {
        let plan = plan([proxyPlan("a", nodeID("blue"), [servedFiles, issued("blue"), fileTrust])])
        let report = CertificateReport(plan, IdentityObservations())
        #expect(
            try report.rotations(namespace: "demo", name: "blue")
                == [.certificates(of: nodeID("blue"))]
        )
    }

    @Test func `what Heddle made was created when it did so, and files when they begin`() {
        let created = report().entries.map { entry in
            let metadata = entry.document["metadata"]
            return metadata?["creationTimestamp"]?.string.flatMap(secondsSince1970)
                .map { testNowSeconds - $0 }
        }
        #expect(created == [82_800, 1400, 6400, 1320, 86_400, nil])
        #expect(
            report().entries.map { $0.document["status"]?["issued"] != nil }
                == [true, true, true, true, false, false]
        )
    }

    @Test func `no key's path is in a document`() {
        let text = report().entries.map {
            String(decoding: JSONText.compact($0.document), as: UTF8.self)
        }
        #expect(text.allSatisfy { !$0.contains("red.key") })
        #expect(text.contains { $0.contains("/certs/red.pem") })
    }
}

@Suite struct `Certificate states` {
    private func status(
        begin: Int? = nil,
        end: Int? = nil,
        phase: AuthorityObservation.Phase? = nil,
        problem: String? = nil
    ) -> JSONValue {
        var status: JSONValue = [:]
        func time(_ seconds: Int?) -> JSONValue? {
            seconds.map { .string(timestamp(secondsSince1970: testNowSeconds + $0)) }
        }
        status["notBefore"] = time(begin)
        status["notAfter"] = time(end)
        status["phase"] = phase.map { .string($0.rawValue) }
        status["problem"] = problem.map(JSONValue.string)
        return status
    }

    private func state(_ status: JSONValue, within threshold: Duration? = nil) -> CertificateState {
        CertificateState(status: status, nowSeconds: testNowSeconds, expiringWithin: threshold)
    }

    @Test(arguments: [(-2640, 961, "Valid"), (-2700, 900, "Expiring"), (-3600, 0, "Expired")])
    func `the last quarter of a life is too late`(begin: Int, end: Int, word: String) {
        let state = state(status(begin: begin, end: end))
        #expect(state.word == word)
        #expect((state.verdict == .good) == (word == "Valid"))
    }

    @Test(arguments: [(599, "Expiring"), (600, "Expiring"), (601, "Valid")])
    func `a threshold takes the place of the quarter`(end: Int, word: String) {
        let status = status(begin: -100_000, end: end)
        #expect(state(status, within: .seconds(600)).word == word)
    }

    @Test func `a life counts from when Heddle made the certificate`() {
        var status = status(begin: -125, end: 15)
        status["issued"] = .string(timestamp(secondsSince1970: testNowSeconds - 5))
        #expect(state(status).word == "Valid")
    }

    @Test func `an authority has its phase, and one that retires may end`() {
        #expect(state(status(begin: -10, end: 900, phase: .signing)).word == "Signing")
        #expect(state(status(begin: -900, end: 10, phase: .signing)).word == "Expiring")
        let retiring = state(status(begin: -900, end: 10, phase: .retiring), within: .seconds(600))
        #expect(retiring == CertificateState(word: "Retiring", verdict: .good))
    }

    @Test func `a problem is bad whatever is in use, and nothing yet is not well`() {
        let failed = CertificateState(word: "Failed", verdict: .bad)
        #expect(state(status(begin: -1, end: 900, problem: "x")) == failed)
        #expect(state(status(problem: "x")) == failed)
        #expect(state(status()) == CertificateState(word: "Pending", verdict: .changing))
    }
}
