import MeshAdmission
import MeshModel
import MeshTesting
import Testing

@Suite struct InjectionFuzzTests {
    @Test(arguments: seeds(400))
    func `any Pod that is valid before is valid after`(seed: UInt64) throws {
        var random = SeededGenerator(seed: seed)
        let sent = randomPod(&random)
        let settings = randomSettings(&random)
        try #require(problems(of: sent) == [], "the generator makes valid Pods")
        let outcome = try inject(sent, settings)
        if outcome.refusal != nil { return }
        #expect(problems(of: outcome.object) == [])
        let again = try inject(outcome.object, settings)
        #expect(again.operationCount == 0)
        #expect(again.refusal == nil)
    }

    /// What Kubernetes would refuse.
    private func problems(of pod: JSONValue) -> [String] {
        let spec = pod["spec"] ?? .null
        let lists = ["containers", "initContainers"].flatMap { spec[$0]?.array ?? [] }
        let names = lists.compactMap { $0["name"]?.string }
        let volumes = (spec["volumes"]?.array ?? []).compactMap { $0["name"]?.string }
        var problems: [String] = []
        if Set(names).count < names.count || names.count < lists.count {
            problems.append("containers: \(names)")
        }
        if Set(volumes).count < volumes.count { problems.append("volumes: \(volumes)") }
        for volume in volumes
        where volume.isEmpty || volume.utf8.count > 63 || volume.contains(".") {
            problems.append("volume name \(volume)")
        }
        for container in lists {
            let mounts = container["volumeMounts"]?.array ?? []
            let paths = mounts.compactMap { $0["mountPath"]?.string }
            if Set(paths).count < paths.count { problems.append("mounts: \(paths)") }
            for mount in mounts where !volumes.contains(mount["name"]?.string ?? "") {
                problems.append("mount of no volume: \(mount)")
            }
            let variables = (container["env"]?.array ?? []).compactMap { $0["name"]?.string }
            if Set(variables).count < variables.count { problems.append("env: \(variables)") }
            if container["image"]?.string?.isEmpty ?? true { problems.append("no image") }
        }
        let secrets = (spec["imagePullSecrets"]?.array ?? []).compactMap { $0["name"]?.string }
        if Set(secrets).count < secrets.count { problems.append("secrets: \(secrets)") }
        return problems
    }

    private func randomPod(_ random: inout SeededGenerator) -> JSONValue {
        let names = ["app", "envoy", "proxyinit", "xray-daemon", "helper", "other"]
        let volumeNames = ["heddle-token", "config", "ca-root", "tls", "appmesh-sds-socket-volume"]
        var spec: [String: JSONValue] = [:]
        let volumes = volumeNames.filter { _ in random.chance(40) }
        if random.chance(80) {
            spec["volumes"] = .array(
                volumes.map { name in
                    random.chance(50)
                        ? ["name": .string(name), "emptyDir": [:]]
                        : ["name": .string(name), "secret": ["secretName": "tls"]]
                }
            )
        }
        let present = spec["volumes"] == nil ? [] : volumes
        var free = names.shuffled(using: &random)
        for list in ["containers", "initContainers"] where list == "containers" || random.chance(50)
        {
            let containers = (0..<Int.random(in: 1...2, using: &random)).map { _ -> JSONValue in
                var container: JSONValue = ["name": .string(free.removeLast()), "image": "a:1"]
                if random.chance(30) {
                    container["env"] = [["name": "ENVOY_LOG_LEVEL", "value": "x"]]
                }
                if random.chance(30) { container["args"] = ["a"] }
                if let volume = present.first, random.chance(40) {
                    container["volumeMounts"] = [["name": .string(volume), "mountPath": "/a"]]
                }
                return container
            }
            spec[list] = .array(containers)
        }
        if random.chance(20) { spec["imagePullSecrets"] = [["name": "registry"]] }
        if random.chance(20) { spec["securityContext"] = .null }
        if random.chance(20) { spec["terminationGracePeriodSeconds"] = random.chance(50) ? 0 : 5 }
        var result = pod(
            labels: ["app": random.chance(70) ? "blue" : "ingress"],
            annotations: randomAnnotations(&random),
            spec: spec
        )
        if random.chance(10) { result["metadata"]?["labels"] = .object(["role": "client"]) }
        return result
    }

