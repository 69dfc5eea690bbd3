import MeshModel

/// Values of the runtime of a proxy's Envoys that shall hold.
struct RuntimeWish: Hashable, Sendable {
    /// By key; an empty one is what the bootstrap says, and is forgotten once Envoy knows.
    var values: [String: String] = [:]
    /// Whether the Envoy that runs has yet to hear of them.
    var isDue = false
    /// The run of the Envoy that is being told.
    var told: ObjectIdentifier?
}

/// Settings of Envoy's that are changed while it runs, which each Envoy of a proxy gets anew.
extension Fleet {
    mutating func setRuntime(_ values: [String: String], of id: ProxyID) {
        guard !isShuttingDown else { return }
        runtime[id, default: RuntimeWish()].values.merge(values) { $1 }
        runtime[id]?.isDue = true
        tellRuntime(id)
    }

    /// Another Envoy serves, which knows of no values unless an earlier daemon started it.
    mutating func renewRuntime(_ id: ProxyID) {
        guard let wish = runtime[id] else { return }
        if !(units[id]?.envoy.run?.isAdopted ?? false) {
            runtime[id]?.values = wish.values.filter { !$0.value.isEmpty }
        }
        runtime[id]?.isDue = true
        tellRuntime(id)
    }

    /// Begins to tell the Envoy that serves, one thing after the other.
    private mutating func tellRuntime(_ id: ProxyID) {
        guard let wish = runtime[id], wish.isDue else { return }
        guard !wish.values.isEmpty else {
            runtime[id] = nil
            return
        }
        // One that gets ready is told then.
        guard let unit = units[id], unit.envoy.lifecycle.isServing, let run = unit.envoy.run,
            let start = run.envoy, wish.told != ObjectIdentifier(run.stop)
        else { return }
        runtime[id]?.isDue = false
        runtime[id]?.told = ObjectIdentifier(run.stop)
        let path = start.adminSocketPath
        tasks.append(.setRuntime(id, socketPath: path, run.stop, wish.values))
    }

    /// An Envoy was told `values`, or does not answer.
    mutating func runtimeWasTold(_ values: [String: String], to run: StopFlag, of id: ProxyID) {
        // Another may be told already.
        guard runtime[id]?.told == ObjectIdentifier(run) else { return }
        runtime[id]?.told = nil
        for (key, value) in values where value.isEmpty && runtime[id]?.values[key] == value {
            runtime[id]?.values[key] = nil
        }
        if runtime[id]?.values.isEmpty ?? false { runtime[id] = nil }
        tellRuntime(id)
    }
}

extension EnvoyAdmin {
    /// Sets values of Envoy's runtime, an empty one to what the bootstrap says; tries three times.
    ///
    /// - Returns: Whether Envoy took them.
    func setRuntime(_ values: [String: String], stop: StopFlag) async -> Bool {
        for attempt in 1...3 {
            if await modifyRuntime(values) { return true }
            guard attempt < 3, !stop.isSet, !Task.isCancelled else { return false }
            try? await Task.sleep(for: .milliseconds(200))
        }
        return false
    }
}
