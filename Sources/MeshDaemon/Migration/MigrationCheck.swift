internal import MeshModel
public import MeshPlan

/// What works, what changes and what blocks when Heddle takes the place of App Mesh's controller.
///
/// It reads nothing but `cluster`, and says nothing of what is not in it but that it is not.
///
/// - Parameters:
///   - cluster: What was read of the cluster.
///   - options: Those with which Heddle is to run.
/// - Returns: Everything that was found, what blocks first.
public func migrationReport(
    of cluster: ClusterDocuments,
    options: PlanOptions = PlanOptions(isInCluster: true)
) -> MigrationReport {
    var migrating = MigratingCluster(cluster, options: options)
    migrating.checkController()
    migrating.checkKubernetes()
    migrating.checkCustomResources()
    migrating.checkObjects()
    migrating.checkDiscovery()
    migrating.checkCertificates()
    migrating.checkLegacies()
    migrating.checkPods()
    migrating.checkSidecarSettings()
    return migrating.reportOfAll
}

extension MigratingCluster {
    /// Whether proxies can be native sidecars.
    mutating func checkKubernetes() {
        let kubelets = cluster.all("Node", in: "").compactMap {
            $0.value(at: "status.nodeInfo.kubeletVersion")?.string
        }
        .filter { minorVersion($0) != nil }
        func isOld(_ version: String) -> Bool { minorVersion(version).map { $0 < 29 } ?? false }
        let oldest = kubelets.min { minorVersion($0) ?? 0 < minorVersion($1) ?? 0 }
        guard let version = cluster.serverVersion ?? oldest else { return }
        if isOld(version) {
            report(
                MigrationFinding(
                    .changes,
                    .kubernetes,
                    value: version,
                    "Kubernetes before 1.29 has no native sidecars: proxies are ordinary containers, as App "
                        + "Mesh's were",
                    remedy: "update Kubernetes when you can"
                )
            )
        } else if let oldest, isOld(oldest) {
            let count = kubelets.count(where: isOld)
            report(
                MigrationFinding(
                    .changes,
                    .kubernetes,
                    value: "\(oldest) on \(count) of \(kubelets.count) Kubernetes nodes",
                    "Kubernetes nodes before 1.29 have no native sidecars, and Pods with one never start "
                        + "there",
                    remedy: "update them first, or install the chart with nativeSidecars=disabled"
                )
            )
        } else {
            report(
                MigrationFinding(
                    .works,
                    .kubernetes,
                    value: version,
                    "proxies are native sidecars: they start before the application and end after it"
                )
            )
        }
    }

    /// The report of what was found so far.
    var reportOfAll: MigrationReport {
        var subjects: [MigrationObject: MigrationSubject] = [:]
        for (id, _) in sortedDocuments where id.kind.group == Kind.mesh.group {
            let object = MigrationObject(id)
            subjects[object] = MigrationSubject(object: object, effect: .works)
        }
        for group in groups where isOfMesh(group) {
            subjects[group.controller] = MigrationSubject(
                object: group.controller,
                effect: .works,
                pods: group.isTemplate ? nil : group.pods.count
            )
        }
        for finding in findings {
            guard let object = finding.object else { continue }
            subjects[object, default: MigrationSubject(object: object, effect: .works)].effect =
                min(subjects[object]?.effect ?? .works, finding.effect)
        }
        let objects = subjects.values.sorted { $0.object < $1.object }
        var summary: [String: Int] = [:]
        for effect in MigrationEffect.allCases {
            summary[effect.rawValue] = objects.count { $0.effect == effect }
        }
        return MigrationReport(
            source: cluster.source,
            serverVersion: cluster.serverVersion,
            summary: summary,
            objects: objects,
            findings: sortedFindings,
            gaps: gaps
        )
    }

    private var sortedFindings: [MigrationFinding] {
        let order = Dictionary(
            uniqueKeysWithValues: MigrationCheckName.allCases.enumerated().map { ($1, $0) }
        )
        return Set(findings).sorted { left, right in
            if left.effect != right.effect { return left.effect < right.effect }
            if left.check != right.check {
                return order[left.check, default: 0] < order[right.check, default: 0]
            }
            if left.problem != right.problem { return left.problem < right.problem }
            let leftObject = left.object ?? MigrationObject(kind: "", name: "")
            let rightObject = right.object ?? MigrationObject(kind: "", name: "")
            if leftObject != rightObject { return leftObject < rightObject }
            return (left.field, left.value, left.remedy) < (right.field, right.value, right.remedy)
        }
    }
}

/// The minor version of `v1.31.4-eks-2d5f260`; nil of what is no version.
private func minorVersion(_ text: String) -> Int? {
    let version = text.hasPrefix("v") ? text.dropFirst() : text[...]
    let parts = version.split(separator: ".")
    guard parts.count >= 2, let major = Int(parts[0]),
        let minor = Int(parts[1].prefix { ("0"..."9").contains($0) })
    else { return nil }
    return major > 1 ? .max : minor
}
