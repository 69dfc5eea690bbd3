internal import MeshModel

/// Fills in what App Mesh's webhooks filled in: `awsName`, `meshRef`, `virtualGatewayRef` and a mesh's
/// `ipPreference`.
///
/// An update that leaves out what the webhook once filled in, as `kubectl replace` of the manifest
/// does, gets it back; App Mesh refused that. An object from before the webhook gets its references
/// with its next update, if they can be told.
///
/// - Returns: The verdict; nil when it takes a world, and there is none yet.
func defaulting(
    of request: AdmissionRequest,
    _ kind: Kind,
    _ settings: InjectionSettings,
    in world: World?
) -> AdmissionVerdict? {
    var defaults = Defaults(request, kind)
    guard defaults.hasUsableSpec else {
        // The schema refuses it after this.
        return AdmissionVerdict(.allowed(patch: []))
    }
    defaults.fillName()
    if kind == .mesh {
        defaults.fillPreference(settings.ipFamily)
    } else {
        guard let world else { return nil }
        defaults.designate(in: world)
    }
    return defaults.verdict
}

/// An object on its way to being complete.
private struct Defaults {
    private let request: AdmissionRequest
    private let kind: Kind
    private var object: JSONValue
    private var failure: DesignationFailure?
    private var warnings: [String] = []

    init(_ request: AdmissionRequest, _ kind: Kind) {
        self.request = request
        self.kind = kind
        object = request.object
    }

    private var old: JSONValue? { request.oldObject["spec"] }
    private var isUpdate: Bool { request.operation == .update }

    var hasUsableSpec: Bool {
        switch object["spec"] {
        case nil, .null, .object: true
        case .bool, .integer, .number, .string, .array: false
        }
    }

    private func given(_ field: String) -> JSONValue? {
        object["spec"]?[field].flatMap { $0 == .null || $0 == "" ? nil : $0 }
    }

    private func before(_ field: String) -> JSONValue? {
        old?[field].flatMap { $0 == .null || $0 == "" ? nil : $0 }
    }

    private mutating func set(_ field: String, _ value: JSONValue) {
        var spec = object["spec"] ?? [:]
        if spec == .null { spec = [:] }
        spec[field] = value
        object["spec"] = spec
    }

    /// `awsName`, of kinds that have one.
    mutating func fillName() {
        guard kind != .backendGroup, given("awsName") == nil else { return }
        if let before = before("awsName") { return set("awsName", before) }
        // Of `generateName` the name is not known yet; then the default counts unwritten.
        guard let name = defaultAWSName(kind, request.name, request.namespace) else { return }
        set("awsName", .string(name))
    }

    /// `meshServiceDiscovery.ipPreference` follows the cluster's family, where that is known.
    mutating func fillPreference(_ family: InjectionSettings.IPFamily) {
        let given = object["spec"]?["meshServiceDiscovery"]?["ipPreference"]
        switch family {
        case .unknown: return
        case .ipv4:
            guard let given, given != .null, given != "IPv4_ONLY" else { return }
            setPreference("IPv4_ONLY")
        case .ipv6:
            if given != "IPv6_ONLY" { setPreference("IPv6_ONLY") }
        }
    }

    private mutating func setPreference(_ preference: JSONValue) {
        var discovery = object["spec"]?["meshServiceDiscovery"] ?? [:]
        if discovery == .null { discovery = [:] }
        guard discovery.object != nil else { return }
        discovery["ipPreference"] = preference
        set("meshServiceDiscovery", discovery)
    }

    mutating func designate(in world: World) {
        do throws(DesignationFailure) {
            let mesh = try designateMesh(in: world)
            if kind == .gatewayRoute { try designateGateway(in: world, mesh) }
        } catch {
            failure = error
        }
    }

