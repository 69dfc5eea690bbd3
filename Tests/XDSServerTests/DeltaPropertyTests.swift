import EnvoyAPI
import Glibc
import MeshModel
import MeshPlan
import SwiftProtobuf
import Testing

@testable import XDSServer

/// Any order of snapshots, answers, refusals, reconnects and restarts ends well.
@Suite struct `Delta properties` {
    private static var seeds: [UInt64] {
        if let text = getenv("HEDDLE_SEED").map({ String(cString: $0) }), let seed = UInt64(text) {
            return [seed]
        }
        return Array(1...500)
    }

    @Test(arguments: seeds)
    func `a proxy always ends with its newest snapshot`(seed: UInt64) throws {
        var run = Run(seed: seed)
        try run.publish(faults: true)
        for _ in 0..<150 { try run.step() }
        try run.supplySecrets()
        try run.drain()
        let observation = run.session.observation()
        #expect(!observation.sync.values.contains(.pending), "\(observation.sync)")
        try run.publish(faults: false)
        try run.drain()
        let end = run.session.observation()
        #expect(end.refusals.isEmpty)
        #expect(Set(end.sync.values) == [.synced])
        let hasNewestSecrets = run.session.hasNewestSecrets()
        #expect(hasNewestSecrets)
        #expect(end.listeners == run.target[.listeners].mapValues(\.version))
        #expect(!run.envoy.isWarming)
        for type in ResourceType.allCases {
            #expect(run.envoy.versions[type] == run.target[type].mapValues(\.version))
        }
    }
}

private struct Violation: Error, CustomStringConvertible {
    var description: String
}

/// Splitmix64.
private struct Seeded: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var z = state
        z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
        z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
        return z ^ (z >> 31)
    }
}

/// One session, one model Envoy, and what is on its way between them.
private struct Run {
    var session = DeltaSession(target: nil)
    var envoy = ModelEnvoy()
    var target = Snapshot()
    private var universe = Universe()
    private var random: Seeded
    private var responses: [DeltaResponse] = []
    private var requests: [ModelEnvoy.Request] = []
    private var versionCount = 0
    /// What the session has been told to be refused.
    private var knownRefusals: Set<String> = []
    /// Clusters that were bad and have not been sent in a good version since.
    private var faulty: Set<String> = []
    /// Clusters that are missing by their own fault.
    private var excused: Set<String> = []
    private var snapshotBefore: [String: EncodedResource] = [:]
    private var secretsBefore: [String: EncodedResource] = [:]
    private var plannedSecrets: Set<String> = []

    init(seed: UInt64) {
        random = Seeded(state: seed)
        requests = envoy.connect()
    }

    mutating func step() throws {
        switch Int.random(in: 0..<100, using: &random) {
        case 0..<8: try publish(faults: true)
        case 8..<10: reconnect()
        case 10..<11:
            envoy = ModelEnvoy()
            reconnect()
        case 11..<12: try supplySecrets()
        case 12..<45: if let response = session.nextResponse() { responses.append(response) }
        case 45..<75: try deliverResponse()
        default: deliverRequest()
        }
    }

    /// Carries everything that is on its way.
    mutating func drain() throws {
        for _ in 0..<10_000 {
            if let response = session.nextResponse() { responses.append(response) }
            if responses.isEmpty, requests.isEmpty { return }
            try deliverResponse()
            deliverRequest()
        }
        throw Violation(description: "it never comes to rest")
    }

    private func trace(_ text: @autoclosure () -> String) {
        if getenv("HEDDLE_SEED") != nil { print(text()) }
    }

    private mutating func reconnect() {
        trace("reconnect")
        responses = []
        requests = envoy.connect()
        session.forgetSecretsOfStream()
        session = DeltaSession(
            target: session.target,
            plannedSecrets: plannedSecrets,
            memory: session.memory
        )
    }

    private mutating func deliverRequest() {
        guard !requests.isEmpty else { return }
        let request = requests.removeFirst()
        trace("  request \((try? request.jsonString()) ?? "")")
        if request.hasErrorDetail {
            knownRefusals.formUnion(envoy.refusedVersions[request.responseNonce] ?? [])
        }
        session.received(request)
    }

    private mutating func deliverResponse() throws {
        guard !responses.isEmpty else { return }
        let response = responses.removeFirst()
        trace("deliver \(response.nonce) \(response.summary)")
        // A secret that is asked for anew is tried again.
        if response.type != .secrets,
            let known = response.resources.first(where: { knownRefusals.contains($0.version) })
        {
            throw Violation(description: "\(known.type) \(known.name) is sent though refused")
        }
        let good = response.resources.filter { universe.faults[$0.version] == nil }
        if response.type == .clusters { faulty.subtract(good.map(\.name)) }
        requests += envoy.receive(response, universe, using: &random)
        // A cluster whose first version is bad can't be there, as long as no good one comes. Nothing
        // is held up for one that waits for a secret.
        let missing = envoy.missingClusters(universe)
        excused.formIntersection(missing)
        for name in missing where !excused.contains(name) {
            guard faulty.contains(name) || envoy.lacksSecrets(name, universe) else {
                throw Violation(description: "a route in use names cluster \(name)")
            }
            excused.insert(name)
        }
    }

