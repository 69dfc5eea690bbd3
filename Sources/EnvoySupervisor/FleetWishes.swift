import Glibc
import Logging
import MeshModel
import MeshPlan

/// What shall run, and what follows from it.
extension Fleet {
    mutating func reconcile(_ proxies: [ProxyID: ProxyPlan], keepsUnowned: Bool) {
        for id in units.keys.sorted() where proxies[id] == nil {
            if keepsUnowned, units[id]?.awaitsPlan ?? false { continue }
            remove(id, configuration.drainTime)
        }
        let binary = Fingerprint(fileAt: configuration.envoyPath)
        for (id, plan) in proxies.sorted(by: { $0.key < $1.key }) {
            var unit = units.removeValue(forKey: id) ?? makeUnit(id)
            unit.plan = plan
            let isAdopted = unit.awaitsPlan
            unit.awaitsPlan = false
            units[id] = unit
            updateEnvoy(id, plan, binary)
            updateApplication(id, plan, isAdopted: isAdopted)
        }
        if isFirstWish, !keepsUnowned {
            isFirstWish = false
            deleteUnownedFolders()
        }
    }

    /// Folders of proxies that were removed while no daemon ran.
    private func deleteUnownedFolders() {
        let owned = Set(units.values.map(\.folder.path))
        for path in ProxyFolder.all(configuration.stateDirectory) where !owned.contains(path) {
            Files.deleteFolder(path)
        }
    }

    private mutating func makeUnit(_ id: ProxyID) -> ProxyUnit {
        ProxyUnit(
            folder: ProxyFolder(of: id, stateDirectory: configuration.stateDirectory),
            envoy: makeProcess(id, .envoy, configuration.envoyPolicy)
        )
    }

    mutating func makeProcess(
        _ id: ProxyID,
        _ kind: ProcessKind,
        _ policy: ProcessLifecycle.Policy
    ) -> ManagedProcess {
        lastNumber += 1
        let key = ProcessKey(proxy: id, kind: kind, number: lastNumber)
        return ManagedProcess(key: key, lifecycle: ProcessLifecycle(policy))
    }

    private mutating func updateEnvoy(_ id: ProxyID, _ plan: ProxyPlan, _ binary: Fingerprint) {
        guard let unit = units[id] else { return }
        compare(id, plan, binary)
        considerChange(id)
        change(unit.envoy.key) { $0.wanted() }
    }

    /// Finds out whether an upgrade would change something.
    mutating func compare(_ id: ProxyID, _ plan: ProxyPlan, _ binary: Fingerprint) {
        guard let unit = units[id] else { return }
        let launch = launch(plan, unit.folder)
        // What an earlier daemon started otherwise waits for an upgrade.
        if unit.launched?.template == nil { units[id]?.launched?.template = launch.template }
        if unit.successor?.launch.template == nil {
            units[id]?.successor?.launch.template = launch.template
        }
        guard let start = unit.envoy.run?.envoy else { return }
        units[id]?.envoy.lifecycle.compared(
            isOutdated: start.binary != binary || start.template != launch.template
        )
    }

    /// Tells of proxies that run another Envoy than the one that is installed now.
    mutating func noticeNewBinary() {
        let binary = Fingerprint(fileAt: configuration.envoyPath)
        guard binary != knownBinary else { return }
        knownBinary = binary
        for (id, unit) in units {
            if let plan = unit.plan { compare(id, plan, binary) }
        }
    }

    /// Makes Envoy anew, or lets another take over, when it runs with other settings.
    mutating func considerChange(_ id: ProxyID) {
        guard let unit = units[id], isChangeDue(id) else { return }
        // Once it is ready, another may take over from it.
        if !unit.envoy.lifecycle.isRunning, unit.envoy.run?.isAdopted ?? false { return }
        change(unit.envoy.key) { $0.changed() }
    }

    /// Whether the plan wants an Envoy that neither runs, nor is about to, nor has just failed.
    func isChangeDue(_ id: ProxyID) -> Bool {
        guard let unit = units[id], let plan = unit.plan, let launched = unit.launched else {
            return false
        }
        let launch = launch(plan, unit.folder)
        guard launched.differs(from: launch) else { return false }
        guard unit.envoy.lifecycle.isRunning else { return true }
        let others = [unit.successor?.launch, unit.refused].compactMap(\.self)
        return others.allSatisfy { $0.differs(from: launch) }
    }

    private mutating func updateApplication(_ id: ProxyID, _ plan: ProxyPlan, isAdopted: Bool) {
        guard let unit = units[id] else { return }
        guard let application = plan.application else {
            if let key = unit.application?.key { change(key) { $0.removed(drainTime: .zero) } }
            return
        }
        let process =
            unit.application
            ?? makeProcess(id, .application, SupervisorConfiguration.applicationPolicy)
        units[id]?.application = process
        units[id]?.envoy.lifecycle.hasDependent = true
        if let launched = unit.launchedApplication, launched != application.fingerprint {
            change(process.key) { $0.changed() }
        } else if isAdopted, let run = process.run, !process.lifecycle.isServing {
            tasks.append(.probeApplication(process.key, application, run.stop))
        }
        startApplicationWhenReady(id)
    }

    /// Starts the application once its proxy has been ready; later ends of the proxy do not matter.
    mutating func startApplicationWhenReady(_ id: ProxyID) {
        guard let unit = units[id], let key = unit.application?.key, unit.plan?.application != nil
        else { return }
        if unit.wasReady {
            change(key) { $0.wanted() }
        } else {
            units[id]?.application?.lifecycle.awaited()
        }
    }

    mutating func remove(_ id: ProxyID, _ drainTime: Duration) {
        guard let unit = units[id] else { return }
        units[id]?.plan = nil
        units[id]?.awaitsPlan = false
        unit.successor?.run.process.signalGroup(SIGKILL)
        if let process = unit.predecessor?.process {
            tasks.append(.timer(unit.envoy.key, .overdue(process), drainTime))
        }
        units[id]?.envoy.lifecycle.hasDependent =
            unit.application.map { application in
                !application.lifecycle.isStopped
            } ?? false
        change(unit.envoy.key) { $0.removed(drainTime: drainTime) }
    }

    /// Ends a leaving proxy's application when the proxy has drained, then the proxy, and forgets
    /// what is gone.
    mutating func settle(_ id: ProxyID) {
        guard let unit = units[id], !unit.awaitsPlan else { return }
        if let application = unit.application, unit.plan?.application == nil {
            if application.lifecycle.isStopped {
                units[id]?.application = nil
                units[id]?.launchedApplication = nil
                change(unit.envoy.key) { $0.dependentEnded() }
            } else if !unit.envoy.lifecycle.isDraining, !application.lifecycle.isEnding {
                change(application.key) { $0.removed(drainTime: .zero) }
            }
        }
        guard let unit = units[id], unit.isGone else { return }
        units[id] = nil
        runtime[id] = nil
        unit.standIn?.stop()
        authorize(id, nil)
        // A proxy that ends with Heddle keeps its logs.
        if !isShuttingDown { unit.folder.delete() }
        logger.info("proxy gone", metadata: ["proxy": "\(id)"])
    }
}
