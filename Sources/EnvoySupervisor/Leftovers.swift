import Glibc
import Logging

/// A process that carries the mark of a state directory in its environment.
struct MarkedProcess {
    var process: RunningProcess
    var arguments: [String]

    /// What follows `option`.
    func value(of option: String) -> String? {
        guard let index = arguments.firstIndex(of: option), index + 1 < arguments.count else {
            return nil
        }
        return arguments[index + 1]
    }

    /// All that were started for `stateDirectory`, by a daemon or by hand, except ourselves.
    static func all(_ stateDirectory: String) -> [MarkedProcess] {
        let mark = Array("\(Command.mark)=\(stateDirectory)".utf8)
        return Files.names(in: "/proc").compactMap { name in
            guard let pid = Int32(name), pid != getpid(),
                let environment = Files.read("/proc/\(pid)/environ"),
                environment.split(separator: 0).contains(where: { $0.elementsEqual(mark) }),
                let process = ProcessIdentity.current(pid).flatMap({ RunningProcess($0) })
            else { return nil }
            let arguments = Files.read("/proc/\(pid)/cmdline") ?? []
            return MarkedProcess(
                process: process,
                arguments: arguments.split(separator: 0).map { String(decoding: $0, as: UTF8.self) }
            )
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
        for process in processes { end(process, SIGTERM) }
        var rest = await remaining(processes, after: .seconds(3))
        for process in rest { end(process, SIGKILL) }
        rest = await remaining(rest, after: .seconds(2))
        for process in rest {
            logger.error("a process does not end", metadata: ["pid": "\(process.identity.pid)"])
        }
    }

    private static func end(_ process: RunningProcess, _ signal: Int32) {
        process.signalGroup(signal)
        process.signal(signal)
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
