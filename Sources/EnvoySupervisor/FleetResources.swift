import Logging
import MeshModel

/// Control groups and logs of processes.
extension Fleet {
    /// The control group of an Envoy that was found running.
    func adopted(_ envoy: Adoption.Envoy) -> ControlGroup? {
        guard var group = envoy.entry.controlGroup else { return nil }
        if case .proxyOnly(let reason) = group.enforcement(of: envoy.process.identity.pid) {
            group.problem = reason
        }
        return group
    }

    /// Removes the control group of an Envoy that has ended, and says so if the kernel ended it for want
    /// of memory.
    mutating func closeControlGroup(of run: inout ManagedProcess.Run, _ key: ProcessKey) {
        guard let group = run.controlGroup else { return }
        let evidence = group.evidence
        group.remove()
        guard evidence.outOfMemoryKills > 0, run.verdict == nil else { return }
        units[key.proxy]?.envoy.lifecycle.ranOutOfMemory()
        let limit = run.envoy?.settings?.memoryLimitBytes
        let text = limit.map { " of \(memoryQuantity(bytes: $0))" } ?? ""
        run.verdict = "killed by the kernel as it went over its memory limit\(text)"
        guard let limit else { return }
        let peak = evidence.peakMemoryBytes ?? limit
        report(key.proxy, .outOfMemoryKill(limitBytes: limit, peakBytes: peak))
    }

    /// Has logs looked at that may have grown too big, unless a look is under way.
    mutating func rotateLogs() {
        guard let rotation = rotation.take() else { return }
        let paths = units.values.flatMap { unit in
            ProcessKind.allCases.map { unit.folder.logPath($0) }
        }
        tasks.append(.rotateLogs(rotation, paths))
    }

    /// Takes what came of it.
    mutating func rotatedLogs(
        _ rotation: LogRotation,
        _ emptied: [String],
        _ problems: [String]
    ) {
        self.rotation = rotation
        for problem in problems {
            logger.warning("log not rotated", metadata: ["reason": "\(problem)"])
        }
        if emptied.isEmpty { return }
        // Places in them that were noted mean nothing any more.
        let emptied = Set(emptied)
        for (id, unit) in units {
            if emptied.contains(unit.folder.logPath(.envoy)) {
                units[id]?.envoy.run?.logOffset = 0
                units[id]?.successor?.run.logOffset = 0
                units[id]?.predecessor?.logOffset = 0
            }
            if emptied.contains(unit.folder.logPath(.application)) {
                units[id]?.application?.run?.logOffset = 0
            }
        }
    }
}
