@testable import MeshDaemon

extension MigrationCase {
    static let controller = [
        MigrationCase(
            .controller,
            .blocks,
            "Deployment appmesh-system/appmesh-controller",
            "--replicas=0",
            deployment(replicas: 1),
            mended: deployment(replicas: 0)
        ),
        MigrationCase(
            .controller,
            .works,
            "Deployment appmesh-system/appmesh-controller",
            "does not run",
            deployment(replicas: 0),
            mended: deployment(replicas: 1)
        ),
        MigrationCase(
            .webhooks,
            .changes,
            "MutatingWebhookConfiguration appmesh",
            "once it does not run",
            webhooks(service: "appmesh-controller-webhook-service") + deployment(replicas: 1),
            mended: webhooks(service: "heddle") + deployment(replicas: 1)
        ),
        MigrationCase(
            .webhooks,
            .blocks,
            "MutatingWebhookConfiguration appmesh",
            "kubectl delete mutatingwebhookconfiguration appmesh",
            webhooks(service: "appmesh-controller-webhook-service") + deployment(replicas: 0),
            mended: webhooks(service: "appmesh-controller-webhook-service")
                + deployment(replicas: 1)
        ),
        MigrationCase(
            .webhooks,
            .changes,
            "MutatingWebhookConfiguration appmesh",
            "waits for them",
            webhooks(service: "appmesh-controller-webhook-service", policy: "Ignore"),
            mended: webhooks(service: "heddle", policy: "Ignore")
        ),
        MigrationCase(
            .customResources,
            .blocks,
            "CustomResourceDefinition meshes.appmesh.k8s.aws",
            "v1beta1, v1beta2",
            definition(stored: "[v1beta1, v1beta2]"),
            mended: definition(stored: "[v1beta2]")
        ),
        MigrationCase(
            .customResources,
            .changes,
            "CustomResourceDefinition meshes.appmesh.k8s.aws",
            "spec.meshOwner",
            definition(fields: meshFields.filter { $0 != "meshOwner: {type: string}" }),
            mended: definition(fields: meshFields)
        ),
        MigrationCase(
            .customResources,
            .changes,
            "CustomResourceDefinition meshes.appmesh.k8s.aws",
            "spec.colour",
            definition(fields: meshFields + ["colour: {type: string}"]),
            mended: definition(fields: meshFields)
        ),
        MigrationCase(
            .canary,
            .works,
            "CustomResourceDefinition canaries.flagger.app",
            "Flagger",
            """
            apiVersion: apiextensions.k8s.io/v1
            kind: CustomResourceDefinition
            metadata: {name: canaries.flagger.app}
            spec: {group: flagger.app, names: {kind: Canary}}
            """,
            mended: ""
        ),
    ]

    private static func deployment(replicas: Int) -> String {
        """
        apiVersion: apps/v1
        kind: Deployment
        metadata: {name: appmesh-controller, namespace: appmesh-system}
        spec:
          replicas: \(replicas)
          template:
            metadata: {labels: {app: appmesh-controller}}
            spec: {containers: [{name: controller, image: "public.ecr.aws/appmesh/appmesh-controller:v1.13.1"}]}
        ---

        """
    }

    private static func webhooks(service: String, policy: String = "Fail") -> String {
        """
        apiVersion: admissionregistration.k8s.io/v1
        kind: MutatingWebhookConfiguration
        metadata: {name: appmesh}
        webhooks:
          - name: mutate-mesh.appmesh.k8s.aws
            failurePolicy: \(policy)
            clientConfig: {service: {name: \(service), namespace: appmesh-system, path: /mutate}}
        ---

        """
    }

    private static let selector = """
        {type: object, properties: {matchLabels: {type: object, additionalProperties: {type: string}}, \
        matchExpressions: {type: array, items: {type: object, properties: {key: {type: string}, \
        operator: {type: string}, values: {type: array, items: {type: string}}}}}}}
        """
    private static let meshFields = [
        "awsName: {type: string}", "namespaceSelector: \(selector)", "meshOwner: {type: string}",
        "egressFilter: {type: object, properties: {type: {type: string}}}",
        "meshServiceDiscovery: {type: object, properties: {ipPreference: {type: string}}}",
    ]

    private static func definition(
        stored: String = "[v1beta2]",
        fields: [String] = meshFields
    ) -> String {
        """
        apiVersion: apiextensions.k8s.io/v1
        kind: CustomResourceDefinition
        metadata: {name: meshes.appmesh.k8s.aws}
        spec:
          group: appmesh.k8s.aws
          names: {kind: Mesh, plural: meshes}
          versions:
            - name: v1beta2
              schema: {openAPIV3Schema: {properties: {spec: {properties: {\(fields.joined(separator: ", "))}}}}}
        status: {storedVersions: \(stored)}
        ---

        """
    }

