/// What becomes of something when Heddle takes the place of App Mesh's controller.
public enum MigrationEffect: String, CaseIterable, Codable, Sendable, Comparable {
    /// Something has to be done first.
    case blocks
    /// It goes on, in another way than before, or once something is done.
    case changes
    /// It goes on as before.
    case works

    /// Orders from what blocks to what works.
    public static func < (left: MigrationEffect, right: MigrationEffect) -> Bool {
        left.position < right.position
    }

    private var position: Int {
        switch self {
        case .blocks: 0
        case .changes: 1
        case .works: 2
        }
    }
}

/// Something in a cluster: an object of a mesh, or the Pods of a Deployment.
public struct MigrationObject: Hashable, Codable, Sendable, Comparable, CustomStringConvertible {
    /// The kind; of Pods that of the controller that made them.
    public var kind: String
    /// The namespace; empty for objects of the whole cluster.
    public var namespace: String
    /// The name.
    public var name: String

    /// Makes the object `namespace/name`.
    public init(kind: String, namespace: String = "", name: String) {
        self.kind = kind
        self.namespace = namespace
        self.name = name
    }

    /// `VirtualNode demo/blue`.
    public var description: String {
        namespace.isEmpty ? "\(kind) \(name)" : "\(kind) \(namespace)/\(name)"
    }

    /// Orders by kind, then by namespace and name.
    public static func < (left: MigrationObject, right: MigrationObject) -> Bool {
        (left.kind, left.namespace, left.name) < (right.kind, right.namespace, right.name)
    }
}

/// One thing that was found.
public struct MigrationFinding: Hashable, Codable, Sendable {
    /// What becomes of it.
    public var effect: MigrationEffect
    /// Which check found it.
    public var check: MigrationCheckName
    /// What it is about; nil for the cluster as a whole.
    public var object: MigrationObject?
    /// How many Pods of the object it is about; nil where it is about the object itself.
    public var pods: Int?
    /// The field within the object; empty for all of it.
    public var field: String
    /// What stands in the field, or else differs between objects with the same problem.
    public var value: String
    /// What is the matter; starts lowercase, no final period.
    public var problem: String
    /// What to do; empty when there is nothing to do.
    public var remedy: String

    init(
        _ effect: MigrationEffect,
        _ check: MigrationCheckName,
        _ object: MigrationObject? = nil,
        field: String = "",
        value: String = "",
        pods: Int? = nil,
        _ problem: String,
        remedy: String = ""
    ) {
        self.effect = effect
        self.check = check
        self.object = object
        self.pods = pods
        self.field = field
        self.value = value
        self.problem = problem
        self.remedy = remedy
    }
}

/// What could not be looked at, so that nothing is said of it.
public struct MigrationGap: Hashable, Codable, Sendable {
    /// What was to be read, such as `pods` or `virtualnodes.appmesh.k8s.aws`.
    public var resource: String
    /// Why it was not.
    public var reason: String
    /// Whether the answer is incomplete for it, and not because a dump was made without it.
    public var isFailure: Bool
}

/// An object, and what becomes of it: the gravest of what was found.
public struct MigrationSubject: Hashable, Codable, Sendable {
    /// The object.
    public var object: MigrationObject
    /// What becomes of it.
    public var effect: MigrationEffect
    /// How many Pods it has; nil of objects that have none.
    public var pods: Int?
}

/// What `heddle migrate check` found.
public struct MigrationReport: Hashable, Codable, Sendable {
    /// What was read: a context, or files.
    public var source: String
    /// The version of the Kubernetes API server, where it is known.
    public var serverVersion: String?
    /// How many objects block, change and work.
    public var summary: [String: Int]
    /// Every object of a mesh and every group of Pods, sorted.
    public var objects: [MigrationSubject]
    /// Everything that was found, what blocks first.
    public var findings: [MigrationFinding]
    /// What could not be looked at.
    public var gaps: [MigrationGap]

    /// Whether nothing keeps Heddle from taking over, as far as everything could be read.
    public var isClear: Bool {
        !findings.contains { $0.effect == .blocks } && !gaps.contains(where: \.isFailure)
    }
}

/// The checks, by the names that reports give them.
public enum MigrationCheckName: String, CaseIterable, Codable, Sendable {
    /// Objects of `appmesh.k8s.aws/v1beta1`.
    case legacyVersion = "legacy-version"
    /// What Heddle refuses or leaves out of use.
    case invalid
    /// What Heddle warns of.
    case doubtful
    /// What Heddle notes.
    case noted
    /// Objects whose mesh or gateway was chosen under other labels.
    case membership
    /// ARNs of ACM for which nothing stands.
    case certificateUnmapped = "certificate-unmapped"
    /// ARNs of ACM for which a CertificateMapping stands.
    case certificateMapped = "certificate-mapped"
    /// Certificates and trust in files.
    case certificateFiles = "certificate-files"
    /// Certificates and trust of an SDS server.
    case secretService = "secret-service"
    /// Nodes in Cloud Map without Pods.
    case cloudMapExternal = "cloud-map-external"
    /// Nodes in Cloud Map with Pods.
    case cloudMapPods = "cloud-map-pods"
    /// Names that applications look up in a zone that Cloud Map fills.
    case cloudMapName = "cloud-map-name"
    /// Nodes in DNS with Pods.
    case endpointsFromPods = "endpoints-from-pods"
    /// Outlier detection that begins to act.
    case outlierDetection = "outlier-detection"
    /// What proxies may reach beside their backends.
    case egressFilter = "egress-filter"
    /// References by ARN.
    case reference
    /// Meshes that another account owns.
    case meshOwner = "mesh-owner"
    /// Finalizers of App Mesh's controller.
    case finalizers
    /// Objects whose deletion has been asked for.
    case terminating
    /// ARNs in statuses.
    case status
    /// App Mesh's controller.
    case controller
    /// The webhooks of App Mesh's controller.
    case webhooks
    /// The definitions of the kinds.
    case customResources = "custom-resources"
    /// Namespaces whose Pods are injected.
    case injection
    /// Pods with AWS' Envoy.
    case awsEnvoy = "aws-envoy"
    /// Pods that should have a proxy and have none.
    case notInjected = "not-injected"
    /// Pods that the injector refuses.
    case refusedPod = "refused-pod"
    /// Pods that wait for what App Mesh's controller told of them.
    case readinessGate = "readiness-gate"
    /// Pods in the network of their Kubernetes node.
    case hostNetwork = "host-network"
    /// Probes of kubelet that a mesh's TLS refuses.
    case probes
    /// Pods on Fargate.
    case fargate
    /// Pods whose traffic a CNI plugin redirects.
    case cni
    /// Annotations of Pods that mean nothing to a stock Envoy.
    case annotations
    /// Variables of AWS' Envoy image that mean nothing to a stock Envoy.
    case environment
    /// Tracing of the proxies.
    case tracing
    /// Statistics of the proxies.
    case statistics
    /// App Mesh's metrics extension.
    case metricsExtension = "metrics-extension"
    /// Proxies of gateways.
    case gateway
    /// IAM roles of Pods.
    case iam
    /// The version of Kubernetes.
    case kubernetes
    /// Argo Rollouts and Flagger.
    case canary
}
