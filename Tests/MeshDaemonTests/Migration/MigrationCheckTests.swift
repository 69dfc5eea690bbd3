import Foundation
import MeshModel
import MeshPlan
import Testing

@testable import MeshDaemon

/// What each check finds, and what it does not find.
@Suite struct MigrationCheckTests {
    @Test(arguments: MigrationCase.all)
    func `a check finds what is the matter, and nothing once it is mended`(_ test: MigrationCase) {
        func matches(_ report: MigrationReport) -> [MigrationFinding] {
            report.findings.filter { finding in
                let text = "\(finding.problem) \(finding.value) \(finding.remedy)"
                return finding.check == test.check && finding.effect == test.effect
                    && finding.object?.description == test.object && text.contains(test.says)
            }
        }
        let found = MigrationDump.report(MigrationDump.demo + test.found)
        #expect(matches(found).count == 1, "\(MigrationText(report: found, isComplete: true).text)")
        let mended = MigrationDump.report(MigrationDump.demo + test.mended)
        #expect(matches(mended).isEmpty, "\(MigrationText(report: mended, isComplete: true).text)")
    }

    @Test func `Heddle's own definitions are as they should be`() throws {
        let folder = MigrationDump.folder.appending(path: "../../../../Charts/heddle/crds")
        let names = try FileManager.default.contentsOfDirectory(atPath: folder.path)
            .filter { $0.hasSuffix(".yaml") }
        #expect(names.count { $0.hasPrefix("appmesh.k8s.aws_") } == 7)
        let definitions = try names.map {
            try String(contentsOf: folder.appending(path: $0), encoding: .utf8)
        }
        let report = MigrationDump.report(definitions.joined(separator: "\n---\n"))
        #expect(report.findings.filter { $0.check == .customResources } == [])
    }

    @Test func `every check has a case`() {
        // What Heddle notes, and the versions of Kubernetes, are tested below.
        let others: Set<MigrationCheckName> = [.noted, .kubernetes]
        let tested = Set(MigrationCase.all.map(\.check)).union(others)
        #expect(MigrationCheckName.allCases.filter { !tested.contains($0) } == [])
    }

    @Test
    func `a name of a foreign trust domain is noted, and asked of an SDS server if there is one`() {
        let node = MigrationCase.node(
            "green",
            """
            \(MigrationCase.dns), listeners: [{portMapping: {port: 8080, protocol: http}, tls: {mode: STRICT, \
            certificate: {sds: {secretName: "spiffe://example.org/green"}}}}]
            """
        )
        let report = MigrationDump.report(MigrationDump.demo + node)
        #expect(report.findings.contains { $0.check == .noted && $0.effect == .works })
        let options = PlanOptions(isInCluster: true, hasExternalSecrets: true)
        let other = MigrationDump.report(MigrationDump.demo + node, options: options)
        #expect(!other.findings.contains { $0.check == .noted })
    }

    @Test(arguments: [
        ("v1.28.15-eks-2d5f260", nil, MigrationEffect.changes),
        ("v1.29.0", "v1.28.3", .changes), ("v1.29.0", "v1.29.3", .works),
        ("v1.31+", nil, .works), ("v2.0.1", nil, .works),
    ])
    func `native sidecars take Kubernetes 1.29`(
        _ server: String,
        _ kubelet: String?,
        _ effect: MigrationEffect
    ) throws {
        var cluster = MigrationDump.cluster(MigrationDump.demo + node(kubelet))
        cluster.serverVersion = server
        let found = migrationReport(of: cluster).findings.filter { $0.check == .kubernetes }
        #expect(found.map(\.effect) == [effect])
    }

    private func node(_ version: String?) -> String {
        guard let version else { return "" }
        return
            "{apiVersion: v1, kind: Node, metadata: {name: a}, status: {nodeInfo: {kubeletVersion: \(version)}}}"
    }

