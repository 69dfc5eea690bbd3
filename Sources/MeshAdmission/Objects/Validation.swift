internal import MeshManifests
internal import MeshModel

/// Refuses what App Mesh's webhooks refused, and warns of what its API refused after that.
///
/// Of that, an update is refused that takes an object out of use: it would act as its last version, and be
/// gone when Heddle starts again. What an update leaves as it was is not held against it: finalizers and
/// labels of an object that breaks a rule can be changed.
func validation(of request: AdmissionRequest, _ kind: Kind) -> AdmissionVerdict {
    func decode(_ object: JSONValue) -> DecodedObject {
        var document = object
        if kind.isNamespaced, !request.namespace.isEmpty {
            document["metadata"]?["namespace"] = .string(request.namespace)
        }
        return decodeObject(document)
    }
    let decoded = decode(request.object)
    let found = decoded.diagnostics.filter { $0.severity != .note }
    let spec = Field(path: "spec", value: request.object["spec"] ?? [:])
    var refusals: [Diagnostic] = []
    if request.operation == .update { refusals += changes(of: request, kind) }
    let isUnchanged =
        request.operation == .update && request.object["spec"] == request.oldObject["spec"]
    if !isUnchanged {
        refusals += breaches(of: spec, kind, request).map { breach in
            Diagnostic(
                .error,
                object: request.id(kind),
                field: breach.field,
                problem: breach.problem,
                remedy: breach.remedy
            )
        }
    }
    // No API that could refuse Heddle's own kinds comes after this.
    let isRefused = kind.group != Kind.mesh.group && !isUnchanged
    let losesUse =
        decoded.object == nil && request.operation == .update
        && decode(request.oldObject).object != nil
    if isRefused || losesUse { refusals += found.filter { $0.severity == .error } }
    guard !refusals.isEmpty else {
        return AdmissionVerdict(.allowed(patch: []), warnings: found.map(\.message))
    }
    return AdmissionVerdict(
        .refused(message: refusals.map(\.message).joined(separator: "\n")),
        warnings: found.filter { !refusals.contains($0) }.map(\.message)
    )
}

/// The rules that `spec` breaks.
private func breaches(of spec: Field, _ kind: Kind, _ request: AdmissionRequest) -> [Breach] {
    switch kind {
    case .mesh: meshBreaches(spec)
    case .virtualNode: virtualNodeBreaches(spec, request)
    case .virtualRouter: virtualRouterBreaches(spec, request)
    case .virtualGateway: connectionPoolBreaches(spec, "Virtual Gateway")
    case .gatewayRoute: gatewayRouteBreaches(spec)
    case .virtualService, .backendGroup, .trafficPolicy, .certificateMapping, .workload, .namespace:
        []
    }
}

private func meshBreaches(_ spec: Field) -> [Breach] {
    guard let preference = spec["meshServiceDiscovery"]?["ipPreference"] else { return [] }
    let value = preference.value.string ?? ""
    guard value != "IPv4_ONLY", value != "IPv6_ONLY" else { return [] }
    return [
        Breach(
            preference,
            "unknown value \(quoted(value))",
            "use IPv4_ONLY or IPv6_ONLY"
        )
    ]
}

private func virtualNodeBreaches(_ spec: Field, _ request: AdmissionRequest) -> [Breach] {
    var breaches: [Breach] = []
    if spec.has("listeners"), !spec.has("serviceDiscovery") {
        breaches.append(
            Breach(
                spec,
                "ServiceDiscovery missing for VirtualNode-\(request.name). ServiceDiscovery must be "
                    + "specified when a listener is specified.",
                "add serviceDiscovery.dns.hostname, or remove listeners"
            )
        )
    }
    var names: Set<ObjectReference> = []
    var arns: Set<String> = []
    for backend in spec.list("backends") {
        guard let service = backend["virtualService"] else { continue }
        if let reference = service["virtualServiceRef"] {
            let name = reference["name"]?.value.string ?? ""
            let namespace = reference["namespace"]?.value.string ?? request.namespace
            let isNew = names.insert(ObjectReference(namespace: namespace, name: name)).inserted
            if !isNew {
                breaches.append(
                    Breach(
                        reference,
                        "VirtualNode-\(request.name) has duplicate VirtualServiceReferences \(name)",
                        "remove one"
                    )
                )
            }
        } else if let arn = service["virtualServiceARN"], let text = arn.value.string,
            !arns.insert(text).inserted
        {
            breaches.append(
                Breach(
                    arn,
                    "VirtualNode-\(request.name) has duplicate VirtualServiceReferenceARNs \(text)",
                    "remove one"
                )
            )
        }
    }
    return breaches + connectionPoolBreaches(spec, "Virtual Node")
}

