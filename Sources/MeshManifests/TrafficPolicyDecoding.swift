import MeshModel

extension Fields {
    /// `spec` of the TrafficPolicy `metadata`.
    func trafficPolicy(_ metadata: Metadata) -> TrafficPolicySpec? {
        let targets = policyTargets(metadata.namespace)
        let features = TrafficFeatures(
            rateLimit: object(.rateLimit) { $0.rateLimit() },
            requestHeaders: object(.requestHeaders) { $0.headerChanges() },
            responseHeaders: object(.responseHeaders) { $0.headerChanges() },
            cors: object(.cors) { $0.corsPolicy() },
            fault: object(.fault) { $0.fault() },
            mirror: object(.mirror) { $0.mirror(metadata.namespace) },
            retryPolicy: object(.retryPolicy) { $0.retryPolicy(isGRPC: true) },
            retryBackOff: object(.retryBackOff) { $0.retryBackOff() },
            retryOtherTargets: bool(TrafficFeature.retryOtherTargets.rawValue),
            timeout: object(.timeout) { $0.policyTimeouts() },
            loadBalancing: object(.loadBalancing) { $0.loadBalancing() }
        )
        let given = TrafficFeature.allCases.filter { has($0.rawValue) }
        if given.isEmpty {
            let names = TrafficFeature.allCases.map(\.rawValue)
            error("", "the policy has no feature", "give one of \(alternatives(names))")
        }
        for feature in given { check(feature, takenBy: targets ?? []) }
        return targets.map { TrafficPolicySpec(targets: $0, features: features) }
    }

    private func object<Value>(
        _ feature: TrafficFeature,
        _ decode: (Fields) -> Value?
    ) -> Value? {
        object(feature.rawValue, .optional, decode)
    }

    /// Reports `feature` if one of the targets is of a kind that does not take it.
    private func check(_ feature: TrafficFeature, takenBy targets: [PolicyTarget]) {
        guard let other = targets.first(where: { !feature.targets.contains($0.kind) }) else {
            return
        }
        let name = feature.rawValue
        let kinds = alternatives(feature.targets.map(\.rawValue))
        error(
            name,
            "the target \(other.kind.rawValue) \(quoted(other.name)) takes no \(name)",
            "use it in a policy for \(kinds)"
        )
    }

    /// `targetRefs`.
    private func policyTargets(_ namespace: String) -> [PolicyTarget]? {
        var lines: [ObjectID: Int] = [:]
        return objects("targetRefs", .required, count: 1...16) { fields in
            let target = fields.policyTarget(namespace)
            if let target {
                let reference = ObjectReference(namespace: namespace, name: target.name)
                let id = ObjectID(target.kind, reference)
                if let first = lines.updateValue(fields.line, forKey: id) {
                    fields.error(
                        "",
                        "duplicate target \(target.kind.rawValue) \(quoted(target.name))"
                            + lineWords(first),
                        "keep one"
                    )
                }
            }
            return target
        }
    }

    private func policyTarget(_ namespace: String) -> PolicyTarget? {
        let kind: Kind? = choice("kind", .required, PolicyTarget.kinds)
        let name = string("name", .required, length: 1...253)
        let given = string("namespace") ?? namespace
        if given != namespace {
            error(
                "namespace",
                "\(quoted(given)) is not the policy's namespace, \(quoted(namespace))",
                "put a policy into the namespace of its targets"
            )
        }
        let routes = strings("routes", count: 1...Int.max, length: 1...255)
        guard let kind, let name else { return nil }
        if kind != .virtualRouter, has("routes") {
            error("routes", "a \(kind.rawValue) has no routes to choose from", "remove it")
        }
        return PolicyTarget(kind: kind, name: name, routes: routes)
    }
}
