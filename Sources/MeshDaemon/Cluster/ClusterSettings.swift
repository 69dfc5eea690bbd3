internal import FoundationEssentials
internal import KubernetesAPI
internal import MeshAdmission

extension InjectionSettings {
    /// The settings of a file; the defaults without one.
    ///
    /// - Throws: `DaemonError` with what is wrong with them: Pods would be injected, and then not start.
    init(at path: String?) throws {
        self.init()
        guard let path else { return }
        let bytes: Data
        do {
            bytes = try Data(contentsOf: URL(filePath: path))
        } catch {
            throw DaemonError("--injection-settings \(path): cannot be read; \(error)")
        }
        do {
            self = try JSONDecoder().decode(InjectionSettings.self, from: bytes)
        } catch {
            throw DaemonError("--injection-settings \(path): \(error)")
        }
        guard problems.isEmpty else {
            let mistakes = problems.map { "--injection-settings \(path): \($0)" }
            throw DaemonError(mistakes.joined(separator: "\n"))
        }
    }
}

extension ControllerConfiguration {
    /// The API server to ask, and as whom.
    func cluster() throws -> KubernetesConfiguration {
        do {
            if kubeconfig == nil, context == nil, let own = try KubernetesConfiguration.inCluster()
            {
                return own
            }
            return try .kubeconfig(path: kubeconfig, context: context)
        } catch {
            throw DaemonError("\(error.request): \(error.problem)")
        }
    }
}
