import MeshModel

/// Proxies whose Envoys are replaced, one after the other.
struct UpgradeRun {
    var remaining: [ProxyID]
    /// The one under way.
    var current: ProxyID?
    /// The version before.
    var from: String?
    /// Whether those are replaced too that are up to date.
    let isForced: Bool
    let steps: AsyncStream<ProxyUpgrade>.Continuation
}

extension Fleet {
    mutating func beginUpgrade(
        _ proxies: Set<ProxyID>?,
        _ steps: AsyncStream<ProxyUpgrade>.Continuation
    ) {
        if isShuttingDown { return steps.finish() }
        let ids = proxies?.sorted() ?? units.keys.sorted()
        upgrades.append(UpgradeRun(remaining: ids, isForced: proxies != nil, steps: steps))
    }

    /// Begins with the next proxy when none is under way.
    mutating func advanceUpgrades() {
        while let upgrade = upgrades.first {
            if let current = upgrade.current {
                if units[current]?.plan != nil { return }
                finishStep(.skipped(reason: "it was removed"))
                continue
            }
            guard let id = upgrade.remaining.first else {
                upgrade.steps.finish()
                upgrades.removeFirst()
                continue
            }
            if let reason = reasonToSkip(id) {
                upgrade.steps.yield(ProxyUpgrade(id, .skipped(reason: reason)))
                upgrades[0].remaining.removeFirst()
                continue
            }
            guard let unit = units[id], canTakeOver(unit) else { return }
            upgrade.steps.yield(ProxyUpgrade(id, .started))
            upgrades[0].current = id
            upgrades[0].from = unit.envoy.run?.version
            prepareTakeover(unit.envoy.key)
        }
    }

    private mutating func reasonToSkip(_ id: ProxyID) -> String? {
        guard let unit = units[id], let plan = unit.plan else { return "there is no such proxy" }
        guard unit.envoy.lifecycle.isRunning else {
            return "it does not run; what starts next is the new one"
        }
        if upgrades[0].isForced || unit.successor != nil || unit.predecessor != nil { return nil }
        compare(id, plan, Fingerprint(fileAt: configuration.envoyPath))
        if units[id]?.envoy.lifecycle.observation.isOutdated ?? false { return nil }
        let isOther = unit.launched?.differs(from: launch(plan, unit.folder)) ?? true
        return isOther ? nil : "it is up to date"
    }

    /// The Envoy of `id` was replaced.
    mutating func upgraded(_ id: ProxyID, to version: String?) {
        guard let upgrade = upgrades.first, upgrade.current == id else { return }
        finishStep(.finished(from: upgrade.from, to: version))
    }

    /// The Envoy of `id` could not be replaced.
    mutating func upgradeFailed(_ id: ProxyID, _ reason: String) {
        guard let upgrade = upgrades.first, upgrade.current == id else { return }
        upgrade.steps.yield(ProxyUpgrade(id, .failed(reason: reason)))
        upgrade.steps.finish()
        upgrades.removeFirst()
    }

    private mutating func finishStep(_ step: ProxyUpgrade.Step) {
        guard let upgrade = upgrades.first, let id = upgrade.current else { return }
        upgrade.steps.yield(ProxyUpgrade(id, step))
        upgrades[0].current = nil
        upgrades[0].remaining.removeAll { $0 == id }
    }
}
