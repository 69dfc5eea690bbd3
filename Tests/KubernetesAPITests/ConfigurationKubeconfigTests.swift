import Foundation
import HTTPClient
import Testing

@testable import KubernetesAPI

/// What a kubeconfig says, and what is wrong with it.
struct ConfigurationKubeconfigTests {
    private static func read(
        _ path: String?,
        context: String? = nil,
        _ environment: [String: String] = [:]
    ) throws(KubernetesError) -> KubernetesConfiguration {
        try .kubeconfig(path: path, context: context, environment: environment)
    }

    /// One cluster, user and context of a name.
    private static func entries(
        _ name: String,
        server: String,
        user: String = "{token: t}",
        rest: String = ""
    ) -> String {
        """
        clusters: [{name: \(name), cluster: {server: "\(server)"}}]
        users: [{name: \(name), user: \(user)}]
        contexts: [{name: \(name), context: {cluster: \(name), user: \(name), namespace: ns-\(name)}}]
        \(rest)

        """
    }

    @Test func `the current context holds unless another one is named`() async throws {
        try await TestFolder.use { folder in
            let path = try folder.write(
                "config",
                """
                clusters:
                - {name: one, cluster: {server: https://one.example:6443/}}
                - {name: two, cluster: {server: "https://two.example/base"}}
                users:
                - {name: ann, user: {token: "1"}}
                - {name: ben, user: {username: ben, password: secret}}
                contexts:
                - {name: first, context: {cluster: one, user: ann}}
                - {name: second, context: {cluster: two, user: ben, namespace: demo}}
                current-context: first
                """
            )
            let first = try Self.read(path)
            #expect(first.server == "https://one.example:6443")
            #expect(first.namespace == "default")
            #expect(first.user.token == "1")
            let second = try Self.read(path, context: "second")
            #expect(second.server == "https://two.example/base")
            #expect(second.namespace == "demo")
            #expect(second.user.basic?.name == "ben")
            #expect(second.user.basic?.password == "secret")
        }
    }

    @Test func `several files are merged, and the first of a name counts`() async throws {
        try await TestFolder.use { folder in
            let first = try folder.write(
                "a/config",
                Self.entries("one", server: "https://first", user: "{tokenFile: token}")
            )
            let second = try folder.write(
                "b/config",
                Self.entries("one", server: "https://ignored", rest: "current-context: two")
            )
            let third = try folder.write(
                "c/config",
                Self.entries(
                    "two",
                    server: "https://third",
                    user: "{tokenFile: sub/token, exec: null}",
                    rest: "current-context: one"
                )
            )
            let environment = [
                "KUBECONFIG": "\(first)::\(folder.path)/none:\(second):\(third):\(first)"
            ]
            let current = try Self.read(nil, environment)
            #expect(current.server == "https://third")
            #expect(current.namespace == "ns-two")
            #expect(current.user.tokenFile == "\(folder.path)/c/sub/token")
            let one = try Self.read(nil, context: "one", environment)
            #expect(one.server == "https://first")
            #expect(one.user.tokenFile == "\(folder.path)/a/token")
            // A path that is given counts alone.
            #expect(try Self.read(second, context: "one", environment).server == "https://ignored")
        }
    }

    @Test func `the home folder's config is read when nothing is named`() async throws {
        try await TestFolder.use { folder in
            try folder.write(
                ".kube/config",
                Self.entries("home", server: "https://home", rest: "current-context: home")
            )
            #expect(try Self.read(nil, ["HOME": folder.path]).server == "https://home")
            let empty = ["HOME": folder.path, "KUBECONFIG": ""]
            #expect(try Self.read(nil, empty).server == "https://home")
        }
    }

