import Glibc
import Logging
import MeshModel
import MeshPlan

/// Starts of processes, and the records of them.
extension Fleet {
    mutating func startQueued() {
        var waiting: [Turn] = []
        while loading.count < configuration.concurrentStarts, !queue.isEmpty {
            let turn = queue.removeFirst()
            guard let unit = units[turn.key.proxy], let process = self[turn.key] else { continue }
            if unit.awaitsPlan {
                waiting.append(turn)
            } else if turn.takesOver {
                // It may have got what it wants by another turn.
                if isChangeDue(turn.key.proxy) { prepareTakeover(turn.key) }
            } else if process.lifecycle.isWaiting {
                start(turn.key)
            }
        }
        queue = waiting + queue
    }

    mutating func start(_ key: ProcessKey) {
        do {
            let run = try launch(key)
            self[key]?.run = run
            if key.kind == .envoy { loading.insert(ObjectIdentifier(run.stop)) }
            record(key.proxy)
            let pid = Int(run.process.identity.pid)
            logger.info("process started", metadata: metadata(key, "pid", "\(pid)"))
            change(key) {
                $0.started(pid: pid, startTimeSeconds: run.startTimeSeconds, at: .now)
            }
            watchExit(run.process, key)
        } catch {
            let reason = "\(error)"
            logger.warning("process not started", metadata: metadata(key, "reason", reason))
            var random = random
            // Room on the disk comes back some time, whatever was tried before.
            let pause = (error as? SystemError)?.isForSpace ?? false ? Self.spacePause : nil
            change(key) { $0.failedToStart(reason, retryAfter: pause, using: &random) }
        }
    }

    private mutating func launch(_ key: ProcessKey) throws -> ManagedProcess.Run {
        guard let unit = units[key.proxy], let plan = unit.plan else {
            preconditionFailure("only a wanted process is started")
        }
        try unit.folder.make()
        switch key.kind {
        case .envoy:
            let baseID = HotRestart.newBaseID(using: &random)
            // The files of one that still finishes are not touched.
            let slot = unit.predecessor?.envoy?.slot.other ?? .first
            var start = envoyStart(plan, unit.folder, slot, baseID: baseID, epoch: 0)
            do {
                try writeBootstrap(plan, unit.folder, start)
            } catch let error as SystemError where error.isForSpace {
                try useFormerBootstrap(plan, unit, &start, error)
            }
            authorize(plan.id, start.token)
            units[key.proxy]?.launched = Launch(start)
            units[key.proxy]?.refused = nil
            record(key.proxy, starting: start)
            return try launch(start, plan, unit.folder)
        case .application:
            guard let application = plan.application else {
                preconditionFailure("only a wanted application is started")
            }
            units[key.proxy]?.launchedApplication = application.fingerprint
            let command = application.startCommand(stateDirectory: configuration.stateDirectory)
            return try launch(command, logPath: unit.folder.logPath(.application))
        }
    }

    /// Goes on with a bootstrap that is there, if only its token is another than is wanted.
    private func useFormerBootstrap(
        _ plan: ProxyPlan,
        _ unit: ProxyUnit,
        _ start: inout EnvoyStart,
        _ problem: SystemError
    ) throws {
        for slot in [start.slot, start.slot.other] where slot != unit.predecessor?.envoy?.slot {
            guard let token = unit.formerTokens[slot] else { continue }
            start.slot = slot
            start.adminSocketPath = unit.folder.adminSocketPath(slot)
            start.token = token
            // Writes nothing when these are the bytes.
            if (try? writeBootstrap(plan, unit.folder, start)) != nil { return }
        }
        throw problem
    }

    /// The time between two starts while the disk is full.
    private static let spacePause = Duration.seconds(5)

    /// Starts an Envoy.
    func launch(
        _ start: EnvoyStart,
        _ plan: ProxyPlan,
        _ folder: ProxyFolder
    ) throws -> ManagedProcess.Run {
        unlink(start.adminSocketPath)
        let command = configuration.envoyCommand(concurrency: plan.concurrency, folder, start)
        let group = groups.make(for: plan.id, start: start.epoch, plan.resources)
        do {
            let path = folder.logPath(.envoy)
            var run = try launch(command, logPath: path, controlGroup: group)
            run.envoy = start
            return run
        } catch {
            group.remove()
            throw error
        }
    }

    /// Starts a process.
    func launch(
        _ command: Command,
        logPath: String,
        controlGroup: ControlGroup? = nil
    ) throws -> ManagedProcess.Run {
        let offset = (try? Descriptor.open(logPath, O_RDONLY))?.status.size ?? 0
        let started = try command.start(logPath: logPath, controlGroup: controlGroup)
        guard let process = RunningProcess(pid: started.pid) else {
            kill(-started.pid, SIGKILL)
            throw SystemError("cannot watch process \(started.pid)")
        }
        var controlGroup = controlGroup
        if let problem = started.joinProblem { controlGroup?.problem = problem }
        return ManagedProcess.Run(
            process: process,
            logOffset: offset,
            startTimeSeconds: time(nil),
            controlGroup: controlGroup
        )
    }

    /// How an Envoy of `plan` is started.
    func envoyStart(
        _ plan: ProxyPlan,
        _ folder: ProxyFolder,
        _ slot: EnvoySlot,
        baseID: Int,
        epoch: Int
    ) -> EnvoyStart {
        EnvoyStart(
            slot: slot,
            adminSocketPath: folder.adminSocketPath(slot),
            restartSocketPath: epoch == 0
                ? folder.restartSocketPath : units[plan.id]?.envoy.run?.envoy?.restartSocketPath,
            baseID: baseID,
            epoch: epoch,
            token: ProxyFolder.newToken(),
            settings: EnvoySettings(plan),
            template: template(plan, folder),
            binary: Fingerprint(fileAt: configuration.envoyPath)
        )
    }

    func writeBootstrap(_ plan: ProxyPlan, _ folder: ProxyFolder, _ start: EnvoyStart) throws {
        let parameters = BootstrapParameters(
            xdsSocketPath: configuration.xdsSocketPath,
            adminSocketPath: start.adminSocketPath,
            token: start.token
        )
        let text = bootstrap(plan, parameters)
        guard !text.isEmpty else {
            throw StartError(program: configuration.envoyPath, reason: "it has no bootstrap")
        }
        try Files.write(text, to: folder.bootstrapPath(start.slot))
    }

    func launch(_ plan: ProxyPlan, _ folder: ProxyFolder) -> Launch {
        Launch(settings: EnvoySettings(plan), template: template(plan, folder))
    }

    /// What is the same for every start of an Envoy with `plan`.
    private func template(_ plan: ProxyPlan, _ folder: ProxyFolder) -> Fingerprint {
        let parameters = BootstrapParameters(
            xdsSocketPath: configuration.xdsSocketPath,
            adminSocketPath: folder.adminSocketPath(.first),
            token: ""
        )
        let options = configuration.envoyOptions(concurrency: plan.concurrency)
        return Fingerprint([bootstrap(plan, parameters)] + options.map { Array($0.utf8) })
    }

    /// Writes down what runs, and what is about to: whoever comes next finds it by its arguments.
    func record(_ id: ProxyID, starting start: EnvoyStart? = nil) {
        guard let unit = units[id] else { return }
        var record = unit.record(id)
        if let start { record.envoys.append(ProxyRecord.Envoy(start: start)) }
        do {
            try unit.folder.write(record)
        } catch {
            logger.warning(
                "cannot record processes",
                metadata: ["proxy": "\(id)", "reason": "\(error)"]
            )
        }
    }
}
