import Glibc
import Logging
import MeshModel

extension Adoption.Found {
    /// What is known of the proxy's Envoy before anybody has looked at it.
    var envoyObservation: ProcessObservation {
        var observation = ProcessObservation(phase: .stopped)
        observation.restarts = record.restarts
        observation.upgrades = record.upgrades
        guard let envoy else {
            observation.phase = .starting
            return observation
        }
        observation.phase = envoy.entry.isReady ? .running : .starting
        observation.pid = Int(envoy.process.identity.pid)
        observation.startTimeSeconds = envoy.entry.startTimeSeconds
        observation.version = envoy.entry.version
        return observation
    }

    /// How its limits are enforced; nil when it does not run.
    var enforcement: LimitEnforcement? {
        envoy.flatMap { envoy in
            envoy.entry.controlGroup?.enforcement(of: envoy.process.identity.pid)
        }
    }

    /// What is known of its application; nil when none runs.
    var applicationObservation: ProcessObservation? {
        guard let application, let entry = record.application else { return nil }
        return ProcessObservation(
            phase: entry.isReady ? .running : .starting,
            pid: Int(application.identity.pid),
            restarts: entry.restarts,
            startTimeSeconds: entry.startTimeSeconds
        )
    }

    /// The tokens of its Envoys, the oldest first; the last is the one that counts.
    var tokens: [String] {
        [predecessor, envoy, successor].compactMap { $0?.entry.start.token }.filter { !$0.isEmpty }
    }

    /// Whether there is something to go on with.
    var isAlive: Bool { !processes.isEmpty || !record.envoys.isEmpty }
}

/// Goes on with what an earlier daemon left running.
extension Fleet {
    mutating func adopt(_ adoption: Adoption) -> [FleetTask] {
        for found in adoption.proxies where found.isAlive { adopt(found) }
        groups.removeStale(except: units.values.flatMap(\.runs).compactMap(\.controlGroup))
        defer { tasks = [] }
        return tasks
    }

    private mutating func adopt(_ found: Adoption.Found) {
        let id = found.record.proxy
        let folder = ProxyFolder(of: id, stateDirectory: configuration.stateDirectory)
        var unit = ProxyUnit(
            folder: folder,
            awaitsPlan: true,
            envoy: makeProcess(id, .envoy, configuration.envoyPolicy)
        )
        unit.wasReady = found.record.wasReady
        unit.predecessor = found.predecessor.map(run)
        unit.envoy.run = found.envoy.map(run)
        unit.launched = found.envoy.map { Launch(settings: $0.entry.start.settings) }
        unit.successor = found.successor.map { found in
            let launch = Launch(settings: found.entry.start.settings)
            return Successor(run: run(found), isCheck: false, launch: launch)
        }
        unit.application = adoptedApplication(found, id)
        unit.launchedApplication = found.application.flatMap { _ in found.record.application?.plan }
        units[id] = unit
        for run in unit.runs {
            watchExit(run.process, run.envoy == nil ? applicationKey(id) : unit.envoy.key)
        }
        goOn(found, unit.envoy.key)
        record(id)
        logger.info(
            "proxy adopted",
            metadata: ["proxy": "\(id)", "pids": "\(unit.runs.map(\.process.identity.pid))"]
        )
    }

    private func applicationKey(_ id: ProxyID) -> ProcessKey {
        guard let key = units[id]?.application?.key else {
            preconditionFailure("what is no Envoy is the application")
        }
        return key
    }

    private func run(_ envoy: Adoption.Envoy) -> ManagedProcess.Run {
        ManagedProcess.Run(
            process: envoy.process,
            logOffset: 0,
            startTimeSeconds: envoy.entry.startTimeSeconds ?? time(nil),
            envoy: envoy.entry.start,
            version: envoy.entry.version,
            isAdopted: true,
            controlGroup: adopted(envoy)
        )
    }

    private mutating func adoptedApplication(
        _ found: Adoption.Found,
        _ id: ProxyID
    ) -> ManagedProcess? {
        guard let process = found.application, let observation = found.applicationObservation,
            let entry = found.record.application
        else { return nil }
        var application = makeProcess(id, .application, SupervisorConfiguration.applicationPolicy)
        application.run = ManagedProcess.Run(
            process: process,
            logOffset: 0,
            startTimeSeconds: entry.startTimeSeconds ?? time(nil)
        )
        let age = age(entry.startTimeSeconds)
        // Its ports are known with its plan, and it is probed then.
        _ = application.lifecycle.adopted(
            observation,
            isReady: entry.isReady,
            age: age,
            at: .now
        )
        return application
    }

    /// Watches what lives, and starts what does not.
    private mutating func goOn(_ found: Adoption.Found, _ key: ProcessKey) {
        if let envoy = found.envoy {
            let age = age(envoy.entry.startTimeSeconds)
            change(key) {
                $0.adopted(
                    found.envoyObservation,
                    isReady: envoy.entry.isReady,
                    age: age,
                    at: .now
                )
            }
            if envoy.entry.isReady { watchHealth(key) }
            let baseID = envoy.entry.start.baseID
            if let successor = units[key.proxy]?.successor {
                loading.insert(ObjectIdentifier(successor.run.stop))
                probe(
                    key,
                    found.successor?.entry.start ?? envoy.entry.start,
                    successor.run.stop,
                    takesOver: true
                )
                let process = successor.run.process
                tasks.append(.timer(key, .overdue(process), configuration.takeoverTime))
            } else {
                // One that began and is gone would keep every other from taking over.
                if envoy.entry.isReady { HotRestart.forgetLoading(baseID: baseID, logger) }
                if found.predecessor == nil { standIn(key) }
            }
        } else if !found.record.envoys.isEmpty {
            let path = ProxyFolder(of: key.proxy, stateDirectory: configuration.stateDirectory)
                .logPath(.envoy)
            let words = LastWords.read(path, from: 0, .envoy).map { ": \($0)" } ?? ""
            change(key) {
                $0.adoptedDead(
                    found.envoyObservation,
                    reason: "ended while no daemon watched it\(words)"
                )
            }
        }
        if let process = found.predecessor?.process {
            tasks.append(.timer(key, .overdue(process), configuration.predecessorLimit))
        }
    }

    private func age(_ startTimeSeconds: Int?) -> Duration {
        .seconds(max(0, time(nil) - (startTimeSeconds ?? time(nil))))
    }
}
