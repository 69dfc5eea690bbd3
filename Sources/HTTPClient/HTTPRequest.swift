/// A header field of a request or response.
public struct HTTPField: Hashable, Sendable {
    /// The name as written; names are compared without regard to case.
    public var name: String
    /// The value.
    public var value: String

    /// Makes a header field.
    public init(_ name: String, _ value: String) {
        self.name = name
        self.value = value
    }
}

/// What is asked of a server.
public struct HTTPRequest: Sendable {
    /// `GET`, `POST`, ...
    public var method: String
    /// `http://host:port/path?query`, percent-encoded.
    public var url: String
    /// The Unix socket to connect to, in place of the URL's host.
    public var unixSocketPath: String?
    /// Header fields beside those that libcurl itself sends.
    public var headers: [HTTPField]
    /// The body; nil sends none.
    public var body: [UInt8]?
    /// Signs the request for AWS; nil leaves it unsigned.
    ///
    /// Only a POST to a plain path with a `Content-Type` can be signed; others are refused.
    public var signature: AWSSignature?
    /// How a connection to the server comes about.
    public var connection = HTTPConnectionSettings()
    /// Whether the server may compress the body (gzip); what is read is not compressed.
    public var acceptsCompressed = false
    /// How many bytes of the body may wait to be read; with more the request fails.
    ///
    /// It holds for connections that are shared. On others the server has to wait for the reader.
    public var backlogLimit = 64 * 1024 * 1024
    /// For how long a connection may take to come about.
    public var connectTimeout: Duration
    /// For how long the whole exchange may take; nil is without limit, as watches need it.
    public var timeout: Duration?

    /// Makes a request.
    public init(
        _ method: String = "GET",
        _ url: String,
        unixSocketPath: String? = nil,
        headers: [HTTPField] = [],
        body: [UInt8]? = nil,
        signature: AWSSignature? = nil,
        certificateAuthorityFile: String? = nil,
        connectTimeout: Duration = .seconds(5),
        timeout: Duration? = .seconds(30)
    ) {
        self.method = method
        self.url = url
        self.unixSocketPath = unixSocketPath
        self.headers = headers
        self.body = body
        self.signature = signature
        connection.authorities = certificateAuthorityFile.map { .file($0) }
        self.connectTimeout = connectTimeout
        self.timeout = timeout
    }

    /// `GET http://localhost/ready over /run/admin.sock`, as messages name a request.
    ///
    /// The query is left out, as it may hold secrets.
    var summary: String {
        let place = url.prefix { $0 != "?" }
        guard let unixSocketPath else { return "\(method) \(place)" }
        return "\(method) \(place) over \(unixSocketPath)"
    }
}

extension HTTPRequest: CustomStringConvertible, CustomReflectable {
    /// `GET http://localhost/ready over /run/admin.sock`, without query, header fields and body.
    public var description: String { summary }
    /// Shows what `description` does: header fields and bodies may hold secrets.
    public var customMirror: Mirror { Mirror(self, children: ["summary": summary]) }
}

/// The first part of a response: all but its body.
public struct HTTPResponseHead: Sendable {
    /// The status, such as 200.
    public var status: Int
    /// The header fields in the order received.
    public var headers: [HTTPField]

    /// The value of the first header field `name`.
    public subscript(name: String) -> String? {
        headers.first { $0.name.lowercased() == name.lowercased() }?.value
    }
}

/// A response with its whole body.
public struct HTTPResponse: Sendable {
    /// Status and header fields.
    public var head: HTTPResponseHead
    /// The body.
    public var body: [UInt8]

    /// The status, such as 200.
    public var status: Int { head.status }
    /// The body as text; bytes that are not UTF-8 are replaced.
    public var text: String { String(decoding: body, as: UTF8.self) }
}

/// Why there is no response, or no whole one.
public struct HTTPError: Error, Hashable, CustomStringConvertible {
    /// What kind of failure it is, for those who act on it.
    public enum Kind: Hashable, Sendable {
        /// No connection came about: refused, no such socket, unknown host.
        case cannotConnect
        /// A time limit passed.
        case timedOut
        /// The body is larger than the caller's limit.
        case bodyTooLarge
        /// A certificate is not good: the server's for the client, or the client's own.
        case untrusted
        /// The client was shut down.
        case shutDown
        /// Anything else: a bad URL, a broken connection, a malformed response.
        case failed
    }

    /// What kind of failure it is.
    public var kind: Kind
    /// What was asked: method, URL and socket.
    public var request: String
    /// What went wrong, without a final period.
    public var reason: String

    /// `GET http://localhost/ready over /run/admin.sock: connection refused`.
    public var description: String { "\(request): \(reason)" }
}
