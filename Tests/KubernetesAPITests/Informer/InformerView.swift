import Foundation
import Logging
import MeshTesting
import Synchronization

@testable import KubernetesAPI

extension KubernetesResource {
    /// Config maps, of which tests make as many as they like.
    static let configMaps = KubernetesResource(
        version: "v1",
        plural: "configmaps",
        kind: "ConfigMap"
    )
}

/// A config map.
struct ConfigMap: KubernetesObject, Codable, Hashable {
    var apiVersion: String? = "v1"
    var kind: String? = "ConfigMap"
    var metadata: ObjectMetadata
    var data: [String: String]?

    init(_ name: String, _ data: [String: String], labels: [String: String] = [:]) {
        metadata = ObjectMetadata(name: name, labels: labels)
        self.data = data
    }
}

/// What an informer has told, and the objects as its reader has them.
final class InformerView: Sendable {
    struct State {
        var objects: [String: String] = [:]
        var lists = 0
        var deleted: [String] = []
        var failures: [KubernetesError] = []
        var recoveries = 0
        /// What was gone in a list that was there before it.
        var lost: [String] = []
    }

    private let mutex = Mutex(State())

    var state: State { mutex.withLock { $0 } }
    /// Names and versions of the objects.
    var objects: [String: String] { state.objects }

    func take(_ event: InformerEvent<ConfigMap>) {
        mutex.withLock { state in
            switch event {
            case .replaced(let all):
                state.lists += 1
                let objects = Dictionary(
                    uniqueKeysWithValues: all.map {
                        ("\($0.key)", $0.value.metadata.resourceVersion ?? "")
                    }
                )
                state.lost += state.objects.keys.filter { objects[$0] == nil }
                state.objects = objects
            case .changed(let object):
                state.objects["\(object.metadata.key)"] = object.metadata.resourceVersion
            case .deleted(let key):
                state.deleted.append("\(key)")
                state.objects["\(key)"] = nil
            case .failed(let error): state.failures.append(error)
            case .recovered: state.recoveries += 1
            }
        }
    }
}

extension KubernetesClient {
    /// How many watches were asked for.
    var watchCount: Int {
        requestCounts.filter { $0.key.verb == "watch" }.values.reduce(0, +)
    }

    /// A client that gives up soon, as an administrator or as whom `kubeconfig` says.
    static func of(
        _ server: KubernetesServer,
        through endpoint: String? = nil,
        kubeconfig: String? = nil,
        requestTimeout: Duration = .seconds(3)
    ) throws -> KubernetesClient {
        var path = kubeconfig ?? server.kubeconfig
        if let endpoint { path = try server.kubeconfig(server: endpoint) }
        var options = Options()
        options.requestTimeout = requestTimeout
        return KubernetesClient(
            try KubernetesConfiguration.kubeconfig(path: path),
            options: options,
            logger: Logger(label: "test")
        )
    }
}

/// Runs an informer of config maps while `body` runs.
func withInformer(
    _ client: KubernetesClient,
    namespace: String?,
    fieldSelector: String? = nil,
    pageSize: Int = 500,
    watchSeconds: ClosedRange<Int> = 60...90,
    _ body: (InformerView) async throws -> Void
) async throws {
    let view = InformerView()
    let informer = Informer(
        ConfigMap.self,
        client: client,
        resource: .configMaps,
        namespace: namespace,
        fieldSelector: fieldSelector,
        pageSize: pageSize,
        watchSeconds: watchSeconds,
        logger: Logger(label: "test")
    )
    try await withThrowingTaskGroup(of: Void.self) { group in
        group.addTask { await informer.run { view.take($0) } }
        defer { group.cancelAll() }
        try await body(view)
    }
}

extension KubernetesServer {
    /// Names and versions of the config maps, as `kubectl get` shows them.
    func configMaps(in namespace: String) async throws -> [String: String] {
        let text = try await kubectl(
            "get",
            "configmaps",
            "-n",
            namespace,
            "-o",
            #"jsonpath={range .items[*]}{.metadata.name} {.metadata.resourceVersion}{"\n"}{end}"#
        )
        let pairs = text.split(separator: "\n").map { $0.split(separator: " ") }
        return Dictionary(
            uniqueKeysWithValues: pairs.map {
                ("\(namespace)/\($0.first ?? "")", String($0.last ?? ""))
            }
        )
    }

    /// Creates, changes or deletes config maps by chance, and gives the names of the deleted ones.
    func churn(
        _ namespace: String,
        count: Int,
        using generator: inout SeededGenerator
    ) async throws -> Set<String> {
        let path = "/api/v1/namespaces/\(namespace)/configmaps"
        var deleted: Set<String> = []
        for number in 0..<count {
            let name = "map-\(Int.random(in: 0..<20, using: &generator))"
            let body = #"{"metadata":{"name":"\#(name)"},"data":{"number":"\#(number)"}}"#
            do {
                if generator.chance(30) {
                    try await request("DELETE", "\(path)/\(name)")
                    deleted.insert("\(namespace)/\(name)")
                } else if generator.chance(50) {
                    try await request("POST", path, body)
                } else {
                    try await request(
                        "PATCH",
                        "\(path)/\(name)",
                        body,
                        type: "application/merge-patch+json"
                    )
                }
            } catch let refusal as KubernetesRefusal {
                // It is there already, or it is not.
                guard [404, 409].contains(refusal.status) else { throw refusal }
            }
        }
        return deleted
    }

    /// Waits until `view` is what `kubectl get` shows, and has told no deletion beside `deleted`.
    func expect(
        _ view: InformerView,
        in namespace: String,
        deleted: Set<String>
    ) async throws {
        let objects = try await configMaps(in: namespace)
        try await poll {
            view.objects
        } until: {
            $0 == objects
        }
        let state = view.state
        guard deleted.isSuperset(of: state.deleted), deleted.isSuperset(of: state.lost) else {
            throw InventedDeletion(told: state.deleted + state.lost, deleted: deleted)
        }
    }
}

/// A deletion was told that did not happen.
struct InventedDeletion: Error {
    var told: [String]
    var deleted: Set<String>
}
