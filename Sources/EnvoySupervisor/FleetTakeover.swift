import Glibc
import Logging
import MeshModel
import MeshPlan

/// One Envoy takes over from another without a pause (Envoy's hot restart).
///
/// The old one closes its admin interface when the new one starts, and its listeners when the new
/// one is ready; then it finishes what it has begun, and the new one ends it.
extension Fleet {
    /// Whether another Envoy may start beside the one that runs: two at most share their sockets.
    func canTakeOver(_ unit: ProxyUnit) -> Bool {
        unit.plan != nil && unit.envoy.lifecycle.isRunning && unit.successor == nil
            && unit.predecessor == nil
    }

    /// Checks the new bootstrap with the new binary, so that a mistake does not disturb the old one.
    mutating func prepareTakeover(_ key: ProcessKey) {
        guard let unit = units[key.proxy], let plan = unit.plan, canTakeOver(unit),
            let old = unit.envoy.run?.envoy
        else { return }
        do {
            let slot = old.slot.other
            let epoch = old.epoch + 1
            let start = envoyStart(plan, unit.folder, slot, baseID: old.baseID, epoch: epoch)
            try unit.folder.make()
            try writeBootstrap(plan, unit.folder, start)
            unlink(unit.folder.checkLogPath)
            let command = configuration.checkCommand(unit.folder, slot)
            var run = try launch(command, logPath: unit.folder.checkLogPath)
            run.envoy = start
            let launch = Launch(start)
            succeed(Successor(run: run, isCheck: true, launch: launch, plan: plan), key)
        } catch {
            takeoverFailed(key, launch(plan, unit.folder), "\(error)")
        }
    }

    /// Starts what was checked, with the plan of the check: a later one comes after it.
    private mutating func startSuccessor(
        _ start: EnvoyStart,
        _ checked: Successor,
        _ key: ProcessKey
    ) {
        units[key.proxy]?.successor = nil
        guard let unit = units[key.proxy], unit.plan != nil, let plan = checked.plan else { return }
        do {
            authorize(key.proxy, start.token)
            record(key.proxy, starting: start)
            let run = try launch(start, plan, unit.folder)
            var successor = checked
            successor.run = run
            successor.isCheck = false
            succeed(successor, key)
            record(key.proxy)
            probe(key, start, run.stop, takesOver: true)
            let pid = "\(run.process.identity.pid)"
            logger.info("process started to take over", metadata: metadata(key, "pid", pid))
        } catch {
            restoreToken(key)
            takeoverFailed(key, checked.launch, "\(error)")
        }
    }

    private mutating func succeed(_ successor: Successor, _ key: ProcessKey) {
        units[key.proxy]?.successor = successor
        loading.insert(ObjectIdentifier(successor.run.stop))
        let process = successor.run.process
        tasks.append(.timer(key, .overdue(process), configuration.takeoverTime))
        watchExit(process, key)
    }

    /// The new one serves, and the old one takes no more connections.
    mutating func takeOver(_ key: ProcessKey, _ version: String?) {
        guard var unit = units[key.proxy], let successor = unit.successor,
            let old = unit.envoy.run
        else { return }
        var run = successor.run
        run.version = version
        // Nobody answers for it any more.
        old.stop.set()
        unit.standIn?.stop()
        unit.standIn = nil
        unit.successor = nil
        unit.predecessor = old
        unit.envoy.run = run
        unit.envoy.lifecycle.replaced(
            pid: Int(run.process.identity.pid),
            startTimeSeconds: run.startTimeSeconds,
            at: .now
        )
        if let version { unit.envoy.lifecycle.told(version: version) }
        unit.launched = successor.launch
        unit.refused = nil
        units[key.proxy] = unit
        record(key.proxy)
        logger.info("process took over", metadata: metadata(key, "version", version ?? "unknown"))
        tasks.append(.timer(key, .overdue(old.process), configuration.predecessorLimit))
        watchHealth(key)
        renewRuntime(key.proxy)
        upgraded(key.proxy, to: version)
    }

