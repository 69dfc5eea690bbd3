internal import MeshModel

/// Why a Pod is refused.
struct PodRefusal: Error {
    /// The field at fault; empty for the whole Pod.
    var field = ""
    var problem: String
    var remedy: String
    /// Whether a world that has more objects could decide otherwise.
    var dependsOnWorld = false

    /// `field: problem; remedy`.
    var text: String { (field.isEmpty ? "" : "\(field): ") + "\(problem); \(remedy)" }
}

/// A Pod that is about to be stored.
struct Pod {
    /// The Pod as it was sent, with what was added since.
    var document: JSONValue
    let namespace: String
    /// The name, or what it will begin with.
    let name: String
    /// What nobody can guess who can't read the Pod: the random uid of the request that created it.
    let secret: String?

    init(_ request: AdmissionRequest) {
        document = request.object
        namespace = request.namespace
        let isPlain = request.uid.utf8.allSatisfy { byte in
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"):
                true
            default: false
            }
        }
        secret = isPlain && (16...128).contains(request.uid.utf8.count) ? request.uid : nil
        name =
            request.name.isEmpty
            ? request.object["metadata"]?["generateName"]?.string ?? "" : request.name
    }

    /// `namespace/name`.
    var reference: String { "\(namespace)/\(name)" }

    var labels: [String: String] { strings("labels") }
    var annotations: [String: String] { strings("annotations") }

    private func strings(_ key: String) -> [String: String] {
        (document["metadata"]?[key]?.object ?? [:]).compactMapValues(\.string)
    }

    /// Whether containers, volumes and the like are of the kinds that they have to be; the server
    /// refuses the Pod itself where they are not.
    var isWellFormed: Bool {
        guard let spec = document["spec"]?.object else { return false }
        let lists = ["containers", "initContainers", "volumes", "imagePullSecrets"]
        let areLists = lists.allSatisfy { key in
            guard let value = spec[key], value != .null else { return true }
            return value.array?.allSatisfy { $0.object != nil } ?? false
        }
        let areObjects = [spec["securityContext"], document["metadata"]?["annotations"]].allSatisfy
        {
            $0 == nil || $0 == .null || $0?.object != nil
        }
        return areLists && areObjects
    }

    /// The elements of the list `key` of the spec.
    func list(_ key: String) -> [JSONValue] { document["spec"]?[key]?.array ?? [] }

    /// Where the container `name` is, among containers or init containers.
    func place(ofContainer name: String) -> (list: String, index: Int)? {
        for list in ["containers", "initContainers"] {
            if let index = self.list(list).firstIndex(where: { $0["name"]?.string == name }) {
                return (list, index)
            }
        }
        return nil
    }

    func hasContainer(_ name: String) -> Bool { place(ofContainer: name) != nil }

    /// Adds `element` to the list `key` of the spec.
    mutating func append(_ element: JSONValue, to key: String, atFront: Bool = false) {
        let present = list(key)
        document["spec"]?[key] = .array(atFront ? [element] + present : present + [element])
    }

    /// The member `key` of the Pod's `securityContext`; nil where it has none.
    func security(_ key: String) -> JSONValue? {
        let value = document["spec"]?["securityContext"]?[key]
        return value == .null ? nil : value
    }

    mutating func setSecurity(_ key: String, _ value: JSONValue) {
        var context = document["spec"]?["securityContext"] ?? [:]
        if context == .null { context = [:] }
        context[key] = value
        document["spec"]?["securityContext"] = context
    }

    /// Lets the proxy's user read the files of tokens and Secrets, unless the Pod says who may.
    mutating func letProxyReadFiles() {
        guard security("fsGroup") == nil else { return }
        setSecurity("fsGroup", .integer(ProxyContainer.user))
    }

    /// Makes sure that there is a volume with `source`, and tells its name: `name`, or one made of it
    /// where another volume has that.
    mutating func volume(_ name: String, _ source: [String: JSONValue]) -> String {
        let base = volumeName(name)
        var candidate = base
        var number = 2
        let volumes = Dictionary(
            list("volumes").map { ($0["name"]?.string ?? "", $0) },
            uniquingKeysWith: { first, _ in first }
        )
        while let present = volumes[candidate] {
            if isSame(present, source) { return candidate }
            candidate = "\(base.prefix(60))-\(number)"
            number += 1
        }
        var volume = source
        volume["name"] = .string(candidate)
        append(.object(volume), to: "volumes")
        return candidate
    }

    /// Whether `volume` is of `source`; the server may have filled in defaults.
    private func isSame(_ volume: JSONValue, _ source: [String: JSONValue]) -> Bool {
        source.allSatisfy { key, value in contains(volume[key] ?? .null, value) }
    }

    private func contains(_ given: JSONValue, _ asked: JSONValue) -> Bool {
        switch (given, asked) {
        case (.object(let given), .object(let asked)):
            asked.allSatisfy { contains(given[$0.key] ?? .null, $0.value) }
        case (.array(let given), .array(let asked)):
            given.count == asked.count && zip(given, asked).allSatisfy(contains)
        case (.object, _), (.array, _), (.null, _), (.bool, _), (.integer, _), (.number, _),
            (.string, _):
            given == asked
        }
    }
}

/// `name` as a volume can be named: a DNS label, which a Secret's name need not be.
private func volumeName(_ name: String) -> String {
    String(name.map { $0 == "." ? "-" : $0 }.prefix(63))
}
