public import MeshModel

/// A probe by which kubelet calls a container over the network: from outside the mesh, and without a
/// certificate.
public struct KubeletProbe: Hashable, Sendable {
    /// What kubelet does.
    public enum Action: Hashable, Sendable {
        /// `httpGet`, with `scheme: HTTPS` over TLS, by which kubelet verifies nothing.
        case http(overTLS: Bool)
        /// `tcpSocket`: it has the connection alone, which a proxy takes whatever becomes of it.
        case tcp
        /// `grpc`, in plaintext.
        case grpc
    }

    /// The name of the container.
    public var container: String
    /// `startupProbe`, `readinessProbe` or `livenessProbe`.
    public var name: String
    /// What kubelet does.
    public var action: Action
    /// The port, also of one that has a name.
    public var port: Int

    /// The names of probes.
    public static let names = ["startupProbe", "readinessProbe", "livenessProbe"]

    /// The probes of the containers in `spec`, that of a Pod or of a template, that run beside each other.
    public static func all(in spec: JSONValue?) -> [KubeletProbe] {
        let sidecars = (spec?["initContainers"]?.array ?? []).filter {
            $0["restartPolicy"]?.string == "Always"
        }
        return (sidecars + (spec?["containers"]?.array ?? [])).flatMap(probes)
    }

    /// The probes of one container.
    public static func probes(of container: JSONValue) -> [KubeletProbe] {
        names.compactMap { name in
            guard let probe = container[name] else { return nil }
            let action: Action
            let given: JSONValue?
            if let request = probe["httpGet"], request != .null {
                // Another host than the Pod is another's matter.
                guard request["host"]?.string ?? "" == "" else { return nil }
                action = .http(overTLS: request["scheme"]?.string?.uppercased() == "HTTPS")
                given = request["port"]
            } else if let socket = probe["tcpSocket"], socket != .null {
                guard socket["host"]?.string ?? "" == "" else { return nil }
                action = .tcp
                given = socket["port"]
            } else {
                action = .grpc
                given = probe["grpc"]?["port"]
            }
            guard let given, let port = number(of: given, in: container) else { return nil }
            let containerName = container["name"]?.string ?? ""
            return KubeletProbe(container: containerName, name: name, action: action, port: port)
        }
    }

    private static func number(of port: JSONValue, in container: JSONValue) -> Int? {
        if let number = port.integer { return number }
        guard let name = port.string else { return nil }
        return container["ports"]?.array?.first { $0["name"]?.string == name }?["containerPort"]?
            .integer ?? Int(name)
    }
}

/// Those of `probes`, of a Pod of `node`, that its proxy refuses, as they come without the TLS or the
/// certificate that a listener insists on.
///
/// - Parameters:
///   - probes: The Pod's.
///   - annotations: Of the Pod: those of App Mesh say which ports lead through the proxy.
///   - node: The virtual node that selects the Pod.
///   - mesh: The mesh of the node.
/// - Returns: Those that fail.
public func refusedProbes(
    _ probes: [KubeletProbe],
    _ annotations: [String: String],
    _ node: VirtualNode,
    in mesh: Mesh
) -> [KubeletProbe] {
    let redirected = PodAnnotations(annotations).ports
    var strict: [Int: Bool] = [:]
    for listener in node.spec.listeners {
        let isStrict = listener.tls.map { $0.mode == .strict } ?? (mesh.spec.mutualTLS == .strict)
        let port = Int(listener.portMapping.port.number)
        guard isStrict, redirected?.contains(port) ?? true else { continue }
        // By TLS of its own a listener may take callers without a certificate.
        strict[port] = listener.tls.map { $0.validation != nil } ?? true
    }
    return probes.filter { probe in
        guard let asksForCertificate = strict[probe.port] else { return false }
        switch probe.action {
        case .http(let overTLS): return !overTLS || asksForCertificate
        case .grpc: return true
        case .tcp: return false
        }
    }
}
