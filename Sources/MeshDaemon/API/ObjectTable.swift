import MeshModel

/// A column of the table that kubectl prints for a kind.
struct TableColumn: Sendable {
    /// The heading; kubectl prints it in capitals.
    var name: String
    /// `string`, `integer` or `date`.
    var type = "string"
    /// What it shows.
    var description: String
    /// 0 is always shown, 1 with `-o wide`.
    var priority = 0
    /// The cell of an object, at a time in seconds since 1970.
    var cell: @Sendable (_ entry: APIEntry, _ nowSeconds: Int) -> JSONValue

    /// The column as a `Table` describes it.
    var definition: JSONValue {
        [
            "name": .string(name), "type": .string(type), "priority": .integer(priority),
            "format": name == "Name" ? "name" : "", "description": .string(description),
        ]
    }
}

/// How much of an object its table row carries (`includeObject`).
enum IncludeObject: String {
    case metadata = "Metadata"
    case object = "Object"
    case none = "None"
}

/// Makes `Table` documents of the group `meta.k8s.io`, which kubectl prints as they are.
enum ObjectTable {
    /// The table of `entries`; without its columns for all events of a watch but the first.
    static func document(
        of entries: [APIEntry],
        kind: Kind,
        version: Int,
        include: IncludeObject,
        nowSeconds: Int,
        includesColumns: Bool = true
    ) -> JSONValue {
        let columns = columns(of: kind)
        let rows = entries.map { entry -> JSONValue in
            var row: JSONValue = [
                "cells": .array(columns.map { $0.cell(entry, nowSeconds) })
            ]
            switch include {
            case .none: break
            case .object: row["object"] = entry.document
            case .metadata:
                row["object"] = [
                    "apiVersion": "meta.k8s.io/v1", "kind": "PartialObjectMetadata",
                    "metadata": entry.metadataDocument,
                ]
            }
            return row
        }
        return [
            "apiVersion": "meta.k8s.io/v1", "kind": "Table",
            "metadata": ["resourceVersion": .string(String(version))],
            "columnDefinitions": includesColumns ? .array(columns.map(\.definition)) : .null,
            "rows": .array(rows),
        ]
    }

    /// The columns of `kind`.
    static func columns(of kind: Kind) -> [TableColumn] {
        switch kind {
        case .namespace: [name, field("Status", "Whether it is in use.", "phase"), age]
        case .mesh: [name, ready, reason, age, arn("meshARN")]
        case .virtualNode: [name, ports, ready, reason, age, proxies, arn("virtualNodeARN")]
        case .virtualService: [name, provider, ready, reason, age, arn("virtualServiceARN")]
        case .virtualRouter: [name, routes, ready, reason, age, arn("virtualRouterARN")]
        case .virtualGateway: [name, ports, ready, reason, age, proxies, arn("virtualGatewayARN")]
        case .gatewayRoute: [name, target, ready, reason, age, arn("gatewayRouteARN")]
        case .backendGroup: [name, age]
        case .trafficPolicy: [name, targets, features, ready, reason, age]
        case .certificateMapping:
            [
                name, field("ARN", "What it stands for.", "arn"),
                field("Source", "Where the certificate or authority is from.", "source"), ready,
                reason, age,
            ]
        case .workload:
            [
                name, owner, state,
                field("Ingress", "Where its proxy takes requests.", "sidecar", "ingressAddress"),
                field("Egress", "Where its application sends them.", "sidecar", "egressAddress"),
                restarts, age,
                field("PID", "The proxy's process.", priority: 1, "sidecar", "pid"),
                field("Node-ID", "What the proxy calls itself.", priority: 1, "nodeID"),
            ]
        }
    }
}

/// What an absent value shows as, as in kubectl.
private let none: JSONValue = "<none>"

private let name = TableColumn(
    name: "Name",
    description: "Name, unique within the namespace."
) { entry, _ in .string(entry.id.name) }

private let age = TableColumn(
    name: "Age",
    type: "date",
    description: "Time since the object appeared."
) { entry, nowSeconds in
    let created = entry.metadata.creationTimestampSeconds
    return created == 0 ? "<unknown>" : .string(humanDuration(seconds: nowSeconds - created))
}

private let owner = TableColumn(
    name: "Node",
    description: "The virtual node or gateway it is of."
) { entry, _ in
    let status = entry.document["status"]
    return status?["virtualNode"] ?? status?["virtualGateway"] ?? none
}

