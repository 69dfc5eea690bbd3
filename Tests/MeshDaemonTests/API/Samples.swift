import MeshModel

@testable import MeshDaemon

/// The time at which tests take place.
let testNowSeconds = 1_795_400_000

/// A VirtualNode with a listener on 8080.
func virtualNode(
    _ name: String,
    namespace: String = "demo",
    labels: [String: String] = [:],
    uid: String = "",
    generation: Int = 1
) -> MeshObject {
    .virtualNode(
        VirtualNode(
            metadata: Metadata(
                name: name,
                namespace: namespace,
                uid: uid,
                generation: generation,
                creationTimestampSeconds: testNowSeconds - 312,
                labels: labels
            ),
            spec: VirtualNodeSpec(awsName: "\(name)_\(namespace)"),
            manifest: Manifest(document: [
                "apiVersion": "appmesh.k8s.aws/v1beta2", "kind": "VirtualNode",
                "metadata": ["name": .string(name), "namespace": .string(namespace)],
                "spec": [
                    "awsName": .string("\(name)_\(namespace)"),
                    "listeners": [["portMapping": ["port": 8080, "protocol": "http"]]],
                    "podSelector": ["matchLabels": ["version": .string(name)]],
                ],
            ])
        )
    )
}

/// A Mesh.
func mesh(_ name: String) -> MeshObject {
    .mesh(
        Mesh(
            metadata: Metadata(name: name, creationTimestampSeconds: testNowSeconds - 312),
            spec: MeshSpec(awsName: name),
            manifest: Manifest(document: ["spec": ["awsName": .string(name)]])
        )
    )
}

/// A Workload.
func workload(_ name: String, namespace: String = "demo", command: [String] = []) -> MeshObject {
    .workload(
        Workload(
            metadata: Metadata(
                name: name,
                namespace: namespace,
                creationTimestampSeconds: testNowSeconds - 312,
                labels: ["app": "color"]
            ),
            spec: WorkloadSpec(command: command),
            manifest: Manifest(document: ["spec": ["ports": ["8080": 9081]]])
        )
    )
}

/// A TrafficPolicy with a rate limit and a fault for two objects.
func trafficPolicy(_ name: String) -> MeshObject {
    .trafficPolicy(
        TrafficPolicy(
            metadata: Metadata(
                name: name,
                namespace: "demo",
                creationTimestampSeconds: testNowSeconds - 312
            ),
            spec: TrafficPolicySpec(targets: [], features: TrafficFeatures()),
            manifest: Manifest(document: [
                "spec": [
                    "targetRefs": [
                        ["kind": "VirtualService", "name": "color"],
                        ["kind": "VirtualRouter", "name": "colors", "routes": ["red"]],
                    ],
                    "rateLimit": ["requests": 100], "fault": ["abort": ["httpStatus": 503]],
                ]
            ])
        )
    )
}

/// A status whose one condition is `type`.
func status(
    _ type: String,
    _ value: Condition.Status = .true,
    reason: String = "Programmed",
    message: String = "All proxies have it.",
    fields: [String: JSONValue] = [:]
) -> ObjectStatus {
    ObjectStatus(
        conditions: [
            Condition(
                type: type,
                status: value,
                reason: reason,
                message: message,
                lastTransitionTimeSeconds: testNowSeconds - 60
            )
        ],
        observedGeneration: 1,
        fields: fields
    )
}

/// A `sidecar` that runs and took all it was sent.
func sidecar(_ changes: [String: JSONValue] = [:]) -> JSONValue {
    let running: [String: JSONValue] = [
        "phase": "Running", "pid": 4711, "restarts": 0, "connected": true,
        "startTime": .string(timestamp(secondsSince1970: testNowSeconds - 300)),
        "ingressAddress": "127.66.0.1", "egressAddress": "127.67.0.1",
        "sync": [
            "clusters": "Synced", "endpoints": "Synced", "listeners": "Synced", "routes": "Synced",
        ],
        "refusals": [],
    ]
    return .object(running.merging(changes) { $1 })
}

