import MeshAdmission
import MeshModel
import MeshTesting
import Testing

/// A Pod with one container.
func pod(
    labels: [String: JSONValue] = ["app": "blue"],
    annotations: [String: String] = [:],
    namespace: String = "demo",
    spec: [String: JSONValue] = [:]
) -> JSONValue {
    var metadata: JSONValue = [
        "name": "blue-1", "namespace": .string(namespace), "labels": .object(labels),
    ]
    if !annotations.isEmpty {
        metadata["annotations"] = .object(
            Dictionary(
                uniqueKeysWithValues: annotations.map { name, value in
                    ("appmesh.k8s.aws/\(name)", JSONValue.string(value))
                }
            )
        )
    }
    var all = spec
    if all["containers"] == nil { all["containers"] = [["name": "app", "image": "app:1"]] }
    return ["apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": .object(all)]
}

@Suite struct InjectionDecisionTests {
    private func isInjected(_ outcome: Outcome) -> Bool {
        let containers = outcome.object["spec"]?["initContainers"]?.array ?? []
        return containers.contains { $0["name"] == "envoy" }
    }

    @Test(arguments: [
        ("demo", nil, true), ("demo", "disabled", false), ("demo", "Disabled", false),
        ("demo", "enabled", true), ("quiet", nil, false),
    ])
    func `the namespace's label decides, and the Pod's annotation over it`(
        namespace: String,
        annotation: String?,
        expected: Bool
    ) throws {
        let annotations = annotation.map { ["sidecarInjectorWebhook": $0] } ?? [:]
        let outcome = try inject(pod(annotations: annotations, namespace: namespace))
        #expect(outcome.refusal == nil)
        #expect(isInjected(outcome) == expected)
        if !expected { #expect(outcome.operationCount == 0) }
    }

    @Test func `a node goes on with a mesh that was made anew, if that selects its namespace`()
        throws
    {
        let anew = clusterYAML.replacing(
            "name: demo, uid: mesh-uid}\nspec",
            with: "name: demo, uid: anew}\nspec"
        )
        #expect(isInjected(try inject(pod(), world: World(yaml: anew))))
        let elsewhere = anew.replacing(
            "spec: {namespaceSelector: {matchLabels: {mesh: demo}}}",
            with: "spec: {namespaceSelector: {matchLabels: {mesh: other}}}"
        )
        let refusal = try #require(try inject(pod(), world: World(yaml: elsewhere)).refusal)
        #expect(refusal.contains("let VirtualNode demo/blue, which selects it, belong to a mesh"))
    }

    @Test func `a Pod that nothing selects is refused where injection is enabled`() throws {
        let message = "sidecarInject enabled but no matching VirtualNode or VirtualGateway found"
        let outcome = try inject(pod(labels: ["app": "green"]))
        #expect(
            outcome.refusal
                == "Pod demo/blue-1: \(message); give the Pod the labels that a podSelector of its "
                + "namespace asks for, or the annotation appmesh.k8s.aws/sidecarInjectorWebhook: "
                + "disabled"
        )
        #expect(outcome.verdict.dependsOnWorld)
        let asked = pod(
            labels: ["app": "green"],
            annotations: ["sidecarInjectorWebhook": "enabled"],
            namespace: "quiet"
        )
        #expect(try #require(try inject(asked).refusal).contains(message))
        let unspecified = pod(labels: ["app": "green"], namespace: "both")
        #expect(try inject(unspecified).operationCount == 0)
    }

    @Test func `a virtual node of no mesh selects nothing, and is named`() throws {
        let world = World(
            yaml: """
                apiVersion: v1
                kind: Namespace
                metadata: {name: demo, labels: {appmesh.k8s.aws/sidecarInjectorWebhook: enabled}}
                ---
                apiVersion: appmesh.k8s.aws/v1beta2
                kind: VirtualNode
                metadata: {name: blue, namespace: demo}
                spec: {podSelector: {}}
                """
        )
        let refusal = try #require(try inject(pod(), world: world).refusal)
        #expect(refusal.contains("let VirtualNode demo/blue, which selects it, belong to a mesh"))
    }

    @Test func `a virtual node that is not in use is named where one is missing`() throws {
        var world = World(yaml: clusterYAML)
        world.virtualNodes = [:]
        world.diagnostics = [
            Diagnostic(
                .error,
                object: ObjectID(.virtualNode, ObjectReference(namespace: "demo", name: "blue")),
                problem: "wrong"
            )
        ]
        let refusal = try #require(try inject(pod(), world: world).refusal)
        #expect(refusal.contains("mend VirtualNode demo/blue, which is not in use"))
    }

    @Test(arguments: [
        ("VirtualNode", "VirtualNodes", #"{app: blue}"#),
        ("VirtualGateway", "VirtualGateways", #"{app: ingress}"#),
    ])
    func `a Pod that several select is refused`(kind: String, words: String, labels: String) throws
    {
        let world = World(
            yaml: clusterYAML + """

                ---
                apiVersion: appmesh.k8s.aws/v1beta2
                kind: \(kind)
                metadata: {name: again, namespace: demo}
                spec:
                  podSelector: {matchLabels: \(labels)}
                  listeners: [{portMapping: {port: 8080, protocol: http}}]
                  serviceDiscovery: {dns: {hostname: again.demo}}
                """
        )
        let app: JSONValue = kind == "VirtualNode" ? "blue" : "ingress"
        let first = kind == "VirtualNode" ? "blue" : "ingress"
        let names = ["demo/again", "demo/\(first)"].sorted().joined(separator: ",")
        let refusal = try inject(pod(labels: ["app": app]), world: world).refusal
        #expect(
            try #require(refusal).contains(
                "found multiple matching \(words) for pod demo/blue-1: \(names)"
            )
        )
    }

