import MeshModel
import MeshPlan

/// A proxy's state in one word, made from a Workload's status; the API's table and
/// `heddle status` agree through it.
struct ProxyState: Hashable, Sendable {
    /// How a state is to be taken.
    enum Verdict: Hashable, Sendable {
        /// The proxy runs with all it was sent.
        case good
        /// It is on its way.
        case changing
        /// Someone has to look.
        case bad
    }

    /// The word: `Running`, or why the Workload is not ready.
    var word: String
    /// How to take it.
    var verdict: Verdict

    /// Reads the condition `WorkloadReady`; nil is that of a Workload not yet looked at.
    init(_ ready: Condition?) {
        self.init(isReady: ready?.status == .true, reason: ready?.reason)
    }

    /// Reads the condition `WorkloadReady` of a Workload's status.
    init(status: JSONValue) {
        let ready = status["conditions"]?.array?.first { $0["type"] == "WorkloadReady" }
        self.init(isReady: ready?["status"] == "True", reason: ready?["reason"]?.string)
    }

    private init(isReady: Bool, reason: String?) {
        if isReady {
            word = "Running"
            verdict = .good
        } else {
            word = reason ?? "Pending"
            verdict = transientWorkloadReasons.contains(word) ? .changing : .bad
        }
    }
}
