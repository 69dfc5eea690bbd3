import Glibc
import Logging

/// Processes that an earlier daemon of the same state directory left behind.
enum Leftovers {
    /// Ends those that are recorded and still run: asks first, and ends them after 3 s.
    ///
    /// Guarantee: a process that merely got a recorded number is spared.
    static func end(stateDirectory: String, logger: Logger) async {
        let folders = folders(stateDirectory)
        var processes: [RunningProcess] = []
        for folder in folders {
            guard let record = ProcessRecord.read(folder) else { continue }
            processes += [record.envoy, record.application].compactMap { identity in
                identity.flatMap { RunningProcess($0) }
            }
        }
        if !processes.isEmpty {
            logger.info(
                "ending processes of an earlier daemon",
                metadata: ["pids": "\(processes.map(\.identity.pid))"]
            )
        }
        for process in processes { process.signalGroup(SIGTERM) }
        var rest = await remaining(processes, after: .seconds(3))
        for process in rest { process.signalGroup(SIGKILL) }
        rest = await remaining(rest, after: .seconds(2))
        for process in rest {
            logger.error("a process does not end", metadata: ["pid": "\(process.identity.pid)"])
        }
        for folder in folders { unlink("\(folder)/process.json") }
    }

    private static func folders(_ stateDirectory: String) -> [String] {
        let parent = ProxyFolder.parent(stateDirectory)
        return Files.names(in: parent).flatMap { namespace in
            Files.names(in: "\(parent)/\(namespace)").map { "\(parent)/\(namespace)/\($0)" }
        }
    }

    /// Those of `processes` that still run, with members of their groups, when `limit` is over.
    private static func remaining(
        _ processes: [RunningProcess],
        after limit: Duration
    ) async -> [RunningProcess] {
        let end = ContinuousClock.now + limit
        var rest = processes
        while true {
            rest = rest.filter { !$0.hasEnded || $0.hasGroup }
            if rest.isEmpty || ContinuousClock.now >= end { return rest }
            try? await Task.sleep(for: .milliseconds(20))
        }
    }
}
