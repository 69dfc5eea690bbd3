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

    /// Reads the condition `WorkloadReady` of a Workload's status.
    init(status: JSONValue) {
        let ready = status["conditions"]?.array?.first { $0["type"] == "WorkloadReady" }
        if ready?["status"] == "True" {
            word = "Running"
            verdict = .good
        } else {
            word = ready?["reason"]?.string ?? "Pending"
            verdict = transientWorkloadReasons.contains(word) ? .changing : .bad
        }
    }
}
