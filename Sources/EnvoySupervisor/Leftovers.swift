import Glibc
import Logging

/// A process of ours that carries the mark of a state directory in its environment.
struct MarkedProcess {
    var process: RunningProcess
    var entry: ProcessEntry
    var arguments: [String]

    /// What follows `option`.
    func value(of option: String) -> String? {
        guard let index = arguments.firstIndex(of: option), index + 1 < arguments.count else {
            return nil
        }
        return arguments[index + 1]
    }

    /// Whether it leads its own group, as all that Heddle starts does.
    var isLeader: Bool { entry.group == process.identity.pid }

    /// Whether its bootstrap is that of a proxy of a state directory.
    func isEnvoy(of stateDirectory: String) -> Bool {
        value(of: "-c")?.hasPrefix("\(ProxyFolder.parent(stateDirectory))/") ?? false
    }

    /// All that were started for `stateDirectory`, by a daemon or by hand, except ourselves.
    static func all(_ stateDirectory: String) -> [MarkedProcess] {
        let mark = Array("\(Command.mark)=\(stateDirectory)".utf8)
        return Files.names(in: "/proc").compactMap { name in
            guard let pid = Int32(name), ProcessEntry.owner(pid) == geteuid() else { return nil }
            let environment = Files.read("/proc/\(pid)/environ")
            if let environment,
                !environment.split(separator: 0).contains(where: { $0.elementsEqual(mark) })
            {
                return nil
            }
            guard let process = RunningProcess(pid: pid), let entry = ProcessEntry(name),
                !entry.hasEnded, entry.startTime == process.identity.startTime
            else { return nil }
            let arguments = Files.read("/proc/\(pid)/cmdline") ?? []
            let marked = MarkedProcess(
                process: process,
                entry: entry,
                arguments: arguments.split(separator: 0).map { String(decoding: $0, as: UTF8.self) }
            )
            // That of a program with capabilities is hidden from us.
            return environment != nil || marked.isEnvoy(of: stateDirectory) ? marked : nil
        }
    }
}

/// Processes that an earlier daemon of the same state directory left behind, and that nobody needs.
enum Leftovers {
    /// Ends them with their groups: asks first, and ends them after 3 s.
    static func end(_ processes: [RunningProcess], logger: Logger) async {
        if processes.isEmpty { return }
        logger.info(
            "ending processes of an earlier daemon",
            metadata: ["pids": "\(processes.map(\.identity.pid))"]
        )
        for process in processes { process.signalGroup(SIGTERM) }
        var rest = await remaining(processes, after: .seconds(3))
        for process in rest { process.signalGroup(SIGKILL) }
        rest = await remaining(rest, after: .seconds(2))
        for process in rest {
            logger.error("a process does not end", metadata: ["pid": "\(process.identity.pid)"])
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
