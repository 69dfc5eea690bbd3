internal import MeshModel

/// `routes` with their places in the manifest, in the order in which they are tried.
///
/// By priority, those without one last; then exact paths, regular expressions, longer prefixes,
/// more conditions; then the order of the manifest. App Mesh documents priority and the longest
/// prefix only.
func inOrderOfTrial(_ routes: [RouteSpec]) -> [(index: Int, route: RouteSpec)] {
    let ranked = routes.enumerated().map { index, route in
        (index: index, route: route, rank: Rank(of: route, at: index))
    }
    return ranked.sorted { $0.rank < $1.rank }.map { ($0.index, $0.route) }
}

private struct Rank: Comparable {
    var keys: [Int]

    init(of route: RouteSpec, at index: Int) {
        let (path, conditions) = route.match.specificity
        keys = [route.priority ?? Int.max, path.rank, -path.length, -conditions, index]
    }

    static func < (left: Rank, right: Rank) -> Bool {
        left.keys.lexicographicallyPrecedes(right.keys)
    }
}

extension RouteSpec.Match {
    /// Whether a route with this match counts for requests to `port` of its router.
    func applies(to port: Port) -> Bool { self.port.map { $0 == port } ?? true }

    /// The port of the router that the match asks for; nil means each.
    var port: Port? {
        switch self {
        case .http(let match), .http2(let match): match.port
        case .grpc(let match): match.port
        case .tcp(let port): port
        }
    }

    /// Whether the match is of connections, not of requests.
    var isTCP: Bool {
        switch self {
        case .tcp: true
        case .http, .http2, .grpc: false
        }
    }

    /// The field of a route that holds this match.
    var fieldName: String {
        switch self {
        case .http: "httpRoute"
        case .http2: "http2Route"
        case .grpc: "grpcRoute"
        case .tcp: "tcpRoute"
        }
    }

    /// How narrow the match is: the kind and length of its path, and its number of conditions.
    var specificity: (path: (rank: Int, length: Int), conditions: Int) {
        switch self {
        case .http(let match), .http2(let match):
            let conditions =
                match.headers.count + match.queryParameters.count + (match.method == nil ? 0 : 1)
                + (match.scheme == nil ? 0 : 1)
            switch match.path {
            case .exact(let path): return ((0, path.utf8.count), conditions)
            case .regex: return ((1, 0), conditions)
            case .prefix(let prefix): return ((2, prefix.utf8.count), conditions)
            }
        case .grpc(let match):
            let service = match.serviceName?.utf8.count ?? 0
            return match.methodName == nil
                ? ((2, service), match.metadata.count) : ((0, service), match.metadata.count)
        case .tcp: return ((2, 0), 0)
        }
    }
}
