import Glibc
import Logging
import MeshModel
import MeshPlan

/// What the processes do, and what follows from it.
extension Fleet {
    /// Which of a proxy's Envoys a process is.
    private enum Role {
        case main
        case successor
        case predecessor
    }

    mutating func handle(_ event: ProcessEvent, _ key: ProcessKey) {
        switch event {
        case .answered(let run):
            if !run.isSet { loading.remove(ObjectIdentifier(run)) }
        case .ready(let run, let version):
            if !run.isSet { becameReady(run, version, key) }
        case .drained(let run):
            if !run.isSet { change(key) { $0.drained() } }
        case .silent(let run, let silence):
            if !run.isSet { wasSilent(run, silence, key) }
        case .leaderEnded(let process, let exit): leaderEnded(process, exit, key)
        case .ended(let process, let exit): ended(process, exit, key)
        case .overdue(let process): isOverdue(process, key)
        case .retry(let number):
            guard units[key.proxy]?.refusals == number else { return }
            units[key.proxy]?.refused = nil
            considerChange(key.proxy)
        case .retryRuntime(let failures): retryRuntime(key.proxy, after: failures)
        case .timer(let number): change(key) { $0.timerFired(number) }
        }
    }

    private mutating func becameReady(_ run: StopFlag, _ version: String?, _ key: ProcessKey) {
        loading.remove(ObjectIdentifier(run))
        if units[key.proxy]?.successor?.run.stop === run { return takeOver(key, version) }
        guard self[key]?.run?.stop === run else { return }
        self[key]?.run?.version = version
        if let version { self[key]?.lifecycle.told(version: version) }
        change(key) { $0.becameReady() }
        logger.info(
            "process ready",
            metadata: ["proxy": "\(key.proxy)", "process": "\(key.kind.rawValue)"]
        )
        if key.kind == .envoy {
            units[key.proxy]?.wasReady = true
            watchHealth(key)
            renewRuntime(key.proxy)
            startApplicationWhenReady(key.proxy)
            considerChange(key.proxy)
            upgraded(key.proxy, to: version)
        }
        record(key.proxy)
    }

    /// Looks after a running Envoy from time to time.
    mutating func watchHealth(_ key: ProcessKey) {
        guard let run = self[key]?.run, let start = run.envoy else { return }
        tasks.append(
            .look(
                key,
                socketPath: start.adminSocketPath,
                run.stop,
                run.generation,
                run.controlGroup,
                memoryLimitBytes: start.settings?.memoryLimitBytes
            )
        )
    }

    private mutating func wasSilent(_ run: StopFlag, _ silence: Duration, _ key: ProcessKey) {
        guard self[key]?.run?.stop === run else { return }
        let reason = "did not answer for \(silence.components.seconds) s, and was ended"
        logger.warning("process does not answer", metadata: metadata(key, "for", "\(silence)"))
        if units[key.proxy]?.predecessor != nil {
            // It may wait for its predecessor, which hangs.
            units[key.proxy]?.predecessor?.verdict = reason
            units[key.proxy]?.predecessor?.process.signalGroup(SIGKILL)
            watchHealth(key)
        } else {
            change(key) { $0.silent(reason) }
        }
    }

    private func role(_ process: RunningProcess, _ key: ProcessKey) -> Role? {
        if self[key]?.run?.process === process { return .main }
        guard key.kind == .envoy, let unit = units[key.proxy] else { return nil }
        if unit.successor?.run.process === process { return .successor }
        if unit.predecessor?.process === process { return .predecessor }
        return nil
    }

    private func run(_ role: Role, _ key: ProcessKey) -> ManagedProcess.Run? {
        switch role {
        case .main: self[key]?.run
        case .successor: units[key.proxy]?.successor?.run
        case .predecessor: units[key.proxy]?.predecessor
        }
    }

    private mutating func leaderEnded(
        _ process: RunningProcess,
        _ exit: ProcessExit,
        _ key: ProcessKey
    ) {
        guard let role = role(process, key), let run = run(role, key) else { return }
        run.stop.set()
        loading.remove(ObjectIdentifier(run.stop))
        guard process.hasGroup else { return ended(process, exit, key) }
        // What a crashed application leaves behind would be in the way of the next one.
        let wasAsked = role == .main && self[key]?.lifecycle.isEnding ?? false
        if !wasAsked { process.signalGroup(SIGKILL) }
        tasks.append(.groupEnd(key, process, exit))
    }

