public import MeshModel
public import MeshPlan

/// Every proxy that shall run: what it is, how it is, and what it should ask for.
///
/// What it uses at the moment is no part of it: that changes all the time, and is added on reading.
public struct ProxyReport: Hashable, Sendable {
    /// One proxy.
    struct Entry: Hashable, Sendable {
        var id: ProxyID
        /// The virtual node or virtual gateway whose proxy it is.
        var owner: ObjectID
        /// `metadata.name` of the Mesh.
        var mesh: String?
        /// Envoy's `node.id`.
        var nodeID: String
        var addresses: ProxyAddresses
        var ingressPorts: [Port]
        var egressPorts: [Port]
        var concurrency: Int
        /// What its Workload asks for it.
        var resources: SidecarResources
        /// Where the Workload asks for it, or is; the file's path is absolute.
        var source: SourceLocation?
        /// The Workload's labels.
        var labels: [String: String]
        /// Nil before the first start.
        var process: ProcessObservation?
        /// How it is, by the Workload's status.
        var state: ProxyState
        /// Whether it is connected to the xDS server.
        var isConnected: Bool
        /// Whether it accepted all that it was sent.
        var isAcknowledged: Bool
        /// Nil when it has no limits.
        var enforcement: LimitEnforcement?
        /// Nil before enough is known.
        var usage: UsageSummary?
        var recommendation: SizingRecommendation?
    }

    /// The proxies, by namespace and name.
    var entries: [Entry] = []

    /// Makes a report of nothing.
    public init() {}

    /// The proxies of `plan`.
    ///
    /// - Parameters:
    ///   - plan: Which proxies there shall be.
    ///   - observations: How they are.
    ///   - world: What was planned, which knows the files.
    ///   - workingDirectory: Where relative paths of files begin.
    public init(
        _ plan: Plan,
        _ observations: Observations,
        _ world: World,
        workingDirectory: String
    ) {
        entries = plan.proxies.values.sorted { $0.id < $1.id }.map { proxy in
            let workload = world.workloads[proxy.id.workload]
            let observation = observations.proxies[proxy.id] ?? ProxyObservation()
            let status = plan.statuses[ObjectID(.workload, proxy.id.workload)]
            var source = workload?.manifest.locationOfResources
            if let file = source?.file, !file.hasPrefix("/") {
                source?.file = "\(workingDirectory)/\(file)"
            }
            return Entry(
                id: proxy.id,
                owner: proxy.owner,
                mesh: plan.mesh(of: proxy.owner)?.name,
                nodeID: proxy.nodeID,
                addresses: proxy.addresses,
                ingressPorts: proxy.ingressPorts,
                egressPorts: proxy.egressPorts,
                concurrency: proxy.concurrency,
                resources: proxy.resources,
                source: source,
                labels: workload?.metadata.labels ?? [:],
                process: observation.process,
                state: ProxyState(status?.conditions.first { $0.type == "WorkloadReady" }),
                isConnected: observation.xds.isConnected,
                isAcknowledged: observation.xds.isAcknowledged,
                enforcement: observation.enforcement,
                usage: observation.usage,
                recommendation: plan.sizing[proxy.id]
            )
        }
    }

    /// The proxy of this name, if there is one.
    func contains(_ id: ProxyID) -> Bool { entries.contains { $0.id == id } }
}

extension Manifest {
    /// Where a Workload says what its proxy asks for; where it begins when it does not.
    fileprivate var locationOfResources: SourceLocation? {
        let field = "spec.sidecar.resources"
        return location(of: lines[field] == nil ? "" : field)
    }
}

extension XDSObservation {
    /// Whether all that was sent was accepted.
    fileprivate var isAcknowledged: Bool {
        ResourceType.allCases.allSatisfy { sync[$0] == .synced }
    }
}

extension ProxyReport.Entry {
    /// The API object, with what the proxy uses at the moment if that is known.
    func document(_ live: ProxyUsage?) -> JSONValue {
        var metadata: JSONValue = [
            "name": .string(id.workload.name), "namespace": .string(id.workload.namespace),
            "creationTimestamp": startTime ?? .null,
        ]
        if !labels.isEmpty { metadata["labels"] = .object(labels.mapValues(JSONValue.string)) }
        var status = status
        status["usage"] = live.map(\.document)
        return [
            "apiVersion": .string(Proxies.apiVersion), "kind": .string(Proxies.kind),
            "metadata": metadata, "spec": specification, "status": status,
        ]
    }

