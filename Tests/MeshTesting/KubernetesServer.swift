public import Foundation
internal import HTTPClient
internal import Synchronization

/// A Kubernetes API server of version 1.20 with its etcd, on 127.0.0.1, for one test process.
///
/// It has no scheduler and no kubelet: a Pod stays as it is until a test says otherwise (see
/// `patchPodStatus`). It starts in some seconds, so tests share one and have namespaces of their own
/// (see `shared` and `makeNamespace`); those that stop it start their own.
///
/// Services get addresses within 127.96.0.0/16, all of which lead to this machine: a webhook that
/// names a Service reaches a server that listens at the Service's address and port.
///
/// What 1.20 lacks: CEL rules in CRDs, `fieldValidation=Strict`, `policy/v1`, `discovery.k8s.io/v1`.
public final class KubernetesServer: Sendable {
    /// What a server is started with.
    public struct Options: Sendable {
        /// Runs kube-controller-manager, which deletes what is in deleted namespaces, collects garbage
        /// and makes Pods of Deployments.
        public var hasControllerManager = false
        /// Admission plugins beside those that are on anyway.
        public var admissionPlugins: [String] = []
        /// Further arguments of kube-apiserver.
        public var arguments: [String] = []
        /// Keeps a list of all requests (see `requests`).
        public var isAudited = false

        /// Makes options of a plain server.
        public init(
            hasControllerManager: Bool = false,
            admissionPlugins: [String] = [],
            arguments: [String] = [],
            isAudited: Bool = false
        ) {
            self.hasControllerManager = hasControllerManager
            self.admissionPlugins = admissionPlugins
            self.arguments = arguments
            self.isAudited = isAudited
        }
    }

    /// The programs that a server consists of.
    public enum Program: String, CaseIterable, Sendable {
        case etcd
        case apiserver = "kube-apiserver"
        case controllerManager = "kube-controller-manager"
    }

    /// The bearer token of an administrator.
    static let token = "token-of-an-administrator"

    /// Where the server's files are; it is removed when the test process ends.
    public let folder: URL
    /// `https://127.0.0.1:port`.
    public let server: String
    /// The kubeconfig of an administrator, a file.
    public let kubeconfig: String
    let options: Options
    let etcdPort: Int
    private let apiPort: Int
    private let peerPort: Int
    private let binaries: String
    private let processes = Mutex<[Program: ServerProcess]>([:])
    /// Removes the folder when this object is gone, or the test process.
    private let remover: ServerProcess
    let client = HTTPClient()

    /// The one server that tests share which neither stop it nor need options.
    public static func shared() async throws -> KubernetesServer { try await sharedServer.value }
    private static let sharedServer = Task { try await KubernetesServer() }

    /// Starts a server of its own, which takes some seconds.
    public init(_ options: Options = Options()) async throws {
        guard let kubernetesFolder else { throw KubernetesMissing() }
        binaries = kubernetesFolder
        self.options = options
        folder = FileManager.default.temporaryDirectory
            .appendingPathComponent("heddle-kubernetes-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        remover = try await .start(
            ["sh", "-c", "echo holding; exec sleep 1000000"],
            until: "holding",
            removing: folder.path
        )
        (etcdPort, peerPort, apiPort) = (try unusedPort(), try unusedPort(), try unusedPort())
        server = "https://127.0.0.1:\(apiPort)"
        kubeconfig = folder.appendingPathComponent("kubeconfig").path
        try await makeCertificates()
        try writeFiles()
        try await start(.etcd)
        try await start(.apiserver)
        if options.hasControllerManager { try await start(.controllerManager) }
    }