    @Test func `a lease that somebody renews tells of a controller that is nowhere to be seen`() {
        let lease = """
            apiVersion: coordination.k8s.io/v1
            kind: Lease
            metadata: {name: appmesh-controller-leader-election, namespace: appmesh-system}
            spec: {holderIdentity: laptop_1, renewTime: "1970-01-01T00:16:40.123456Z"}
            """
        var cluster = MigrationDump.cluster(MigrationDump.demo + lease)
        #expect(migrationReport(of: cluster).isClear, "a dump may be of any age")
        cluster.readSeconds = 1010
        let found = migrationReport(of: cluster).findings.filter { $0.check == .controller }
        #expect(found.map(\.effect) == [.blocks])
        #expect(found.first?.value == "laptop_1")
        cluster.readSeconds = 1100
        #expect(migrationReport(of: cluster).isClear)
    }

    @Test func `what is missing is not held against objects whose kind could not be read`() {
        let node = MigrationCase.node(
            "green",
            "backends: [{virtualService: {virtualServiceRef: {name: color}}}]"
        )
        var cluster = MigrationDump.cluster(MigrationDump.demo + node)
        #expect(migrationReport(of: cluster).findings.contains { $0.check == .invalid })
        cluster.gaps = [
            MigrationGap(resource: "virtualservices.appmesh.k8s.aws", reason: "", isFailure: false)
        ]
        #expect(migrationReport(of: cluster).isClear)
    }

    @Test func `without Namespaces and Meshes objects belong to the mesh that they name`() {
        let yaml = MigrationCase.node(
            "green",
            "\(MigrationCase.listener), \(MigrationCase.dns), meshRef: {name: far, uid: m}"
        )
        var cluster = MigrationDump.cluster(yaml)
        #expect(!migrationReport(of: cluster).isClear)
        cluster.gaps = ["namespaces", "meshes.appmesh.k8s.aws"].map {
            MigrationGap(resource: $0, reason: "", isFailure: false)
        }
        #expect(migrationReport(of: cluster).isClear)
    }

    @Test func `Pods count for their Deployment, and templates where there are no Pods`() throws {
        let pods =
            MigrationDump.pod()
            + MigrationDump.pod().replacing("2x8kq", with: "m4vzt")
        let blue = MigrationObject(kind: "Deployment", namespace: "demo", name: "blue")
        let report = MigrationDump.report(MigrationDump.demo + pods)
        #expect(report.objects.first { $0.object == blue }?.pods == 2)
        #expect(report.findings.first { $0.check == .awsEnvoy }?.pods == 2)
        let template = """
            apiVersion: apps/v1
            kind: Deployment
            metadata: {name: blue, namespace: demo}
            spec: {template: {metadata: {labels: {app: blue}}, spec: {hostNetwork: true, containers: []}}}
            """
        let other = MigrationDump.report(MigrationDump.demo + template)
        #expect(other.findings.first { $0.check == .hostNetwork }?.object == blue)
        #expect(other.objects.first { $0.object == blue }?.pods == nil)
    }

    @Test func `a Pod of Heddle's own injector has nothing to be done`() {
        let pod = MigrationDump.pod(image: "envoyproxy/envoy:v1.40.0", hasToken: true)
        let report = MigrationDump.report(MigrationDump.demo + pod)
        let blue = MigrationObject(kind: "Deployment", namespace: "demo", name: "blue")
        #expect(report.findings.filter { $0.object == blue } == [])
        #expect(report.objects.contains { $0.object == blue && $0.effect == .works })
    }

    @Test func `annotations that say already what variables said are enough`() {
        let mesh = MigrationDump.demo.replacing(
            "metadata: {name: demo, uid: mesh-1}",
            with: """
                metadata:
                  name: demo
                  annotations: {heddle.dev/tracing: x-ray, heddle.dev/export: cloudwatch, \
                heddle.dev/dogstatsd: "127.0.0.1:8125"}
                """
        )
        let names = [
            "ENABLE_ENVOY_XRAY_TRACING", "ENABLE_ENVOY_DOG_STATSD",
            "APPMESH_METRIC_EXTENSION_VERSION",
        ]
        let environment = names.map { ", {name: \($0), value: \"1\"}" }.joined()
        let report = MigrationDump.report(mesh + MigrationDump.pod(environment: environment))
        let checks: Set<MigrationCheckName> = [.tracing, .statistics, .metricsExtension]
        let found = report.findings.filter { checks.contains($0.check) }
        #expect(found.map(\.effect).sorted() == [.changes, .works, .works])
        #expect(found.first?.check == .metricsExtension, "Heddle exports none of a cluster")
    }
}