/// A Workload's status.
func workloadStatus(
    _ node: String,
    _ value: Condition.Status = .true,
    reason: String = "Running",
    message: String = "The proxy runs.",
    sidecar: JSONValue,
    application: JSONValue? = nil
) -> ObjectStatus {
    var fields: [String: JSONValue] = [
        "mesh": "colors", "virtualNode": .string(node), "sidecar": sidecar,
        "nodeID": .string("mesh/colors/virtualNode/\(node)_demo"),
    ]
    fields["application"] = application
    return status("WorkloadReady", value, reason: reason, message: message, fields: fields)
}

/// A mesh with two nodes and three workloads, one of which refuses a listener.
func colors() -> (objects: [MeshObject], statuses: [ObjectID: ObjectStatus]) {
    let objects = [
        mesh("colors"), virtualNode("blue", labels: ["color": "blue"]),
        virtualNode("red", labels: ["color": "red", "canary": ""]),
        workload("blue-1", command: ["serve"]), workload("red-1"), workload("red-2"),
    ]
    let refusal: JSONValue = [
        "type": "listeners", "resource": "egress", "message": "invalid regex \"(\"",
    ]
    func id(_ kind: Kind, _ name: String) -> ObjectID {
        ObjectID(kind, ObjectReference(namespace: kind == .mesh ? "" : "demo", name: name))
    }
    let arn: JSONValue = "arn:aws:appmesh:local:000000000000:mesh/colors/virtualNode/blue_demo"
    let statuses: [ObjectID: ObjectStatus] = [
        id(.mesh, "colors"): status("MeshActive"),
        id(.virtualNode, "blue"): status(
            "VirtualNodeActive",
            fields: ["virtualNodeARN": arn, "sidecarCount": 2, "readySidecarCount": 1]
        ),
        id(.virtualNode, "red"): status(
            "VirtualNodeActive",
            .false,
            reason: "Refused",
            message: "A proxy refused listener egress."
        ),
        id(.workload, "blue-1"): workloadStatus(
            "blue",
            sidecar: sidecar(),
            application: ["phase": "Running", "pid": 4712, "restarts": 1]
        ),
        id(.workload, "red-1"): workloadStatus(
            "red",
            .false,
            reason: "Refused",
            message: "The proxy refused a listener.",
            sidecar: sidecar([
                "sync": [
                    "clusters": "Synced", "endpoints": "Pending", "listeners": "Refused",
                    "routes": "NotSent",
                ],
                "refusals": [refusal], "restarts": 2, "ingressAddress": "127.66.0.2",
                "egressAddress": "127.67.0.2",
            ])
        ),
        id(.workload, "red-2"): workloadStatus(
            "red",
            .unknown,
            reason: "Starting",
            message: "The proxy starts.",
            sidecar: ["phase": "Starting", "restarts": 0]
        ),
    ]
    return (objects, statuses)
}

/// A handler over `state` whose clock stands still.
func handler(_ state: APIState, bookmarkInterval: Duration = .seconds(60)) -> APIHandler {
    APIHandler(
        state: state,
        logs: { workload, container, tailLines, follow in
            AsyncStream { lines in
                let tail = tailLines.map(String.init) ?? "all"
                lines.yield(Array("\(workload) \(container) \(tail)\n".utf8))
                if follow { lines.yield(Array("followed\n".utf8)) }
                lines.finish()
            }
        },
        bookmarkInterval: bookmarkInterval,
        nowSeconds: { testNowSeconds }
    )
}

/// A handler that shows `colors`.
func colorsHandler() -> APIHandler {
    let state = APIState(firstVersion: 100)
    let (objects, statuses) = colors()
    state.publish(objects: objects, statuses: statuses)
    return handler(state)
}
