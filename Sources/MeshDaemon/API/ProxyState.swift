import MeshModel

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

    /// The word: `Running`, `Starting`, `Syncing`, `Refused`, a condition's reason.
    var word: String
    /// How to take it.
    var verdict: Verdict

    /// Reads a Workload's status.
    ///
    /// The first that applies counts: no sidecar, a sidecar that does not run, a refusal, no
    /// stream, resources on their way, an application that does not run, a condition that does not
    /// hold.
    init(status: JSONValue) {
        let ready = status["conditions"]?.array?.first { $0["type"] == "WorkloadReady" }
        let isReady = ready?["status"] == "True"
        let reason = ready?["reason"]?.string.flatMap { $0.isEmpty ? nil : $0 }
        guard let sidecar = status["sidecar"], let phase = sidecar["phase"]?.string else {
            let isFailed = ready?["status"] == "False"
            self.init(
                isReady ? "Running" : reason ?? "Pending",
                isReady ? .good : isFailed ? .bad : .changing
            )
            return
        }
        let syncs = (sidecar["sync"]?.object ?? [:]).values
        let isRefused = syncs.contains("Refused") || sidecar["refusals"]?.array?.isEmpty == false
        let application = status["application"]?["phase"]?.string
        if phase != "Running" {
            let isChanging = ["Pending", "Starting", "Draining"].contains(phase)
            self.init(phase, isChanging ? .changing : .bad)
        } else if isRefused {
            self.init("Refused", .bad)
        } else if sidecar["connected"] == false {
            self.init("Disconnected", .bad)
        } else if syncs.contains("Pending") {
            self.init("Syncing", .changing)
        } else if let application, application != "Running" {
            let isChanging = ["Pending", "Starting", "Draining"].contains(application)
            self.init("Application\(application)", isChanging ? .changing : .bad)
        } else if let ready, !isReady {
            self.init(reason ?? "NotReady", ready["status"] == "False" ? .bad : .changing)
        } else {
            self.init("Running", .good)
        }
    }

    private init(_ word: String, _ verdict: Verdict) {
        self.word = word
        self.verdict = verdict
    }
}