    @Test func `fields of a cluster are kept`() async throws {
        try await TestFolder.use { folder in
            let authority = try folder.write("pki/ca.crt", "PEM")
            let path = try folder.kubeconfig(
                cluster: """
                    server: https://10.0.0.1
                    certificate-authority: pki/ca.crt
                    tls-server-name: kubernetes
                    proxy-url: socks5://127.0.0.1:1080
                    disable-compression: true
                    """,
                user: "{}"
            )
            let configuration = try Self.read(path)
            #expect(configuration.authorities == .file(authority))
            #expect(configuration.connection.serverName == "kubernetes")
            #expect(configuration.connection.proxy?.url == "socks5://127.0.0.1:1080")
            #expect(!configuration.acceptsCompressed)
            #expect(!configuration.connection.isInsecure)
            let data = Data("PEM of data".utf8).base64EncodedString()
            let insecure = try folder.kubeconfig(
                cluster: "server: https://10.0.0.1\ninsecure-skip-tls-verify: true",
                user: "{client-certificate-data: \(data), client-key-data: \(data), as: ann, "
                    + "as-groups: [a, b], as-user-extra: {Example.com/x: [y]}}"
            )
            let second = try Self.read(insecure)
            #expect(second.connection.isInsecure)
            #expect(second.user.certificate == .text(Array("PEM of data".utf8)))
            #expect(
                second.user.impersonation.map { "\($0.name): \($0.value)" } == [
                    "Impersonate-User: ann", "Impersonate-Group: a", "Impersonate-Group: b",
                    "Impersonate-Extra-Example.com%2Fx: y",
                ]
            )
        }
    }

    @Test func `the environment's proxy holds, but not for this host`() throws {
        let environment = [
            "HTTPS_PROXY": "http://proxy:3128", "http_proxy": "http://plain:80",
            "NO_PROXY": "10.0.0.0/8",
        ]
        let proxy = { HTTPProxy.named(by: environment, for: $0) }
        #expect(proxy("https://10.0.0.1") == HTTPProxy("http://proxy:3128", except: "10.0.0.0/8"))
        #expect(proxy("http://server")?.url == "http://plain:80")
        for host in ["127.0.0.1:6443", "localhost", "[::1]:6443", "127.1.2.3"] {
            #expect(proxy("https://\(host)") == nil)
        }
        #expect(HTTPProxy.named(by: [:], for: "https://10.0.0.1") == nil)
    }

    // MARK: Plugins

    @Test func `a plugin is found beside the file, or by its name alone`() async throws {
        try await TestFolder.use { folder in
            let path = try folder.kubeconfig(
                cluster: """
                    server: https://10.0.0.1
                    extensions:
                    - name: client.authentication.k8s.io/exec
                      extension: {audience: "1", numbers: [1, 2.5, true, null]}
                    """,
                user: """
                    {exec: {apiVersion: client.authentication.k8s.io/v1, command: bin/login,
                        args: [--a, 1], env: [{name: B, value: c}], provideClusterInfo: true,
                        interactiveMode: Never, installHint: install it}}
                    """
            )
            let plugin = try #require(try Self.read(path).user.plugin)
            #expect(plugin.command == "\(folder.path)/bin/login")
            #expect(plugin.arguments == ["--a", "1"])
            #expect(plugin.environment.map { "\($0.name)=\($0.value)" } == ["B=c"])
            #expect(plugin.installHint == "install it")
            #expect(
                try plugin.execInfo(isInteractive: false) == """
                    {"apiVersion":"client.authentication.k8s.io/v1","kind":"ExecCredential",\
                    "spec":{"cluster":{"config":{"audience":"1","numbers":[1,2.5,true,null]},\
                    "server":"https://10.0.0.1"},"interactive":false}}
                    """
            )
            let beta = try folder.kubeconfig(
                cluster: "server: https://10.0.0.1",
                user: "{exec: {apiVersion: client.authentication.k8s.io/v1beta1, command: login}}"
            )
            let second = try #require(try Self.read(beta).user.plugin)
            #expect(second.command == "login")
            #expect(second.interactiveMode == .ifAvailable)
            #expect(second.cluster == nil)
        }
    }

    // MARK: Mistakes

    private static let mistakes: [(cluster: String, user: String, problem: String)] = [
        ("{}", "{}", "clusters[0].cluster.server: is missing"),
        (
            "server: ftp://a", "{}",
            "clusters[0].cluster: server: \"ftp://a\" must be an http or https URL such as "
                + "https://10.0.0.1:6443"
        ),
        (
            "server: https://a\ncertificate-authority: none", "{}",
            "clusters[0].cluster: certificate-authority: cannot read FOLDER/none: no such file or "
                + "directory"
        ),
        (
            "server: https://a\ncertificate-authority-data: '%%'", "{}",
            "clusters[0].cluster.certificate-authority-data: must be base64"
        ),
        (
            "server: https://a\ninsecure-skip-tls-verify: perhaps", "{}",
            "clusters[0].cluster.insecure-skip-tls-verify: must be true or false"
        ),
        (
            "server: https://a\ninsecure-skip-tls-verify: true\ncertificate-authority-data: YQ==",
            "{}",
            "clusters[0].cluster: insecure-skip-tls-verify: must not be true beside "
                + "certificate-authority"
        ),
        (
            "server: https://a\nproxy-url: 'ann:secret@proxy'", "{}",
            "clusters[0].cluster: proxy-url: must be a URL with http, https or socks5"
        ),
        (
            "server: https://a", "{client-certificate-data: YQ==}",
            "users[0].user: client-key: is missing beside client-certificate"
        ),
        (
            "server: https://a", "{client-key-data: YQ==}",
            "users[0].user: client-certificate: is missing beside client-key"
        ),
        (
            "server: https://a", "{username: ann, token: t}",
            "users[0].user: username: must not be there beside a token"
        ),
        (
            "server: https://a", "{auth-provider: {name: gcp}}",
            "users[0].user.auth-provider: is not supported; use exec"
        ),
        (
            "server: https://a", "{as-groups: [a]}",
            "users[0].user: as: is missing beside as-uid, as-groups or as-user-extra"
        ),
        ("server: https://a", "{token: [a]}", "users[0].user.token: must be a string"),
        ("server: https://a", "{exec: login}", "users[0].user.exec: must be a map"),
        ("server: https://a", "{exec: {}}", "users[0].user.exec.apiVersion: is missing"),
        (
            "server: https://a",
            "{exec: {apiVersion: client.authentication.k8s.io/v1alpha1, command: a}}",
            "users[0].user.exec: apiVersion: \"client.authentication.k8s.io/v1alpha1\" must be "
                + "client.authentication.k8s.io/v1 or client.authentication.k8s.io/v1beta1"
        ),
        (
            "server: https://a", "{exec: {apiVersion: client.authentication.k8s.io/v1}}",
            "users[0].user.exec.command: is missing"
        ),
        (
            "server: https://a",
            "{exec: {apiVersion: client.authentication.k8s.io/v1, command: a}}",
            "users[0].user.exec: interactiveMode: is missing; it is one of Never, IfAvailable, "
                + "Always"
        ),
        (
            "server: https://a",
            "{exec: {apiVersion: client.authentication.k8s.io/v1, command: a, "
                + "interactiveMode: Sometimes}}",
            "users[0].user.exec: interactiveMode: \"Sometimes\" must be one of Never, "
                + "IfAvailable, Always"
        ),
        (
            "server: https://a",
            "{exec: {apiVersion: client.authentication.k8s.io/v1, command: a, "
                + "interactiveMode: Never, env: [{value: a}]}}",
            "users[0].user.exec.env[0].name: is missing"
        ),
    ]

    @Test(arguments: mistakes.indices)
    func `a mistake is told with its file and field`(_ index: Int) async throws {
        let mistake = Self.mistakes[index]
        try await TestFolder.use { folder in
            let path = try folder.kubeconfig(cluster: mistake.cluster, user: mistake.user)
            let error = #expect(throws: KubernetesError.self) { try Self.read(path) }
            #expect(error?.kind == .credentials)
            let expected = "\(path): \(mistake.problem.replacing("FOLDER", with: folder.path))"
            #expect(error?.description == expected)
        }
    }

    @Test func `names that lead nowhere are told with those that are there`() async throws {
        try await TestFolder.use { folder in
            let path = try folder.write(
                "config",
                """
                clusters: [{name: one, cluster: {server: https://a}}]
                contexts:
                - {name: a, context: {cluster: two, user: ann}}
                - {name: b, context: {cluster: one, user: ann}}
                - {name: c, context: {cluster: one}}
                """
            )
            func problem(_ context: String?) -> String? {
                #expect(throws: KubernetesError.self) { try Self.read(path, context: context) }?
                    .problem
            }
            #expect(problem(nil) == #"current-context: is missing; pass --context "a", "b", "c""#)
            #expect(problem("d") == #"contexts: none is named "d"; there are "a", "b", "c""#)
            #expect(
                problem("a")
                    == #"contexts[0].context.cluster: no cluster is named "two"; there are "one""#
            )
            #expect(
                problem("b") == #"contexts[1].context.user: no user is named "ann"; there are none"#
            )
            #expect(try Self.read(path, context: "c").user.token == nil)
        }
    }

    @Test(
        arguments: [
            ("a: [", "it is no YAML"), ("[]", "must be a map"),
            ("contexts: {}", "contexts: must be a list"),
        ]
    )
    func `a file that is no kubeconfig is told`(text: String, problem: String) async throws {
        try await TestFolder.use { folder in
            let path = try folder.write("config", text)
            let error = #expect(throws: KubernetesError.self) {
                try Self.read(path, context: "a")
            }
            #expect(error?.description.hasPrefix("\(path): \(problem)") == true, "\(error as Any)")
        }
    }

    @Test func `a file that is not there is told`() throws {
        let error = #expect(throws: KubernetesError.self) { try Self.read("/nowhere/config") }
        #expect(error?.description == "/nowhere/config: no such file or directory")
        let none = #expect(throws: KubernetesError.self) {
            try Self.read(nil, ["KUBECONFIG": "/nowhere/a:/nowhere/b"])
        }
        #expect(
            none?.description
                == "/nowhere/a:/nowhere/b: no such file; pass --kubeconfig or set KUBECONFIG"
        )
    }

    @Test func `no description shows a secret`() async throws {
        try await TestFolder.use { folder in
            let path = try folder.kubeconfig(
                cluster: "server: https://a\nproxy-url: http://ann:SECRET1@proxy:1",
                user: "{token: SECRET2, client-key-data: U0VDUkVUMw==, "
                    + "client-certificate-data: U0VDUkVUMw==}"
            )
            let configuration = try Self.read(path)
            var text = "\(configuration) \(String(reflecting: configuration))"
            dump(configuration, to: &text)
            dump(configuration.connection, to: &text)
            dump(configuration.user.certificate, to: &text)
            #expect(text.contains("https://a"))
            #expect(!text.contains("SECRET"), "\(text)")
        }
    }
}
