import MeshModel
import MeshTelemetry
import XDSServer

/// Makes records of who called whom: of what callers' proxies count, and of what access control refused.
struct AuditBook: Sendable {
    private struct Call: Hashable {
        var caller: String
        var target: String
    }

    private var cursor: TrafficCursor?
    /// Calls that were refused, and that the counts of their callers, which do not know that, do not yet
    /// show.
    private var refused: [Call: Int] = [:]
    private let refusedLimit: Int

    /// Makes a book of nothing.
    ///
    /// - Parameter refusedLimit: How many pairs of caller and target may have refused calls that wait for
    ///   their callers' counts.
    init(refusedLimit: Int = 10_000) { self.refusedLimit = refusedLimit }

    /// Forgets what waits for the counts of callers that are gone, or of calls to what is gone.
    mutating func forget(allBut names: AuditNames) {
        refused = refused.filter { names.isKnown($0.key.caller) && names.isKnown($0.key.target) }
    }

    /// What was allowed since the last time.
    ///
    /// What is refused costs its caller a request or a connection too, and is no part of it.
    mutating func allowed(_ traffic: TrafficBoard, timeSeconds: Double) -> [AuditRecord] {
        let interval = traffic.interval(since: &cursor, timeSeconds: timeSeconds)
        let known = Set(interval.resources.map { "\($0.owner.meshName)/\($0.owner.name)" })
        return interval.targets.compactMap { target in
            let inMesh = "\(target.source.meshName)/\(target.target)"
            let call = Call(
                caller: "\(target.source.meshName)/\(target.source.name)",
                target: known.contains(inMesh) ? inMesh : target.target
            )
            var count = target.isHTTP ? target.requests : target.newConnections
            if let waiting = refused.removeValue(forKey: call) {
                let both = min(waiting, count)
                count -= both
                if waiting > both { refused[call] = waiting - both }
            }
            guard count > 0 else { return nil }
            return AuditRecord(
                caller: call.caller,
                target: call.target,
                verdict: .allowed,
                firstSeconds: interval.fromSeconds,
                lastSeconds: interval.toSeconds,
                count: count
            )
        }
    }

    /// The record of a call that was refused, or would have been; nil of a proxy that is gone.
    mutating func record(_ call: DeniedCall, _ names: AuditNames) -> AuditRecord? {
        guard let target = names.proxies[call.proxy] else { return nil }
        let known = names.name(ofSPIFFEID: call.denial.caller)
        let pair = Call(caller: known ?? call.denial.caller, target: target)
        // A caller without a proxy here is counted by none.
        if known != nil, call.denial.verdict == .denied,
            refused[pair] != nil || refused.count < refusedLimit
        {
            refused[pair, default: 0] += 1
        }
        let request = [call.method, call.authority.map { $0 + (call.path ?? "") }]
            .compactMap(\.self).joined(separator: " ")
        return AuditRecord(
            caller: pair.caller,
            target: pair.target,
            verdict: call.denial.verdict == .denied ? .denied : .shadow,
            firstSeconds: call.timeSeconds,
            lastSeconds: call.timeSeconds,
            count: 1,
            detail: request.isEmpty ? nil : request
        )
    }
}

/// How virtual nodes and virtual gateways are called in the audit: `<mesh>/<node>`.
struct AuditNames: Sendable {
    /// By the proxy.
    private(set) var proxies: [ProxyID: String] = [:]
    /// By the SPIFFE ID that Heddle gives.
    private var identities: [String: String] = [:]
    private var known: Set<String> = []

    init(_ topology: MeshTopology = MeshTopology()) {
        for (proxy, place) in topology.proxies {
            let name = "\(place.meshName)/\(place.ownerName)"
            let kind = place.owner.kind == .virtualGateway ? "gateway/" : ""
            proxies[proxy] = name
            known.insert(name)
            guard !place.trustDomain.isEmpty else { continue }
            let path = "\(place.owner.namespace)/\(kind)\(place.owner.name)"
            identities["spiffe://\(place.trustDomain)/\(path)"] = name
        }
    }

    /// Whose `spiffe://<trust domain>/<namespace>/<name>` it is; nil of one of another trust domain.
    func name(ofSPIFFEID id: String) -> String? { identities[id] }

    /// Whether a virtual node or virtual gateway with a proxy is called `name`.
    func isKnown(_ name: String) -> Bool { known.contains(name) }
}
