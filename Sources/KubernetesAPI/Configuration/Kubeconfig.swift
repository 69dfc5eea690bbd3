internal import HTTPClient

/// The kubeconfig files in force, as kubectl merges them.
///
/// Of two entries with one name the first counts, and so does the first `current-context`. Relative
/// paths start at the folder of the file that names them.
struct Kubeconfig {
    /// The files that are there, in order.
    private var files: [KubeconfigNode] = []
    /// What was looked for, for messages.
    private let looked: String

    /// Reads the file at `path`, else those of `KUBECONFIG`, else `~/.kube/config`.
    init(path: String?, environment: [String: String]) throws(KubernetesError) {
        let listed = (environment["KUBECONFIG"] ?? "").split(separator: ":").map(String.init)
        if let path {
            looked = path
            files = [try KubeconfigNode(contentsOf: path)]
            return
        }
        let home = environment["HOME"].map { "\($0)/.kube/config" }
        let paths = listed.isEmpty ? home.map { [$0] } ?? [] : listed
        looked = paths.isEmpty ? "kubeconfig" : paths.joined(separator: ":")
        var seen: Set<String> = []
        for path in paths where seen.insert(path).inserted && isThere(path) {
            files.append(try KubeconfigNode(contentsOf: path))
        }
        guard !files.isEmpty else {
            throw KubernetesError(
                .credentials,
                request: looked,
                problem: "no such file; pass --kubeconfig or set KUBECONFIG"
            )
        }
    }

    /// What `context` says, or the current context.
    func configuration(context name: String?) throws(KubernetesError) -> KubernetesConfiguration {
        guard let name = name == nil ? try currentContext() : name else {
            throw missing("current-context: is missing; pass --context \(try known("contexts"))")
        }
        guard let entry = try entry("contexts", name), let context = try entry.map("context") else {
            throw missing("contexts: none is named \"\(name)\"; there are \(try known("contexts"))")
        }
        let cluster = try referenced("cluster", "clusters", by: context)
        var configuration = try configuration(of: cluster)
        if let namespace = try context.text("namespace") { configuration.namespace = namespace }
        if try context.text("user") != nil {
            let user = try referenced("user", "users", by: context)
            configuration.user = try self.user(user, of: cluster, configuration)
        }
        return configuration
    }

    // MARK: Entries

    private func currentContext() throws(KubernetesError) -> String? {
        for file in files {
            if let name = try file.text("current-context") { return name }
        }
        return nil
    }

    private func entry(
        _ list: String,
        _ name: String
    ) throws(KubernetesError) -> KubeconfigNode? {
        for file in files {
            for entry in try file.list(list) where try entry.text("name") == name { return entry }
        }
        return nil
    }

    /// The entry's map that `context` names in its field `key`.
    private func referenced(
        _ key: String,
        _ list: String,
        by context: KubeconfigNode
    ) throws(KubernetesError) -> KubeconfigNode {
        let name = try context.requiredText(key)
        guard let entry = try entry(list, name) else {
            throw context[key]?.problem(
                "no \(key) is named \"\(name)\"; there are \(try known(list))"
            ) ?? context.problem("\(key): is missing")
        }
        guard let value = try entry.map(key) else { throw entry.problem("\(key): is missing") }
        return value
    }

    private func known(_ list: String) throws(KubernetesError) -> String {
        var names: [String] = []
        for file in files {
            for entry in try file.list(list) {
                if let name = try entry.text("name"), !names.contains(name) { names.append(name) }
            }
        }
        return names.isEmpty ? "none" : names.map { "\"\($0)\"" }.joined(separator: ", ")
    }

    private func missing(_ problem: String) -> KubernetesError {
        KubernetesError(.credentials, request: looked, problem: problem)
    }

    // MARK: Clusters

    private func configuration(
        of cluster: KubeconfigNode
    ) throws(KubernetesError) -> KubernetesConfiguration {
        var server = try cluster.requiredText("server")
        if !server.contains("://") { server = "https://\(server)" }
        guard hostOfURL(server) != nil,
            ["http", "https"].contains(server.prefix { $0 != ":" }.lowercased())
        else {
            throw cluster.problem(
                "server: \"\(server)\" must be an http or https URL such as https://10.0.0.1:6443"
            )
        }
        var configuration = KubernetesConfiguration(server: server)
        configuration.authorities = try pem(cluster, "certificate-authority")
        configuration.connection.serverName = try cluster.text("tls-server-name")
        configuration.connection.isInsecure = try cluster.flag("insecure-skip-tls-verify")
        if configuration.connection.isInsecure, configuration.authorities != nil {
            throw cluster.problem(
                "insecure-skip-tls-verify: must not be true beside certificate-authority"
            )
        }
        if let url = try cluster.text("proxy-url") {
            let schemes = ["http", "https", "socks5", "socks5h"]
            guard schemes.contains(url.prefix { $0 != ":" }.lowercased()), hostOfURL(url) != nil
            else {
                // It may have a password in it.
                throw cluster.problem("proxy-url: must be a URL with http, https or socks5")
            }
            configuration.connection.proxy = HTTPProxy(url)
        }
        configuration.acceptsCompressed = try !cluster.flag("disable-compression")
        return configuration
    }

    /// PEM in `<key>-data`, else in the file at `<key>`.
    private func pem(
        _ node: KubeconfigNode,
        _ key: String
    ) throws(KubernetesError) -> PEM? {
        if let data = try node.data("\(key)-data") { return .text(data) }
        guard let path = try node.path(key) else { return nil }
        do {
            _ = try readFile(path, limit: credentialFileLimit)
        } catch {
            throw node.problem("\(key): cannot read \(path): \(error.reason)")
        }
        return .file(path)
    }

