public import MeshModel

/// A plan and what had been observed when it was made.
public typealias PlannedState = (plan: Plan, observations: Observations)

/// What happened between two plans, as events of Workloads and other objects.
///
/// Both states are levels, and many changes may lie between them: a proxy that was started again three
/// times gives one event that says so. What was not known before is taken as it is, without an event:
/// - before the first plan of a daemon nothing was known of objects, which is how `previous` without
///   statuses is taken, whether or not it has proxies that an earlier daemon planned;
/// - a process that is observed for the first time and that has run for a while was adopted;
/// - a recommendation after a forecast is the first.
///
/// - Parameters:
///   - previous: The last plan and its observations; empty ones at first.
///   - next: The new plan and its observations.
///   - nowSeconds: The time in seconds since 1970.
/// - Returns: The events, those of processes first and then those of conditions, each ordered by
///   object.
public func events(
    from previous: PlannedState,
    to next: PlannedState,
    nowSeconds: Int
) -> [MeshEvent] {
    var log = EventCollection(nowSeconds: nowSeconds)
    // Most of a plan is as it was, so that only what differs is sorted.
    let proxies = Set(previous.plan.proxies.keys).union(next.plan.proxies.keys)
    let changes = proxies.lazy
        .map { ProxyChange(id: $0, previous: previous, next: next, nowSeconds: nowSeconds) }
        .filter(\.isChanged).sorted { $0.id < $1.id }
    for change in changes { change.report(to: &log) }
    guard !previous.plan.statuses.isEmpty else { return log.events }
    let adopted = Set(changes.filter(\.isAdopted).map { ObjectID(.workload, $0.id.workload) })
    let changed = next.plan.statuses.filter { id, status in
        previous.plan.statuses[id]?.conditions != status.conditions && !adopted.contains(id)
    }
    for (id, status) in changed.sorted(by: { $0.key < $1.key }) {
        let before = previous.plan.statuses[id]?.conditions ?? []
        reportConditions(of: id, before, status.conditions, to: &log)
    }
    return log.events
}

/// Events in the making.
struct EventCollection {
    let nowSeconds: Int
    private(set) var events: [MeshEvent] = []

    init(nowSeconds: Int) { self.nowSeconds = nowSeconds }

    mutating func add(
        _ severity: MeshEvent.Severity,
        _ reason: String,
        _ message: String,
        _ object: ObjectID
    ) {
        events.append(
            MeshEvent(
                timeSeconds: Double(nowSeconds),
                severity: severity,
                reason: reason,
                message: message,
                object: object
            )
        )
    }
}

// MARK: Conditions

/// What is told of a condition: what is wrong by it, and that it is well again.
private struct ConditionRule {
    /// The reason of the event that says that all is well again.
    var recovery: String
    /// Reasons that have events of their own, or that nobody has to look at.
    var silent: Set<String> = []

    /// What is wrong by `condition`; nil while nothing is that an event tells of.
    func problem(_ condition: Condition?) -> Condition? {
        guard let condition, condition.status == .false, !silent.contains(condition.reason) else {
            return nil
        }
        return condition
    }
}

/// The rules of the conditions that events tell of, of an object of the kind `kind`.
private func rules(of kind: Kind) -> [(type: String, rule: ConditionRule)] {
    var rules: [(type: String, rule: ConditionRule)] = []
    if let type = kind.conditionType {
        let own: Set<String> =
            switch kind {
            case .workload:
                // Processes tell of themselves.
                transientWorkloadReasons.union([
                    crashLoopReason, "ProxyBackingOff", "ProxyStopped", "ApplicationBackingOff",
                    "ApplicationStopped", "ApplicationDraining",
                ]).union(podLifeReasons)
            case .virtualNode, .virtualGateway: [refusedReason]
            case .namespace, .mesh, .gatewayRoute, .virtualService, .virtualRouter, .backendGroup,
                .trafficPolicy, .certificateMapping:
                []
            }
        let certificates: Set<String> = ["CertificateMissing", "CertificateExpired"]
        rules.append(
            (
                type,
                ConditionRule(
                    recovery: kind == .workload ? "Ready" : "Active",
                    silent: own.union(certificates)
                )
            )
        )
    }
    switch kind {
    case .virtualNode, .virtualGateway:
        rules.append(("CertificateValid", ConditionRule(recovery: "CertificateRenewed")))
        rules.append(
            (
                "ConfigAccepted",
                ConditionRule(
                    recovery: "ConfigAccepted",
                    silent: ["NoWorkload", "NoPod", "NotPlanned", uninjectedReason]
                )
            )
        )
    case .workload:
        rules.append(("LimitsEnforced", ConditionRule(recovery: "LimitsEnforced")))
    case .mesh:
        rules.append((telemetryExportedType, ConditionRule(recovery: "Exported")))
    case .namespace, .gatewayRoute, .virtualService, .virtualRouter, .backendGroup,
        .trafficPolicy, .certificateMapping:
        break
    }
    return rules
}

private func reportConditions(
    of id: ObjectID,
    _ before: [Condition],
    _ after: [Condition],
    to log: inout EventCollection
) {
    for (type, rule) in rules(of: id.kind) {
        let condition = after.first { $0.type == type }
        let old = rule.problem(before.first { $0.type == type })
        let new = rule.problem(condition)
        if let new, new.reason != old?.reason {
            let reason = type == "LimitsEnforced" ? "LimitsNotEnforced" : new.reason
            log.add(.warning, reason, new.message, id)
        } else if new == nil, old != nil, let condition, condition.status != .false {
            let isPending = condition.status == .unknown && type == "ConfigAccepted"
            // Nobody is left who could have taken it.
            if isPending, condition.reason == "Disconnected" { continue }
            let message = isPending ? "Its proxies refuse nothing any more." : condition.message
            log.add(.normal, rule.recovery, message, id)
        }
    }
}