    // MARK: - Snapshots

    /// Publishes a random snapshot whose references resolve.
    mutating func publish(faults: Bool) throws {
        var snapshot = Snapshot()
        var clusters: [String] = []
        for name in ["a", "b", "c", "d", "e"] where Bool.random(using: &random) {
            clusters.append(name)
            let endpoints = name == "e" ? nil : ["x", "y", "z"].randomElement(using: &random)
            try insert(.clusters, name, endpoints.map { [$0] } ?? [], faults, &snapshot)
            guard let endpoints else { continue }
            try insert(.endpoints, endpoints, [], faults, &snapshot)
        }
        for name in ["l", "m"] where Bool.random(using: &random) {
            let route = ["r", "s"].randomElement(using: &random) ?? "r"
            try insert(.listeners, name, [route], faults, &snapshot)
            if snapshot[.routes][route] == nil {
                let references = clusters.filter { _ in Bool.random(using: &random) }
                try insert(.routes, route, references, faults, &snapshot)
            }
        }
        // A version that comes back after it was away may be sent again, even a refused one.
        snapshotBefore = snapshotBefore.filter { snapshot[$0.value.type][$0.value.name] != nil }
        try addSecrets(to: &snapshot, faults)
        target = snapshot
        let bad = snapshot[.clusters].values.filter { universe.faults[$0.version] != nil }
        faulty.formUnion(bad.map(\.name))
        for resource in ResourceType.allCases.flatMap({ snapshot[$0].values }) {
            let version = resource.version
            let fault = universe.faults[version].map { "\($0)" } ?? "good"
            let references = universe.references[version] ?? []
            trace("publish \(resource.type) \(resource.name) \(version) \(references) \(fault)")
        }
        session.snapshotChanged(to: snapshot, plannedSecrets: plannedSecrets)
    }

    /// Brings the secrets that are planned and not there.
    mutating func supplySecrets() throws {
        for name in plannedSecrets where target[.secrets][name] == nil {
            try target.insert(newSecret(name, false))
        }
        trace("supply \(target[.secrets].mapValues(\.version))")
        session.snapshotChanged(to: target, plannedSecrets: plannedSecrets)
    }

    /// Adds the secrets that the resources of `snapshot` name, but for some that come later.
    private mutating func addSecrets(to snapshot: inout Snapshot, _ faults: Bool) throws {
        let users = [ResourceType.clusters, .listeners].flatMap { snapshot[$0].values }
        plannedSecrets = Set(users.flatMap { universe.secrets[$0.version] ?? [] })
        secretsBefore = secretsBefore.filter { plannedSecrets.contains($0.key) }
        for name in plannedSecrets.sorted() {
            if faults, Int.random(in: 0..<5, using: &random) == 0 {
                secretsBefore[name] = nil
                continue
            }
            if let before = secretsBefore[name], Int.random(in: 0..<3, using: &random) > 0,
                faults || universe.faults[before.version] == nil
            {
                snapshot.insert(before)
            } else {
                try snapshot.insert(newSecret(name, faults))
            }
        }
    }

    private mutating func newSecret(_ name: String, _ faults: Bool) throws -> EncodedResource {
        versionCount += 1
        let new = try secret(name, "secret \(versionCount)")
        if faults, Int.random(in: 0..<5, using: &random) == 0 {
            universe.faults[new.version] = .unnamed
        }
        secretsBefore[name] = new
        return new
    }

    /// Inserts a resource: the one before when it has the same references and luck will have it.
    private mutating func insert(
        _ type: ResourceType,
        _ name: String,
        _ references: [String],
        _ faults: Bool,
        _ snapshot: inout Snapshot
    ) throws {
        guard snapshot[type][name] == nil else { return }
        let key = "\(type) \(name)"
        if let before = snapshotBefore[key], Int.random(in: 0..<4, using: &random) > 0,
            universe.references[before.version] == references,
            faults || universe.faults[before.version, default: .none] == .none
        {
            snapshot.insert(before)
            return
        }
        versionCount += 1
        let secrets =
            [.clusters, .listeners].contains(type)
            ? ["secret-s", "secret-t"].filter { _ in Int.random(in: 0..<3, using: &random) == 0 }
            : []
        let text = "\(versionCount) \(secrets)"
        let new =
            type == .clusters
            ? try cluster(name, text, endpoints: references.first)
            : try resource(type, name, text)
        universe.secrets[new.version] = Set(secrets)
        universe.references[new.version] = references
        if type == .clusters { universe.endpoints[new.version] = references.first }
        if faults, Int.random(in: 0..<5, using: &random) == 0 {
            universe.faults[new.version] = Bool.random(using: &random) ? .named : .unnamed
        }
        snapshotBefore[key] = new
        snapshot.insert(new)
    }
}