    @Test func `a Pod of both a virtual node and a gateway is refused`() throws {
        let both = pod(labels: ["role": "client", "app": "ingress"])
        #expect(
            try #require(try inject(both).refusal).contains(
                "sidecarInject enabled for both virtualNode client and virtualGateway ingress on pod "
                    + "blue-1. Please use podSelector on one"
            )
        )
    }

    private static let malformed: [(String, String, String)] = [
        ("cpuRequest", "lots", #""lots" is not a quantity"#),
        ("memoryRequest", "-1Mi", #""-1Mi" is not a quantity"#),
        ("cpuLimit", "", #""" is not a quantity"#),
        ("memoryLimit", "1 Mi", #""1 Mi" is not a quantity"#),
        ("ports", "8080,http", #""http" is not a port"#),
        ("ports", "70000", #""70000" is not a port"#),
        ("egressIgnoredPorts", "-1", #""-1" is not a port"#),
        ("egressIgnoredIPs", "10.0.0.0/33", "is neither an IP address nor a network"),
        ("egressIgnoredIPs", "example.com", "is neither an IP address nor a network"),
        (
            "secretMounts", "a",
            "malformed annotation appmesh.k8s.aws/secretMounts, expected format: secretName:mountPath"
        ),
        ("secretMounts", "a:b:c", "expected format: secretName:mountPath"),
        ("secretMounts", "a:/x,b:/x", #""/x" is mounted twice"#),
        ("volumeMounts", "a:relative", "expected format: volumeName:mountPath"),
        ("volumeMounts", "none:/x", #"the Pod has no volume "none""#),
        ("sidecarEnv", "novalue", "expected format: EnvVariableKey=EnvVariableValue"),
        ("sidecarEnv", "0=a", "expected format: EnvVariableKey=EnvVariableValue"),
        ("sidecarEnvJson", "{", #"expected format: [{"EnvVariableKey":"EnvVariableValue"}]"#),
        ("sidecarEnvJson", #"{"A":"b"}"#, "write a JSON list of objects"),
        ("sidecarEnvJson", #"[{"A":{"b":"c"}}]"#, "nested values are not supported"),
        (
            "sidecarEnvJson",
            String(repeating: "[", count: 400) + String(repeating: "]", count: 400),
            "malformed annotation"
        ),
        ("sidecarEnv", String(repeating: "A=b,", count: 4097), "it is 16388 bytes long"),
        (
            "secretMounts", (0..<65).map { "s:/\($0)" }.joined(separator: ","),
            "there are too many mounts"
        ),
        ("xrayAgentConfigMount", "a:/b,c:/d", "provide only one config mount for annotation"),
        ("xrayAgentConfigMount", "a", "expected format: volumeName:mountPath"),
        ("cpuRequest", "3", "is above the limit"),
    ]

    @Test(arguments: malformed)
    func `a malformed annotation is named with its value`(
        name: String,
        value: String,
        message: String
    ) throws {
        var annotations = [name: value]
        if message.contains("above the limit") { annotations["cpuLimit"] = "2" }
        let refusal = try #require(try inject(pod(annotations: annotations)).refusal)
        #expect(
            refusal.hasPrefix(
                #"Pod demo/blue-1: metadata.annotations["appmesh.k8s.aws/\#(name)"]: "#
            )
        )
        #expect(refusal.contains(message))
    }

    @Test func `an odd toggle has App Mesh's default, and a warning`() throws {
        let outcome = try inject(pod(annotations: ["ipv6": "false", "preview": "enabled"]))
        #expect(
            outcome.verdict.warnings == [
                #"appmesh.k8s.aws/ipv6: "false" is ignored; write enabled or disabled"#,
                "appmesh.k8s.aws/preview has no effect: there is no preview channel",
            ]
        )
        let container = outcome.object["spec"]?["initContainers"]?.array?.first
        let variable = container?["env"]?.array?.first { $0["name"] == "APPMESH_ENABLE_IPV6" }
        #expect(variable?["value"] == "1")
    }

    @Test func `a Pod in its host's network is not redirected`() throws {
        let outcome = try inject(pod(spec: ["hostNetwork": true]))
        #expect(outcome.operationCount == 0)
        #expect(outcome.verdict.warnings.count == 1)
    }

    @Test func `an update of a Pod is none of the injector's business`() throws {
        let review = review("Pod", pod(), "UPDATE", old: pod())
        #expect(try send(review, "/mutate-v1-pod").operationCount == 0)
    }

    @Test func `kubelet leaves the bootstrap as it is, but for the address that it knows`() throws {
        let settings = settings {
            $0.stats.statsdEnabled = true
            $0.stats.statsdAddress = "ref:status.hostIP"
        }
        let outcome = try inject(pod(), settings)
        let envoy = outcome.object["spec"]?["initContainers"]?.array?.last
        let text = try #require(envoy?["args"]?.array?.dropFirst().first?.string)
        #expect(text.contains(#""statsd":"$(STATSD_ADDRESS)""#))
        #expect(text.contains(#""regex":"^/$$""#))
        let variable = envoy?["env"]?.array?.first { $0["name"] == "STATSD_ADDRESS" }
        #expect(variable?["valueFrom"]?["fieldRef"]?["fieldPath"] == "status.hostIP")
    }
}
