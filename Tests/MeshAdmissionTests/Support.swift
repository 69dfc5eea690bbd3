import Foundation
import MeshAdmission
import MeshModel
import MeshTesting
import Testing

/// The objects that tests find in the cluster.
let clusterYAML = """
    apiVersion: v1
    kind: Namespace
    metadata: {name: demo, labels: {mesh: demo, gateway: ingress, appmesh.k8s.aws/sidecarInjectorWebhook: enabled}}
    ---
    apiVersion: v1
    kind: Namespace
    metadata: {name: quiet, labels: {mesh: demo, appmesh.k8s.aws/sidecarInjectorWebhook: disabled}}
    ---
    apiVersion: v1
    kind: Namespace
    metadata: {name: both, labels: {mesh: demo, second: "true"}}
    ---
    apiVersion: v1
    kind: Namespace
    metadata: {name: ending, labels: {ending: "true"}}
    ---
    apiVersion: appmesh.k8s.aws/v1beta2
    kind: Mesh
    metadata: {name: demo, uid: mesh-uid}
    spec: {namespaceSelector: {matchLabels: {mesh: demo}}}
    ---
    apiVersion: appmesh.k8s.aws/v1beta2
    kind: Mesh
    metadata: {name: second, uid: second-uid}
    spec: {awsName: the-second, meshOwner: "123456789012", namespaceSelector: {matchLabels: {second: "true"}}}
    ---
    apiVersion: appmesh.k8s.aws/v1beta2
    kind: Mesh
    metadata: {name: ending, uid: ending-uid, deletionTimestamp: "2026-01-02T03:04:05Z"}
    spec: {namespaceSelector: {matchLabels: {ending: "true"}}}
    ---
    apiVersion: appmesh.k8s.aws/v1beta2
    kind: VirtualNode
    metadata: {name: blue, namespace: demo, uid: blue-uid}
    spec:
      meshRef: {name: demo, uid: mesh-uid}
      podSelector: {matchLabels: {app: blue}}
      listeners:
        - portMapping: {port: 8080, protocol: http}
        - portMapping: {port: 9090, protocol: grpc}
      serviceDiscovery: {dns: {hostname: blue.demo}}
    ---
    apiVersion: appmesh.k8s.aws/v1beta2
    kind: VirtualNode
    metadata: {name: client, namespace: demo, uid: client-uid}
    spec: {podSelector: {matchLabels: {role: client}}}
    ---
    apiVersion: appmesh.k8s.aws/v1beta2
    kind: VirtualGateway
    metadata: {name: ingress, namespace: demo, uid: ingress-uid}
    spec:
      meshRef: {name: demo, uid: mesh-uid}
      namespaceSelector: {matchLabels: {gateway: ingress}}
      podSelector: {matchLabels: {app: ingress}}
      gatewayRouteSelector: {matchExpressions: [{key: unattached, operator: DoesNotExist}]}
      listeners: [{portMapping: {port: 8088, protocol: http}}]
    ---
    apiVersion: appmesh.k8s.aws/v1beta2
    kind: VirtualGateway
    metadata: {name: edge, namespace: demo, uid: edge-uid}
    spec:
      meshRef: {name: demo, uid: mesh-uid}
      podSelector: {matchLabels: {app: edge}}
      listeners: [{portMapping: {port: 443, protocol: http}}, {portMapping: {port: 8443, protocol: http}}]
    """

/// The objects that tests find in the cluster.
let cluster = World(yaml: clusterYAML)

/// A request's uid, as the server makes them.
let requestUID = "705ab4f5-6393-11e8-b7cc-42010a800002"

/// The bootstrap that tests give to proxies: what it was asked for.
let echoBootstrap: AdmissionController.Bootstrap = { request in
    let document: JSONValue = [
        "node": .string(request.nodeID), "admin": .integer(request.adminPort),
        "ready": .integer(request.readinessPort), "token": .string(request.tokenPath),
        "drain": request.drainSecret.map { .string("\($0) \(request.drainSeconds)") } ?? .null,
        "sds": request.sdsSocketPath.map { .string($0) } ?? .null,
        "memory": request.memoryLimitBytes.map { .integer($0) } ?? .null,
        "statsd": .string(request.stats.statsdEnabled ? request.stats.statsdAddress : ""),
        "regex": "^/$",
    ]
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
    return String(decoding: try encoder.encode(document), as: UTF8.self)
}

/// Settings of a cluster of today.
func settings(_ change: (inout InjectionSettings) -> Void = { _ in }) -> InjectionSettings {
    var settings = InjectionSettings(
        proxyImage: "envoyproxy/envoy:v1.40.0",
        heddleImage: "heddle:1"
    )
    settings.kubernetesVersion = "v1.33.1"
    settings.heddleVersion = "1.0.0"
    change(&settings)
    return settings
}

