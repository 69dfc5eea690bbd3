import EnvoyAPI
import MeshModel
import MeshPlan

@testable import XDSServer

/// What the resources of a generated snapshot mean, by version.
struct Universe {
    enum Fault { case none, named, unnamed }

    /// Clusters that a route names, or the route that a listener names.
    var references: [String: [String]] = [:]
    /// The secrets that a cluster or listener names.
    var secrets: [String: Set<String>] = [:]
    /// The endpoints of a cluster.
    var endpoints: [String: String] = [:]
    /// What Envoy says to it.
    var faults: [String: Fault] = [:]
}

/// Envoy as far as delta ADS sees it: it warms clusters and listeners, and refuses
/// what is bad.
struct ModelEnvoy {
    typealias Request = Envoy_Service_Discovery_V3_DeltaDiscoveryRequest

    private struct Entry {
        var active: String?
        var warming: String?
        /// Whether what warms got its endpoints, or needs none.
        var hasEndpoints = false

        var versions: [String] { [active, warming].compactMap(\.self) }
    }

    private var clusters: [String: Entry] = [:]
    private var listeners: [String: Entry] = [:]
    private var endpoints: [String: String] = [:]
    private var routes: [String: String] = [:]
    /// The secrets that it has.
    private var secrets: [String: String] = [:]
    /// Those that nothing waits for any more, as there are none or as they were refused.
    private var missedSecrets: Set<String> = []
    /// The versions that a new stream tells: those of accepted responses.
    private var claims: [ResourceType: [String: String]] = [:]
    private var subscribed: [ResourceType: Set<String>] = [:]
    private var heldAnswer: Request?
    /// What this Envoy refused by itself, and not just together with others, by the nonce.
    private(set) var refusedVersions: [String: [String]] = [:]

    /// The versions in use or warming, by type and name.
    var versions: [ResourceType: [String: String]] {
        [
            .clusters: clusters.compactMapValues { $0.warming ?? $0.active },
            .listeners: listeners.compactMapValues { $0.warming ?? $0.active },
            .endpoints: endpoints, .routes: routes, .secrets: secrets,
        ]
    }

    var isWarming: Bool {
        clusters.values.contains { $0.warming != nil }
            || listeners.values.contains { $0.warming != nil }
    }

    /// The first requests of a new stream.
    mutating func connect() -> [Request] {
        refusedVersions = [:]
        heldAnswer = nil
        return ResourceType.allCases.map { type in
            let names = (subscribed[type] ?? []).sorted()
            let has = claims[type] ?? [:]
            return request(type, subscribe: names, has: has)
        }
        .filter {
            !$0.resourceNamesSubscribe.isEmpty
                || [ResourceType.clusters, .listeners].map(\.typeURL).contains($0.typeURL)
        }
    }

    /// Takes a response; what it sends then, the answer last.
    mutating func receive(
        _ response: DeltaResponse,
        _ universe: Universe,
        using random: inout some RandomNumberGenerator
    ) -> [Request] {
        let bad = response.resources.filter { universe.faults[$0.version, default: .none] != .none }
        let isNamed =
            [.clusters, .listeners].contains(response.type)
            && !bad.contains { universe.faults[$0.version] == .unnamed }
        let appliesSome = bad.isEmpty || isNamed
        if appliesSome { for name in response.removed { remove(response.type, name) } }
        if appliesSome, response.type == .endpoints {
            // That there are none ends the wait for them.
            for name in response.removed { finishWarming(name, universe) }
        }
        if response.type == .secrets {
            missedSecrets.formUnion(response.removed + bad.map(\.name))
            missedSecrets.formIntersection(subscribed[.secrets] ?? [])
        }
        for resource in response.resources where !bad.contains(resource) {
            // RDS and EDS may have got to some when they meet a bad one.
            let isReached =
                [.routes, .endpoints, .secrets].contains(response.type)
                && Bool.random(using: &random)
            if appliesSome || isReached { apply(resource, universe) }
        }
        if response.type == .endpoints {
            // Refused endpoints end the wait as well: the cluster has no hosts then.
            for name in response.resources.map(\.name) { finishWarming(name, universe) }
        }
        if response.type == .routes, !bad.isEmpty {
            // So does a refused route configuration: its listener has none then.
            let names = Set(response.resources.map(\.name))
            for name in names.intersection(subscribed[.routes] ?? []) where routes[name] == nil {
                routes[name] = ""
            }
            activateListeners(universe)
        }
        if response.type == .secrets { secretsChanged(universe) }
        if isNamed || response.resources.count == 1 {
            refusedVersions[response.nonce] = bad.map(\.version)
        }
        if bad.isEmpty {
            for resource in response.resources where isWanted(response.type, resource.name) {
                claims[response.type, default: [:]][resource.name] = resource.version
            }
        }
        let requests = resubscribe(universe)
        let answer = answer(response, refusing: refusal(response.type, bad, isNamed))
        // Once it has started, Envoy answers CDS when all clusters are warm.
        if response.type == .clusters, Bool.random(using: &random) {
            heldAnswer = answer
            return requests + releaseAnswer()
        }
        return requests + [answer] + releaseAnswer()
    }

    private func isWanted(_ type: ResourceType, _ name: String) -> Bool {
        switch type {
        case .clusters, .listeners: true
        case .endpoints, .routes, .secrets: subscribed[type]?.contains(name) == true
        }
    }