    private mutating func designateMesh(in world: World) throws(DesignationFailure) -> Mesh {
        let field = "meshRef"
        if isUpdate, let before = before(field) {
            restore(field, before)
            let name = before["name"]?.string ?? ""
            if let mesh = world.meshes[ObjectReference(name: name)] { return mesh }
        }
        let mesh = try world.mesh(ofNamespace: request.namespace)
        try settle(
            field,
            ["name": .string(mesh.metadata.name), "uid": .string(mesh.metadata.uid)],
            isSame: { $0["name"] == .string(mesh.metadata.name) },
            "the mesh of its namespace, \(quoted(mesh.metadata.name))"
        )
        return mesh
    }

    private mutating func designateGateway(
        in world: World,
        _ mesh: Mesh
    ) throws(DesignationFailure) {
        let field = "virtualGatewayRef"
        if isUpdate, let before = before(field) { return restore(field, before) }
        let labels = object["metadata"]?["labels"]?.object ?? [:]
        let gateway = try world.gateway(
            ofRoute: ObjectReference(namespace: request.namespace, name: request.name),
            labels: labels.compactMapValues(\.string),
            in: mesh
        )
        let reference: JSONValue = [
            "namespace": .string(gateway.metadata.namespace),
            "name": .string(gateway.metadata.name), "uid": .string(gateway.metadata.uid),
        ]
        let namespace = request.namespace
        try settle(
            field,
            reference,
            isSame: { given in
                given["name"] == reference["name"]
                    && (given["namespace"]?.string ?? namespace) == gateway.metadata.namespace
            },
            "its gateway, \(quoted(gateway.reference.description))"
        )
    }

    /// Puts back what the object had, where the update leaves it out or has but another uid, as dumps
    /// of another cluster do.
    private mutating func restore(_ field: String, _ before: JSONValue) {
        guard let given = given(field) else { return set(field, before) }
        guard given != before, given["name"] == before["name"],
            given["namespace"] ?? before["namespace"] == before["namespace"]
        else { return }
        set(field, before)
        warnings.append("spec.\(field) is read-only; its uid is that of this cluster again")
    }

    /// Writes the reference that was told; one that is given must mean the same object.
    private mutating func settle(
        _ field: String,
        _ reference: JSONValue,
        isSame: (JSONValue) -> Bool,
        _ words: String
    ) throws(DesignationFailure) {
        guard let given = given(field) else { return set(field, reference) }
        guard isSame(given) else {
            let name = given["name"]?.string ?? ""
            throw DesignationFailure(
                field: "spec.\(field)",
                problem: "\(kind.rawValue) create may not specify read-only field: spec.\(field), "
                    + "and \(quoted(name)) is not \(words)",
                remedy: "remove the field"
            )
        }
        guard given != reference else { return }
        set(field, reference)
        warnings.append("spec.\(field) is read-only; its uid is that of this cluster now")
    }

    var verdict: AdmissionVerdict {
        // An update goes on with what the object had.
        guard let failure, !isUpdate else {
            return AdmissionVerdict(
                .allowed(patch: patch(from: request.object, to: object)),
                warnings: warnings
            )
        }
        let diagnostic = Diagnostic(
            .error,
            object: request.id(kind),
            field: failure.field,
            problem: failure.problem,
            remedy: failure.remedy
        )
        return AdmissionVerdict(.refused(message: diagnostic.message), dependsOnWorld: true)
    }
}

/// App Mesh's default of `awsName`; nil without a name, and of kinds that have none.
func defaultAWSName(_ kind: Kind, _ name: String, _ namespace: String) -> String? {
    guard !name.isEmpty else { return nil }
    switch kind {
    case .mesh: return name
    case .virtualService: return "\(name).\(namespace)"
    case .virtualNode, .virtualRouter, .virtualGateway, .gatewayRoute: return "\(name)_\(namespace)"
    case .backendGroup, .namespace, .workload, .trafficPolicy, .certificateMapping: return nil
    }
}

extension AdmissionRequest {
    /// The object as one of the kind `kind`.
    func id(_ kind: Kind) -> ObjectID {
        let shown = name.isEmpty ? object["metadata"]?["generateName"]?.string ?? "" : name
        return ObjectID(
            kind,
            ObjectReference(namespace: kind.isNamespaced ? namespace : "", name: shown)
        )
    }
}
