// How long a plan of a cluster takes: the first one, and those after one small change.
//
//     swift run -c release plan-benchmark [--nodes N] [--pods N] [--namespaces N] [--repeats N]
//
// Each virtual node has a virtual service with a router of its own, which also leads to the next node,
// and three backends.

import ArgumentParser
import Glibc
import MeshManifests
import MeshModel
import MeshPlan

@main
struct PlanBenchmark: ParsableCommand {
    @Option(help: "How many virtual nodes.")
    var nodes = 1_000
    @Option(help: "How many Pods each of them has.")
    var pods = 5
    @Option(help: "Over how many namespaces they are spread.")
    var namespaces = 10
    @Option(help: "How often each change is made.")
    var repeats = 5

    func run() throws {
        var cluster = Cluster(nodes: nodes, pods: pods, namespaces: namespaces)
        let before = residentKilobytes()
        var planner = Planner(options: PlanOptions(assumesServing: false, isInCluster: true))
        var plan = Plan()
        func measure(_ name: String, _ change: (inout Cluster, Int) -> Void, times: Int) {
            var durations: [Duration] = []
            for time in 0..<times {
                change(&cluster, time)
                var observations = cluster.observations
                observations.addresses = plan.addresses
                observations.conditions = plan.statuses.mapValues(\.conditions)
                let last = plan
                durations.append(
                    ContinuousClock().measure {
                        plan = planner.plan(cluster.world, observations, after: last, nowSeconds: 0)
                    }
                )
            }
            let worst = durations.max() ?? .zero
            let mean = durations.reduce(.zero, +) / max(1, times)
            print(
                "\(name): \(milliseconds(mean)) ms in the mean, \(milliseconds(worst)) ms at most"
            )
        }
        measure("first plan", { _, _ in }, times: 1)
        let problems = plan.diagnostics.filter { $0.severity != .note }
        precondition(problems.isEmpty, "\(problems.prefix(3))")
        precondition(plan.proxies.count == nodes * pods)
        print(
            "resident memory: \((residentKilobytes() - before) / 1024) MiB of \(plan.proxies.count) proxies"
        )
        measure("nothing changed", { _, _ in }, times: repeats)
        measure("one weight", { $0.changeWeight($1) }, times: repeats)
        measure("one Pod's readiness", { $0.flipReadiness($1) }, times: repeats)
        measure("one Pod more", { $0.addPod($1) }, times: repeats)
    }
}

private func milliseconds(_ duration: Duration) -> Int {
    Int(
        duration.components.seconds * 1000 + duration.components.attoseconds / 1_000_000_000_000_000
    )
}

private func residentKilobytes() -> Int {
    guard let file = fopen("/proc/self/status", "re") else { return 0 }
    defer { fclose(file) }
    var buffer = [UInt8](repeating: 0, count: 8192)
    let count = fread(&buffer, 1, buffer.count, file)
    let text = String(decoding: buffer[..<count], as: UTF8.self)
    let line = text.split(separator: "\n").first { $0.hasPrefix("VmRSS:") }
    return line?.split(whereSeparator: \.isWhitespace).dropFirst().first.flatMap { Int($0) } ?? 0
}

/// The world of a cluster, and what is observed of its Pods.
private struct Cluster {
    var world = World()
    var observations = Observations()

    init(nodes: Int, pods: Int, namespaces: Int) {
        var text = """
            apiVersion: appmesh.k8s.aws/v1beta2
            kind: Mesh
            metadata: {name: shop}
            spec: {namespaceSelector: {matchLabels: {mesh: shop}}}

            """
        for namespace in 0..<namespaces {
            text += """
                ---
                apiVersion: v1
                kind: Namespace
                metadata: {name: team-\(namespace), labels: {mesh: shop}}

                """
        }
        for node in 0..<nodes {
            text += Self.manifests(of: node, of: nodes, in: namespaces)
        }
        let file = decodeManifests(Array(text.utf8), path: "in.yaml", folder: "/")
        for object in file.objects { world.insert(object) }
        for node in 0..<nodes {
            for pod in 0..<pods { add(pod: pod, of: node, in: namespaces) }
        }
    }

    private static func manifests(of node: Int, of count: Int, in namespaces: Int) -> String {
        func reference(_ other: Int) -> String {
            "{name: app-\(other % count), namespace: team-\(other % count % namespaces)}"
        }
        let backends = [1, 7, 31].map {
            "{virtualService: {virtualServiceRef: \(reference(node + $0))}}"
        }
        let name = "name: app-\(node), namespace: team-\(node % namespaces)"
        return """
            ---
            apiVersion: appmesh.k8s.aws/v1beta2
            kind: VirtualNode
            metadata: {\(name)}
            spec:
              podSelector: {matchLabels: {part-of: shop, app: app-\(node)}}
              listeners: [{portMapping: {port: 8080, protocol: http}}]
              serviceDiscovery: {dns: {hostname: app-\(node).team-\(node % namespaces)}}
              backends: [\(backends.joined(separator: ", "))]
            ---
            apiVersion: appmesh.k8s.aws/v1beta2
            kind: VirtualRouter
            metadata: {\(name)}
            spec:
              listeners: [{portMapping: {port: 8080, protocol: http}}]
              routes:
              - name: all
                httpRoute:
                  match: {prefix: /}
                  action:
                    weightedTargets:
                    - {virtualNodeRef: \(reference(node)), weight: 90}
                    - {virtualNodeRef: \(reference(node + 1)), weight: 10}
            ---
            apiVersion: appmesh.k8s.aws/v1beta2
            kind: VirtualService
            metadata: {\(name)}
            spec: {provider: {virtualRouter: {virtualRouterRef: \(reference(node))}}}

            """
    }

    private mutating func add(pod: Int, of node: Int, in namespaces: Int) {
        let name = "app-\(node)-\(pod)"
        let workload = Workload(
            metadata: Metadata(
                name: name,
                namespace: "team-\(node % namespaces)",
                labels: ["part-of": "shop", "app": "app-\(node)"]
            ),
            spec: WorkloadSpec(
                pod: PodPlacement(
                    uid: name,
                    address: "10.\(pod % 250).\(node / 250).\(node % 250)",
                    zone: ["a", "b", "c"][pod % 3]
                )
            )
        )
        world.insert(.workload(workload))
        var xds = XDSObservation(isConnected: true)
        for type in ResourceType.allCases { xds.sync[type] = .synced }
        observations.proxies[ProxyID(workload.reference)] = ProxyObservation(
            process: ProcessObservation(phase: .running),
            xds: xds
        )
    }

    mutating func changeWeight(_ time: Int) {
        guard let reference = world.virtualRouters.keys.min(),
            let weight = Weight(50 + time % 2)
        else { return }
        world.virtualRouters[reference]?.metadata.generation += 1
        world.virtualRouters[reference]?.spec.routes[0].weightedTargets[0].weight = weight
    }

    mutating func flipReadiness(_ time: Int) {
        guard let id = observations.proxies.keys.min() else { return }
        observations.proxies[id]?.process?.phase = time % 2 == 0 ? .starting : .running
    }

    mutating func addPod(_ time: Int) { add(pod: 100 + time, of: 0, in: 1) }
}
