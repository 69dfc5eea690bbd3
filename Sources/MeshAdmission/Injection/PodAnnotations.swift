internal import FoundationEssentials
internal import MeshManifests
internal import MeshModel

/// What the annotations `appmesh.k8s.aws/...` of a Pod say to the injector.
struct PodAnnotations {
    /// Of `appmesh.k8s.aws/`.
    enum Name: String, CaseIterable {
        case sidecarInjectorWebhook, cpuRequest, memoryRequest, cpuLimit, memoryLimit, ports
        case egressIgnoredIPs, egressIgnoredPorts, ipv6, appmeshCNI, preview, secretMounts
        case volumeMounts, sidecarEnv, sidecarEnvJson, sds, xrayAgentConfigMount
        case virtualGatewaySkipImageOverride

        /// The name in full.
        var key: String { "appmesh.k8s.aws/\(rawValue)" }
        /// The annotation as a field.
        var field: String { "metadata.annotations[\"\(key)\"]" }
    }

    /// A name and the path at which it is mounted.
    struct Mount: Hashable {
        var name: String
        var path: String
    }

    /// `enabled`, `disabled`, or nil.
    private(set) var mode: InjectionMode?
    private(set) var cpuRequest: String?
    private(set) var memoryRequest: String?
    private(set) var cpuLimit: String?
    private(set) var memoryLimit: String?
    /// Nil where the virtual node's ports count.
    private(set) var ports: [Int]?
    private(set) var egressIgnoredIPs: String?
    private(set) var egressIgnoredPorts = "22"
    private(set) var hasIPv6 = true
    /// Nil where the platform says.
    private(set) var usesCNI: Bool?
    private(set) var secretMounts: [Mount] = []
    private(set) var volumeMounts: [Mount] = []
    private(set) var environment: [String: String] = [:]
    private(set) var isWithoutSDS = false
    private(set) var xRayConfiguration: Mount?
    private(set) var keepsGatewayImage = false
    /// What can't be understood; the Pod is refused for it.
    private(set) var refusals: [PodRefusal] = []
    /// What has no effect.
    private(set) var warnings: [String] = []

    private var given: [String: String]

    /// The longest value that is read, in bytes, and the most mounts: whoever makes a Pod decides how long
    /// reading takes, and all others wait for that.
    private static let limits = (bytes: 16_384, mounts: 64)

    /// Reads `annotations`.
    init(_ annotations: [String: String]) {
        given = annotations
        for name in Name.allCases {
            let count = given[name.key]?.utf8.count ?? 0
            guard count > Self.limits.bytes else { continue }
            refuse(name, "it is \(count) bytes long", "write at most \(Self.limits.bytes)")
            given[name.key] = nil
        }
        mode = toggle(.sidecarInjectorWebhook).map { $0 ? .enabled : .disabled }
        cpuRequest = quantity(.cpuRequest)
        memoryRequest = quantity(.memoryRequest)
        cpuLimit = quantity(.cpuLimit)
        memoryLimit = quantity(.memoryLimit)
        ports = numbers(.ports)
        egressIgnoredIPs = addresses(.egressIgnoredIPs)
        if let ports = numbers(.egressIgnoredPorts) {
            egressIgnoredPorts = ports.map(String.init).joined(separator: ",")
        }
        hasIPv6 = toggle(.ipv6) ?? true
        usesCNI = given[Name.appmeshCNI.key] == nil ? nil : toggle(.appmeshCNI) ?? false
        isWithoutSDS = toggle(.sds) == false
        keepsGatewayImage = toggle(.virtualGatewaySkipImageOverride) ?? false
        secretMounts = mounts(.secretMounts, "secretName:mountPath")
        volumeMounts = mounts(.volumeMounts, "volumeName:mountPath")
        readEnvironment()
        readEnvironmentJSON()
        readXRayConfiguration()
        if toggle(.preview) == true {
            warnings.append("\(Name.preview.key) has no effect: there is no preview channel")
        }
        for unknown in unknownAnnotations(annotations) {
            let hint = unknown.suggestion.map { "; did you mean \($0)?" } ?? ""
            warnings.append(
                "\(unknown.key) has no effect: the injector has no such annotation\(hint)"
            )
        }
    }