    static let blue = "Deployment demo/blue"

    static let pods = [
        MigrationCase(
            .awsEnvoy,
            .changes,
            blue,
            "rollout restart deployment",
            MigrationDump.pod(),
            mended: MigrationDump.pod(image: "envoyproxy/envoy:v1.40.0", hasToken: true)
        ),
        MigrationCase(
            .awsEnvoy,
            .changes,
            blue,
            "registry.example.com/mirror/envoy:1",
            MigrationDump.pod(image: "registry.example.com/mirror/envoy:1"),
            mended: MigrationDump.pod(image: "registry.example.com/mirror/envoy:1", hasToken: true)
        ),
        MigrationCase(
            .notInjected,
            .changes,
            blue,
            "have no proxy",
            MigrationDump.pod().replacing("name: envoy", with: "name: other"),
            mended: MigrationDump.pod()
        ),
        MigrationCase(
            .refusedPod,
            .blocks,
            blue,
            "VirtualNode demo/blue, VirtualNode demo/green",
            MigrationDump.pod() + node("green", "podSelector: {matchLabels: {app: blue}}"),
            mended: MigrationDump.pod() + node("green", "podSelector: {matchLabels: {app: green}}")
        ),
        MigrationCase(
            .refusedPod,
            .changes,
            blue,
            "no podSelector selects",
            MigrationDump.pod(labels: "app: red"),
            mended: MigrationDump.pod(
                labels: "app: red",
                annotations: "appmesh.k8s.aws/sidecarInjectorWebhook: disabled"
            )
        ),
        MigrationCase(
            .hostNetwork,
            .changes,
            blue,
            "share the network",
            MigrationDump.pod(more: "hostNetwork: true"),
            mended: MigrationDump.pod()
        ),
        MigrationCase(
            .fargate,
            .blocks,
            blue,
            "Fargate",
            MigrationDump.pod(labels: "app: blue, eks.amazonaws.com/fargate-profile: p"),
            mended: MigrationDump.pod()
        ),
        MigrationCase(
            .cni,
            .changes,
            blue,
            "CNI plugin",
            MigrationDump.pod(annotations: "appmesh.k8s.aws/appmeshCNI: enabled"),
            mended: MigrationDump.pod(annotations: "appmesh.k8s.aws/appmeshCNI: disabled")
        ),
        MigrationCase(
            .annotations,
            .changes,
            blue,
            "no preview channel",
            MigrationDump.pod(annotations: "appmesh.k8s.aws/preview: enabled"),
            mended: MigrationDump.pod()
        ),
        MigrationCase(
            .annotations,
            .changes,
            blue,
            "X-Ray's daemon",
            MigrationDump.pod(annotations: "appmesh.k8s.aws/xrayAgentConfigMount: \"a:/b\""),
            mended: MigrationDump.pod()
        ),
        MigrationCase(
            .annotations,
            .changes,
            blue,
            "250m and 256Mi",
            MigrationDump.pod(),
            mended: MigrationDump.pod(annotations: "appmesh.k8s.aws/cpuRequest: 100m")
        ),
        MigrationCase(
            .gateway,
            .blocks,
            "Deployment demo/blue",
            "no container of theirs is named envoy",
            gateway
                + MigrationDump.pod(labels: "app: edge").replacing(
                    "name: envoy",
                    with: "name: proxy"
                ),
            mended: gateway + MigrationDump.pod(labels: "app: edge")
        ),
        MigrationCase(
            .gateway,
            .blocks,
            "Deployment demo/blue",
            "keeps AWS' image",
            gateway + MigrationDump.pod(labels: "app: edge", annotations: keepsImage),
            mended: gateway
                + MigrationDump.pod(
                    labels: "app: edge",
                    annotations: keepsImage,
                    image: "envoyproxy/envoy:v1.40.0"
                )
        ),
        MigrationCase(
            .gateway,
            .changes,
            "Deployment demo/blue",
            "puts Heddle's Envoy",
            gateway + MigrationDump.pod(labels: "app: edge"),
            mended: gateway + MigrationDump.pod(labels: "app: edge", annotations: keepsImage)
        ),
        MigrationCase(
            .gateway,
            .changes,
            "Deployment demo/blue",
            "not to be injected",
            gateway
                + MigrationDump.pod(
                    labels: "app: edge",
                    annotations: "appmesh.k8s.aws/sidecarInjectorWebhook: disabled"
                ),
            mended: gateway + MigrationDump.pod(labels: "app: edge")
        ),
        MigrationCase(
            .iam,
            .works,
            blue,
            "role/envoy",
            MigrationDump.pod(
                environment: ", {name: AWS_ROLE_ARN, value: \"arn:aws:iam::1:role/envoy\"}"
            ),
            mended: MigrationDump.pod()
        ),
        MigrationCase(
            .iam,
            .works,
            blue,
            "EKS Pod Identity",
            MigrationDump.pod(
                environment: variables(
                    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
                    "http://169.254.170.23/v1/credentials"
                )
            ),
            mended: MigrationDump.pod()
        ),
        MigrationCase(
            .annotations,
            .changes,
            blue,
            "did you mean appmesh.k8s.aws/cpuRequest?",
            MigrationDump.pod(annotations: "appmesh.k8s.aws/cpuRequests: 100m"),
            mended: MigrationDump.pod(annotations: "appmesh.k8s.aws/cpuRequest: 100m")
        ),
        MigrationCase(
            .probes,
            .blocks,
            blue,
            "port 8080",
            strict + probed("httpGet: {port: 8080, path: /}"),
            mended: strict + probed("exec: {command: [\"true\"]}")
        ),
        MigrationCase(
            .probes,
            .blocks,
            "CronJob demo/blue",
            "port 8080",
            strict + cronJob,
            mended: cronJob
        ),
        MigrationCase(
            .injection,
            .works,
            "Namespace more",
            "enabled",
            """
            apiVersion: v1
            kind: Namespace
            metadata: {name: more, labels: {appmesh.k8s.aws/sidecarInjectorWebhook: enabled}}
            """,
            mended: """
                apiVersion: v1
                kind: Namespace
                metadata: {name: more}
                """
        ),
        MigrationCase(
            .gateway,
            .blocks,
            "Deployment demo/edge",
            "readinessProbe: port 9901",
            gateway + template("readinessProbe: {httpGet: {port: 9901, path: /ready}}"),
            mended: gateway + template("readinessProbe: {httpGet: {port: 9902, path: /ready}}")
        ),
        MigrationCase(
            .gateway,
            .changes,
            "Deployment demo/edge",
            "livenessProbe.exec: sh -c curl",
            gateway + template("livenessProbe: {exec: {command: [sh, -c, curl]}}"),
            mended: gateway + template("livenessProbe: {tcpSocket: {port: 8088}}")
        ),
        MigrationCase(
            .readinessGate,
            .blocks,
            "Deployment demo/edge",
            "conditions.appmesh.k8s.aws/aws-cloudmap-healthy",
            gateway + template("", healthGate),
            mended: gateway + template("", "")
        ),
    ]

