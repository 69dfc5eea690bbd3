internal import MeshManifests
internal import MeshModel

/// `resources` of the containers that the injector adds.
struct ContainerResources {
    private(set) var requests: [String: String] = [:]
    private(set) var limits: [String: String] = [:]

    /// What the annotations say, else the settings.
    ///
    /// A request that nobody asked for is not above the limit: the server would refuse the Pod.
    init(_ settings: InjectionSettings.Resources, _ annotations: PodAnnotations) throws(PodRefusal)
    {
        try add(
            "cpu",
            settings.requests.cpu,
            settings.limits.cpu,
            request: annotations.cpuRequest,
            limit: annotations.cpuLimit,
            .cpuRequest
        )
        try add(
            "memory",
            settings.requests.memory,
            settings.limits.memory,
            request: annotations.memoryRequest,
            limit: annotations.memoryLimit,
            .memoryRequest
        )
    }

    private mutating func add(
        _ resource: String,
        _ usualRequest: String,
        _ usualLimit: String,
        request: String?,
        limit: String?,
        _ name: PodAnnotations.Name
    ) throws(PodRefusal) {
        var asked = request ?? usualRequest
        let most = limit ?? usualLimit
        if let amount = thousandths(asked), let limit = thousandths(most), amount > limit {
            guard request == nil else {
                throw PodRefusal(
                    field: name.field,
                    problem: "the request \(quoted(asked)) is above the limit \(quoted(most))",
                    remedy: "raise the limit by its annotation, or lower the request"
                )
            }
            asked = most
        }
        if !asked.isEmpty { requests[resource] = asked }
        if !most.isEmpty { limits[resource] = most }
    }

    private func thousandths(_ text: String) -> Int? { quantity(text, inThousandths: true) }

    /// `resources` of a container.
    var document: JSONValue {
        var document: [String: JSONValue] = [:]
        if !requests.isEmpty { document["requests"] = .object(requests.mapValues { .string($0) }) }
        if !limits.isEmpty { document["limits"] = .object(limits.mapValues { .string($0) }) }
        return .object(document)
    }

    /// `limits.memory` in bytes; nil is no limit.
    var memoryLimitBytes: Int? {
        limits["memory"].flatMap { quantity($0, inThousandths: false) }
    }

    /// A worker thread for each core that the proxy may take, or asks for, and one at least.
    var workerCount: Int { ContainerResources.workers(cpu: limits["cpu"] ?? requests["cpu"]) ?? 1 }

    /// A worker thread for each core of `cpu`; nil where there is no such quantity.
    static func workers(cpu: String?) -> Int? {
        guard let cpu, let millicores = quantity(cpu, inThousandths: true) else { return nil }
        return min(max((millicores / 1000) + (millicores % 1000 == 0 ? 0 : 1), 1), 1024)
    }
}
