internal import MeshAdmission
import MeshModel

/// Of a Pod, or of a template of Pods, what a migration depends on.
struct MigratingPod {
    /// A container, of which only the proxy's environment is known.
    struct Container {
        var name: String
        var image: String
        /// The variables that have a plain value; others stand in `references`.
        var environment: [String: String] = [:]
        /// The variables whose value comes from elsewhere, such as `status.hostIP`, by what it is.
        var references: [String: String] = [:]
        /// Whether it has the token by which Heddle's proxies prove themselves.
        var hasToken = false
        /// The IAM role that it has, by its service account or by EKS Pod Identity; nil when it has none.
        var role: String? {
            environment["AWS_ROLE_ARN"]
                ?? environment["AWS_CONTAINER_CREDENTIALS_FULL_URI"].map { _ in "EKS Pod Identity" }
        }
        /// What its probes ask, where a Pod of Heddle's does not answer: `httpGet` of a port, or a program.
        var foreignProbes: [String] = []
    }

    var namespace: String
    var name: String
    var labels: [String: String]
    var annotations: [String: String]
    /// Who made it, or the Pod itself.
    var controller: MigrationObject
    var containers: [Container]
    var initContainers: [Container]
    var usesHostNetwork: Bool
    /// How kubelet probes the containers.
    var probes: [KubeletProbe]
    /// `spec.readinessGates`.
    var readinessGates: [String]
    /// What the injector is told of it, by its annotation or by its Namespace: `enabled`, `disabled`.
    var injectionMode: String?

    /// The container named envoy.
    var proxy: Container? { (containers + initContainers).first { $0.name == proxyContainerName } }

    /// Whether its proxy asks App Mesh for its configuration, and not Heddle.
    ///
    /// The image may have another name in a registry of one's own, and its variables tell then.
    var hasAWSProxy: Bool {
        guard let proxy, !proxy.hasToken else { return false }
        let variables = [
            "APPMESH_RESOURCE_ARN", "APPMESH_RESOURCE_NAME", "APPMESH_VIRTUAL_NODE_NAME",
        ]
        return isAWSProxy(image: proxy.image)
            || variables.contains { proxy.environment[$0] != nil }
    }

    /// The value of the annotation `appmesh.k8s.aws/<name>`.
    func annotation(_ name: String) -> String? { annotations["appmesh.k8s.aws/\(name)"] }

    /// Whether it is a gateway's that keeps the image that its owner names.
    var keepsGatewayImage: Bool {
        annotation("virtualGatewaySkipImageOverride")?.lowercased() == "enabled"
    }

    /// Whether Fargate runs it, where no container may change the network.
    var isOnFargate: Bool { labels["eks.amazonaws.com/fargate-profile"] != nil }
}

/// Whether `image` is AWS' image of Envoy.
func isAWSProxy(image: String) -> Bool { image.contains("aws-appmesh-envoy") }

extension MigratingPod {
    /// Reads a Pod; nil of one that has ended.
    init?(pod document: JSONValue) {
        let phase = document["status"]?["phase"]?.string
        guard phase != "Succeeded", phase != "Failed" else { return nil }
        let pod = document.migrationObject
        self.init(document, pod, document.podController ?? pod)
    }

    /// Reads the template of Pods of `controller`; nil when it has none.
    init?(templateOf controller: JSONValue) {
        let spec = controller["spec"]
        let template = spec?["template"] ?? spec?["jobTemplate"]?["spec"]?["template"]
        guard let template else { return nil }
        var object = controller.migrationObject
        if object.namespace.isEmpty { object.namespace = "default" }
        self.init(template, object, object)
        namespace = object.namespace
    }

    private init(_ document: JSONValue, _ pod: MigrationObject, _ controller: MigrationObject) {
        namespace = pod.namespace.isEmpty ? "default" : pod.namespace
        name = pod.name
        labels = document.labels
        annotations = document.annotations
        self.controller = controller
        let spec = document["spec"]
        containers = (spec?["containers"]?.array ?? []).map(Container.init)
        initContainers = (spec?["initContainers"]?.array ?? []).map(Container.init)
        usesHostNetwork = spec?["hostNetwork"]?.bool ?? false
        probes = KubeletProbe.all(in: spec)
        readinessGates = (spec?["readinessGates"]?.array ?? []).compactMap {
            $0["conditionType"]?.string
        }
    }
}

