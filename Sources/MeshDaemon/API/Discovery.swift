import MeshModel

/// The documents through which kubectl and client libraries learn which kinds are served.
enum Discovery {
    /// The version of the Kubernetes API whose conventions this server follows.
    static let version: JSONValue = [
        "major": "1", "minor": "33", "gitVersion": .string("v1.33.0+heddle-\(heddleVersion)"),
        "gitCommit": "", "gitTreeState": "clean", "buildDate": "1970-01-01T00:00:00Z",
        "goVersion": "", "compiler": "swift", "platform": "linux",
    ]

    /// `/api`.
    static let coreVersions: JSONValue = [
        "kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": [],
    ]

    /// `/apis`.
    static var groups: JSONValue {
        let groups = groupNames.compactMap(group)
        return ["kind": "APIGroupList", "apiVersion": "v1", "groups": .array(groups)]
    }

    /// `/apis/<name>`; nil when there is no such group.
    static func group(_ name: String) -> JSONValue? {
        guard let kind = Kind.allCases.first(where: { $0.group == name }), !name.isEmpty else {
            return nil
        }
        let version: JSONValue = [
            "groupVersion": .string(kind.apiVersion), "version": .string(kind.version),
        ]
        return [
            "kind": "APIGroup", "apiVersion": "v1", "name": .string(name), "versions": [version],
            "preferredVersion": version,
        ]
    }

    /// `/api/v1` and `/apis/<group>/<version>`; nil when there is no such version.
    static func resources(apiVersion: String) -> JSONValue? {
        let kinds = Kind.allCases.filter { $0.apiVersion == apiVersion }
        guard !kinds.isEmpty else { return nil }
        return [
            "kind": "APIResourceList", "apiVersion": "v1", "groupVersion": .string(apiVersion),
            "resources": .array(
                kinds.flatMap(resources)
                    + (apiVersion == Certificates.apiVersion ? certificates + proxies : [])
                    + (apiVersion == Events.apiVersion ? [events] : [])
            ),
        ]
    }

    private static let groupNames = ["appmesh.k8s.aws", "heddle.dev"]

    private static let certificates: [JSONValue] = [
        [
            "name": .string(Certificates.plural), "singularName": "certificate",
            "namespaced": true, "kind": .string(Certificates.kind),
            "verbs": ["get", "list", "watch"],
        ],
        [
            "name": .string("\(Certificates.plural)/rotate"), "singularName": "",
            "namespaced": true, "kind": .string(Certificates.kind), "verbs": ["create"],
        ],
    ]

    private static let proxies: [JSONValue] = [
        [
            "name": .string(Proxies.plural), "singularName": "proxy", "namespaced": true,
            "kind": .string(Proxies.kind), "verbs": ["get", "list", "watch"],
        ],
        [
            "name": .string("\(Proxies.plural)/upgrade"), "singularName": "", "namespaced": true,
            "kind": .string(Proxies.kind), "verbs": ["create"],
        ],
    ]

    private static let events: JSONValue = [
        "name": .string(Events.plural), "singularName": "event", "namespaced": true,
        "kind": .string(Events.kind), "shortNames": ["ev"], "verbs": ["get", "list", "watch"],
    ]

    private static func resources(_ kind: Kind) -> [JSONValue] {
        let common: JSONValue = [
            "name": .string(kind.plural), "singularName": .string(kind.singular),
            "namespaced": .bool(kind.isNamespaced), "kind": .string(kind.rawValue),
        ]
        var main = common
        main["verbs"] = ["get", "list", "watch"]
        if kind == .namespace { main["shortNames"] = ["ns"] }
        // As in App Mesh's CRDs: every kind but Mesh.
        if kind.isNamespaced { main["categories"] = ["all"] }
        func subresource(_ name: String) -> JSONValue {
            var resource = common
            resource["name"] = .string("\(kind.plural)/\(name)")
            resource["singularName"] = ""
            resource["verbs"] = ["get"]
            return resource
        }
        return [main, subresource("status")] + (kind == .workload ? [subresource("log")] : [])
    }
}