    private mutating func ended(
        _ process: RunningProcess,
        _ exit: ProcessExit,
        _ key: ProcessKey
    ) {
        guard let role = role(process, key), var run = run(role, key) else { return }
        closeControlGroup(of: &run, key)
        if let start = run.envoy, !start.token.isEmpty {
            units[key.proxy]?.formerTokens[start.slot] = start.token
        }
        switch role {
        case .main: mainEnded(run, exit, key)
        case .successor: successorEnded(run, exit, key)
        case .predecessor: predecessorEnded(run, exit, key)
        }
        let rest = units[key.proxy]?.runs ?? []
        if let baseID = run.envoy?.baseID, !rest.contains(where: { $0.envoy?.baseID == baseID }) {
            HotRestart.forget(baseID: baseID, run.envoy?.restartSocketPath)
        }
        settle(key.proxy)
    }

    private mutating func mainEnded(
        _ run: ManagedProcess.Run,
        _ exit: ProcessExit,
        _ key: ProcessKey
    ) {
        guard let process = self[key] else { return }
        let wasAsked = process.lifecycle.isEnding
        let reason = reason(exit, run, key)
        self[key]?.run = nil
        logger.log(
            level: wasAsked ? .info : .warning,
            "process ended",
            metadata: metadata(key, "reason", reason)
        )
        if key.kind == .envoy {
            units[key.proxy]?.standIn?.stop()
            units[key.proxy]?.standIn = nil
            if !wasAsked, promoteSuccessor(key, reason) { return }
            upgradeFailed(key.proxy, reason)
        }
        if wasAsked { record(key.proxy) }
        var random = random
        change(key) { $0.exited(reason, at: .now, using: &random) }
    }

    /// `exited with code 1: <last line>`, without the proxy's token.
    func reason(
        _ exit: ProcessExit,
        _ run: ManagedProcess.Run,
        _ key: ProcessKey,
        logPath: String? = nil
    ) -> String {
        if let verdict = run.verdict { return verdict }
        guard !exit.isFromOutside, let unit = units[key.proxy] else { return exit.text }
        let path = logPath ?? unit.folder.logPath(key.kind)
        guard let line = LastWords.read(path, from: run.logOffset, key.kind) else {
            return exit.text
        }
        if let token = run.envoy?.token, !token.isEmpty, line.contains(token) { return exit.text }
        return "\(exit.text): \(line)"
    }

    // MARK: Actions

    /// Changes a process's life and does what follows from it.
    mutating func change(
        _ key: ProcessKey,
        _ body: (inout ProcessLifecycle) -> [ProcessLifecycle.Action]
    ) {
        guard var process = self[key] else { return }
        let actions = body(&process.lifecycle)
        self[key] = process
        for action in actions { perform(action, key) }
        settle(key.proxy)
    }

    private mutating func perform(_ action: ProcessLifecycle.Action, _ key: ProcessKey) {
        guard let unit = units[key.proxy], let process = self[key] else { return }
        switch action {
        case .start:
            if key.kind == .envoy || unit.awaitsPlan {
                queue.append(Turn(key: key, takesOver: false))
            } else {
                start(key)
            }
        case .replace: queue.append(Turn(key: key, takesOver: true))
        case .probe:
            guard let run = process.run else { return }
            if let start = run.envoy {
                probe(key, start, run.stop, takesOver: false)
            } else if let application = unit.plan?.application {
                tasks.append(.probeApplication(key, application, run.stop))
            }
        case .drain:
            if let run = process.run, let start = run.envoy {
                let settle = isShuttingDown ? .zero : Self.settleTime
                let path = start.adminSocketPath
                tasks.append(
                    .drain(key, socketPath: path, run.stop, settle: settle, run.generation)
                )
            }
        case .terminate: process.run?.process.signalGroup(SIGTERM)
        case .kill: process.run?.process.signalGroup(SIGKILL)
        case .setTimer(let number, let after): tasks.append(.timer(key, .timer(number), after))
        }
    }

    mutating func probe(
        _ key: ProcessKey,
        _ start: EnvoyStart,
        _ stop: StopFlag,
        takesOver: Bool
    ) {
        let path = start.adminSocketPath
        tasks.append(.probe(key, socketPath: path, stop, takesOver: takesOver))
    }
}
