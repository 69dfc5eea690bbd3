/// Which Kubernetes API server to ask, and as whom.
public struct KubernetesConfiguration: Sendable {
    /// `https://10.0.0.1:443`, perhaps with a path.
    public var server: String
    /// The namespace that the context or the Pod is in; `default` when nothing says so.
    public var namespace: String

    /// What a kubeconfig says: `--kubeconfig`, else the files of `KUBECONFIG`, else `~/.kube/config`.
    ///
    /// - Throws: `KubernetesError` of kind `credentials`, with the file and the field.
    public static func kubeconfig(
        path: String? = nil,
        context: String? = nil
    ) throws(KubernetesError) -> KubernetesConfiguration {
        preconditionFailure("vocabulary")
    }

    /// What a Pod is given: `/var/run/secrets/kubernetes.io/serviceaccount`; nil outside a cluster.
    public static func inCluster() throws(KubernetesError) -> KubernetesConfiguration? {
        preconditionFailure("vocabulary")
    }
}