private let ready = TableColumn(
    name: "Ready",
    description: "Whether the object is in effect: the status of its main condition."
) { entry, _ in .string(entry.mainCondition?.status.rawValue ?? "Unknown") }

private let reason = TableColumn(
    name: "Reason",
    description: "Why it is, or is not: the reason of its main condition."
) { entry, _ in entry.mainCondition.map { .string($0.reason) } ?? none }

private let state = TableColumn(
    name: "State",
    description: "The proxy's state; Running is good."
) { entry, _ in .string(ProxyState(status: entry.status?.document ?? [:]).word) }

private let proxies = TableColumn(
    name: "Proxies",
    description: "How many of its proxies are ready, of how many.",
    priority: 1
) { entry, _ in
    let fields = entry.status?.fields
    let count = fields?["sidecarCount"]?.integer ?? 0
    return count == 0 ? none : .string("\(fields?["readySidecarCount"]?.integer ?? 0)/\(count)")
}

private let restarts = TableColumn(
    name: "Restarts",
    type: "integer",
    description: "How often the proxy was started again after it ended by itself."
) { entry, _ in entry.status?.fields["sidecar"]?["restarts"] ?? 0 }

private let ports = TableColumn(
    name: "Ports",
    description: "The listeners' ports and protocols."
) { entry, _ in
    let listeners = entry.manifest["spec"]?["listeners"]?.array ?? []
    let ports = listeners.compactMap { listener -> String? in
        guard let port = listener["portMapping"]?["port"]?.integer else { return nil }
        return "\(port)/\(listener["portMapping"]?["protocol"]?.string ?? "tcp")"
    }
    return ports.isEmpty ? none : .string(ports.joined(separator: ","))
}

private let provider = TableColumn(
    name: "Provider",
    description: "The router or node that answers for the service."
) { entry, _ in
    let provider = entry.manifest["spec"]?["provider"]
    for kind in [Kind.virtualRouter, .virtualNode] {
        let key = kind.rawValue.prefix(1).lowercased() + kind.rawValue.dropFirst()
        guard let reference = provider?[key] else { continue }
        let name = reference["\(key)Ref"]?["name"]?.string ?? reference["\(key)ARN"]?.string
        return .string("\(kind.singular)/\(name ?? "<none>")")
    }
    return none
}

private let routes = TableColumn(
    name: "Routes",
    type: "integer",
    description: "The number of routes."
) { entry, _ in .integer(entry.manifest["spec"]?["routes"]?.array?.count ?? 0) }

private let target = TableColumn(
    name: "Target",
    description: "The virtual service that requests go to."
) { entry, _ in
    for key in ["httpRoute", "http2Route", "grpcRoute", "tcpRoute"] {
        let service = entry.manifest["spec"]?[key]?["action"]?["target"]?["virtualService"]
        if let name = service?["virtualServiceRef"]?["name"] ?? service?["virtualServiceARN"] {
            return name
        }
    }
    return none
}

private let targets = TableColumn(
    name: "Targets",
    description: "The objects that the policy applies to."
) { entry, _ in
    let references = entry.manifest["spec"]?["targetRefs"]?.array ?? []
    let targets = references.compactMap { reference -> String? in
        guard let kind = reference["kind"]?.string, let name = reference["name"]?.string else {
            return nil
        }
        return "\(kind.lowercased())/\(name)"
    }
    return targets.isEmpty ? none : .string(targets.joined(separator: ","))
}

private let features = TableColumn(
    name: "Features",
    description: "What the policy adds to them."
) { entry, _ in
    let given = TrafficFeature.allCases.map(\.rawValue).filter {
        entry.manifest["spec"]?[$0] != nil
    }
    return given.isEmpty ? none : .string(given.joined(separator: ","))
}

private func arn(_ key: String) -> TableColumn {
    field("ARN", "App Mesh's name for the object.", priority: 1, key)
}

private func field(
    _ name: String,
    _ description: String,
    priority: Int = 0,
    _ path: String...
) -> TableColumn {
    TableColumn(name: name, description: description, priority: priority) { entry, _ in
        let status = entry.document["status"] ?? .null
        let value = path.reduce(status) { $0[$1] ?? .null }
        switch value {
        case .null: return none
        case .integer(let number): return .string(String(number))
        case .bool, .number, .string, .array, .object: return value
        }
    }
}
