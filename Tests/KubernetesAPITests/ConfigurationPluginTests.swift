import Foundation
import Logging
import MeshTesting
import Testing

@testable import KubernetesAPI

/// Programs that are asked for credentials.
@Suite(.timeLimit(.minutes(2)))
struct ConfigurationPluginTests {
    private typealias ConfigMap = ClientServerTests.ConfigMap
    private static let configMaps = ClientServerTests.configMaps
    private static let found = ScriptedServer.Answer(200, #"{"metadata": {}, "items": []}"#)
    private static let refused = ScriptedServer.Answer(401, #"{"kind": "Status"}"#)
    private static let version = "client.authentication.k8s.io/v1"

    /// A client whose plugin is a shell script in `folder`; it finds `$dir` set to it.
    private static func client(
        _ folder: TestFolder,
        _ server: String,
        script: String,
        more: String = "",
        timeLimit: Duration = .seconds(60)
    ) throws -> KubernetesClient {
        try folder.write("login", "#!/bin/sh\ndir='\(folder.path)'\n\(script)\n", isProgram: true)
        let path = try folder.kubeconfig(
            cluster: "server: \(server)",
            user: """
                {exec: {apiVersion: \(version), command: ./login, interactiveMode: Never\(more)}}
                """
        )
        var options = KubernetesClient.Options()
        options.pluginTimeLimit = timeLimit
        return KubernetesClient(
            try .kubeconfig(path: path),
            options: options,
            logger: Logger(label: "test")
        )
    }

    /// A script that gives `token-1`, then `token-2` and so on as it is run again.
    private static func counting(_ rest: String = "") -> String {
        #"""
        echo run >>"$dir/runs"
        printf '{"apiVersion":"VERSION","kind":"ExecCredential","status":{"token":"token-%s"REST}}' \
            $(wc -l <"$dir/runs")
        """#.replacing("VERSION", with: version).replacing("REST", with: rest)
    }

    private static func tokens(_ server: ScriptedServer) async throws -> [String] {
        try await server.requests().compactMap {
            $0.headers["authorization"]?.replacing("Bearer ", with: "")
        }
    }

    @Test func `a plugin is run once for all, and its token kept`() async throws {
        try await TestFolder.use { folder in
            let server = try await ScriptedServer([Self.found])
            let client = try Self.client(folder, server.endpoint, script: Self.counting())
            try await withThrowingTaskGroup(of: Void.self) { group in
                for _ in 0..<10 {
                    group.addTask { _ = try await client.list(ConfigMap.self, Self.configMaps) }
                }
                try await group.waitForAll()
            }
            #expect(try await Self.tokens(server) == Array(repeating: "token-1", count: 10))
        }
    }

    @Test func `a plugin is run again when its token has expired`() async throws {
        try await TestFolder.use { folder in
            let server = try await ScriptedServer([Self.found])
            let past = Self.counting(#","expirationTimestamp":"2020-01-01T00:00:00Z""#)
            let client = try Self.client(folder, server.endpoint, script: past)
            for _ in 0..<2 { _ = try await client.list(ConfigMap.self, Self.configMaps) }
            let future = Self.counting(#","expirationTimestamp":"2999-01-01T00:00:00.5+02:00""#)
            let second = try Self.client(folder, server.endpoint, script: future)
            for _ in 0..<2 { _ = try await second.list(ConfigMap.self, Self.configMaps) }
            let tokens = try await Self.tokens(server)
            #expect(tokens == ["token-1", "token-2", "token-3", "token-3"])
        }
    }

    @Test func `a plugin is run again, once, when the server refuses its token`() async throws {
        try await TestFolder.use { folder in
            let server = try await ScriptedServer([Self.found, Self.refused, Self.found])
            let client = try Self.client(folder, server.endpoint, script: Self.counting())
            for _ in 0..<2 { _ = try await client.list(ConfigMap.self, Self.configMaps) }
            #expect(try await Self.tokens(server) == ["token-1", "token-1", "token-2"])
            try await server.answer([Self.refused])
            let error = await #expect(throws: KubernetesError.self) {
                try await client.list(ConfigMap.self, Self.configMaps)
            }
            #expect(error?.code == 401)
            #expect(try await Self.tokens(server).suffix(2) == ["token-2", "token-3"])
        }
    }

    @Test func `a plugin gets its arguments, environment and what it shall know`() async throws {
        try await TestFolder.use { folder in
            let server = try await ScriptedServer([Self.found])
            let client = try Self.client(
                folder,
                server.endpoint,
                script: #"echo "$1 $COLOR $KUBERNETES_EXEC_INFO" >"$dir/told"; "#
                    + #"cat >>"$dir/told"; ls /proc/self/fd | wc -l >>"$dir/told"; "#
                    + Self.counting(),
                more: ", args: [a b], env: [{name: COLOR, value: blue}], provideClusterInfo: true"
            )
            _ = try await client.list(ConfigMap.self, Self.configMaps)
            let told = try String(contentsOfFile: "\(folder.path)/told", encoding: .utf8)
            let info = """
                {"apiVersion":"\(Self.version)","kind":"ExecCredential","spec":{"cluster":\
                {"server":"\(server.endpoint)"},"interactive":false}}
                """
            // Input, output and errors, and the folder that ls reads; nothing else is open.
            #expect(told == "a b blue \(info)\n4\n")
        }
    }

    private static func answer(_ status: String, version: String = version) -> String {
        #"echo '{"apiVersion":"\#(version)","kind":"ExecCredential","status":\#(status)}'"#
    }

    private static let mistakes: [(script: String, problem: String)] = [
        ("echo SECRET", "it printed no ExecCredential: it is no JSON"),
        ("exit 3", "it ended with status 3; standard error has what it said"),
        ("kill -9 $$", "it ended by signal 9"),
        (
            answer(#"{"token":"SECRET"}"#, version: "client.authentication.k8s.io/v1beta1"),
            "it printed another apiVersion than client.authentication.k8s.io/v1"
        ),
        (answer("null"), "it printed an ExecCredential without status"),
        (answer("{}"), "it printed neither a token nor a certificate"),
        (
            answer(#"{"clientKeyData":"SECRET"}"#),
            "it printed one of clientCertificateData and clientKeyData without the other"
        ),
        (
            answer(#"{"token":"SECRET","expirationTimestamp":"tomorrow"}"#),
            "it printed an expirationTimestamp that is no RFC 3339 time"
        ),
    ]

    @Test(arguments: mistakes.indices)
    func `what a plugin does wrong is told, and not what it printed`(_ index: Int) async throws {
        let mistake = Self.mistakes[index]
        try await TestFolder.use { folder in
            let client = try Self.client(folder, "http://127.0.0.1:1", script: mistake.script)
            let error = await #expect(throws: KubernetesError.self) {
                try await client.list(ConfigMap.self, Self.configMaps)
            }
            #expect(error?.kind == .credentials)
            #expect(
                error?.description == "list configmaps: \(folder.path)/kubeconfig: "
                    + "users[0].user.exec: \(folder.path)/./login: \(mistake.problem)"
            )
        }
    }

    @Test func `a plugin that is not there is told with the hint for it`() async throws {
        try await TestFolder.use { folder in
            let client = try Self.client(
                folder,
                "http://127.0.0.1:1",
                script: "",
                more: ", installHint: get it from example.com"
            )
            try FileManager.default.removeItem(atPath: "\(folder.path)/login")
            let error = await #expect(throws: KubernetesError.self) {
                try await client.list(ConfigMap.self, Self.configMaps)
            }
            let expected = "./login: no such program; get it from example.com"
            #expect(error?.problem.hasSuffix(expected) == true)
        }
    }

    @Test(arguments: ["sleep 1000", "sleep 1000 & sleep 1000", "exec >&-; sleep 1000", "yes"])
    func `a plugin that does not end is killed, with its children`(_ script: String) async throws {
        try await TestFolder.use { folder in
            let client = try Self.client(
                folder,
                "http://127.0.0.1:1",
                script: #"echo $$ >"$dir/pid"; "# + script,
                timeLimit: .seconds(1)
            )
            let error = await #expect(throws: KubernetesError.self) {
                try await client.list(ConfigMap.self, Self.configMaps)
            }
            #expect(error?.problem.contains("it was not done after 1.0 seconds") == true)
            let text = try String(contentsOfFile: "\(folder.path)/pid", encoding: .utf8)
            let group = try #require(pid_t(text.split(separator: "\n").first ?? ""))
            // After the name: state, parent and group. Who was killed stays until it is waited for.
            let look = #"""
                cat /proc/[0-9]*/stat 2>/dev/null | sed 's/.*) //' \
                    | awk -v group="$0" '$3 == group && $1 != "Z"'
                """#
            try await poll {
                try await runCommand("/bin/sh", ["-c", look, "\(group)"]).output
            } until: {
                $0.isEmpty
            }
        }
    }

    @Test func `who waits for a plugin can give up`() async throws {
        try await TestFolder.use { folder in
            let client = try Self.client(
                folder,
                "http://127.0.0.1:1",
                script: #"echo started >"$dir/started"; sleep 5"#
            )
            let reader = Task { try await client.list(ConfigMap.self, Self.configMaps) }
            try await poll {
                FileManager.default.fileExists(atPath: "\(folder.path)/started")
            } until: {
                $0
            }
            reader.cancel()
            await #expect(throws: CancellationError.self) { try await reader.value }
        }
    }

    // MARK: The real server

    @Test(.enabled(if: kubernetesIsExpected), arguments: ["v1", "v1beta1"])
    func `a plugin for kubectl gives a token or a certificate to the client, too`(
        _ version: String
    ) async throws {
        let server = try await KubernetesServer.shared()
        let namespace = try await server.makeNamespace("plugin")
        let certificate = try await server.clientCertificate(user: "ann")
        _ = try await server.createServiceAccount(
            namespace,
            "ben",
            rules: [.init("", ["configmaps"], ["list"])]
        )
        let token = try await server.token(namespace, "ben")
        let authority = try Data(contentsOf: URL(fileURLWithPath: server.certificateAuthority))
        try await TestFolder.use { folder in
            try folder.write("token", token)
            try folder.write(
                "login",
                #"""
                #!/usr/bin/env python3
                import json, os, sys
                info = json.loads(os.environ["KUBERNETES_EXEC_INFO"])
                assert info["spec"]["cluster"]["certificate-authority-data"]
                read = lambda path: open(path).read()
                status = {"token": read(sys.argv[2])} if sys.argv[1] == "token" else {
                    "clientCertificateData": read(sys.argv[2]), "clientKeyData": read(sys.argv[3])}
                print(json.dumps({**info, "status": status}))
                """#,
                isProgram: true
            )
            for arguments in [
                ["token", "\(folder.path)/token"],
                ["certificate", certificate.certificate, certificate.key],
            ] {
                let path = try folder.kubeconfig(
                    cluster: """
                        server: \(server.server)
                        certificate-authority-data: \(authority.base64EncodedString())
                        """,
                    user: """
                        {exec: {apiVersion: client.authentication.k8s.io/\(version), \
                        command: ./login, args: [\(arguments.joined(separator: ", "))], \
                        interactiveMode: Never, provideClusterInfo: true}}
                        """
                )
                let names = try await server.kubectl(
                    "get",
                    "configmaps",
                    "-A",
                    "-o",
                    "name",
                    as: path
                )
                let page = try await ClientServerTests.client(path)
                    .list(ConfigMap.self, Self.configMaps)
                #expect(!names.isEmpty && !page.items.isEmpty)
            }
        }
    }
}
