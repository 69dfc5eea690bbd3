import MeshModel
import MeshPlan
import Synchronization
import Testing

@testable import MeshDaemon

@Suite(.timeLimit(.minutes(1))) struct `Certificate commands` {
    private let recorder = Recorder()

    private func list(
        _ change: (inout CertificatesCommand) -> Void = { _ in }
    ) async throws -> MeshDaemon.ExitStatus {
        var command = CertificatesCommand()
        change(&command)
        let transport = HandlerTransport(handler: certificatesHandler())
        return try await command.run(transport, recorder.console())
    }

    /// A handler whose only certificate began and ends so many seconds from now.
    private func handler(begin: Int, end: Int) -> APIHandler {
        let state = APIState()
        let plan = plan([proxyPlan("blue-1", nodeID("blue"), [issued("blue")])])
        let observation = SecretObservation(
            serial: "1",
            notBeforeSeconds: testNowSeconds + begin,
            notAfterSeconds: testNowSeconds + end
        )
        let identity = IdentityObservations(secrets: [issued("blue"): observation])
        let report = CertificateReport(plan, identity)
        state.publish(objects: [workload("blue-1")], statuses: [:], certificates: report)
        return MeshDaemonTests.handler(state)
    }

    @Test func `certificates are one line each`() async throws {
        #expect(try await list { $0.namespace = "demo" } == .badNews)
        let lines = recorder.output.split(separator: "\n")
        #expect(
            lines.prefix(3) == [
                "NAME                SOURCE   STATE     SERIAL     AGE      EXPIRES IN   PROXIES   LAST ROTATION   PROBLEM",
                "demo/blue           issued   Valid     3C4D5E6F   22m      38m          2         20m",
                "demo/red            file     Failed    77         24h      30d          1         <none>          /certs/red.pem: no certificate in it; write PEM",
            ]
        )
        #expect(lines[3].contains("trust    Pending"))
    }

    @Test func `authorities are there without a namespace`() async throws {
        #expect(try await list { $0.format = .wide } == .badNews)
        let lines = recorder.output.split(separator: "\n").map { $0.split(separator: " ") }
        #expect(lines.prefix(4).map { $0[0] } == ["NAME", "root", "mesh/colors", "mesh/colors"])
        // They begin an hour before they are made.
        #expect(lines[1].contains("23h") && lines[2].contains("23m"))
        #expect(lines[4].contains("1A2B3C4D5E6F"))
        #expect(lines[4].contains("demo/blue-1,demo/blue-2"))
        #expect(!recorder.output.contains("SERIAL   "))
    }

    @Test(arguments: [
        (-1320, 2280, nil, MeshDaemon.ExitStatus.ok), (-2700, 900, nil, .badNews),
        (-1320, 2280, Duration.seconds(2280), .badNews), (-2700, 900, .seconds(60), .ok),
    ])
    func `the exit code tells whether one ends soon`(
        begin: Int,
        end: Int,
        threshold: Duration?,
        expected: MeshDaemon.ExitStatus
    ) async throws {
        var command = CertificatesCommand()
        command.expiringWithin = threshold
        let transport = HandlerTransport(handler: handler(begin: begin, end: end))
        #expect(try await command.run(transport, recorder.console()) == expected)
        #expect(recorder.output.contains("Expiring") == (expected == .badNews))
    }

    @Test(arguments: [CertificatesCommand.Format.json, .yaml])
    func `documents have the state by the threshold that was asked for`(
        format: CertificatesCommand.Format
    ) async throws {
        _ = try await list {
            $0.format = format
            $0.expiringWithin = .seconds(3600)
        }
        #expect(recorder.output.contains("Expiring"))
        #expect(recorder.output.contains("1A2B3C4D5E6F"))
    }

    @Test func `nothing is said to be nothing`() async throws {
        let transport = HandlerTransport(handler: colorsHandler())
        let command = CertificatesCommand()
        #expect(try await command.run(transport, recorder.console()) == .ok)
        #expect(recorder.notes == "No certificates: no proxy has TLS.\n")
    }

    @Test func `a watch shows each change`() async throws {
        let api = certificatesHandler()
        var command = CertificatesCommand()
        command.isWatching = true
        let (shown, parts) = AsyncStream.makeStream(of: String.self)
        let console = recorder.console(onPrint: { parts.yield($0) })
        let watching = command
        await withTaskGroup { group in
            group.addTask { _ = try? await watching.run(HandlerTransport(handler: api), console) }
            var isPublished = false
            for await text in shown {
                if text.contains("EWSERIAL") { break }
                guard text.contains("3C4D5E6F"), !isPublished else { continue }
                isPublished = true
                let plan = colorCertificates().plan
                var identity = colorCertificates().identity
                identity.secrets[issued("blue")]?.serial = "NEWSERIAL"
                api.state.publish(
                    objects: [],
                    statuses: [:],
                    certificates: CertificateReport(plan, identity)
                )
            }
            group.cancelAll()
        }
        #expect(recorder.output.contains("EWSERIAL"))
    }

    @Test(arguments: [
        (RotateCommand.Target.all, nil, "certificates(of: nil)"),
        (.owner("demo/blue"), nil, "VirtualNode demo/blue"),
        (.owner("blue"), "demo", "VirtualNode demo/blue"), (.owner("blue"), nil, "demo/blue"),
        (.mesh("colors"), nil, "meshAuthority(\"colors\")"), (.root, nil, "root"),
    ])
    func `rotate does what it is told, and prints what was done`(
        target: RotateCommand.Target,
        namespace: String?,
        expected: String
    ) async throws {
        let api = certificatesHandler(rotation: { request in
            if case .certificates(let owner?) = request { return "renewed \(owner)" }
            return "renewed \(request)"
        })
        var command = RotateCommand(target)
        command.namespace = namespace
        let status = try await command.run(HandlerTransport(handler: api), recorder.console())
        #expect(status == .ok)
        #expect(recorder.output.hasPrefix("renewed "))
        #expect(recorder.output.hasSuffix("\(expected)\n"))
    }

    @Test func `rotate tells what it waits for, and clears that line`() async throws {
        let lines = Mutex<[String?]>([])
        let (seen, sight) = AsyncStream.makeStream(of: Void.self)
        let api = certificatesHandler(rotation: { _ in
            for await _ in seen { break }
            return "done"
        })
        let console = recorder.console(onProgress: { line in
            lines.withLock { $0.append(line) }
            sight.yield()
        })
        let transport = HandlerTransport(handler: api)
        #expect(try await RotateCommand(.mesh("colors")).run(transport, console) == .ok)
        let shown = lines.withLock { $0 }
        #expect(shown.first == "rotating the authority of Mesh colors ...")
        #expect(shown.last == .some(nil))
    }

    @Test(arguments: ["a/b/c", "../x", "a?b", "", "demo/", "A", "."])
    func `rotate refuses what is no name`(name: String) async throws {
        let transport = HandlerTransport(handler: certificatesHandler())
        let failure = await #expect(throws: ClientFailure.self) {
            try await RotateCommand(.owner(name)).run(transport, recorder.console())
        }
        #expect(failure?.status == .usage)
    }

    @Test func `what is not there is bad news`() async throws {
        let transport = HandlerTransport(handler: certificatesHandler())
        let failure = await #expect(throws: ClientFailure.self) {
            try await RotateCommand(.mesh("green")).run(transport, recorder.console())
        }
        #expect(failure?.status == .badNews)
        #expect(failure?.description == "certificates.heddle.dev \"mesh.green\" not found")
    }

    @Test func `get names the command for certificates`() {
        let failure = #expect(throws: ClientFailure.self) { try KindName.kind("certificates") }
        #expect(failure?.description == "certificates are listed by \"heddle certificates\"")
        #expect(throws: Never.self) { try KindName.kind("certmap") }
    }
}