extension MigratingPod.Container {
    fileprivate init(_ document: JSONValue) {
        name = document["name"]?.string ?? ""
        image = document["image"]?.string ?? ""
        hasToken = (document["volumeMounts"]?.array ?? []).contains {
            $0["mountPath"]?.string == PodProxy.tokenFolder
        }
        foreignProbes = ["startupProbe", "readinessProbe", "livenessProbe"].compactMap { name in
            guard let probe = document[name] else { return nil }
            if let command = probe["exec"]?["command"]?.array?.compactMap(\.string) {
                return "\(name).exec: \(command.joined(separator: " "))"
            }
            let port = (probe["httpGet"] ?? probe["tcpSocket"])?["port"]?.integer
            return port == 9901 ? "\(name): port 9901" : nil
        }
        for variable in document["env"]?.array ?? [] {
            guard let key = variable["name"]?.string else { continue }
            if let value = variable["value"]?.string {
                environment[key] = value
            } else if let source = variable["valueFrom"] {
                references[key] = source["fieldRef"]?["fieldPath"]?.string ?? "elsewhere"
            } else {
                environment[key] = ""
            }
        }
    }
}

extension JSONValue {
    /// Who made this Pod, of a ReplicaSet the Deployment; nil of a Pod that stands alone.
    fileprivate var podController: MigrationObject? {
        let owners = self["metadata"]?["ownerReferences"]?.array ?? []
        guard let owner = owners.first(where: { $0["controller"]?.bool == true }) ?? owners.first,
            let kind = owner["kind"]?.string, let name = owner["name"]?.string
        else { return nil }
        let hash = ["pod-template-hash", "rollouts-pod-template-hash"].compactMap { labels[$0] }
        if kind == "ReplicaSet", let suffix = hash.first(where: { name.hasSuffix("-\($0)") }) {
            let isRollout = labels["rollouts-pod-template-hash"] != nil
            return MigrationObject(
                kind: isRollout ? "Rollout" : "Deployment",
                namespace: namespace,
                name: String(name.dropLast(suffix.count + 1))
            )
        }
        return MigrationObject(kind: kind, namespace: namespace, name: name)
    }
}

/// The Pods of one controller.
struct PodGroup {
    /// The controller; of a Pod that stands alone itself.
    var controller: MigrationObject
    /// Its Pods, or in their place its template.
    var pods: [MigratingPod]
    /// Whether there is no Pod, and the template alone is known.
    var isTemplate: Bool
    /// What new Pods are made of, where it is known.
    var template: MigratingPod?

    /// How many of its Pods `holds` is true of; nil where the template alone is known, or none of them.
    func count(_ holds: (MigratingPod) -> Bool) -> (pods: Int?, holds: Bool) {
        let count = pods.count(where: holds)
        return (isTemplate ? nil : count, count > 0)
    }

    /// How it is made anew.
    var restart: String {
        switch controller.kind {
        case "Deployment", "StatefulSet", "DaemonSet":
            "kubectl -n NAMESPACE rollout restart \(controller.kind.lowercased())/NAME"
        case "Rollout": "kubectl argo rollouts -n NAMESPACE restart NAME"
        case "Job", "CronJob": "let it end, and start it anew"
        case "Pod": "delete the Pod and create it anew"
        default: "delete its Pods, so that it makes new ones"
        }
    }
}

/// The Pods of `cluster` by who made them; controllers without Pods are there with their template.
func podGroups(of cluster: ClusterDocuments) -> [PodGroup] {
    var groups: [MigrationObject: PodGroup] = [:]
    for document in cluster.all("Pod", in: "") {
        guard let pod = MigratingPod(pod: document) else { continue }
        let empty = PodGroup(controller: pod.controller, pods: [], isTemplate: false)
        groups[pod.controller, default: empty].pods.append(pod)
    }
    let controllers = ["Deployment", "StatefulSet", "DaemonSet"].flatMap {
        cluster.all($0, in: "apps")
    }
    let others = cluster.all("Rollout", in: "argoproj.io") + cluster.all("CronJob", in: "batch")
    for document in controllers + others {
        guard let template = MigratingPod(templateOf: document) else { continue }
        let alone = PodGroup(controller: template.controller, pods: [template], isTemplate: true)
        groups[template.controller, default: alone].template = template
    }
    return groups.values.sorted { $0.controller < $1.controller }
}