private func connectionPoolBreaches(_ spec: Field, _ words: String) -> [Breach] {
    spec.list("listeners").compactMap { listener in
        guard let pool = listener["connectionPool"] else { return nil }
        let given = ["tcp", "http", "http2", "grpc"].filter(pool.has)
        guard given.count > 1 else { return nil }
        return Breach(
            pool,
            "Only one type of \(words) Connection Pool is allowed, found "
                + given.joined(separator: ", "),
            "keep one"
        )
    }
}

private func virtualRouterBreaches(_ spec: Field, _ request: AdmissionRequest) -> [Breach] {
    var breaches: [Breach] = []
    var names: Set<String> = []
    for route in spec.list("routes") {
        if let name = route["name"], let text = name.value.string, !names.insert(text).inserted {
            breaches.append(
                Breach(
                    name,
                    "VirtualRouter-\(request.name) has duplicate route entries for \(text)",
                    "rename one"
                )
            )
        }
        for type in ["httpRoute", "http2Route"] {
            guard let match = route[type]?["match"] else { continue }
            if !match.has("prefix"), !match.has("path") {
                breaches.append(
                    Breach(
                        match,
                        "Either Prefix or Path must be specified",
                        "give one, such as prefix: /"
                    )
                )
            }
            if match.has("prefix"), match.has("path") {
                breaches.append(
                    Breach(
                        match,
                        "Both Prefix and Path cannot be specified, only 1 allowed",
                        "keep one"
                    )
                )
            }
            if let path = match["path"] { breaches += pathBreaches(path) }
        }
    }
    return breaches
}

/// What is wrong with the `path` of a match.
func pathBreaches(_ path: Field) -> [Breach] {
    switch (path.has("exact"), path.has("regex")) {
    case (false, false):
        [Breach(path, "Either exact or regex for path must be specified", "give one of them")]
    case (true, true):
        [
            Breach(
                path,
                "Both exact and regex for path are not allowed. Only one must be specified",
                "keep one"
            )
        ]
    case (true, false), (false, true): []
    }
}

/// The refusal of an update that changes what may not change.
private func changes(of request: AdmissionRequest, _ kind: Kind) -> [Diagnostic] {
    let (old, new) = (request.oldObject["spec"] ?? [:], request.object["spec"] ?? [:])
    func value(_ spec: JSONValue, _ field: String) -> JSONValue? {
        spec[field].flatMap { $0 == .null ? nil : $0 }
    }
    var changed: [String] = []
    if let fallback = defaultAWSName(kind, request.name, request.namespace) {
        func name(_ spec: JSONValue) -> String {
            let given = spec["awsName"]?.string ?? ""
            return given.isEmpty ? fallback : given
        }
        if name(old) != name(new) { changed.append("spec.awsName") }
    }
    for field in immutableReferences(of: kind) {
        // An object from before the webhook has none.
        guard let before = value(old, field), before != value(new, field) else { continue }
        changed.append("spec.\(field)")
    }
    if kind == .virtualNode,
        let before = value(value(old, "serviceDiscovery") ?? [:], "awsCloudMap"),
        !mayReplace(cloudMap: before, by: value(new, "serviceDiscovery") ?? [:])
    {
        changed.append("spec.serviceDiscovery.awsCloudMap")
    }
    guard !changed.isEmpty else { return [] }
    return [
        Diagnostic(
            .error,
            object: request.id(kind),
            problem: "\(kind.rawValue) update may not change these fields: "
                + changed.joined(separator: ","),
            remedy: "leave them as they are, or delete the object and create it anew"
        )
    ]
}

/// Whether a node that was found through Cloud Map may be found as `discovery` says.
///
/// Of App Mesh's refusals of a change one is left out: DNS in place of Cloud Map. AWS could not change how a
/// node is found; in a cluster Heddle does not ask Cloud Map, so that a node which has no Pods there has
/// no other way out but to be deleted, and its share of requests is answered with 503 meanwhile.
private func mayReplace(cloudMap: JSONValue, by discovery: JSONValue) -> Bool {
    func has(_ key: String) -> Bool { discovery[key].map { $0 != .null } ?? false }
    return discovery["awsCloudMap"] == cloudMap || !has("awsCloudMap") && has("dns")
}

private func immutableReferences(of kind: Kind) -> [String] {
    switch kind {
    case .gatewayRoute: ["meshRef", "virtualGatewayRef"]
    case .virtualNode, .virtualService, .virtualRouter, .virtualGateway, .backendGroup: ["meshRef"]
    case .mesh, .namespace, .workload, .trafficPolicy, .certificateMapping: []
    }
}