    private mutating func refuse(_ name: Name, _ problem: String, _ remedy: String) {
        refusals.append(PodRefusal(field: name.field, problem: problem, remedy: remedy))
    }

    /// `enabled` is true and `disabled` false, in any case; of anything else App Mesh's default counts.
    private mutating func toggle(_ name: Name) -> Bool? {
        guard let value = given[name.key] else { return nil }
        switch value.lowercased() {
        case "enabled": return true
        case "disabled": return false
        default:
            let text = quoted(value)
            warnings.append("\(name.key): \(text) is ignored; write enabled or disabled")
            return nil
        }
    }

    private mutating func quantity(_ name: Name) -> String? {
        guard let value = given[name.key] else { return nil }
        let text = trimmed(value)
        if MeshManifests.quantity(text, inThousandths: true) != nil { return text }
        refuse(name, "\(quoted(value)) is not a quantity", "write one such as 250m or 256Mi")
        return nil
    }

    /// Ports with commas between.
    private mutating func numbers(_ name: Name) -> [Int]? {
        guard let value = given[name.key] else { return nil }
        var ports: [Int] = []
        var seen: Set<Int> = []
        for part in parts(value) {
            // App Mesh's injector writes port 0 itself for a node without listeners.
            guard part != "0" else { continue }
            guard part.utf8.allSatisfy({ (0x30...0x39).contains($0) }), let port = Int(part),
                Port(port) != nil
            else {
                refuse(name, "\(quoted(part)) is not a port", "write ports with commas between")
                return nil
            }
            if seen.insert(port).inserted { ports.append(port) }
        }
        return ports
    }

    /// Addresses and networks with commas between.
    private mutating func addresses(_ name: Name) -> String? {
        guard let value = given[name.key] else { return nil }
        let addresses = parts(value)
        for address in addresses where !isNetwork(address) {
            refuse(
                name,
                "\(quoted(address)) is neither an IP address nor a network",
                "write addresses such as 10.0.0.1 or networks such as 10.0.0.0/8, with commas between"
            )
        }
        return addresses.joined(separator: ",")
    }

    private mutating func mounts(_ name: Name, _ format: String) -> [Mount] {
        guard let value = given[name.key] else { return [] }
        var mounts: [Mount] = []
        for part in parts(value) {
            let sides = part.split(separator: ":", omittingEmptySubsequences: false)
            let mount = Mount(
                name: trimmed(String(sides.first ?? "")),
                path: trimmed(String(sides.last ?? ""))
            )
            guard sides.count == 2, !mount.name.isEmpty, mount.path.hasPrefix("/") else {
                refuse(
                    name,
                    "malformed annotation \(name.key), expected format: \(format), found "
                        + quoted(part),
                    "write a name and an absolute path, with commas between several"
                )
                continue
            }
            if !mounts.contains(mount) { mounts.append(mount) }
            guard mounts.count <= Self.limits.mounts else {
                refuse(name, "there are too many mounts", "write at most \(Self.limits.mounts)")
                return []
            }
        }
        return mounts
    }

    /// `sidecarEnv`; a value may hold `=`, which App Mesh refused.
    private mutating func readEnvironment() {
        guard let value = given[Name.sidecarEnv.key] else { return }
        for part in parts(value) {
            let sides = part.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            let key = trimmed(String(sides[0]))
            guard sides.count == 2, isVariableName(key) else {
                refuse(
                    .sidecarEnv,
                    "malformed annotation \(Name.sidecarEnv.key), expected format: "
                        + "EnvVariableKey=EnvVariableValue, found \(quoted(part))",
                    "write names and values, with commas between several"
                )
                continue
            }
            environment[key] = trimmed(String(sides[1]))
        }
    }

