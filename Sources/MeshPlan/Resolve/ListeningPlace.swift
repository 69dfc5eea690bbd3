internal import MeshModel

/// Where a proxy listens, and how connections come there.
enum ListeningPlace: Hashable {
    /// At two loopback addresses of its own, on the very ports that are called.
    case host(ProxyAddresses)
    /// In a Pod, whose own rules redirect what comes to the application to 15000, and what it sends to
    /// 15001: the kernel knows where each connection was meant to go.
    ///
    /// So it is the same in every Pod. Without IPv6 no socket of IPv6 is opened, as a kernel may be
    /// without it, and Envoy then refuses the listener as a whole.
    case pod(hasIPv6: Bool)

    /// Whether connections are redirected to it.
    var isPod: Bool {
        switch self {
        case .host: false
        case .pod: true
        }
    }

    /// The proxy's addresses, without that of its Pod.
    var addresses: ProxyAddresses {
        switch self {
        case .host(let addresses): addresses
        case .pod: ProxyAddresses(ingress: "", egress: egressAddress)
        }
    }

    /// Where the application, and a gateway's own routes, call others.
    var egressAddress: String {
        switch self {
        case .host(let addresses): addresses.egress
        case .pod: "127.0.0.1"
        }
    }

    /// Where connections to `ports` of the node arrive.
    ///
    /// The kernel redirects what comes to a Pod to the address that it came to.
    func ingressSockets(for ports: [Port]) -> [ListeningSocket] {
        switch self {
        case .host(let addresses):
            ports.map { ListeningSocket(address: addresses.ingress, port: $0) }
        case .pod: [anywhere(.ingress)]
        }
    }

    /// Where connections of the application to `ports` arrive.
    ///
    /// The kernel redirects what leaves a Pod to the loopback address, so that nobody else comes there.
    func egressSockets(for ports: [Port]) -> [ListeningSocket] {
        switch self {
        case .host(let addresses):
            return ports.map { ListeningSocket(address: addresses.egress, port: $0) }
        case .pod(let hasIPv6):
            let addresses = ["127.0.0.1"] + (hasIPv6 ? ["::1"] : [])
            return addresses.map { ListeningSocket(address: $0, port: .egress) }
        }
    }

    /// Every address of a Pod, or the proxy's own.
    func anywhere(_ port: Port) -> ListeningSocket {
        switch self {
        case .host(let addresses): ListeningSocket(address: addresses.ingress, port: port)
        case .pod(let hasIPv6):
            ListeningSocket(address: hasIPv6 ? "::" : "0.0.0.0", port: port)
        }
    }
}

extension Resolution {
    /// Where the proxies of `owner` listen; nil of those on this host, which have addresses each.
    ///
    /// Both families of addresses are listened on when `ipPreference` asks for more than IPv4, or a Pod
    /// has IPv6. Of a gateway, which App Mesh let listen on both in any case, the Pods alone tell.
    func podPlace(of owner: ObjectID, in mesh: Mesh) -> ListeningPlace? {
        let pods = (workloads[owner] ?? []).compactMap(\.spec.pod)
        guard !pods.isEmpty else { return nil }
        let hasIPv6 = pods.contains(where: \.hasIPv6)
        switch mesh.spec.ipPreference {
        case nil: return .pod(hasIPv6: hasIPv6)
        case .ipv4Only: return .pod(hasIPv6: hasIPv6 && owner.kind == .virtualGateway)
        case .ipv6Only, .ipv4Preferred, .ipv6Preferred: return .pod(hasIPv6: true)
        }
    }

    /// The secrets of the proxies of `owner`, which are in Pods, by their names in SDS: those that the
    /// control plane has, and those that are files.
    ///
    /// Paths in manifests are those of the proxy's own file system, as in App Mesh. On this host Heddle
    /// reads them; in a Pod Envoy does, and looks again when the folder changes. Authorities of several
    /// sources are one secret, which the control plane puts together, so that it reads such files.
    func secretsInPods(
        of owner: ObjectID
    ) -> (served: [String: SecretSpec], files: [FileSecret]) {
        var served: [String: SecretSpec] = [:]
        var files: [FileSecret] = []
        for (name, spec) in secrets[owner] ?? [:] {
            switch spec {
            case .certificate(.files(let file)):
                files.append(FileSecret(name: name, content: .certificate(file)))
            case .trust(let sources):
                if sources.count == 1, case .file(let path) = sources[0] {
                    files.append(FileSecret(name: name, content: .trust(path)))
                } else {
                    served[name] = spec
                }
            case .certificate(.issued), .certificate(.acmPrivateCA): served[name] = spec
            }
        }
        return (served, files)
    }
}

extension Workload {
    /// The Pod that it stands for, if a proxy of Heddle's is in it.
    var injectedPod: PodPlacement? { spec.pod.flatMap { $0.hasProxy ? $0 : nil } }

    /// Whether it stands for a Pod that has no proxy of Heddle's.
    var isUninjected: Bool { spec.pod?.hasProxy == false }
}
