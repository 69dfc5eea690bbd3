internal import MeshModel

/// Whether a workload serves: its proxy runs, is connected and configured, and its application runs
/// and passes the health checks that its own proxy does.
func readiness(
    of observation: ProxyObservation?,
    _ proxy: ProxyPlan?,
    _ id: ProxyID
) -> Condition {
    func condition(_ status: Condition.Status, _ reason: String, _ message: String) -> Condition {
        Condition(type: "WorkloadReady", status: status, reason: reason, message: message)
    }
    guard let observation, let process = observation.process else {
        return condition(.false, "Pending", "Its proxy was not started.")
    }
    if let message = crashLoopMessage(of: process, "proxy", id) {
        return condition(.false, crashLoopReason, message)
    }
    if process.phase != .running {
        let why = process.lastError.map { ": \($0)" } ?? ""
        return condition(
            .false,
            "Proxy" + process.phase.rawValue,
            sentence("its proxy is not ready\(why)")
        )
    }
    if proxy?.application != nil, observation.application == nil {
        return condition(.false, "ApplicationPending", "Its application was not started.")
    }
    if let application = observation.application,
        let message = crashLoopMessage(of: application, "application", id)
    {
        return condition(.false, crashLoopReason, message)
    }
    if let application = observation.application, application.phase != .running {
        if application.phase == .starting, let planned = proxy?.application {
            let ports = planned.ports.map(\.description).joined(separator: ", ")
            return condition(
                .false,
                "ApplicationStarting",
                "Its application takes no connections on \(planned.address), port \(ports)."
            )
        }
        let why = application.lastError.map { ": \($0)" } ?? ""
        return condition(
            .false,
            "Application" + application.phase.rawValue,
            sentence("its application does not run\(why)")
        )
    }
    if let message = unhealthyMessage(observation.xds.health, proxy?.probes ?? []) {
        return condition(.false, "Unhealthy", sentence(message))
    }
    return configurationReadiness(observation.xds)
        ?? condition(.true, "Ready", "Its proxy runs and has its configuration.")
}

/// Why a proxy that runs has not got its configuration; nil when it has.
func configurationReadiness(_ xds: XDSObservation) -> Condition? {
    func condition(_ reason: String, _ message: String) -> Condition {
        Condition(type: "WorkloadReady", status: .false, reason: reason, message: message)
    }
    if !xds.isConnected {
        return condition(
            "Disconnected",
            "Its proxy is not connected and keeps its last configuration."
        )
    }
    if let refusal = refusalReadiness(xds) { return refusal }
    // An update on its way does not make a proxy that serves unready.
    let missing = ResourceType.allCases.filter {
        (xds.sync[$0] ?? .notSent) == .notSent
    }
    if !missing.isEmpty {
        let types = missing.map(\.rawValue).joined(separator: ", ")
        return condition("Syncing", "Its proxy has not asked for its \(types).")
    }
    return nil
}

/// What a proxy refuses of its configuration; nil when that is nothing.
func refusalReadiness(_ xds: XDSObservation) -> Condition? {
    guard let refusal = xds.refusals.first else { return nil }
    return Condition(
        type: "WorkloadReady",
        status: .false,
        reason: "ConfigurationRefused",
        message: sentence(
            "its proxy refused \(refusal.type.rawValue) \(refusal.resource): \(refusal.message)"
        )
    )
}

/// The reason of a process that ends again and again, as Kubernetes has it.
let crashLoopReason = "CrashLoopBackOff"

/// What shows of a process that ended often without having run for long; nil of another, and while it
/// runs.
func crashLoopMessage(of process: ProcessObservation, _ noun: String, _ id: ProxyID) -> String? {
    guard process.isInCrashLoop else { return nil }
    let why = process.lastError.map { ", at last: \($0)" } ?? ""
    let option = noun == "proxy" ? "--proxy" : "--application"
    return "Its \(noun) ended or did not start \(process.failures) times in a row\(why); mend what "
        + "\"heddle logs \(id.workload.name) -n \(id.workload.namespace) \(option)\" shows."
}

extension ProcessObservation {
    /// Whether it ended five times or more without having run for long, and does not run now.
    var isInCrashLoop: Bool {
        switch phase {
        case .starting, .backingOff: failures >= 5
        case .running, .draining, .stopped: false
        }
    }
}

/// Reasons of `WorkloadReady` that are a step on the way to readiness: nobody has to look.
public let transientWorkloadReasons: Set<String> = [
    "Pending", "ProxyStarting", "ProxyDraining", "ApplicationPending", "ApplicationStarting",
    "Disconnected", "Syncing", "PodPending", "PodNotReady", "PodTerminating",
]
