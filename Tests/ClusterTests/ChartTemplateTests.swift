import Foundation
import MeshAdmission
import MeshDaemon
import MeshModel
import MeshTesting
import Testing

/// What the chart makes of its values.
@Suite(.enabled(if: Helm.isExpected), .timeLimit(.minutes(5)))
struct ChartTemplateTests {
    @Test func `the chart has no mistake that Helm finds`() async throws {
        try await Helm.run(["lint", Helm.chart])
    }

    @Test func `by default there are two careful replicas`() async throws {
        let objects = try await Helm.objects()
        #expect(
            Set(objects.keys) == [
                "ClusterRole heddle", "ClusterRoleBinding heddle", "ConfigMap heddle-injection",
                "Deployment heddle", "MutatingWebhookConfiguration heddle",
                "PodDisruptionBudget heddle", "Role heddle", "RoleBinding heddle", "Service heddle",
                "ServiceAccount heddle", "ValidatingWebhookConfiguration heddle",
            ]
        )
        let deployment = try #require(objects["Deployment heddle"]?["spec"])
        #expect(deployment["replicas"] == 2)
        let pod = try #require(deployment["template"]?["spec"])
        #expect(pod["securityContext"]?["runAsNonRoot"] == true)
        #expect(pod["securityContext"]?["seccompProfile"]?["type"] == "RuntimeDefault")
        #expect(pod["affinity"]?["podAntiAffinity"] != nil)
        #expect(pod["topologySpreadConstraints"]?.array?.count == 1)
        let container = try #require(pod["containers"]?.array?.first)
        #expect(container["image"] == .string("registry.example.com/heddle:\(heddleVersion)"))
        #expect(
            container["securityContext"] == [
                "allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true,
                "capabilities": ["drop": ["ALL"]],
            ]
        )
        #expect(container["readinessProbe"]?["httpGet"] == ["path": "/readyz", "port": "http"])
        #expect(container["args"]?.array?.prefix(2) == ["run", "--kubernetes"])
        #expect(container["args"]?.array?.contains("--certificate-lifetime=24h") == true)
        // `kubectl exec deployment/heddle -- heddle status` finds the replica by it.
        let mounts = container["volumeMounts"]?.array ?? []
        let state = try #require(mounts.first { $0["name"] == "state" }?["mountPath"])
        #expect(container["env"] == [["name": "HEDDLE_STATE_DIR", "value": state]])
        let budget = try #require(objects["PodDisruptionBudget heddle"])
        #expect(budget["apiVersion"] == "policy/v1")
        #expect(budget["spec"]?["maxUnavailable"] == 1)
    }

    @Test func `webhooks are where App Mesh's were, and wait for their authority`() async throws {
        let objects = try await Helm.objects()
        let kinds =
            ["mesh", "virtualnode", "virtualservice", "virtualrouter", "virtualgateway"]
            + ["gatewayroute", "backendgroup"]
        for (verb, kind) in [("mutate", "Mutating"), ("validate", "Validating")] {
            let configuration = try #require(objects["\(kind)WebhookConfiguration heddle"])
            let webhooks = try #require(configuration["webhooks"]?.array)
            let paths = webhooks.compactMap { $0["clientConfig"]?["service"]?["path"]?.string }
            let others =
                verb == "mutate"
                ? ["/mutate-v1-pod"]
                : ["trafficpolicy", "certificatemapping"].map {
                    "/validate-heddle-dev-v1alpha1-\($0)"
                }
            #expect(
                Set(paths) == Set(kinds.map { "/\(verb)-appmesh-k8s-aws-v1beta2-\($0)" } + others)
            )
            for webhook in webhooks {
                #expect(webhook["failurePolicy"] == "Fail")
                #expect(webhook["sideEffects"] == "None")
                #expect(webhook["admissionReviewVersions"] == ["v1"])
                #expect(webhook["clientConfig"]?["caBundle"] == nil)
                let isOfPods = webhook["name"] == "mutate-pod.appmesh.k8s.aws"
                let operations: JSONValue = isOfPods ? ["CREATE"] : ["CREATE", "UPDATE"]
                #expect(webhook["rules"]?.array?.first?["operations"] == operations)
                let selector: JSONValue = [
                    "key": "appmesh.k8s.aws/sidecarInjectorWebhook", "operator": "In",
                    "values": ["enabled", "disabled"],
                ]
                #expect(
                    webhook["namespaceSelector"]
                        == (isOfPods ? ["matchExpressions": [selector]] : nil)
                )
            }
        }
    }

    @Test func `a values file of App Mesh's chart is taken, without App Mesh's images`()
        async throws
    {
        let objects = try await Helm.objects(values: [ChartValues.ofAppMesh, ChartValues.image])
        let pod = try #require(objects["Deployment heddle"]?["spec"]?["template"]?["spec"])
        let container = try #require(pod["containers"]?.array?.first)
        #expect(container["image"] == .string("registry.example.com/heddle:\(heddleVersion)"))
        let environment = container["env"]?.array ?? []
        #expect(
            environment.contains(["name": "http_proxy", "value": "http://proxy.example.com:3128"])
        )
        #expect(container["resources"]?["limits"] == ["cpu": "2000m", "memory": "1Gi"])
        #expect(pod["serviceAccountName"] == "appmesh-controller")
        // The chart's own stays unless it is said to be null.
        #expect(objects["PodDisruptionBudget heddle"]?["spec"]?["maxUnavailable"] == 1)
        let settings = try Self.settings(objects["ConfigMap heddle-injection"])
        #expect(settings["region"] == "eu-west-1")
        let sidecar = try #require(settings["sidecar"])
        #expect(sidecar["image"] == ["repository": "envoyproxy/envoy", "tag": "v1.40.0"])
        #expect(sidecar["logLevel"] == "warning")
        #expect(sidecar["resources"]?["requests"] == ["cpu": "10m", "memory": "32Mi"])
        #expect(sidecar["lifecycleHooks"]?["preStopDelay"] == 30)
        #expect(sidecar["useFipsEndpoint"] == nil)
        #expect(
            settings["init"]?["image"] == [
                "repository": "registry.example.com/heddle", "tag": .string(heddleVersion),
            ]
        )
        #expect(settings["tracing"]?["provider"] == "x-ray")
        #expect(settings["stats"]?["statsdAddress"] == "ref:status.hostIP")
    }

    @Test func `everything can be on`() async throws {
        let objects = try await Helm.objects(
            values: [ChartValues.everything],
            "--api-versions",
            "monitoring.coreos.com/v1"
        )
        let names = ["NetworkPolicy mesh", "ServiceMonitor mesh", "PrometheusRule mesh"]
        for name in names { #expect(objects[name] != nil, "\(name)") }
        let ingress = objects["NetworkPolicy mesh"]?["spec"]?["ingress"]?.array ?? []
        #expect(ingress.map { $0["ports"]?.array?.first?["port"] } == ["xds", "webhook", "http"])
        #expect(
            ingress.map { $0["from"]?.array?.first }
                == [
                    nil, ["ipBlock": ["cidr": "10.0.0.0/28"]],
                    ["namespaceSelector": ["matchLabels": ["team": "ops"]]],
                ]
        )
        let budget = objects["PodDisruptionBudget mesh"]?["spec"]
        #expect(budget?["minAvailable"] == 2)
        #expect(budget?["maxUnavailable"] == nil)
        let pod = try #require(objects["Deployment mesh"]?["spec"]?["template"]?["spec"])
        let container = try #require(pod["containers"]?.array?.first)
        #expect(container["image"] == "registry.example.com/heddle@sha256:0123")
        let arguments = container["args"]?.array ?? []
        #expect(arguments.contains("--service-name=mesh.heddle-system.svc"))
        #expect(arguments.contains("--ca-secret=root"))
        #expect(pod["affinity"] == ["nodeAffinity": [:]])
        #expect(pod["topologySpreadConstraints"]?.array?.first?["topologyKey"] == "rack")
        let settings = try Self.settings(objects["ConfigMap mesh-injection"])
        #expect(settings["imagePullSecrets"] == ["pull"])
        #expect(
            settings["init"]?["image"] == [
                "repository": "registry.example.com/redirect", "tag": "1",
            ]
        )
        #expect(settings["tracing"]?["samplingRate"] == .number(0.5))
        let webhooks = objects["MutatingWebhookConfiguration mesh"]?["webhooks"]?.array ?? []
        #expect(webhooks.allSatisfy { $0["failurePolicy"] == "Ignore" })
        let groups = objects["PrometheusRule mesh"]?["spec"]?["groups"]?.array ?? []
        #expect(groups.first?["name"] == "heddle-rates")
    }

    @Test func `what is null or off is left out`() async throws {
        let objects = try await Helm.objects(
            values: [
                ChartValues.image,
                """
                podDisruptionBudget: null
                rbac: {create: false}
                serviceAccount: {create: false, name: mine}
                """,
            ]
        )
        #expect(objects["PodDisruptionBudget heddle"] == nil)
        #expect(objects.keys.allSatisfy { !$0.contains("Role") && !$0.contains("ServiceAccount") })
        let pod = objects["Deployment heddle"]?["spec"]?["template"]?["spec"]
        #expect(pod?["serviceAccountName"] == "mine")
    }

    /// What the values file of one version or another of App Mesh's chart has as an empty string.
    @Test(arguments: [
        "serviceAccount: {annotations: \"\"}", "env: \"\"", "resources: \"\"", "affinity: \"\"",
        "podAnnotations: \"\"", "podLabels: \"\"", "nodeSelector: \"\"", "tolerations: \"\"",
        "imagePullSecrets: \"\"", "podDisruptionBudget: \"\"",
    ])
    func `an empty string is as good as nothing`(_ values: String) async throws {
        let objects = try await Helm.objects(values: [ChartValues.image, values])
        #expect(objects["Deployment heddle"]?["spec"]?["replicas"] == 2)
        #expect(objects["ServiceAccount heddle"]?["metadata"]?["annotations"] == nil)
    }

    @Test(arguments: ["", ChartValues.ofAppMesh, ChartValues.everything])
    func `the injector reads the settings that the chart writes`(_ values: String) async throws {
        let isWhole = values == ChartValues.everything
        let objects = try await Helm.objects(
            values: isWhole ? [values] : [values, ChartValues.image],
            "--api-versions",
            "monitoring.coreos.com/v1"
        )
        let map = try #require(objects.first { $0.key.hasPrefix("ConfigMap ") }?.value)
        let written = try Self.settings(map)
        let settings = try JSONDecoder()
            .decode(InjectionSettings.self, from: Data(try written.text.utf8))
        #expect(settings.proxyImage.contains("envoy"))
        #expect(settings.problems == [])
        // The daemon itself sets the versions and the token.
        var read = try JSONValue(
            text: String(decoding: JSONEncoder().encode(settings), as: UTF8.self)
        )
        for key in ["kubernetesVersion", "heddleVersion", "token"] { read[key] = nil }
        #expect(read.flattened == written.flattened)
    }

    /// Values with a mistake, and the value that is told of.
    static let wrong = [
        ("replicaCounts: 2", "replicaCounts"),
        ("replicaCount: 0", "replicaCount"),
        ("replicaCount: two", "replicaCount"),
        ("image: {pullPolicy: Sometimes}", "pullPolicy"),
        ("log: {level: chatty}", "level"),
        ("sidecar: {logLevel: loud}", "logLevel"),
        ("sidecar: {envoyAdminAccessPort: 70000}", "envoyAdminAccessPort"),
        ("sidecar: {resources: {requests: {cpu: lots}}}", "cpu"),
        ("sidecar: {lifecycleHooks: {preStopDelay: -1}}", "preStopDelay"),
        ("sidecar: {side: car}", "side"),
        ("nativeSidecars: always", "nativeSidecars"),
        ("tracing: {provider: zipkin}", "provider"),
        ("tracing: {samplingRate: 2}", "samplingRate"),
        ("stats: {statsdPort: 0}", "statsdPort"),
        ("sds: {udsPath: agent.sock}", "udsPath"),
        ("webhooks: {pods: {failurePolicy: Maybe}}", "failurePolicy"),
        ("webhooks: {timeoutSeconds: 31}", "timeoutSeconds"),
        ("authority: {secretName: My Root}", "secretName"),
        ("certificateLifetime: 5s", "certificateLifetime"),
        ("certificateLifetime: 1 day", "certificateLifetime"),
        ("egressIgnoredIPs: metadata", "egressIgnoredIPs"),
        ("podDisruptionBudget: {atLeast: 1}", "podDisruptionBudget"),
        ("env: {A: [b]}", "env"),
        ("serviceMonitor: {interval: often}", "interval"),
        ("networkPolicy: {metricsFrom: everywhere}", "metricsFrom"),
        ("networkPolicy: {webhookFrom: everywhere}", "webhookFrom"),
    ]

    @Test(arguments: wrong)
    func `a wrong value is refused by its name`(values: String, name: String) async throws {
        let failure = await #expect(throws: Helm.Failure.self) {
            try await Helm.objects(values: [ChartValues.image, values])
        }
        #expect(failure?.description.contains(name) == true, "\(failure as Any)")
    }

    /// What Heddle would refuse at its start, when App Mesh's controller has ended, and no schema finds.
    @Test func `an install that could not run is refused with all its mistakes`() async throws {
        let failure = await #expect(throws: Helm.Failure.self) {
            try await Helm.objects(
                values: [
                    """
                    tracing: {enabled: true, provider: x-ray}
                    stats: {statsdEnabled: true, statsdAddress: datadog.svc}
                    sidecar: {readinessPort: 9901}
                    """
                ]
            )
        }
        let told = try #require(failure).description
        for mistake in [
            "image.repository: not given", "--set image.repository=REGISTRY/heddle",
            "region: empty, and the X-Ray daemon needs it",
            "stats.statsdAddress: \"datadog.svc\" is not an IP address",
            "sidecar.readinessPort: 9901 is taken",
        ] { #expect(told.contains(mistake), "\(told)") }
    }

    @Test func `App Mesh's controller is no image of Heddle`() async throws {
        let failure = await #expect(throws: Helm.Failure.self) {
            try await Helm.objects(values: [ChartValues.ofAppMesh])
        }
        let name = "image.repository: registry.example.com/amazon/appmesh-controller is App Mesh's"
        #expect(failure?.description.contains(name) == true, "\(failure as Any)")
    }

    @Test func `the manifests for kubectl are what the chart makes`() async throws {
        let script = packageFolder.appending(path: "Manifests/install.py").path
        let result = try await runCommand("/usr/bin/env", ["python3", script, "--check"])
        #expect(result.status == 0, "\(result.output)")
    }

    /// The settings of injection in a ConfigMap.
    static func settings(_ map: JSONValue?) throws -> JSONValue {
        try JSONValue(text: try #require(map?["data"]?["injection.json"]?.string))
    }
}
