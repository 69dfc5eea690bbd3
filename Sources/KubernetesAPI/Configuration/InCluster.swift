internal import HTTPClient

extension KubernetesConfiguration {
    /// What a Pod with `environment` is given in `folder`; nil outside a cluster.
    ///
    /// The token and the authorities are read again whenever kubelet replaces them.
    static func inCluster(
        folder: String,
        environment: [String: String]
    ) throws(KubernetesError) -> KubernetesConfiguration? {
        guard let host = environment["KUBERNETES_SERVICE_HOST"], !host.isEmpty,
            let port = environment["KUBERNETES_SERVICE_PORT"], !port.isEmpty
        else { return nil }
        let place = host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)"
        var configuration = KubernetesConfiguration(
            server: "https://\(place)",
            certificateAuthorityFile: "\(folder)/ca.crt"
        )
        configuration.user.tokenFile = "\(folder)/token"
        for name in ["token", "ca.crt"] {
            try readable("\(folder)/\(name)")
        }
        if let bytes = try? readFile("\(folder)/namespace", limit: 1024) {
            let text = String(decoding: bytes, as: UTF8.self)
            let namespace = text.split(whereSeparator: \.isWhitespace).first.map(String.init)
            configuration.namespace = namespace ?? "default"
        }
        configuration.connection.proxy = .named(by: environment, for: configuration.server)
        return configuration
    }

    private static func readable(_ path: String) throws(KubernetesError) {
        do {
            _ = try readFile(path, limit: credentialFileLimit)
        } catch {
            throw KubernetesError(
                .credentials,
                request: "service account",
                problem: "\(path): \(error.reason); does the Pod have "
                    + "automountServiceAccountToken: false?"
            )
        }
    }
}