    private func hasSecrets(_ version: String, _ universe: Universe) -> Bool {
        universe.secrets[version, default: []].allSatisfy {
            secrets[$0] != nil || missedSecrets.contains($0)
        }
    }

    private mutating func secretsChanged(_ universe: Universe) {
        for name in clusters.keys { activateCluster(name, universe) }
        activateListeners(universe)
    }

    private mutating func releaseAnswer() -> [Request] {
        guard let answer = heldAnswer, !clusters.values.contains(where: { $0.warming != nil })
        else { return [] }
        heldAnswer = nil
        return [answer]
    }

    /// Whether `cluster` waits for a secret.
    func lacksSecrets(_ cluster: String, _ universe: Universe) -> Bool {
        clusters[cluster]?.warming.map { !hasSecrets($0, universe) } ?? false
    }

    /// The clusters that routes in use name and that are not there.
    func missingClusters(_ universe: Universe) -> Set<String> {
        let inUse = listeners.values.compactMap(\.active).flatMap { universe.references[$0] ?? [] }
        let named = inUse.compactMap { routes[$0] }.flatMap { universe.references[$0] ?? [] }
        return Set(named).filter { clusters[$0]?.active == nil }
    }

    private func refusal(
        _ type: ResourceType,
        _ bad: [EncodedResource],
        _ isNamed: Bool
    ) -> String? {
        guard !bad.isEmpty else { return nil }
        guard isNamed else { return "Proto constraint validation failed" }
        return type == .clusters
            ? "Error adding/updating cluster(s) "
                + bad.map { "\($0.name): bad" }.joined(separator: ", ")
            : "Error adding/updating listener(s) " + bad.map { "\($0.name): bad\n" }.joined()
    }

    private mutating func apply(_ resource: EncodedResource, _ universe: Universe) {
        let version = resource.version
        switch resource.type {
        case .clusters:
            if clusters[resource.name]?.versions.last == version { return }
            clusters[resource.name, default: Entry()].warming = version
            clusters[resource.name]?.hasEndpoints = universe.endpoints[version] == nil
            activateCluster(resource.name, universe)
        case .listeners:
            listeners[resource.name, default: Entry()].warming = version
            activateListeners(universe)
        case .endpoints:
            guard isWanted(.endpoints, resource.name) else { return }
            endpoints[resource.name] = version
            finishWarming(resource.name, universe)
        case .routes:
            guard isWanted(.routes, resource.name) else { return }
            routes[resource.name] = version
            activateListeners(universe)
        case .secrets:
            guard isWanted(.secrets, resource.name) else { return }
            secrets[resource.name] = version
        }
    }

    private mutating func remove(_ type: ResourceType, _ name: String) {
        claims[type]?[name] = nil
        switch type {
        case .clusters: clusters[name] = nil
        case .listeners: listeners[name] = nil
        // Envoy keeps what it has of these until nothing asks for them.
        case .endpoints, .routes, .secrets: break
        }
    }

    private mutating func activateCluster(_ name: String, _ universe: Universe) {
        guard let entry = clusters[name], let warming = entry.warming, entry.hasEndpoints,
            hasSecrets(warming, universe)
        else { return }
        clusters[name] = Entry(active: warming)
    }

    private mutating func finishWarming(_ endpoints: String, _ universe: Universe) {
        for (name, entry) in clusters {
            guard let warming = entry.warming, universe.endpoints[warming] == endpoints else {
                continue
            }
            clusters[name]?.hasEndpoints = true
            activateCluster(name, universe)
        }
    }

    private mutating func activateListeners(_ universe: Universe) {
        for (name, entry) in listeners {
            guard let warming = entry.warming else { continue }
            let needs = universe.references[warming] ?? []
            guard needs.allSatisfy({ routes[$0] != nil }), hasSecrets(warming, universe) else {
                continue
            }
            listeners[name] = Entry(active: warming)
        }
    }

    /// The requests that ask for the names now needed and drop the others.
    private mutating func resubscribe(_ universe: Universe) -> [Request] {
        let needed: [ResourceType: Set<String>] = [
            .endpoints: Set(
                clusters.values.flatMap(\.versions).compactMap { universe.endpoints[$0] }
            ),
            .routes: Set(
                listeners.values.flatMap(\.versions).flatMap { universe.references[$0] ?? [] }
            ),
            .secrets: Set(
                (Array(clusters.values) + listeners.values).flatMap(\.versions)
                    .flatMap { universe.secrets[$0] ?? [] }
            ),
        ]
        return needed.keys.sorted { $0.rawValue < $1.rawValue }.compactMap { type in
            let before = subscribed[type] ?? []
            let after = needed[type] ?? []
            guard before != after else { return nil }
            subscribed[type] = after
            for name in before.subtracting(after) {
                claims[type]?[name] = nil
                forget(type, name)
            }
            return request(
                type,
                subscribe: after.subtracting(before).sorted(),
                unsubscribe: before.subtracting(after).sorted()
            )
        }
    }

    /// Drops what nothing needs any more.
    private mutating func forget(_ type: ResourceType, _ name: String) {
        switch type {
        case .routes: routes[name] = nil
        case .endpoints: endpoints[name] = nil
        case .secrets:
            secrets[name] = nil
            missedSecrets.remove(name)
        case .clusters, .listeners: break
        }
    }
}
