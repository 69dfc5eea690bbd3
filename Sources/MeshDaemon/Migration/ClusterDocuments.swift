internal import MeshAdmission
public import MeshModel

/// What was read of a cluster that Heddle is to take over.
public struct ClusterDocuments: Sendable {
    /// What was read: a context, or files.
    public var source: String
    /// Every object as it stands there, with its apiVersion and kind.
    public var documents: [JSONValue]
    /// What could not be read.
    public var gaps: [MigrationGap] = []
    /// `v1.31.4-eks-2d5f260`, of a cluster that answers.
    public var serverVersion: String?
    /// Whether the cluster itself was asked, so that what is not here is not there.
    public var isLive = false
    /// When it was read, in seconds since 1970; nil of a dump, which may be of any age.
    public var readSeconds: Int?

    /// Makes the content of a dump.
    public init(source: String, documents: [JSONValue]) {
        self.source = source
        self.documents = documents.map(slimmed)
    }

    /// The documents of `kind` in `group`, in any version.
    func all(_ kind: String, in group: String) -> [JSONValue] {
        documents.filter { $0["kind"]?.string == kind && $0.group == group }
    }

    /// Whether every object of `resource`, such as `pods`, is here.
    func isComplete(_ resource: String) -> Bool {
        !gaps.contains { $0.resource == resource }
    }
}

/// How App Mesh's injector named the container with Envoy, and how gateways have to name theirs.
let proxyContainerName = "envoy"

/// What is read of a cluster.
struct MigrationResource: Hashable {
    var group: String
    var version: String
    var plural: String
    var kind: String

    /// `virtualnodes.appmesh.k8s.aws`; `pods` for the core group.
    var name: String { group.isEmpty ? plural : "\(plural).\(group)" }

    /// App Mesh's kinds and Heddle's own.
    static let meshKinds = Kind.allCases.filter { $0 != .workload }.map {
        MigrationResource(
            group: $0.group,
            version: $0.version,
            plural: $0.plural,
            kind: $0.rawValue
        )
    }

    /// What surrounds them.
    static let surroundings = [
        MigrationResource("", "v1", "pods", "Pod"),
        MigrationResource("apps", "v1", "deployments", "Deployment"),
        MigrationResource("apps", "v1", "statefulsets", "StatefulSet"),
        MigrationResource("apps", "v1", "daemonsets", "DaemonSet"),
        MigrationResource("batch", "v1", "cronjobs", "CronJob"),
        MigrationResource("", "v1", "nodes", "Node"),
        MigrationResource(
            "admissionregistration.k8s.io",
            "v1",
            "mutatingwebhookconfigurations",
            "MutatingWebhookConfiguration"
        ),
        MigrationResource(
            "admissionregistration.k8s.io",
            "v1",
            "validatingwebhookconfigurations",
            "ValidatingWebhookConfiguration"
        ),
        MigrationResource(
            "apiextensions.k8s.io",
            "v1",
            "customresourcedefinitions",
            "CustomResourceDefinition"
        ),
        MigrationResource("coordination.k8s.io", "v1", "leases", "Lease"),
    ]

    private init(_ group: String, _ version: String, _ plural: String, _ kind: String) {
        self.init(group: group, version: version, plural: plural, kind: kind)
    }

    private init(group: String, version: String, plural: String, kind: String) {
        self.group = group
        self.version = version
        self.plural = plural
        self.kind = kind
    }
}

extension JSONValue {
    /// The API group of an object; empty for the core group.
    var group: String {
        let parts = (self["apiVersion"]?.string ?? "").split(separator: "/")
        return parts.count > 1 ? String(parts[0]) : ""
    }

    /// `metadata.name`.
    var name: String { self["metadata"]?["name"]?.string ?? "" }
    /// `metadata.namespace`; empty when there is none.
    var namespace: String { self["metadata"]?["namespace"]?.string ?? "" }
    /// `metadata.annotations`, of which those that are no strings are left out.
    var annotations: [String: String] { strings(self["metadata"]?["annotations"]) }
    /// `metadata.labels`.
    var labels: [String: String] { strings(self["metadata"]?["labels"]) }

    /// What this object is in a report.
    var migrationObject: MigrationObject {
        MigrationObject(kind: self["kind"]?.string ?? "", namespace: namespace, name: name)
    }

    /// The value at `path`, such as `spec.listeners[0].tls`.
    func value(at path: String) -> JSONValue? {
        var value = self
        for part in path.split(separator: ".") {
            let pieces = part.split(separator: "[")
            guard let key = pieces.first, let member = value[String(key)] else { return nil }
            value = member
            for piece in pieces.dropFirst() {
                guard let index = Int(piece.dropLast()), let elements = value.array,
                    elements.indices.contains(index)
                else { return nil }
                value = elements[index]
            }
        }
        return value
    }
}

/// The members of `value` that are strings.
func strings(_ value: JSONValue?) -> [String: String] {
    (value?.object ?? [:]).compactMapValues(\.string)
}

/// `document` without what no check looks at: of 10,000 Pods everything counts.
func slimmed(_ document: JSONValue) -> JSONValue {
    var slim = document
    guard var metadata = document["metadata"]?.object else { return document }
    metadata["managedFields"] = nil
    metadata["annotations"]?["kubectl.kubernetes.io/last-applied-configuration"] = nil
    slim["metadata"] = .object(metadata)
    guard document["kind"]?.string == "Pod" else { return slim }
    slim["spec"] = .object(kept(document["spec"], podSpecFields))
    slim["status"] = .object(kept(document["status"], ["phase", "podIP"]))
    return slim
}

private let podSpecFields = ["containers", "initContainers", "hostNetwork", "serviceAccountName"]

private func kept(_ value: JSONValue?, _ keys: [String]) -> [String: JSONValue] {
    var members: [String: JSONValue] = [:]
    for key in keys { members[key] = value?[key] }
    for key in ["containers", "initContainers"] {
        guard let containers = members[key]?.array else { continue }
        members[key] = .array(
            containers.map { container in
                // What other containers have in their environment is nobody's business.
                let isProxy = container["name"]?.string == proxyContainerName
                var slim = kept(
                    container,
                    ["name", "image", "ports", "restartPolicy"]
                        + (isProxy ? ["env", "volumeMounts"] : [])
                )
                // Headers and programs of probes may hold secrets too.
                for name in KubeletProbe.names {
                    guard let probe = container[name] else { continue }
                    let actions = ["httpGet", "tcpSocket", "grpc"].compactMap { action in
                        probe[action].map {
                            (action, JSONValue.object(kept($0, ["port", "scheme", "host"])))
                        }
                    }
                    slim[name] = .object(Dictionary(uniqueKeysWithValues: actions))
                }
                return .object(slim)
            }
        )
    }
    return members
}