    private mutating func readEnvironmentJSON() {
        guard let value = given[Name.sidecarEnvJson.key] else { return }
        let document = try? BoundedJSON.value(of: Array(value.utf8)[...], depth: 4)
        let objects = document?.array?.map(\.object)
        guard let objects, !objects.contains(where: { $0 == nil }) else {
            refuse(
                .sidecarEnvJson,
                "malformed annotation \(Name.sidecarEnvJson.key), expected format: "
                    + "[{\"EnvVariableKey\":\"EnvVariableValue\"}], found \(quoted(value))",
                "write a JSON list of objects"
            )
            return
        }
        for (key, value) in objects.compactMap({ $0 }).joined().sorted(by: { $0.key < $1.key }) {
            guard isVariableName(key), let text = scalar(value) else {
                refuse(
                    .sidecarEnvJson,
                    "\(quoted(key)) is not the name of a variable with a plain value",
                    "give each name a string; nested values are not supported"
                )
                continue
            }
            environment[key] = text
        }
    }

    private mutating func readXRayConfiguration() {
        guard let value = given[Name.xrayAgentConfigMount.key] else { return }
        if value.contains(",") {
            refuse(
                .xrayAgentConfigMount,
                "provide only one config mount for annotation "
                    + "\"\(Name.xrayAgentConfigMount.key): \(value.prefix(200))\"",
                "keep one"
            )
            return
        }
        xRayConfiguration = mounts(.xrayAgentConfigMount, "volumeName:mountPath").first
    }
}

/// The annotations `appmesh.k8s.aws/...` of a Pod that mean nothing, each with the one that it may have
/// been meant to be; sorted.
public func unknownAnnotations(
    _ annotations: [String: String]
) -> [(key: String, suggestion: String?)] {
    let prefix = "appmesh.k8s.aws/"
    let names = PodAnnotations.Name.allCases.map(\.rawValue)
    // The injector itself writes these, for App Mesh's CNI plugin.
    let written = ["proxyEgressPort", "proxyIngressPort", "ignoredUID", "ignoredGID"]
    return annotations.keys.sorted().compactMap { key in
        let name = String(key.dropFirst(prefix.count))
        guard key.hasPrefix(prefix), !(names + written).contains(name) else { return nil }
        return (key, nearestName(to: name, among: names).map { prefix + $0 })
    }
}

/// The parts between the commas of `text`, without spaces around them; none of an empty text.
private func parts(_ text: String) -> [String] {
    text.split(separator: ",").map { trimmed(String($0)) }.filter { !$0.isEmpty }
}

/// `text` without spaces, tabs and line ends around it.
private func trimmed(_ text: String) -> String {
    func isSpace(_ character: Character) -> Bool { character.isWhitespace }
    return String(text.drop(while: isSpace).reversed().drop(while: isSpace).reversed())
}

/// An address, or `address/bits`.
private func isNetwork(_ text: String) -> Bool {
    let sides = text.split(separator: "/", omittingEmptySubsequences: false)
    guard let address = sides.first.map(String.init), isIPAddress(address) else { return false }
    guard sides.count > 1 else { return true }
    let longest = address.contains(":") ? 128 : 32
    return sides.count == 2 && sides[1].utf8.allSatisfy { (0x30...0x39).contains($0) }
        && Int(sides[1]).map { $0 <= longest } ?? false
}

/// Whether Kubernetes takes `name` for an environment variable's, in every version.
private func isVariableName(_ name: String) -> Bool {
    guard let first = name.utf8.first, !(0x30...0x39).contains(first) else { return false }
    return name.utf8.allSatisfy { byte in
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
            UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "_"), UInt8(ascii: "-"),
            UInt8(ascii: "."):
            true
        default: false
        }
    }
}

/// A plain value of JSON as text.
private func scalar(_ value: JSONValue) -> String? {
    switch value {
    case .string(let text): text
    case .bool(let value): String(value)
    case .integer(let value): String(value)
    case .number(let value): String(value)
    case .null, .array, .object: nil
    }
}
