internal import Foundation
internal import Synchronization

extension KubernetesServer {
    /// Runs kubectl, by default as an administrator, and gives what it prints.
    ///
    /// - Throws: `KubectlFailure` when it fails.
    @discardableResult
    public func kubectl(_ arguments: String..., as kubeconfig: String? = nil) async throws -> String
    {
        try await kubectl(arguments, as: kubeconfig)
    }

    /// Runs kubectl, by default as an administrator, and gives what it prints.
    ///
    /// - Throws: `KubectlFailure` when it fails.
    @discardableResult
    public func kubectl(_ arguments: [String], as kubeconfig: String? = nil) async throws -> String
    {
        let errors = newFile("kubectl.err")
        defer { try? FileManager.default.removeItem(atPath: errors) }
        let result = try await runCommand(
            "/bin/sh",
            ["-c", #"exec kubectl "$@" 2>"$0""#, errors, "--kubeconfig"]
                + [kubeconfig ?? self.kubeconfig, "--cache-dir", folder.path + "/kubectl"]
                + arguments
        )
        guard result.status == 0 else {
            let said = (try? String(contentsOfFile: errors, encoding: .utf8)) ?? ""
            throw KubectlFailure(output: result.output + said)
        }
        return result.output
    }

    /// Applies manifests with kubectl, and gives what it prints.
    ///
    /// - Throws: `KubectlFailure` when it fails.
    @discardableResult
    public func apply(
        _ yaml: String,
        _ options: String...,
        namespace: String? = nil,
        as kubeconfig: String? = nil
    ) async throws -> String {
        let file = newFile("manifest.yaml")
        defer { try? FileManager.default.removeItem(atPath: file) }
        try yaml.write(toFile: file, atomically: true, encoding: .utf8)
        let place = namespace.map { ["--namespace", $0] } ?? []
        return try await kubectl(["apply", "-f", file] + place + options, as: kubeconfig)
    }

    private func newFile(_ name: String) -> String {
        folder.appendingPathComponent("\(UUID().uuidString)-\(name)").path
    }

    /// Makes a namespace that no other test has, and gives its name.
    public func makeNamespace(
        _ prefix: String = "test",
        labels: [String: String] = [:]
    ) async throws -> String {
        let name = "\(prefix)-\(UUID().uuidString.prefix(8).lowercased())"
        try await create("/api/v1/namespaces", ["metadata": ["name": name, "labels": labels]])
        return name
    }

    /// Makes a Kubernetes node, perhaps in a zone.
    public func createNode(_ name: String, zone: String? = nil) async throws {
        let labels = zone.map { ["topology.kubernetes.io/zone": $0] } ?? [:]
        try await create("/api/v1/nodes", ["metadata": ["name": name, "labels": labels]])
    }

    /// Makes a Pod with one container, and gives its uid.
    @discardableResult
    public func createPod(
        _ namespace: String,
        _ name: String,
        labels: [String: String] = [:],
        annotations: [String: String] = [:],
        serviceAccount: String = "default",
        node: String? = nil
    ) async throws -> String {
        var spec: [String: Any] = [
            "serviceAccountName": serviceAccount,
            "containers": [["name": "app", "image": "example.com/app"]],
        ]
        spec["nodeName"] = node
        let pod = try await create(
            "/api/v1/namespaces/\(namespace)/pods",
            [
                "metadata": ["name": name, "labels": labels, "annotations": annotations],
                "spec": spec,
            ]
        )
        struct Pod: Decodable {
            struct Metadata: Decodable { var uid: String }
            var metadata: Metadata
        }
        return try JSONDecoder().decode(Pod.self, from: Data(pod.utf8)).metadata.uid
    }

    /// Says of a Pod what its kubelet would.
    public func patchPodStatus(
        _ namespace: String,
        _ name: String,
        ip: String? = nil,
        isReady: Bool,
        phase: String = "Running"
    ) async throws {
        var status: [String: Any] = [
            "phase": phase,
            "conditions": [["type": "Ready", "status": isReady ? "True" : "False"]],
        ]
        if let ip {
            status["podIP"] = ip
            status["podIPs"] = [["ip": ip]]
        }
        try await request(
            "PATCH",
            "/api/v1/namespaces/\(namespace)/pods/\(name)/status",
            try json(["status": status]),
            type: "application/merge-patch+json"
        )
    }

    /// Deletes a Pod at once, be it on a node or not.
    public func deletePod(_ namespace: String, _ name: String) async throws {
        let path = "/api/v1/namespaces/\(namespace)/pods/\(name)?gracePeriodSeconds=0"
        try await request("DELETE", path)
    }

    @discardableResult
    private func create(_ path: String, _ object: [String: Any]) async throws -> String {
        try await request("POST", path, try json(object))
    }

    // MARK: Users

    /// What a service account may do.
    public struct Rule: Codable, Sendable {
        var apiGroups: [String]
        var resources: [String]
        var verbs: [String]

        /// Allows `verbs` on `resources` of the API group `group`.
        public init(_ group: String = "", _ resources: [String], _ verbs: [String]) {
            apiGroups = [group]
            self.resources = resources
            self.verbs = verbs
        }
    }

    /// Makes a service account that may do what `rules` say in all namespaces, and gives the path of
    /// its kubeconfig, perhaps for a server in between.
    public func createServiceAccount(
        _ namespace: String,
        _ name: String,
        rules: [Rule] = [],
        server: String? = nil
    ) async throws -> String {
        try await create(
            "/api/v1/namespaces/\(namespace)/serviceaccounts",
            ["metadata": ["name": name]]
        )
        let role = "\(namespace).\(name)"
        let roles = "/apis/rbac.authorization.k8s.io/v1"
        try await create("\(roles)/clusterroles", ["metadata": ["name": role]])
        try await create(
            "\(roles)/clusterrolebindings",
            [
                "metadata": ["name": role],
                "roleRef": [
                    "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role,
                ],
                "subjects": [["kind": "ServiceAccount", "namespace": namespace, "name": name]],
            ]
        )
        try await setRules(namespace, name, rules)
        let token = try await token(namespace, name)
        let path = folder.appendingPathComponent("\(role).kubeconfig").path
        try writeKubeconfig(
            path,
            user: try json(["token": token]),
            server: server,
            namespace: namespace
        )
        return path
    }

    /// Changes what a service account may do that `createServiceAccount` has made.
    public func setRules(_ namespace: String, _ name: String, _ rules: [Rule]) async throws {
        let body = String(decoding: try JSONEncoder().encode(["rules": rules]), as: UTF8.self)
        try await request(
            "PATCH",
            "/apis/rbac.authorization.k8s.io/v1/clusterroles/\(namespace).\(name)",
            body,
            type: "application/merge-patch+json"
        )
    }

    /// A token of a service account, as a projected volume holds it.
    ///
    /// - Parameters:
    ///   - namespace: The service account's namespace.
    ///   - serviceAccount: The service account.
    ///   - pod: The Pod to which it is bound: name and uid.
    ///   - audience: Whom it is for; nil is the API server.
    ///   - seconds: For how long it is valid; at least 600.
    /// - Returns: The token.
    /// - Throws: When the server refuses it.
    public func token(
        _ namespace: String,
        _ serviceAccount: String,
        pod: (name: String, uid: String)? = nil,
        audience: String? = nil,
        seconds: Int = 3600
    ) async throws -> String {
        var spec: [String: Any] = [
            "audiences": [audience ?? Self.issuer], "expirationSeconds": seconds,
        ]
        if let pod {
            spec["boundObjectRef"] = [
                "apiVersion": "v1", "kind": "Pod", "name": pod.name, "uid": pod.uid,
            ]
        }
        let answer = try await create(
            "/api/v1/namespaces/\(namespace)/serviceaccounts/\(serviceAccount)/token",
            ["spec": spec]
        )
        struct TokenRequest: Decodable {
            struct Status: Decodable { var token: String }
            var status: Status
        }
        return try JSONDecoder().decode(TokenRequest.self, from: Data(answer.utf8)).status.token
    }

    /// The kubeconfig of an administrator for a server in between, such as a `FaultyProxy`.
    public func kubeconfig(server: String) throws -> String {
        let path = newFile("kubeconfig")
        try writeKubeconfig(path, user: try json(["token": Self.token]), server: server)
        return path
    }

    /// A certificate by which a user proves itself to the server.
    public func clientCertificate(
        user: String,
        groups: [String] = ["system:masters"]
    ) async throws -> (certificate: String, key: String) {
        let name = UUID().uuidString
        let subject = groups.map { "/O=\($0)" }.joined() + "/CN=\(user)"
        let script = #"""
            openssl ecparam -name prime256v1 -genkey -noout -out NAME.key
            echo extendedKeyUsage=clientAuth >NAME.ext
            openssl req -new -key NAME.key -subj 'SUBJECT' \
                | openssl x509 -req -CA authority.crt -CAkey authority.key -CAcreateserial -days 30 \
                    -extfile NAME.ext -out NAME.crt
            """#.replacing("NAME", with: name).replacing("SUBJECT", with: subject)
        try await shell(script, in: folder.path)
        let path = folder.appendingPathComponent(name).path
        return ("\(path).crt", "\(path).key")
    }
}

/// kubectl failed.
public struct KubectlFailure: Error, CustomStringConvertible {
    /// What it printed.
    public var output: String
    /// The same.
    public var description: String { output }
}

private func json(_ object: [String: Any]) throws -> String {
    String(decoding: try JSONSerialization.data(withJSONObject: object), as: UTF8.self)
}