    // MARK: Users

    private func user(
        _ node: KubeconfigNode,
        of cluster: KubeconfigNode,
        _ configuration: KubernetesConfiguration
    ) throws(KubernetesError) -> KubernetesUser {
        var user = KubernetesUser()
        user.token = try node.text("token")
        user.tokenFile = try node.path("tokenFile")
        user.certificate = try pem(node, "client-certificate")
        user.key = try pem(node, "client-key")
        if user.certificate != nil, user.key == nil {
            throw node.problem("client-key: is missing beside client-certificate")
        }
        if user.certificate == nil, user.key != nil {
            throw node.problem("client-certificate: is missing beside client-key")
        }
        if let name = try node.text("username") {
            user.basic = (name, try node.text("password") ?? "")
            if user.token != nil || user.tokenFile != nil {
                throw node.problem("username: must not be there beside a token")
            }
        }
        if let provider = node["auth-provider"] {
            throw provider.problem("is not supported; use exec")
        }
        if let exec = try node.map("exec") {
            user.plugin = try plugin(exec, cluster, configuration)
        }
        user.impersonation = try impersonation(node)
        return user
    }

    private func impersonation(_ node: KubeconfigNode) throws(KubernetesError) -> [HTTPField] {
        var fields: [HTTPField] = []
        if let name = try node.text("as") { fields.append(HTTPField("Impersonate-User", name)) }
        if let uid = try node.text("as-uid") { fields.append(HTTPField("Impersonate-Uid", uid)) }
        for group in try node.list("as-groups") {
            fields.append(HTTPField("Impersonate-Group", try group.text()))
        }
        for (name, _) in try node.entries("as-user-extra") {
            guard let extra = try node.map("as-user-extra") else { continue }
            for value in try extra.list(name) {
                let field = "Impersonate-Extra-\(percentEncoded(name))"
                fields.append(HTTPField(field, try value.text()))
            }
        }
        guard fields.isEmpty || fields.contains(where: { $0.name == "Impersonate-User" }) else {
            throw node.problem("as: is missing beside as-uid, as-groups or as-user-extra")
        }
        guard fields.allSatisfy({ field in !field.value.contains(where: \.isNewline) }) else {
            throw node.problem("as: must be one line")
        }
        return fields
    }

    private func plugin(
        _ exec: KubeconfigNode,
        _ cluster: KubeconfigNode,
        _ configuration: KubernetesConfiguration
    ) throws(KubernetesError) -> ExecPlugin {
        let version = try exec.requiredText("apiVersion")
        guard ExecPlugin.apiVersions.contains(version) else {
            let versions = ExecPlugin.apiVersions.joined(separator: " or ")
            throw exec.problem("apiVersion: \"\(version)\" must be \(versions)")
        }
        let command = try exec.requiredText("command")
        let mode = try interactiveMode(exec, version)
        var plugin = ExecPlugin(
            place: "\(exec.file): \(exec.field)",
            // A name alone is looked for in PATH.
            command: command.contains("/") ? exec.resolved(command) : command,
            apiVersion: version,
            interactiveMode: mode
        )
        for argument in try exec.list("args") { plugin.arguments.append(try argument.text()) }
        for variable in try exec.list("env") {
            let name = try variable.requiredText("name")
            plugin.environment.append((name, try variable.text("value") ?? ""))
        }
        plugin.installHint = try exec.text("installHint") ?? ""
        if try exec.flag("provideClusterInfo") {
            plugin.cluster = try self.cluster(cluster, configuration)
        }
        return plugin
    }

    private func interactiveMode(
        _ exec: KubeconfigNode,
        _ version: String
    ) throws(KubernetesError) -> ExecPlugin.InteractiveMode {
        let modes = ExecPlugin.InteractiveMode.allCases.map(\.rawValue).joined(separator: ", ")
        guard let text = try exec.text("interactiveMode") else {
            if version == "client.authentication.k8s.io/v1beta1" { return .ifAvailable }
            throw exec.problem("interactiveMode: is missing; it is one of \(modes)")
        }
        guard let mode = ExecPlugin.InteractiveMode(rawValue: text) else {
            throw exec.problem("interactiveMode: \"\(text)\" must be one of \(modes)")
        }
        return mode
    }

    /// What a plugin is told of the cluster.
    private func cluster(
        _ node: KubeconfigNode,
        _ configuration: KubernetesConfiguration
    ) throws(KubernetesError) -> ExecCredential.Cluster {
        var cluster = ExecCredential.Cluster(server: configuration.server)
        cluster.serverName = configuration.connection.serverName
        cluster.isInsecure = configuration.connection.isInsecure ? true : nil
        cluster.proxy = configuration.connection.proxy?.url
        cluster.isUncompressed = configuration.acceptsCompressed ? nil : true
        switch configuration.authorities {
        case nil: break
        case .text(let bytes): cluster.setAuthorities(bytes)
        case .file(let path):
            do {
                cluster.setAuthorities(try readFile(path, limit: credentialFileLimit))
            } catch {
                throw node.problem("certificate-authority: cannot read \(path): \(error.reason)")
            }
        }
        for entry in try node.list("extensions")
        where try entry.text("name") == "client.authentication.k8s.io/exec" {
            cluster.config = try entry["extension"]?.value()
        }
        return cluster
    }
}