    mutating func successorEnded(
        _ run: ManagedProcess.Run,
        _ exit: ProcessExit,
        _ key: ProcessKey
    ) {
        guard let unit = units[key.proxy], let successor = unit.successor else { return }
        if successor.isCheck, exit == .exited(code: 0), let start = run.envoy {
            return startSuccessor(start, successor, key)
        }
        let path = successor.isCheck ? unit.folder.checkLogPath : nil
        let reason = reason(exit, run, key, logPath: path)
        units[key.proxy]?.successor = nil
        if !successor.isCheck {
            if let baseID = run.envoy?.baseID { HotRestart.forgetLoading(baseID: baseID, logger) }
            restoreToken(key)
        }
        takeoverFailed(key, successor.launch, reason)
    }

    private func restoreToken(_ key: ProcessKey) {
        guard let unit = units[key.proxy], unit.plan != nil else { return }
        if let token = unit.envoy.run?.envoy?.token, !token.isEmpty {
            authorize(key.proxy, token)
        }
    }

    private mutating func takeoverFailed(
        _ key: ProcessKey,
        _ refused: Launch,
        _ reason: String
    ) {
        guard let unit = units[key.proxy] else { return }
        record(key.proxy)
        guard unit.plan != nil else { return }
        logger.warning("process did not take over", metadata: metadata(key, "reason", reason))
        let text = "a new Envoy could not take over, and the old one goes on: \(reason)"
        units[key.proxy]?.envoy.lifecycle.keeps(text)
        upgradeFailed(key.proxy, text)
        let number = unit.refusals + 1
        units[key.proxy]?.refused = refused
        units[key.proxy]?.refusals = number
        tasks.append(.timer(key, .retry(number), .seconds(60)))
        // The plan may want something else by now, which may be better.
        considerChange(key.proxy)
    }

    /// The old one ended before the new one was ready, which then is all that there is.
    ///
    /// - Returns: false when there is no new one.
    mutating func promoteSuccessor(_ key: ProcessKey, _ reason: String) -> Bool {
        guard var unit = units[key.proxy], let successor = unit.successor else { return false }
        if successor.isCheck {
            units[key.proxy]?.successor = nil
            successor.run.stop.set()
            loading.remove(ObjectIdentifier(successor.run.stop))
            successor.run.process.signalGroup(SIGKILL)
            return false
        }
        unit.successor = nil
        unit.envoy.run = successor.run
        unit.envoy.lifecycle.replaced(
            pid: Int(successor.run.process.identity.pid),
            startTimeSeconds: successor.run.startTimeSeconds,
            after: reason,
            at: .now
        )
        unit.launched = successor.launch
        unit.refused = nil
        units[key.proxy] = unit
        standIn(key)
        record(key.proxy)
        return true
    }

    mutating func predecessorEnded(
        _ run: ManagedProcess.Run,
        _ exit: ProcessExit,
        _ key: ProcessKey
    ) {
        units[key.proxy]?.predecessor = nil
        let wasAskedBySuccessor = exit == .exited(code: 0) && run.verdict == nil
        let text = reason(exit, run, key)
        logger.info("former process ended", metadata: metadata(key, "reason", text))
        if !wasAskedBySuccessor,
            units[key.proxy]?.envoy.run?.envoy?.baseID == run.envoy?.baseID
        {
            standIn(key)
        }
        record(key.proxy)
        considerChange(key.proxy)
    }

    /// Answers the Envoy that runs in the place of the one before it, so that it does not abort.
    mutating func standIn(_ key: ProcessKey) {
        guard let start = units[key.proxy]?.envoy.run?.envoy, start.epoch > 0 else { return }
        units[key.proxy]?.standIn?.stop()
        units[key.proxy]?.standIn = ParentStandIn(
            start.restartSocketPath,
            baseID: start.baseID,
            epoch: start.epoch - 1,
            watcher
        )
    }

    /// A new one is not ready within its time, or an old one has not ended within its own.
    mutating func isOverdue(_ process: RunningProcess, _ key: ProcessKey) {
        guard let unit = units[key.proxy] else { return }
        if unit.successor?.run.process === process {
            let limit = configuration.takeoverTime.components.seconds
            units[key.proxy]?.successor?.run.verdict = "it was not ready within \(limit) s"
            process.signalGroup(SIGKILL)
        } else if unit.predecessor?.process === process {
            units[key.proxy]?.predecessor?.verdict = "its time to finish was over"
            process.signalGroup(SIGKILL)
        }
    }
}