/// Text as JSON.
func json(_ text: String) throws -> JSONValue {
    try JSONDecoder().decode(JSONValue.self, from: Data(text.utf8))
}

/// An AdmissionReview of `object`.
func review(
    _ kind: String,
    _ object: JSONValue,
    _ operation: String = "CREATE",
    old: JSONValue = .null,
    namespace: String = "demo"
) -> JSONValue {
    var request: JSONValue = [
        "uid": .string(requestUID), "operation": .string(operation),
        "kind": ["group": "", "version": "v1", "kind": .string(kind)],
        "object": object, "oldObject": old,
    ]
    if !namespace.isEmpty { request["namespace"] = .string(namespace) }
    return [
        "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request,
    ]
}

/// An object of App Mesh's, or of Heddle's.
func object(
    _ kind: Kind,
    _ spec: JSONValue?,
    name: String = "blue",
    metadata: [String: JSONValue] = [:]
) -> JSONValue {
    var all = metadata
    all["name"] = .string(name)
    if kind.isNamespaced { all["namespace"] = "demo" }
    var object: JSONValue = [
        "apiVersion": .string(kind.apiVersion), "kind": .string(kind.rawValue),
        "metadata": .object(all),
    ]
    object["spec"] = spec
    return object
}

/// The path of the webhook that does `action` with objects of `kind`.
func path(_ action: String, _ kind: Kind) -> String {
    let group = kind.group.split(separator: ".").joined(separator: "-")
    return "/\(action)-\(group)-\(kind.version)-\(kind.singular)"
}

/// What came of a request.
struct Outcome {
    var verdict: AdmissionVerdict
    /// The object with its patch, as the server would store it.
    var object: JSONValue

    /// Why it was refused; nil when it was not.
    var refusal: String? {
        switch verdict.decision {
        case .refused(let message): message
        case .allowed: nil
        }
    }

    /// How many operations the patch has.
    var operationCount: Int {
        switch verdict.decision {
        case .refused: 0
        case .allowed(let patch): patch.count
        }
    }
}

/// Sends `review`, and does with the answer what a server would.
func send(
    _ review: JSONValue,
    _ path: String,
    _ settings: InjectionSettings = settings(),
    world: World? = cluster
) throws -> Outcome {
    let controller = AdmissionController(settings: settings, bootstrap: echoBootstrap)
    let answer = controller.answer(to: review, path: path, in: world)
    guard case .verdict(let verdict, let uid, _) = answer else {
        throw Unanswered(answer: "\(answer)")
    }
    let response = try #require(verdict.review(uid: uid)["response"])
    #expect(response["uid"]?.string == requestUID)
    #expect(response["allowed"] == .bool(verdict.isAllowed))
    var object = review["request"]?["object"] ?? .null
    if let text = response["patch"]?.string {
        #expect(response["patchType"] == "JSONPatch")
        let bytes = try #require(Data(base64Encoded: text))
        object = try JSONDecoder().decode(JSONValue.self, from: bytes).applied(to: object)
    }
    return Outcome(verdict: verdict, object: object)
}

/// What mutating makes of `object`.
func mutate(
    _ kind: Kind,
    _ object: JSONValue,
    old: JSONValue = .null,
    namespace: String = "demo",
    _ settings: InjectionSettings = settings()
) throws -> Outcome {
    try send(
        review(
            kind.rawValue,
            object,
            old == .null ? "CREATE" : "UPDATE",
            old: old,
            namespace: kind.isNamespaced ? namespace : ""
        ),
        path("mutate", kind),
        settings
    )
}

/// What validating says of `object`.
func validate(_ kind: Kind, _ object: JSONValue, old: JSONValue = .null) throws -> Outcome {
    try send(
        review(
            kind.rawValue,
            object,
            old == .null ? "CREATE" : "UPDATE",
            old: old,
            namespace: kind.isNamespaced ? "demo" : ""
        ),
        path("validate", kind),
        world: nil
    )
}

/// What the injector makes of `pod`.
func inject(
    _ pod: JSONValue,
    _ settings: InjectionSettings = settings(),
    world: World? = cluster
) throws -> Outcome {
    let namespace = pod["metadata"]?["namespace"]?.string ?? "demo"
    return try send(
        review("Pod", pod, namespace: namespace),
        "/mutate-v1-pod",
        settings,
        world: world
    )
}

/// A request had no verdict.
struct Unanswered: Error { let answer: String }
