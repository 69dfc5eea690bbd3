internal import MeshModel

/// One proxy before and after.
struct ProxyChange {
    let id: ProxyID
    private let plans: (before: ProxyPlan?, after: ProxyPlan?)
    private let observations: (before: ProxyObservation?, after: ProxyObservation?)
    private let sizing: (before: SizingRecommendation?, after: SizingRecommendation?)
    private let nowSeconds: Int

    init(id: ProxyID, previous: PlannedState, next: PlannedState, nowSeconds: Int) {
        self.id = id
        plans = (previous.plan.proxies[id], next.plan.proxies[id])
        observations = (previous.observations.proxies[id], next.observations.proxies[id])
        sizing = (previous.plan.sizing[id], next.plan.sizing[id])
        self.nowSeconds = nowSeconds
    }

    private var object: ObjectID { ObjectID(.workload, id.workload) }

    /// Whether anything differs that `report` might tell of.
    var isChanged: Bool {
        plans.after == nil || observations.before?.process != observations.after?.process
            || observations.before?.application != observations.after?.application
            || sizing.before?.verdict != sizing.after?.verdict
            || sizing.before?.isForecast != sizing.after?.isForecast
    }

    /// Whether this is the first that is known of a proxy that has run for a while.
    var isAdopted: Bool {
        guard observations.before?.process == nil, let process = observations.after?.process else {
            return false
        }
        return process.pid != nil && !isNew(process)
    }

    /// Whether `process` started just now; a plan follows within moments.
    private func isNew(_ process: ProcessObservation) -> Bool {
        process.startTimeSeconds.map { $0 >= nowSeconds - 10 } ?? true
    }

    /// Adds what happened; of a Pod's life Kubernetes itself tells.
    func report(to log: inout EventCollection) {
        if (plans.after ?? plans.before)?.pod != nil {
            if plans.after != nil { reportSizing(to: &log) }
            return
        }
        if plans.after == nil {
            log.add(
                .normal,
                "ProxyRemoved",
                "Its proxy is no longer wanted, and ends once its requests have.",
                object
            )
            return
        }
        let processes = (observations.before?.process, observations.after?.process)
        report(processes.0, processes.1, "proxy", to: &log)
        reportUpgrades(processes.0, processes.1, to: &log)
        report(
            observations.before?.application,
            observations.after?.application,
            "application",
            to: &log
        )
        reportOutOfMemory(processes.0, processes.1, to: &log)
        reportSizing(to: &log)
    }

    // MARK: Processes

    private func report(
        _ before: ProcessObservation?,
        _ after: ProcessObservation?,
        _ noun: String,
        to log: inout EventCollection
    ) {
        guard let after, before != nil || isNew(after) else { return }
        let title = noun == "proxy" ? "Proxy" : "Application"
        // One that ended while no daemon looked, and runs again when the next one first tells of it.
        let isRevived = after.restarts > 0 && after.lastError != nil && after.pid != nil
        let restarts = before.map { after.restarts - $0.restarts } ?? (isRevived ? 1 : 0)
        // An upgrade tells of itself.
        let isReplaced = after.upgrades > before?.upgrades ?? after.upgrades
        if restarts > 0 {
            let why = after.lastError ?? "it ended"
            let message =
                restarts == 1
                ? "Its \(noun) was started again: \(why)"
                : "Its \(noun) was started again \(restarts) times; at last: \(why)"
            log.add(.warning, "\(title)Restarted", sentence(message), object)
        } else if after.pid != nil, after.pid != before?.pid, !isReplaced {
            log.add(.normal, "\(title)Started", "Its \(noun) was started.", object)
        }
        if after.isInCrashLoop, before?.isInCrashLoop != true,
            let message = crashLoopMessage(of: after, noun, id)
        {
            log.add(.warning, crashLoopReason, message, object)
        }
        let isOther = restarts > 0 || after.pid != before?.pid
        if after.phase == .running, before?.phase != .running || isOther, !isReplaced {
            let message =
                noun == "proxy"
                ? "Its proxy answers." : "Its application runs and takes connections."
            log.add(.normal, "\(title)Ready", message, object)
        }
    }

    private func reportUpgrades(
        _ before: ProcessObservation?,
        _ after: ProcessObservation?,
        to log: inout EventCollection
    ) {
        guard let before, let after, after.upgrades > before.upgrades else { return }
        let versions =
            switch (before.version, after.version) {
            case (let old?, let new?) where old != new: "Envoy \(old) by \(new)"
            case (_, let new?): "by another Envoy \(new)"
            case (_, nil): "by another Envoy"
            }
        log.add(
            .normal,
            "ProxyUpgraded",
            "Its proxy was replaced without a pause: \(versions).",
            object
        )
    }

    // MARK: Resources

    private func reportOutOfMemory(
        _ before: ProcessObservation?,
        _ after: ProcessObservation?,
        to log: inout EventCollection
    ) {
        guard let after, before != nil || isNew(after),
            after.outOfMemoryKills > before?.outOfMemoryKills ?? 0
        else { return }
        // The history knows the limit of then, if it has begun.
        let limitBytes =
            observations.after?.usage?.outOfMemoryLimitBytes
            ?? plans.after?.resources.memoryLimitBytes
        let limit = limitBytes.map { " of \(memoryQuantity(bytes: $0))" } ?? ""
        let needed = sizing.after.flatMap { $0.recommended.memoryLimitBytes }
        let remedy =
            needed.map { "set it to \(memoryQuantity(bytes: $0))" } ?? "see \"heddle sizing\""
        log.add(
            .warning,
            "OutOfMemory",
            "The kernel ended its proxy at the memory limit\(limit); \(remedy).",
            object
        )
    }

    private func reportSizing(to log: inout EventCollection) {
        guard let before = sizing.before, let after = sizing.after, !before.isForecast,
            !after.isForecast, before.verdict != after.verdict
        else { return }
        func requests(_ resources: SidecarResources) -> String {
            "cpu \(cpuQuantity(millicores: resources.cpuRequestMillicores)) and memory "
                + memoryQuantity(bytes: resources.memoryRequestBytes)
        }
        let (asked, needed) = (requests(after.requested), requests(after.recommended))
        switch after.verdict {
        case .fitting:
            log.add(.normal, "SizeFitting", "Its proxy asks for what it needs: \(asked).", object)
        case .oversized:
            log.add(
                .normal,
                "SizeOversized",
                "Its proxy asks for \(asked), and \(needed) would do; see \"heddle sizing\".",
                object
            )
        case .undersized:
            log.add(
                .warning,
                "SizeUndersized",
                "Its proxy asks for \(asked), and should for \(needed); see \"heddle sizing\".",
                object
            )
        }
    }
}