    private func randomAnnotations(_ random: inout SeededGenerator) -> [String: String] {
        let values: [String: [String]] = [
            "secretMounts": ["tls:/tls", "ca.root:/ca, tls:/tls", "heddle-token:/x", "a:b:c"],
            "volumeMounts": ["config:/config", "tls:/a,tls:/b", "none:/x"],
            "sidecarEnv": ["A=b", "ENVOY_CONCURRENCY=0", "x"], "cpuLimit": ["50m", "2"],
            "memoryRequest": ["1Gi", "?"], "ports": ["8080", "", "0"], "sds": ["disabled"],
            "appmeshCNI": ["enabled", "disabled"], "ipv6": ["disabled"],
            "xrayAgentConfigMount": ["config:/etc/x", "none:/x"],
            "virtualGatewaySkipImageOverride": ["enabled"],
            "sidecarEnvJson": [#"[{"A":"c"}]"#, "{"],
        ]
        var annotations: [String: String] = [:]
        for name in values.keys.sorted() where random.chance(15) {
            annotations[name] = random.pick(values[name] ?? [])
        }
        return annotations
    }

    private func randomSettings(_ random: inout SeededGenerator) -> InjectionSettings {
        settings {
            $0.kubernetesVersion = random.pick([
                "", "v1.20.2", "v1.29.0+k3s1", "1.33", "2.0", "wrong",
            ])
            $0.nativeSidecars = random.pick([.auto, .enabled, .disabled])
            $0.sds.enabled = random.chance(30)
            $0.tracing.enabled = random.chance(40)
            $0.tracing.provider = random.pick([.xRay, .jaeger, .datadog])
            $0.stats.statsdEnabled = random.chance(30)
            $0.sidecar.waitUntilProxyReady = random.chance(30)
            $0.imagePullSecrets = random.chance(30) ? ["registry", "more"] : []
        }
    }
}

@Suite struct MalformedReviewTests {
    private let controller = AdmissionController(settings: settings(), bootstrap: echoBootstrap)

    private func isMalformed(_ review: JSONValue, _ path: String) -> Bool {
        guard case .malformed = controller.answer(to: review, path: path, in: cluster) else {
            return false
        }
        return true
    }

    @Test func `what is no AdmissionReview can't be answered`() {
        let good = review("Pod", pod())
        var reviews: [JSONValue] = [.null, [], "x", [:], ["request": [:]]]
        for key in ["apiVersion", "kind", "request"] {
            var bad = good
            bad[key] = 3
            reviews.append(bad)
        }
        for key in ["uid", "operation", "object", "kind"] {
            var bad = good
            bad["request"]?[key] = nil
            reviews.append(bad)
        }
        var update = good
        update["request"]?["operation"] = "UPDATE"
        reviews.append(update)
        var old = good
        old["apiVersion"] = "admission.k8s.io/v1beta1"
        reviews.append(old)
        for bad in reviews { #expect(isMalformed(bad, "/mutate-v1-pod"), "\(bad)") }
        #expect(isMalformed(review("VirtualNode", object(.virtualNode, [:])), "/mutate-v1-pod"))
    }

    @Test func `there is a webhook for every kind, and no other`() {
        #expect(AdmissionController.paths.count == 7 + 9 + 1)
        for path in AdmissionController.paths {
            #expect(isMalformed(.null, path))
        }
        let answer = controller.answer(to: review("Pod", pod()), path: "/mutate", in: cluster)
        #expect(answer == .noSuchPath)
    }

    @Test func `what takes other objects waits until they are read`() throws {
        let pod = review("Pod", pod())
        #expect(controller.answer(to: pod, path: "/mutate-v1-pod", in: nil) == .unready)
        let node = review("VirtualNode", object(.virtualNode, [:]))
        #expect(
            controller.answer(to: node, path: path("mutate", .virtualNode), in: nil) == .unready
        )
        #expect(try validate(.virtualNode, object(.virtualNode, [:])).refusal == nil)
        let mesh = review("Mesh", object(.mesh, [:]), namespace: "")
        #expect(try send(mesh, path("mutate", .mesh), world: nil).operationCount == 1)
    }

    @Test func `deletions pass`() throws {
        var deletion = review("VirtualNode", .null, "DELETE", old: object(.virtualNode, [:]))
        #expect(try send(deletion, path("validate", .virtualNode)).refusal == nil)
        deletion["request"]?["operation"] = "CONNECT"
        #expect(try send(deletion, path("validate", .virtualNode)).refusal == nil)
    }

    @Test(arguments: seeds(400))
    func `no document makes it fail`(seed: UInt64) throws {
        var random = SeededGenerator(seed: seed)
        let kinds: [(String, JSONValue, [String])] =
            [("Pod", pod(annotations: ["secretMounts": "a:/b"]), ["/mutate-v1-pod"])]
            + Kind.allCases.filter { $0 != .namespace && $0 != .workload }.map { kind in
                let made = object(
                    kind,
                    ["listeners": [], "routes": [["httpRoute": ["match": [:]]]]]
                )
                return (kind.rawValue, made, [path("mutate", kind), path("validate", kind)])
            }
        let (kind, document, paths) = random.pick(kinds)
        var sent = review(kind, document, random.pick(["CREATE", "UPDATE"]), old: document)
        for _ in 0..<Int.random(in: 1...5, using: &random) {
            sent = RandomJSON.edited(sent, &random)
        }
        let answer = controller.answer(to: sent, path: random.pick(paths), in: cluster)
        guard case .verdict(let verdict, let uid, _) = answer else { return }
        guard case .allowed(let operations) = verdict.decision else { return }
        #expect(verdict.review(uid: uid)["response"]?["allowed"] == true)
        let target = sent["request"]?["object"] ?? .null
        _ = try JSONValue.array(operations.map(\.document)).applied(to: target)
    }
}
