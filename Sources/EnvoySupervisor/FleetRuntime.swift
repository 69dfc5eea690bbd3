import Logging
import MeshModel

/// Values of the runtime of a proxy's Envoys that shall hold.
struct RuntimeWish: Hashable, Sendable {
    /// By key; an empty one is what the bootstrap says, and is forgotten once Envoy knows.
    var values: [String: String] = [:]
    /// Whether the Envoy that runs has yet to hear of them.
    var isDue = false
    /// The run of the Envoy that is being told.
    var told: ObjectIdentifier?
    /// How often in a row that failed.
    var failures = 0
}

/// Settings of Envoy's that are changed while it runs, which each Envoy of a proxy gets anew.
extension Fleet {
    mutating func setRuntime(_ values: [String: String], of id: ProxyID) {
        guard !isShuttingDown, !values.isEmpty else { return }
        runtime[id, default: RuntimeWish()].values.merge(values) { $1 }
        runtime[id]?.isDue = true
        // No Envoy of a proxy that is not there has other values than its bootstrap says.
        if units[id] == nil { forgetResets(id) }
        tellRuntime(id)
    }

    /// Another Envoy serves, which knows of no values unless an earlier daemon started it.
    mutating func renewRuntime(_ id: ProxyID) {
        guard runtime[id] != nil else { return }
        if !(units[id]?.envoy.run?.isAdopted ?? false) { forgetResets(id) }
        runtime[id]?.isDue = true
        runtime[id]?.failures = 0
        tellRuntime(id)
    }

    private mutating func forgetResets(_ id: ProxyID) {
        guard var wish = runtime[id] else { return }
        wish.values = wish.values.filter { !$0.value.isEmpty }
        runtime[id] = wish.values.isEmpty ? nil : wish
    }

    /// Begins to tell the Envoy that serves, one thing after the other.
    private mutating func tellRuntime(_ id: ProxyID) {
        guard let wish = runtime[id], wish.isDue else { return }
        // One that gets ready is told then.
        guard let unit = units[id], unit.envoy.lifecycle.isServing, let run = unit.envoy.run,
            let start = run.envoy, wish.told != ObjectIdentifier(run.stop)
        else { return }
        runtime[id]?.isDue = false
        runtime[id]?.told = ObjectIdentifier(run.stop)
        let path = start.adminSocketPath
        tasks.append(.setRuntime(id, socketPath: path, run.stop, wish.values))
    }

    /// An Envoy was told `values`, and took them or did not.
    mutating func runtimeWasTold(
        _ values: [String: String],
        to run: StopFlag,
        of id: ProxyID,
        taken isTaken: Bool
    ) {
        // Another may be told already.
        guard runtime[id]?.told == ObjectIdentifier(run) else { return }
        runtime[id]?.told = nil
        guard isTaken else { return runtimeWasNotTaken(values, by: run, of: id) }
        runtime[id]?.failures = 0
        for (key, value) in values where value.isEmpty && runtime[id]?.values[key] == value {
            runtime[id]?.values[key] = nil
        }
        if runtime[id]?.values.isEmpty ?? false { runtime[id] = nil }
        tellRuntime(id)
    }

    /// Has an Envoy that may be busy told again in a while.
    private mutating func runtimeWasNotTaken(
        _ values: [String: String],
        by run: StopFlag,
        of id: ProxyID
    ) {
        runtime[id]?.isDue = true
        // The one that comes after one that ended is told when it serves.
        guard !run.isSet, let key = units[id]?.envoy.key, var wish = runtime[id] else { return }
        wish.failures += 1
        runtime[id] = wish
        let pause = Backoff.pause(failures: wish.failures + 1, using: &random)
        tasks.append(.timer(key, .retryRuntime(wish.failures), pause))
        // Often it is only slow.
        guard wish.failures == 3 else { return }
        logger.warning(
            "runtime not set, is tried again",
            metadata: ["proxy": "\(id)", "keys": "\(values.keys.sorted())"]
        )
    }

    /// Tells an Envoy again, unless it was told since.
    mutating func retryRuntime(_ id: ProxyID, after failures: Int) {
        guard let wish = runtime[id], wish.failures == failures else { return }
        tellRuntime(id)
    }
}