    /// The mesh `demo` once more, with mutual TLS; the last of a name counts.
    private static let strict = """
        apiVersion: appmesh.k8s.aws/v1beta2
        kind: Mesh
        metadata: {name: demo, uid: mesh-1, annotations: {heddle.dev/mtls: STRICT}}
        spec: {awsName: demo, namespaceSelector: {matchLabels: {mesh: demo}}}
        ---

        """

    private static func probed(_ probe: String) -> String {
        MigrationDump.pod().replacing(
            "image: \"example.com/blue:1\"}",
            with: "image: \"example.com/blue:1\", readinessProbe: {\(probe)}}"
        )
    }

    private static let cronJob = """
        apiVersion: batch/v1
        kind: CronJob
        metadata: {name: blue, namespace: demo}
        spec:
          jobTemplate:
            spec:
              template:
                metadata: {labels: {app: blue}}
                spec: {containers: [{name: app, readinessProbe: {grpc: {port: 8080}}}]}
        ---

        """

    private static let healthGate =
        "readinessGates: [{conditionType: conditions.appmesh.k8s.aws/aws-cloudmap-healthy}]"

    private static let keepsImage = "appmesh.k8s.aws/virtualGatewaySkipImageOverride: enabled"
    private static let gateway = """
        apiVersion: appmesh.k8s.aws/v1beta2
        kind: VirtualGateway
        metadata: {name: edge, namespace: demo}
        spec:
          podSelector: {matchLabels: {app: edge}}
          listeners: [{portMapping: {port: 8088, protocol: http}}]
        ---

        """

    private static func template(_ probe: String, _ field: String = "") -> String {
        """
        apiVersion: apps/v1
        kind: Deployment
        metadata: {name: edge, namespace: demo}
        spec:
          template:
            metadata: {labels: {app: edge}}
            spec: {containers: [{name: envoy, image: "envoyproxy/envoy:v1.40.0", \(probe)}], \(field)}
        ---

        """
    }
}
