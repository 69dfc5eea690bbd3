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
    /// How many pairs may wait so; a caller outside the mesh has no proxy that counts.
    private static let refusedLimit = 10_000

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
        let caller = call.denial.caller
        let pair = Call(caller: names.name(ofSPIFFEID: caller) ?? caller, target: target)
        if call.denial.verdict == .denied, refused.count < Self.refusedLimit {
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
    /// By the path of the SPIFFE ID that Heddle gives.
    private var paths: [Substring: String] = [:]

    init(_ topology: MeshTopology = MeshTopology()) {
        for (proxy, place) in topology.proxies {
            let name = "\(place.meshName)/\(place.ownerName)"
            let kind = place.owner.kind == .virtualGateway ? "gateway/" : ""
            proxies[proxy] = name
            paths["/\(place.owner.namespace)/\(kind)\(place.owner.name)"] = name
        }
    }

    /// Whose `spiffe://<trust domain>/<namespace>/<name>` it is.
    func name(ofSPIFFEID id: String) -> String? {
        let scheme = "spiffe://"
        guard id.hasPrefix(scheme) else { return nil }
        return paths[id.dropFirst(scheme.count).drop { $0 != "/" }]
    }
}