    /// Starts a program that does not run, and waits until it serves.
    public func start(_ program: Program) async throws {
        let command: [String]
        switch program {
        case .etcd: command = etcdArguments
        case .apiserver: command = apiserverArguments
        case .controllerManager: command = controllerManagerArguments
        }
        // The shell tells its process id, which the program keeps.
        let process = try await ServerProcess.start(
            ["sh", "-c", #"echo "pid $$"; log=$1; shift; exec "$@" >>"$log" 2>&1"#, "sh"]
                + [log(of: program), "\(binaries)/\(program.rawValue)"] + command,
            until: "pid "
        )
        processes.withLock { $0[program] = process }
        try await waitUntilReady(program)
    }

    /// The process id of a program; nil when it was not started.
    public func processID(of program: Program) -> Int32? {
        let line = processes.withLock { $0[program]?.line }
        return line.flatMap { $0.split(separator: " ").last }.flatMap { Int32($0) }
    }

    /// Forgets the process of a program, which ends it if it still runs.
    func forget(_ program: Program) {
        let process = processes.withLock { $0.removeValue(forKey: program) }
        // Not within the lock, as the end of the process is waited for.
        _ = process
    }

    private func log(of program: Program) -> String {
        folder.appendingPathComponent("\(program.rawValue).log").path
    }

    /// Waits for as long as a busy machine may take, and no longer than the program runs.
    private func waitUntilReady(_ program: Program) async throws {
        let end = ContinuousClock.now + .seconds(180)
        while !(await isReady(program)) {
            guard isRunning(program), ContinuousClock.now < end else {
                let log = (try? String(contentsOfFile: log(of: program), encoding: .utf8)) ?? ""
                throw ServerFailed(output: "\(program.rawValue): \(log.suffix(2000))")
            }
            try await Task.sleep(for: .milliseconds(100))
        }
    }

    private func isReady(_ program: Program) async -> Bool {
        switch program {
        case .etcd:
            let request = HTTPRequest("GET", "http://127.0.0.1:\(etcdPort)/health")
            return (try? await client.response(to: request).status) == 200
        case .apiserver:
            guard (try? await request("GET", "/readyz")) == "ok" else { return false }
            // It is made a moment after the server is ready.
            return (try? await request("GET", "/api/v1/namespaces/default")) != nil
        case .controllerManager:
            let path = "/api/v1/namespaces/default/serviceaccounts/default"
            return (try? await request("GET", path)) != nil
        }
    }

    /// Asks the API as an administrator.
    ///
    /// - Parameters:
    ///   - method: `GET`, `POST`, ...
    ///   - path: `/api/v1/namespaces/demo/pods`, with a query where one is needed.
    ///   - body: What is sent; nothing when nil.
    ///   - type: The media type of `body`.
    /// - Returns: The body of the answer.
    /// - Throws: `KubernetesRefusal` when the status is 300 or above.
    @discardableResult
    public func request(
        _ method: String,
        _ path: String,
        _ body: String? = nil,
        type: String = "application/json"
    ) async throws -> String {
        let request = HTTPRequest(
            method,
            server + path,
            headers: [
                HTTPField("Authorization", "Bearer \(Self.token)"),
                HTTPField("Content-Type", type),
            ],
            body: body.map { Array($0.utf8) },
            certificateAuthorityFile: certificateAuthority
        )
        let response = try await client.response(to: request, bodyLimit: 256 * 1024 * 1024)
        guard response.status < 300 else {
            throw KubernetesRefusal(status: response.status, text: response.text)
        }
        return response.text
    }

    // MARK: Arguments

    private func file(_ name: String) -> String { folder.appendingPathComponent(name).path }

    /// The certificate of the authority that signs the server's certificate and those of users.
    public var certificateAuthority: String { file("authority.crt") }
    var certificateAuthorityKey: String { file("authority.key") }
    /// The server's certificate and its key, which a server in between may present, too.
    public var serverCertificate: (certificate: String, key: String) {
        (file("server.crt"), file("server.key"))
    }

    private var etcdArguments: [String] {
        let (client, peer) = ("http://127.0.0.1:\(etcdPort)", "http://127.0.0.1:\(peerPort)")
        return [
            "--name", "default", "--data-dir", file("etcd"), "--listen-client-urls", client,
            "--advertise-client-urls", client, "--listen-peer-urls", peer,
            "--initial-advertise-peer-urls", peer, "--initial-cluster", "default=\(peer)",
            "--logger", "zap", "--log-level", "warn", "--unsafe-no-fsync",
        ]
    }

    private var apiserverArguments: [String] {
        var arguments = [
            "--etcd-servers", "http://127.0.0.1:\(etcdPort)", "--bind-address", "127.0.0.1",
            "--advertise-address", "127.0.0.1", "--secure-port", "\(apiPort)", "--insecure-port",
            "0", "--tls-cert-file", serverCertificate.certificate, "--tls-private-key-file",
            serverCertificate.key, "--cert-dir", folder.path, "--client-ca-file",
            certificateAuthority, "--service-account-issuer", Self.issuer,
            "--service-account-signing-key-file", file("accounts.key"),
            "--service-account-key-file", file("accounts.key"), "--service-cluster-ip-range",
            "127.96.0.0/16", "--token-auth-file", file("tokens.csv"), "--authorization-mode",
            "RBAC",
            "--allow-privileged=true", "--disable-admission-plugins", "ServiceAccount",
            "--endpoint-reconciler-type", "none",
        ]
        if !options.admissionPlugins.isEmpty {
            let plugins = options.admissionPlugins.joined(separator: ",")
            arguments += ["--enable-admission-plugins", plugins]
        }
        if options.isAudited {
            arguments += ["--audit-policy-file", file("audit.json"), "--audit-log-path", auditLog]
        }
        return arguments + options.arguments
    }

    /// The issuer of tokens, and the audience of those that name no other.
    static let issuer = "https://kubernetes.default.svc"
    var auditLog: String { file("audit.log") }

    private var controllerManagerArguments: [String] {
        [
            "--kubeconfig", kubeconfig, "--bind-address", "127.0.0.1", "--secure-port", "0",
            "--port", "0", "--cert-dir", folder.path, "--controllers",
            "namespace,garbagecollector,serviceaccount,root-ca-cert-publisher,deployment,replicaset,"
                + "job,endpoint,endpointslice,disruption",
            "--service-account-private-key-file", file("accounts.key"), "--root-ca-file",
            certificateAuthority, "--leader-elect=false",
        ]
    }

    // MARK: Files

    private func makeCertificates() async throws {
        let script = #"""
            set -e
            new="openssl ecparam -name prime256v1 -genkey -noout -out"
            $new accounts.key; $new authority.key; $new server.key
            openssl req -x509 -new -key authority.key -days 30 -subj /CN=kubernetes -out authority.crt \
                -addext keyUsage=critical,keyCertSign,cRLSign
            printf '%s\n' extendedKeyUsage=serverAuth "subjectAltName=IP:127.0.0.1,DNS:localhost,\
            DNS:kubernetes,DNS:kubernetes.default,DNS:kubernetes.default.svc" >server.ext
            openssl req -new -key server.key -subj /CN=kube-apiserver \
                | openssl x509 -req -CA authority.crt -CAkey authority.key -CAcreateserial -days 30 \
                    -extfile server.ext -out server.crt
            """#
        try await shell(script, in: folder.path)
    }

    private func writeFiles() throws {
        let tokens = "\(Self.token),admin,admin,\"system:masters\"\n"
        try tokens.write(toFile: file("tokens.csv"), atomically: true, encoding: .utf8)
        let policy = """
            {"apiVersion":"audit.k8s.io/v1","kind":"Policy","omitStages":["RequestReceived"],
            "rules":[{"level":"RequestResponse","resources":[
            {"group":"appmesh.k8s.aws","resources":["*/status"]},{"group":"","resources":["events"]}]},
            {"level":"Metadata"}]}
            """
        try policy.write(toFile: file("audit.json"), atomically: true, encoding: .utf8)
        try writeKubeconfig(kubeconfig, user: #"{"token": "\#(Self.token)"}"#)
    }

    /// Writes a kubeconfig for `user`, by default for this server.
    func writeKubeconfig(
        _ path: String,
        user: String,
        server: String? = nil,
        namespace: String = "default"
    ) throws {
        let authority = try Data(contentsOf: URL(fileURLWithPath: certificateAuthority))
        let text = """
            apiVersion: v1
            kind: Config
            clusters:
            - name: test
              cluster:
                server: "\(server ?? self.server)"
                certificate-authority-data: \(authority.base64EncodedString())
            users:
            - name: test
              user: \(user)
            contexts:
            - name: test
              context: {cluster: test, user: test, namespace: "\(namespace)"}
            current-context: test

            """
        try text.write(toFile: path, atomically: true, encoding: .utf8)
    }
}

/// The API refused a request.
public struct KubernetesRefusal: Error, CustomStringConvertible {
    /// The HTTP status.
    public var status: Int
    /// The body of the answer.
    public var text: String
    /// Both.
    public var description: String { "\(status): \(text)" }
}

/// Runs `script` in `folder`, and gives what it prints.
@discardableResult
func shell(_ script: String, in folder: String) async throws -> String {
    let script = "cd \"$0\" && {\n\(script)\n}"
    let result = try await runCommand("/bin/sh", ["-c", script, folder])
    guard result.status == 0 else { throw ServerFailed(output: result.output) }
    return result.output
}
