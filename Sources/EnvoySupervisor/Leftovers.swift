import Glibc
import Logging

/// Processes that an earlier daemon of the same state directory left behind.
enum Leftovers {
    /// Ends those that are recorded or marked and still run: asks first, and ends them after 3 s.
    ///
    /// The mark, in a process's environment, finds those that a daemon started and could not record.
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
        let known = Set(processes.map(\.identity))
        processes += marked(stateDirectory).filter { !known.contains($0.identity) }
        if !processes.isEmpty {
            logger.info(
                "ending processes of an earlier daemon",
                metadata: ["pids": "\(processes.map(\.identity.pid))"]
            )
        }
        for process in processes { end(process, SIGTERM) }
        var rest = await remaining(processes, after: .seconds(3))
        for process in rest { end(process, SIGKILL) }
        rest = await remaining(rest, after: .seconds(2))
        for process in rest {
            logger.error("a process does not end", metadata: ["pid": "\(process.identity.pid)"])
        }
        for folder in folders { unlink("\(folder)/process.json") }
    }

    private static func end(_ process: RunningProcess, _ signal: Int32) {
        process.signalGroup(signal)
        process.signal(signal)
    }

    /// Processes that carry the mark of `stateDirectory`.
    private static func marked(_ stateDirectory: String) -> [RunningProcess] {
        let mark = Array("\(Command.mark)=\(stateDirectory)".utf8)
        return Files.names(in: "/proc").compactMap { name in
            guard let pid = Int32(name), pid != getpid(),
                let environment = Files.read("/proc/\(pid)/environ"),
                environment.split(separator: 0).contains(where: { $0.elementsEqual(mark) })
            else { return nil }
            return ProcessIdentity.current(pid).flatMap { RunningProcess($0) }
        }
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
