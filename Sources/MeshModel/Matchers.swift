/// How a value is compared (`match` of a header or of gRPC metadata).
public enum ValueMatch: Hashable, Sendable {
    case exact(String)
    case prefix(String)
    case suffix(String)
    /// RE2, over the whole value.
    case regex(String)
    /// A number; start inclusive, end exclusive.
    case range(start: Int, end: Int)
    /// No `match`: the header is there, whatever its value.
    case present
}

/// A condition on a header or on gRPC metadata.
public struct HeaderMatch: Hashable, Sendable {
    /// `name`.
    public var name: String
    /// `invert`.
    public var invert: Bool
    /// `match`.
    public var match: ValueMatch

    /// Makes a condition.
    public init(name: String, invert: Bool = false, match: ValueMatch = .present) {
        self.name = name
        self.invert = invert
        self.match = match
    }
}

/// A condition on a query parameter.
public struct QueryParameterMatch: Hashable, Sendable {
    /// `name`.
    public var name: String
    /// `match.exact`; nil asks only that it is there.
    public var exact: String?

    /// Makes a condition.
    public init(name: String, exact: String? = nil) {
        self.name = name
        self.exact = exact
    }
}

/// A condition on the path.
public enum PathMatch: Hashable, Sendable {
    case prefix(String)
    /// `path.exact`.
    case exact(String)
    /// `path.regex`: RE2, over the whole path.
    case regex(String)
}

/// `method`.
public enum HTTPMethod: String, CaseIterable, Hashable, Sendable {
    case connect = "CONNECT"
    case delete = "DELETE"
    case get = "GET"
    case head = "HEAD"
    case options = "OPTIONS"
    case patch = "PATCH"
    case post = "POST"
    case put = "PUT"
    case trace = "TRACE"
}

/// A condition on the request's host (`hostname`).
public enum HostnameMatch: Hashable, Sendable {
    case exact(String)
    case suffix(String)
}
