import Testing

@testable import MeshDaemon

/// Something that a check finds, and the same once it is mended.
struct MigrationCase: CustomTestStringConvertible, Sendable {
    var check: MigrationCheckName
    var effect: MigrationEffect
    var object: String
    /// What the finding says, in its problem, value or remedy.
    var says: String
    /// What is there beside the mesh `demo`.
    var found: String
    /// What is there in its place once it is mended.
    var mended: String

    var testDescription: String { "\(check.rawValue) \(effect.rawValue): \(says)" }

    init(
        _ check: MigrationCheckName,
        _ effect: MigrationEffect,
        _ object: String,
        _ says: String,
        _ found: String,
        mended: String
    ) {
        self.check = check
        self.effect = effect
        self.object = object
        self.says = says
        self.found = found
        self.mended = mended
    }

    static func node(
        _ name: String,
        _ spec: String,
        metadata: String = "",
        status: String = "{}"
    ) -> String {
        """
        apiVersion: appmesh.k8s.aws/v1beta2
        kind: VirtualNode
        metadata: {name: \(name), namespace: demo\(metadata)}
        spec: {\(spec)}
        status: \(status)
        ---

        """
    }

    static func mesh(_ spec: String, metadata: String = "", status: String = "{}") -> String {
        """
        apiVersion: appmesh.k8s.aws/v1beta2
        kind: Mesh
        metadata: {name: other\(metadata)}
        spec: {\(spec)}
        status: \(status)
        ---

        """
    }

    static let listener = "listeners: [{portMapping: {port: 8080, protocol: http}}]"
    static let dns = "serviceDiscovery: {dns: {hostname: orders.example.com}}"

    static let all: [MigrationCase] =
        objects + discovery + certificates + legacies + controller + pods
        + settings
}

extension MigrationCase {
    private static let objects = [
        MigrationCase(
            .legacyVersion,
            .blocks,
            "VirtualNode demo/old",
            "awsCloudMap",
            """
            apiVersion: appmesh.k8s.aws/v1beta1
            kind: VirtualNode
            metadata: {name: old, namespace: demo}
            spec: {meshName: demo, serviceDiscovery: {cloudMap: {namespaceName: a, serviceName: b}}}
            """,
            mended: node("old", "\(listener), \(dns)")
        ),
        MigrationCase(
            .invalid,
            .blocks,
            "VirtualNode demo/green",
            "70000",
            node("green", "listeners: [{portMapping: {port: 70000, protocol: http}}], \(dns)"),
            mended: node("green", "\(listener), \(dns)")
        ),
        MigrationCase(
            .invalid,
            .changes,
            "VirtualNode demo/green",
            "not active with App Mesh either",
            node(
                "green",
                "backends: [{virtualService: {virtualServiceRef: {name: none}}}]",
                status: "{conditions: [{type: VirtualNodeActive, status: \"False\"}]}"
            ),
            mended: node("green", "backends: []")
        ),
        MigrationCase(
            .doubtful,
            .changes,
            "VirtualNode demo/green",
            "unknown field",
            node("green", "\(listener), \(dns), colour: green"),
            mended: node("green", "\(listener), \(dns)")
        ),
        MigrationCase(
            .membership,
            .blocks,
            "VirtualNode demo/green",
            "make the object anew",
            node("green", "\(listener), \(dns), meshRef: {name: elsewhere, uid: m}"),
            mended: node("green", "\(listener), \(dns), meshRef: {name: demo, uid: m}")
        ),
        MigrationCase(
            .reference,
            .blocks,
            "VirtualNode demo/green",
            "virtualService/ledger",
            node("green", "backends: [{virtualService: {virtualServiceARN: \(arn)}}]"),
            mended: node("green", "backends: [{virtualService: {virtualServiceARN: \(arn)}}]")
                + ledger
        ),
        MigrationCase(
            .reference,
            .works,
            "VirtualNode demo/green",
            "the name in which the ARN ends counts",
            node("green", "backends: [{virtualService: {virtualServiceARN: \(arn)}}]") + ledger,
            mended: node("green", "backends: [{virtualService: {virtualServiceARN: \(arn)}}]")
        ),
        MigrationCase(
            .meshOwner,
            .changes,
            "Mesh other",
            "123456789012",
            mesh("meshOwner: \"123456789012\""),
            mended: mesh("")
        ),
        MigrationCase(
            .egressFilter,
            .works,
            "Mesh other",
            "let everything pass",
            mesh("egressFilter: {type: ALLOW_ALL}"),
            mended: ""
        ),
    ]

    private static let arn =
        "\"arn:aws:appmesh:eu-west-1:210987654321:mesh/far/virtualService/ledger\""
    private static let ledger = """
        apiVersion: appmesh.k8s.aws/v1beta2
        kind: VirtualService
        metadata: {name: ledger, namespace: demo}
        spec: {awsName: ledger}
        ---

        """