    private var startTime: JSONValue? {
        process?.startTimeSeconds.map { .string(timestamp(secondsSince1970: $0)) }
    }

    private var specification: JSONValue {
        func numbers(_ ports: [Port]) -> JSONValue {
            .array(ports.map { .integer(Int($0.number)) })
        }
        var document: JSONValue = [
            "owner": ["kind": .string(owner.kind.rawValue), "name": .string(owner.name)],
            "workload": .string(id.workload.name), "nodeID": .string(nodeID),
            "ingressAddress": .string(addresses.ingress),
            "egressAddress": .string(addresses.egress), "ingressPorts": numbers(ingressPorts),
            "egressPorts": numbers(egressPorts), "concurrency": .integer(concurrency),
            "resources": resources.document,
        ]
        document["mesh"] = mesh.map(JSONValue.string)
        document["source"] = source.map {
            ["file": .string($0.file), "line": .integer($0.line)]
        }
        return document
    }

    private var status: JSONValue {
        var document: JSONValue = [
            "state": .string(state.word), "ready": .bool(state.verdict == .good),
            "phase": .string(process?.phase.rawValue ?? "Pending"),
            "outdated": .bool(process?.isOutdated ?? false),
            "upgrades": .integer(process?.upgrades ?? 0),
            "restarts": .integer(process?.restarts ?? 0),
            "failures": .integer(process?.failures ?? 0), "connected": .bool(isConnected),
            "acknowledged": .bool(isAcknowledged),
        ]
        document["pid"] = process?.pid.map(JSONValue.integer)
        document["envoyVersion"] = process?.version.map(JSONValue.string)
        document["startTime"] = startTime
        document["lastError"] = process?.lastError.map(JSONValue.string)
        document["enforcement"] = enforcement.map(\.document)
        document["history"] = usage.map(\.document)
        document["recommendation"] = recommendation.map(\.document)
        return document
    }
}

extension LimitEnforcement {
    fileprivate var document: JSONValue {
        switch self {
        case .controlGroup: ["by": "ControlGroup"]
        case .proxyOnly(let reason): ["by": "Proxy", "reason": .string(reason)]
        }
    }
}

extension SizingRecommendation {
    fileprivate var document: JSONValue {
        [
            "verdict": .string(verdict.rawValue), "forecast": .bool(isForecast),
            "requested": requested.document,
            "resources": recommended.document,
            "reasons": .array(reasons.map(JSONValue.string)),
        ]
    }
}

extension UsageSummary {
    fileprivate var document: JSONValue {
        func spread(_ spread: Spread, _ text: (Double) -> String) -> JSONValue {
            [
                "p50": .string(text(spread.median)), "p90": .string(text(spread.percentile90)),
                "p95": .string(text(spread.percentile95)), "max": .string(text(spread.maximum)),
            ]
        }
        var document: JSONValue = [
            "cpu": spread(cpuMillicores) { ResourceQuantity.used(millicores: $0) },
            "memory": spread(memoryBytes) { ResourceQuantity.used(bytes: $0) },
            "requestsPerSecond": .number(requestsPerSecond), "confidenceDays": .number(confidence),
            "outOfMemoryKills": .integer(outOfMemoryKills),
            "sheddingPeriods": .integer(sheddingPeriods),
            "throttledShare": .number(throttledShare),
        ]
        document["outOfMemoryLimit"] = outOfMemoryLimitBytes.map {
            .string(memoryQuantity(bytes: $0))
        }
        return document
    }
}

extension ProxyUsage {
    /// The measurement, with quantities as people read them beside the numbers.
    fileprivate var document: JSONValue {
        [
            "cpu": .string(ResourceQuantity.used(millicores: cpuMillicores)),
            "memory": .string(ResourceQuantity.used(bytes: Double(memoryBytes))),
            "timeSeconds": .number(timeSeconds), "intervalSeconds": .number(intervalSeconds),
            "cpuMillicores": .number(cpuMillicores), "memoryBytes": .integer(memoryBytes),
            "residentBytes": .integer(residentBytes), "heapBytes": .integer(heapBytes),
            "connections": .integer(connections),
            "requestsPerSecond": .number(requestsPerSecond),
            "throttledShare": .number(throttledShare),
        ]
    }
}
