internal import FoundationEssentials
internal import MeshModel

extension MigratingCluster {
    /// Whether App Mesh's controller still runs, and what is left of it.
    mutating func checkController() {
        var runs = false
        for document in cluster.all("Deployment", in: "apps") where isController(document) {
            let replicas = document["spec"]?["replicas"]?.integer ?? 1
            if replicas > 0 { runs = true }
            reportController(document, replicas: replicas)
        }
        checkLease(controllerIsKnown: runs)
        for kind in ["MutatingWebhookConfiguration", "ValidatingWebhookConfiguration"] {
            for document in cluster.all(kind, in: "admissionregistration.k8s.io") {
                checkWebhooks(document, controllerRuns: runs)
            }
        }
    }

    private func isController(_ document: JSONValue) -> Bool {
        let containers = document.value(at: "spec.template.spec.containers")?.array ?? []
        return containers.contains { container in
            let image = container["image"]?.string ?? ""
            return image.contains("appmesh-controller") || image.contains("aws-app-mesh-controller")
                || image.contains("aws-app-mesh-inject")
        }
    }

    private mutating func reportController(_ document: JSONValue, replicas: Int) {
        let place = "-n \(document.namespace) "
        if replicas > 0 {
            report(
                MigrationFinding(
                    .blocks,
                    .controller,
                    document.migrationObject,
                    field: "spec.replicas",
                    value: "\(replicas)",
                    "App Mesh's controller runs, and it and Heddle would write over each other's statuses "
                        + "and finalizers",
                    remedy: "before you install Heddle: kubectl \(place)scale "
                        + "deployment/\(document.name) --replicas=0"
                )
            )
        } else {
            report(
                MigrationFinding(
                    .works,
                    .controller,
                    document.migrationObject,
                    field: "spec.replicas",
                    value: "0",
                    "App Mesh's controller is there and does not run"
                )
            )
        }
    }

    /// A lease tells of a controller that runs elsewhere, such as on somebody's machine.
    private mutating func checkLease(controllerIsKnown: Bool) {
        guard !controllerIsKnown, let now = cluster.readSeconds else { return }
        let lease = cluster.all("Lease", in: "coordination.k8s.io").first {
            $0.name == "appmesh-controller-leader-election"
        }
        guard let lease, let holder = lease["spec"]?["holderIdentity"]?.string, !holder.isEmpty,
            let renewed = lease["spec"]?["renewTime"]?.string, let time = leaseSeconds(renewed),
            now - time < 60
        else { return }
        report(
            MigrationFinding(
                .blocks,
                .controller,
                lease.migrationObject,
                field: "spec.holderIdentity",
                value: holder,
                "somebody holds the lease of App Mesh's controller and has renewed it within a minute, so "
                    + "that a controller runs",
                remedy: "find it and end it"
            )
        )
    }

    private mutating func checkWebhooks(_ document: JSONValue, controllerRuns: Bool) {
        let webhooks = (document["webhooks"]?.array ?? []).filter(isOfAppMesh)
        guard !webhooks.isEmpty else { return }
        let refuses = webhooks.contains { $0["failurePolicy"]?.string != "Ignore" }
        let remedy =
            "kubectl delete \(document["kind"]?.string?.lowercased() ?? "") \(document.name)"
        let object = document.migrationObject
        let value = webhooks.count == 1 ? "1 webhook" : "\(webhooks.count) webhooks"
        guard !controllerRuns, cluster.isComplete("deployments.apps") || cluster.isLive else {
            return report(
                MigrationFinding(
                    .changes,
                    .webhooks,
                    object,
                    field: "webhooks",
                    value: value,
                    "webhooks of App Mesh's controller are installed, which refuse every write of its "
                        + "kinds, and every Pod that is to be injected, once it does not run",
                    remedy: "when it is scaled to 0 and Heddle runs: \(remedy)"
                )
            )
        }
        report(
            MigrationFinding(
                refuses ? .blocks : .changes,
                .webhooks,
                object,
                field: "webhooks",
                value: value,
                refuses
                    ? "nobody answers for webhooks of App Mesh's controller, so that writes of its kinds, "
                        + "or Pods that are to be injected, are refused, those by Heddle too"
                    : "nobody answers for webhooks of App Mesh's controller, and each write waits for them",
                remedy: "when Heddle runs, so that no Pod starts without a proxy: \(remedy)"
            )
        )
    }

    /// Whether App Mesh's controller answers for `webhook`, and not Heddle, whose names are alike.
    private func isOfAppMesh(_ webhook: JSONValue) -> Bool {
        let service = webhook.value(at: "clientConfig.service.name")?.string ?? ""
        if service.contains("appmesh") || service.contains("app-mesh") { return true }
        // The names of the controller's own webhooks: mvirtualnode.appmesh.k8s.aws.
        let names =
            ["mesh", "virtualnode", "virtualservice", "virtualrouter", "virtualgateway"]
            + ["gatewayroute", "backendgroup", "pod"]
        let name = webhook["name"]?.string ?? ""
        return names.contains {
            name == "m\($0).appmesh.k8s.aws" || name == "v\($0).appmesh.k8s.aws"
        }
    }
}

/// The seconds from 1970 to `text`, a time in RFC 3339 with fractions of a second or without.
private func leaseSeconds(_ text: String) -> Int? {
    let whole = text.split(separator: ".").first.map { $0.hasSuffix("Z") ? String($0) : "\($0)Z" }
    return whole.flatMap { try? Date($0, strategy: .iso8601) }
        .map { Int($0.timeIntervalSince1970) }
}
