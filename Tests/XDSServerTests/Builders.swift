import EnvoyAPI
import MeshModel
import MeshPlan
import SwiftProtobuf

@testable import XDSServer

/// A cluster whose bytes depend on `version`.
func cluster(
    _ name: String,
    _ version: String = "1",
    endpoints: String? = nil,
    origins: [ObjectID: Int] = [:]
) throws -> EncodedResource {
    var message = Envoy_Config_Cluster_V3_Cluster()
    message.name = name
    message.altStatName = version
    return try EncodedResource(
        .clusters,
        name: name,
        message: message,
        origins: origins,
        endpointsName: endpoints
    )
}

/// A resource of any type whose bytes depend on `version`.
func resource(
    _ type: ResourceType,
    _ name: String,
    _ version: String = "1",
    origins: [ObjectID: Int] = [:],
    secrets: Set<String> = []
) throws -> EncodedResource {
    var message = Envoy_Config_Cluster_V3_Cluster()
    message.name = name
    message.altStatName = version
    return try EncodedResource(
        type,
        name: name,
        message: message,
        origins: origins,
        secretNames: secrets
    )
}

/// A secret of a version.
func secret(_ name: String, _ version: String = "1") throws -> EncodedResource {
    var message = Envoy_Extensions_TransportSockets_Tls_V3_Secret()
    message.name = name
    return try EncodedResource(secret: name, version: version, message: message, origins: [:])
}

func snapshot(_ resources: EncodedResource...) -> Snapshot {
    var snapshot = Snapshot()
    for resource in resources { snapshot.insert(resource) }
    return snapshot
}

func request(
    _ type: ResourceType,
    subscribe: [String] = [],
    unsubscribe: [String] = [],
    has versions: [String: String] = [:]
) -> Envoy_Service_Discovery_V3_DeltaDiscoveryRequest {
    var request = Envoy_Service_Discovery_V3_DeltaDiscoveryRequest()
    request.typeURL = type.typeURL
    request.resourceNamesSubscribe = subscribe
    request.resourceNamesUnsubscribe = unsubscribe
    request.initialResourceVersions = versions
    return request
}

func answer(
    _ response: DeltaResponse,
    refusing message: String? = nil
) -> Envoy_Service_Discovery_V3_DeltaDiscoveryRequest {
    var answer = request(response.type)
    answer.responseNonce = response.nonce
    if let message { answer.errorDetail.message = message }
    return answer
}

func proxy(_ name: String) -> ProxyID { ProxyID(ObjectReference(namespace: "demo", name: name)) }

func object(_ kind: Kind, _ name: String) -> ObjectID {
    ObjectID(kind, ObjectReference(namespace: "demo", name: name))
}

extension DeltaResponse {
    /// What the response says, in one line: `clusters +a +b -c`.
    var summary: String {
        ([type.rawValue] + resources.map { "+\($0.name)" } + removed.map { "-\($0)" })
            .joined(separator: " ")
    }
}

/// A session by reference, as expectations cannot hold mutating calls.
final class TestStream {
    private var session: DeltaSession

    var target: Snapshot? { session.target }
    var memory: ProxyMemory { session.memory }
    var observation: XDSObservation { session.observation() }

    init(
        target: Snapshot?,
        plannedSecrets: Set<String> = [],
        memory: ProxyMemory = ProxyMemory()
    ) {
        session = DeltaSession(target: target, plannedSecrets: plannedSecrets, memory: memory)
    }

    /// A stream with subscriptions of all types.
    convenience init(subscribedTo routes: [String], endpoints: [String], target: Snapshot? = nil) {
        self.init(target: target)
        received(request(.clusters))
        received(request(.endpoints, subscribe: endpoints))
        received(request(.listeners))
        received(request(.routes, subscribe: routes))
    }

    @discardableResult
    func received(_ request: Envoy_Service_Discovery_V3_DeltaDiscoveryRequest) -> Bool {
        session.received(request)
    }

    func snapshotChanged(to snapshot: Snapshot, plannedSecrets: Set<String> = []) {
        session.snapshotChanged(to: snapshot, plannedSecrets: plannedSecrets)
    }

    /// The secrets that were asked for and are not in the plan, since the last call.
    func refusedSecrets() -> [String] { session.secretAudit.takeNews() }

    func hasNewestSecrets() -> Bool { session.hasNewestSecrets() }

    /// The memory once the stream has ended.
    func memoryAfterEnd() -> ProxyMemory {
        session.forgetSecretsOfStream()
        return session.memory
    }

    func refreshOrigins(from snapshot: Snapshot) { session.refreshOrigins(from: snapshot) }

    func nextResponse() -> DeltaResponse? { session.nextResponse() }

    func retryDue(_ now: ContinuousClock.Instant) -> Bool { session.retryDue(now) }

    /// Every response that can be sent now, without an answer.
    func responses() -> [DeltaResponse] {
        var responses: [DeltaResponse] = []
        while let response = nextResponse() { responses.append(response) }
        return responses
    }

    /// Accepts everything until there is nothing left to send; what was sent, in order.
    func acceptAll() -> [String] {
        var sent: [String] = []
        while let response = nextResponse() {
            sent.append(response.summary)
            received(answer(response))
        }
        return sent
    }
}