    private static let discovery = [
        MigrationCase(
            .cloudMapExternal,
            .blocks,
            "VirtualNode demo/orders",
            "orders.shop.local",
            node("orders", "\(listener), \(cloudMap)") + MigrationDump.pod(),
            mended: node("orders", "\(listener), \(dns)") + MigrationDump.pod()
        ),
        MigrationCase(
            .cloudMapPods,
            .changes,
            "VirtualNode demo/orders",
            "its Pods are its endpoints",
            node("orders", "\(listener), \(cloudMap), podSelector: {matchLabels: {app: orders}}")
                + MigrationDump.pod(labels: "app: orders"),
            mended: node("orders", "\(listener), \(cloudMap)") + MigrationDump.pod()
        ),
        MigrationCase(
            .cloudMapPods,
            .changes,
            "VirtualNode demo/orders",
            "selects no Pod at present",
            node("orders", "\(listener), \(cloudMap), podSelector: {matchLabels: {app: orders}}")
                + MigrationDump.pod(),
            mended: node("orders", "\(listener), \(cloudMap)") + MigrationDump.pod()
        ),
        MigrationCase(
            .cloudMapName,
            .changes,
            "VirtualService demo/cart",
            "rewrite name cart.shop.local SERVICE.NAMESPACE",
            node("orders", "\(listener), \(cloudMap)") + service("cart.shop.local"),
            mended: node("orders", "\(listener), \(cloudMap)") + service("cart.demo")
        ),
        MigrationCase(
            .cloudMapExternal,
            .blocks,
            "VirtualNode demo/orders",
            #"--type merge -p '{"spec":{"serviceDiscovery":{"awsCloudMap":null,"dns":"#,
            node("orders", "\(listener), \(cloudMap)") + MigrationDump.pod(),
            mended: node("orders", "\(listener), \(dns)") + MigrationDump.pod()
        ),
        MigrationCase(
            .endpointsFromPods,
            .changes,
            "VirtualNode demo/blue",
            "blue.demo.svc.cluster.local",
            MigrationDump.pod(),
            mended: MigrationDump.pod(labels: "app: red")
        ),
        MigrationCase(
            .endpointsFromPods,
            .works,
            "VirtualNode demo/blue",
            "selects no Pod",
            MigrationDump.pod(labels: "app: red"),
            mended: MigrationDump.pod()
        ),
        MigrationCase(
            .outlierDetection,
            .changes,
            "VirtualNode demo/green",
            "begins to act",
            node("green", outlier("LOADBALANCER")) + MigrationDump.pod(labels: "app: green"),
            mended: node("green", outlier("ENDPOINTS")) + MigrationDump.pod(labels: "app: green")
        ),
    ]

    private static let cloudMap =
        "serviceDiscovery: {awsCloudMap: {namespaceName: shop.local, serviceName: orders}}"

    private static func service(_ awsName: String) -> String {
        """
        apiVersion: appmesh.k8s.aws/v1beta2
        kind: VirtualService
        metadata: {name: cart, namespace: demo}
        spec: {awsName: \(awsName)}
        ---

        """
    }

    private static func outlier(_ responseType: String) -> String {
        """
        podSelector: {matchLabels: {app: green}}, listeners: [{portMapping: {port: 8080, protocol: http}, \
        outlierDetection: {maxServerErrors: 5, interval: {unit: s, value: 5}, \
        baseEjectionDuration: {unit: s, value: 5}, maxEjectionPercent: 50}}], \
        serviceDiscovery: {dns: {hostname: green.demo, responseType: \(responseType)}}
        """
    }

    private static let certificates = [
        MigrationCase(
            .certificateUnmapped,
            .blocks,
            "VirtualNode demo/green",
            "certificate/1",
            node(
                "green",
                tls("acm: {certificateARN: \"arn:aws:acm:eu-west-1:123456789012:certificate/1\"}")
            ),
            mended: node(
                "green",
                tls("acm: {certificateARN: \"arn:aws:acm:eu-west-1:123456789012:certificate/1\"}")
            )
                + mapping
        ),
        MigrationCase(
            .certificateUnmapped,
            .blocks,
            "VirtualNode demo/green",
            "certificate-authority/9",
            node("green", policy),
            mended: node("green", policy)
                + mapping.replacing("certificate/1", with: "certificate-authority/9")
                .replacing("aws:acm:", with: "aws:acm-pca:")
        ),
        MigrationCase(
            .certificateMapped,
            .changes,
            "VirtualNode demo/green",
            "CertificateMapping one stands for it",
            node(
                "green",
                tls("acm: {certificateARN: \"arn:aws:acm:eu-west-1:123456789012:certificate/1\"}")
            )
                + mapping,
            mended: node(
                "green",
                tls("acm: {certificateARN: \"arn:aws:acm:eu-west-1:123456789012:certificate/1\"}")
            )
        ),
        MigrationCase(
            .certificateFiles,
            .works,
            "VirtualNode demo/green",
            "/certs/chain.pem",
            node(
                "green",
                tls("file: {certificateChain: /certs/chain.pem, privateKey: /certs/key.pem}")
            ),
            mended: node("green", "\(listener), \(dns)")
        ),
        MigrationCase(
            .secretService,
            .changes,
            "VirtualNode demo/green",
            "spiffe://demo/green",
            node("green", tls("sds: {secretName: \"spiffe://demo/green\"}")),
            mended: node("green", "\(listener), \(dns)")
        ),
        MigrationCase(
            .invalid,
            .blocks,
            "VirtualNode demo/green",
            "nobody has a secret \"server-certificate\"",
            node("green", tls("sds: {secretName: server-certificate}")),
            mended: node("green", tls("sds: {secretName: \"spiffe://demo/green\"}"))
        ),
    ]

