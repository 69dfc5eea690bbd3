internal import MeshModel

/// Whether a Pod serves: Kubernetes says that it is ready, and its proxy is configured if it is
/// connected.
///
/// A proxy that is not connected may be so to another replica, whose observations are not known here:
/// kubelet had it say that it has a configuration.
///
/// - Parameters:
///   - pod: The Pod.
///   - observation: What is known of it; nil before anything is.
/// - Returns: The condition.
func readiness(of pod: PodPlacement, _ observation: ProxyObservation?) -> Condition {
    func condition(_ status: Condition.Status, _ reason: String, _ message: String) -> Condition {
        Condition(type: "WorkloadReady", status: status, reason: reason, message: message)
    }
    switch pod.proxy {
    case .heddle: break
    case .other:
        return condition(
            .false,
            uninjectedReason,
            "The Pod's Envoy is App Mesh's, or another that does not ask Heddle."
        )
    case .absent:
        return condition(.false, uninjectedReason, "The Pod has no proxy: it was not injected.")
    }
    let why = observation?.process?.lastError.map { ": \($0)" } ?? ""
    switch observation?.process?.phase {
    case .draining: return condition(.false, "PodTerminating", "The Pod is being deleted.")
    case .stopped: return condition(.false, "PodFailed", sentence("the Pod has ended\(why)"))
    case .starting, .backingOff:
        return condition(.false, "PodNotReady", sentence("the Pod is not ready\(why)"))
    case nil where pod.address == nil:
        return condition(.false, "PodPending", "The Pod has no address yet.")
    case nil: return condition(.false, "PodNotReady", "The Pod is not ready.")
    case .running: break
    }
    let xds = observation?.xds ?? XDSObservation()
    if let refusal = refusalReadiness(xds) { return refusal }
    guard xds.isConnected else { return condition(.true, "Ready", "The Pod is ready.") }
    return configurationReadiness(xds)
        ?? condition(.true, "Ready", "The Pod is ready, and its proxy has its configuration.")
}

/// The reason of a Pod that should have a proxy and has none.
let uninjectedReason = "NotInjected"

/// Reasons of a Pod's `WorkloadReady` of which Kubernetes itself tells.
let podLifeReasons: Set<String> = ["PodPending", "PodNotReady", "PodTerminating", "PodFailed"]
