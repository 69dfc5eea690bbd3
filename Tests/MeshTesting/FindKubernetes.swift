internal import Foundation

/// Why a test that needs a Kubernetes API server cannot run.
public struct KubernetesMissing: Error, CustomStringConvertible {
    /// What to do about it.
    public var description: String {
        "no kube-apiserver found; set HEDDLE_KUBERNETES to the folder with kube-apiserver, "
            + "kube-controller-manager and etcd, which .ci/install-kubernetes prints, and install kubectl"
    }
}

/// The folder with `kube-apiserver` and `etcd`: `HEDDLE_KUBERNETES`, else one of PATH.
public let kubernetesFolder: String? = {
    let environment = ProcessInfo.processInfo.environment
    if let given = environment["HEDDLE_KUBERNETES"], !given.isEmpty { return given }
    let folders = environment["PATH"]?.split(separator: ":").map(String.init) ?? []
    return folders.first { FileManager.default.isExecutableFile(atPath: "\($0)/kube-apiserver") }
}()

/// Whether tests that need a Kubernetes API server run: where there is one, or
/// `HEDDLE_REQUIRE_KUBERNETES=1` asks for it.
public var kubernetesIsExpected: Bool {
    kubernetesFolder != nil
        || ProcessInfo.processInfo.environment["HEDDLE_REQUIRE_KUBERNETES"] == "1"
}