    /// A node with another mistake, whose client policy trusts an authority of ACM.
    private static let policy = """
        \(dns), listeners: [{portMapping: {port: 70000, protocol: http}}], backendDefaults: {clientPolicy: \
        {tls: {validation: {trust: {acm: {certificateAuthorityARNs: \
        ["arn:aws:acm-pca:eu-west-1:123456789012:certificate-authority/9"]}}}}}}
        """

    private static func tls(_ certificate: String) -> String {
        """
        \(dns), listeners: [{portMapping: {port: 8080, protocol: http}, tls: {mode: STRICT, \
        certificate: {\(certificate)}}}]
        """
    }

    private static let mapping = """
        apiVersion: heddle.dev/v1alpha1
        kind: CertificateMapping
        metadata: {name: one}
        spec: {arn: "arn:aws:acm:eu-west-1:123456789012:certificate/1", heddle: {}}
        ---

        """

    private static let legacies = [
        MigrationCase(
            .finalizers,
            .works,
            "VirtualNode demo/green",
            "aws-appmesh-resources",
            node(
                "green",
                "",
                metadata: ", finalizers: [finalizers.appmesh.k8s.aws/aws-appmesh-resources]"
            ),
            mended: node("green", "", metadata: ", finalizers: [example.com/mine]")
        ),
        MigrationCase(
            .terminating,
            .changes,
            "VirtualNode demo/green",
            "is gone once Heddle",
            node("green", "", metadata: deletion + resources),
            mended: node("green", "")
        ),
        MigrationCase(
            .terminating,
            .blocks,
            "VirtualNode demo/green",
            "VirtualService demo/color",
            node("green", "", metadata: deletion + resources) + provided,
            mended: node("green", "") + provided
        ),
        MigrationCase(
            .terminating,
            .changes,
            "VirtualNode demo/green",
            "is gone once Heddle",
            node("green", "", metadata: deletion + resources)
                + provided.replacing("name: color,", with: "name: color\(deletion),"),
            mended: node("green", "", metadata: deletion + resources) + provided
        ),
        MigrationCase(
            .terminating,
            .blocks,
            "VirtualNode demo/green",
            "Deployment demo/blue",
            node(
                "green",
                "podSelector: {matchLabels: {app: green}}",
                metadata: deletion + resources
            ) + MigrationDump.pod(labels: "app: green"),
            mended: node(
                "green",
                "podSelector: {matchLabels: {app: green}}",
                metadata: deletion + resources
            ) + MigrationDump.pod()
        ),
        MigrationCase(
            .terminating,
            .changes,
            "VirtualNode demo/green",
            "until others take away example.com/mine",
            node("green", "", metadata: deletion + ", finalizers: [example.com/mine]"),
            mended: node("green", "")
        ),
        MigrationCase(
            .terminating,
            .blocks,
            "Mesh other",
            "nothing keeps it for its members",
            mesh("", metadata: deletion + resources)
                + node("green", "meshRef: {name: other, uid: m}"),
            mended: mesh("", metadata: deletion + members)
                + node("green", "meshRef: {name: other, uid: m}")
        ),
        MigrationCase(
            .terminating,
            .changes,
            "Mesh other",
            "once its last member is",
            mesh("", metadata: deletion + members)
                + node("green", "meshRef: {name: other, uid: m}"),
            mended: mesh("", metadata: deletion + resources)
        ),
        MigrationCase(
            .status,
            .changes,
            "Mesh other",
            "arn:aws:appmesh:eu-west-1:1:mesh/other",
            mesh("", status: "{meshARN: \"arn:aws:appmesh:eu-west-1:1:mesh/other\"}"),
            mended: mesh("", status: "{meshARN: \"arn:aws:appmesh:local:000000000000:mesh/other\"}")
        ),
    ]

    private static let provided = """
        apiVersion: appmesh.k8s.aws/v1beta2
        kind: VirtualService
        metadata: {name: color, namespace: demo}
        spec: {provider: {virtualNode: {virtualNodeRef: {name: green}}}}
        ---

        """
    private static let deletion = ", deletionTimestamp: \"2025-02-01T10:00:00Z\""
    private static let resources =
        ", finalizers: [finalizers.appmesh.k8s.aws/aws-appmesh-resources]"
    private static let members = ", finalizers: [finalizers.appmesh.k8s.aws/mesh-members]"
}
