internal import MeshModel

/// Whether the kernel enforces the limits that a Workload asks for its proxy; nil where it asks for
/// none, or nothing is known.
func limitsEnforced(_ proxy: ProxyPlan?, _ observation: ProxyObservation?) -> Condition? {
    guard let proxy, let enforcement = observation?.enforcement,
        proxy.resources.cpuLimitMillicores != nil || proxy.resources.memoryLimitBytes != nil
    else { return nil }
    func condition(_ status: Condition.Status, _ reason: String, _ message: String) -> Condition {
        Condition(type: "LimitsEnforced", status: status, reason: reason, message: message)
    }
    switch enforcement {
    case .controlGroup:
        return condition(.true, "ControlGroup", "The kernel enforces the limits of its proxy.")
    case .proxyOnly(let reason):
        return condition(
            .false,
            "ProxyOnly",
            "Its proxy keeps to its limits by itself, and the kernel does not enforce them: \(reason); "
                + "run heddle as root, or let its user write a control group of its own."
        )
    }
}

/// What a Workload shows whose proxy should be replaced by one of another Envoy or another start; nil
/// when it is as it should be.
func upToDate(_ proxy: ProxyPlan?, _ observation: ProxyObservation?) -> Condition? {
    guard let proxy, let process = observation?.process, process.isOutdated else { return nil }
    let version = process.version.map { " runs Envoy \($0) and" } ?? ""
    return Condition(
        type: "UpToDate",
        status: .false,
        reason: "Outdated",
        message: "Its proxy\(version) would start differently now; run \"heddle proxies upgrade "
            + "\(proxy.id)\" to replace it without losing a request."
    )
}
