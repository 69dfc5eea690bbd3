/// What a Pod may say, by the version of the cluster's server.
struct KubernetesFeatures: Hashable {
    /// Init containers that keep running (`restartPolicy: Always`), from 1.29 on.
    var hasNativeSidecars: Bool
    /// The sysctl by which others than root listen on ports below 1024 counts as safe, from 1.22 on.
    let hasLowPortsForAll: Bool

    /// An unknown version counts as an old one: what an old server does not know it drops, and then
    /// waits for ever for an init container that was meant to keep running.
    init(_ settings: InjectionSettings) {
        let minor = Self.minor(settings.kubernetesVersion) ?? 0
        hasLowPortsForAll = minor >= 22
        switch settings.nativeSidecars {
        case .auto: hasNativeSidecars = minor >= 29
        case .enabled: hasNativeSidecars = true
        case .disabled: hasNativeSidecars = false
        }
    }

    /// The minor version of `v1.32.4-eks-a1b2c3` or `1.29+`; nil of what is no version.
    ///
    /// What comes after version 1 has all that version 1 had.
    private static func minor(_ version: String) -> Int? {
        let text = version.hasPrefix("v") ? version.dropFirst() : version[...]
        let parts = text.split(separator: ".", maxSplits: 2)
        guard parts.count >= 2, let major = Int(parts[0]),
            let minor = Int(parts[1].prefix { ("0"..."9").contains($0) })
        else { return nil }
        return major == 1 ? minor : major > 1 ? .max : nil
    }
}
