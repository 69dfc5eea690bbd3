import Foundation
import HTTPClient
import Testing

@Suite(.timeLimit(.minutes(1)))
struct HTTPClientTests {
    let server: TestServer
    let client = HTTPClient()

    init() throws { server = try TestServer() }

    private struct Echo: Decodable {
        var method: String
        var path: String
        var body: String
        var headers: [String]
    }

    private func echo(_ request: HTTPRequest) async throws -> Echo {
        let response = try await client.response(to: request)
        #expect(response.status == 200)
        return try JSONDecoder().decode(Echo.self, from: Data(response.body))
    }

    @Test(arguments: ["GET", "POST", "PUT", "PATCH", "DELETE"])
    func `method, path, headers and body arrive`(method: String) async throws {
        let body = method == "GET" ? nil : Array("grün".utf8)
        let echo = try await echo(
            HTTPRequest(
                method,
                server.url("/a%20b?c=d"),
                headers: [HTTPField("X-Color", "blue"), HTTPField("X-Empty", "")],
                body: body
            )
        )
        #expect(echo.method == method)
        #expect(echo.path == "/a%20b?c=d")
        #expect(echo.body == (body == nil ? "" : "grün"))
        #expect(echo.headers.contains("X-Color: blue"))
        #expect(echo.headers.contains("X-Empty: "))
        #expect(!echo.headers.contains { $0.hasPrefix("Content-Type") || $0.hasPrefix("Expect") })
    }

    @Test func `a POST without a body has the length 0`() async throws {
        let echo = try await echo(HTTPRequest("POST", server.url("/")))
        #expect(echo.method == "POST")
        #expect(echo.headers.contains("Content-Length: 0"))
    }

    @Test func `HEAD gives a head and no body`() async throws {
        let response = try await client.response(to: HTTPRequest("HEAD", server.url("/")))
        #expect(response.status == 200)
        #expect(response.head["content-length"] != nil)
        #expect(response.body.isEmpty)
    }

    @Test func `a Unix socket takes the place of host and port`() async throws {
        let echo = try await echo(
            HTTPRequest("GET", "http://admin/ready", unixSocketPath: server.socketPath)
        )
        #expect(echo.path == "/ready")
        #expect(echo.headers.contains("Host: admin"))
    }

    @Test func `header fields keep their order and repetitions`() async throws {
        let response = try await client.response(to: HTTPRequest("GET", server.url("/")))
        #expect(response.head.headers.filter { $0.name == "X-Twice" }.map(\.value) == ["a", "b"])
        #expect(response.head["x-twice"] == "a")
    }

    @Test func `a status of 404 is a response`() async throws {
        let response = try await client.response(to: HTTPRequest("GET", server.url("/missing")))
        #expect(response.status == 404)
        #expect(response.text == "no such thing")
    }

    @Test func `a hundred requests at once are answered`() async throws {
        let statuses = try await withThrowingTaskGroup(of: Int.self) { group in
            for number in 0..<100 {
                let request = HTTPRequest("GET", server.url("/\(number)"))
                group.addTask { [client] in try await client.response(to: request).status }
            }
            return try await group.reduce(into: []) { $0.append($1) }
        }
        #expect(statuses == Array(repeating: 200, count: 100))
    }

    @Test func `chunks can be read before the response ends`() async throws {
        let stream = try await client.stream(HTTPRequest("GET", server.url("/steps"), timeout: nil))
        var chunks = stream.body.makeAsyncIterator()
        #expect(try await chunks.next() == Array("one".utf8))
        _ = try await client.response(to: HTTPRequest("GET", server.url("/go")))
        #expect(try await chunks.next() == Array("two".utf8))
        #expect(try await chunks.next() == nil)
    }

    @Test func `a slow reader slows down the server, and gets all in the end`() async throws {
        let request = HTTPRequest("GET", server.url("/endless"), timeout: nil)
        var chunks = try await client.stream(request).body.makeAsyncIterator()
        var count = try await chunks.next()?.count ?? 0
        let stalled = try await client.response(to: HTTPRequest("GET", server.url("/stalled")))
        let sent = try #require(Int(stalled.text))
        #expect(sent < 16 * 1024 * 1024)
        while count < sent, let bytes = try await chunks.next() { count += bytes.count }
        #expect(count >= sent)
    }

    @Test func `cancelling the task closes the connection`() async throws {
        let request = HTTPRequest("GET", server.url("/endless"), timeout: nil)
        let stream = try await client.stream(request)
        let reader = Task { for try await _ in stream.body {} }
        reader.cancel()
        await #expect(throws: CancellationError.self) { try await reader.value }
        _ = try await client.response(to: HTTPRequest("GET", server.url("/broken")))
    }

    @Test func `cancelling before the head throws at once`() async throws {
        let request = HTTPRequest("GET", server.url("/silent"), timeout: nil)
        let reader = Task { [client] in try await client.response(to: request) }
        reader.cancel()
        await #expect(throws: CancellationError.self) { try await reader.value }
    }

    @Test func `giving up a body closes the connection`() async throws {
        let request = HTTPRequest("GET", server.url("/endless"), timeout: nil)
        _ = try await client.stream(request)
        _ = try await client.response(to: HTTPRequest("GET", server.url("/broken")))
    }

    @Test func `a body over the limit is refused`() async throws {
        let url = server.url("/large")
        let error = await #expect(throws: HTTPError.self) {
            try await client.response(to: HTTPRequest("GET", url), bodyLimit: 999_999)
        }
        #expect(error?.kind == .bodyTooLarge)
        #expect(error?.description == "GET \(url): the response is larger than 999999 bytes")
        let response = try await client.response(to: HTTPRequest("GET", url), bodyLimit: 1_000_000)
        #expect(response.body.count == 1_000_000)
    }

    @Test func `a response that ends early is an error`() async throws {
        let error = await #expect(throws: HTTPError.self) {
            try await client.response(to: HTTPRequest("GET", server.url("/cut")))
        }
        #expect(error?.kind == .failed)
        #expect(error?.reason.contains("96 bytes") == true)
    }

    @Test func `a refused connection says what was asked`() async throws {
        let error = await #expect(throws: HTTPError.self) {
            try await client.response(to: HTTPRequest("GET", "http://127.0.0.1:1/a?token=secret"))
        }
        #expect(error?.kind == .cannotConnect)
        let text = error?.description ?? ""
        #expect(text.hasPrefix("GET http://127.0.0.1:1/a: "))
        #expect(!text.contains("secret"))
    }

    @Test func `a missing socket says which`() async throws {
        let request = HTTPRequest("GET", "http://admin/ready", unixSocketPath: "/nowhere/x.sock")
        let error = await #expect(throws: HTTPError.self) {
            try await client.response(to: request)
        }
        #expect(error?.kind == .cannotConnect)
        #expect(error?.description.contains("over /nowhere/x.sock") == true)
    }

    @Test func `a time limit ends the request`() async throws {
        let request = HTTPRequest("GET", server.url("/silent"), timeout: .milliseconds(50))
        let error = await #expect(throws: HTTPError.self) {
            try await client.response(to: request)
        }
        #expect(error?.kind == .timedOut)
    }

    @Test(arguments: ["", "not a url", "file:///etc/passwd"])
    func `a bad URL is an error`(url: String) async throws {
        await #expect(throws: HTTPError.self) {
            try await client.response(to: HTTPRequest("GET", url))
        }
    }

    @Test func `shutting down fails what is under way and what follows`() async throws {
        let stream = try await client.stream(
            HTTPRequest("GET", server.url("/endless"), timeout: nil)
        )
        client.shutDown()
        let first = await #expect(throws: HTTPError.self) { for try await _ in stream.body {} }
        #expect(first?.kind == .shutDown)
        let second = await #expect(throws: HTTPError.self) {
            try await client.response(to: HTTPRequest("GET", server.url("/")))
        }
        #expect(second?.kind == .shutDown)
    }

    @Test func `the limit of a body counts what was decompressed`() async throws {
        var request = HTTPRequest("GET", server.url("/compressed"))
        request.acceptsCompressed = true
        let response = try await client.response(to: request, bodyLimit: 1_000_000)
        #expect(response.body == Array(repeating: UInt8(ascii: "z"), count: 1_000_000))
        #expect(Int(response.head["Content-Length"] ?? "").map { $0 < 10_000 } == true)
        let error = await #expect(throws: HTTPError.self) {
            try await client.response(to: request, bodyLimit: 999_999)
        }
        #expect(error?.kind == .bodyTooLarge)
        // Who does not ask for it gets it as it is.
        request.acceptsCompressed = false
        #expect(try await client.response(to: request).body.count == 1_000_000)
    }

    @Test func `a slow reader of a shared connection is given up, and holds up nobody`()
        async throws
    {
        var request = HTTPRequest("GET", server.url("/endless"), timeout: nil)
        request.connection.isShared = true
        request.backlogLimit = 1_000_000
        let stream = try await client.stream(request)
        // The server has seen the end of the connection, so nothing more comes.
        _ = try await client.response(to: HTTPRequest("GET", server.url("/broken")))
        var count = 0
        let error = await #expect(throws: HTTPError.self) {
            for try await bytes in stream.body { count += bytes.count }
        }
        #expect(count <= 1_000_000)
        #expect(error?.reason == "more than 1000000 bytes of the response wait to be read")
    }

    @Test func `a limit on connections has further requests wait`() async throws {
        let client = HTTPClient(maxConnectionsPerHost: 1)
        let request = HTTPRequest("GET", server.url("/steps"), timeout: nil)
        var chunks = try await client.stream(request).body.makeAsyncIterator()
        _ = try await chunks.next()
        let waiting = HTTPRequest("GET", server.url("/"), timeout: .milliseconds(200))
        let error = await #expect(throws: HTTPError.self) {
            try await client.response(to: waiting)
        }
        #expect(error?.kind == .timedOut)
        _ = try await self.client.response(to: HTTPRequest("GET", server.url("/go")))
        while try await chunks.next() != nil {}
        #expect(try await client.response(to: HTTPRequest("GET", server.url("/"))).status == 200)
    }

    // MARK: Signatures

    private static let signature = AWSSignature(
        region: "eu-west-1",
        service: "acm-pca",
        accessKeyID: "AKIA1",
        secretAccessKey: "SECRET1",
        sessionToken: "TOKEN1"
    )

    private func signed(
        _ method: String = "POST",
        _ path: String = "/",
        headers: [HTTPField] = [HTTPField("Content-Type", "application/json")]
    ) -> HTTPRequest {
        HTTPRequest(
            method,
            server.url(path),
            headers: headers,
            body: Array("{}".utf8),
            signature: Self.signature
        )
    }

    /// libcurl 7.88 signs the fields of its own that a request removes.
    @Test(arguments: ["/", "", "/TraceSegments", "/a/b-c_d.e~f"])
    func `a signed request sends all that it signs`(path: String) async throws {
        let echo = try await echo(signed("POST", path))
        #expect(echo.path == (path.isEmpty ? "/" : path))
        let authorization = try #require(echo.headers.first { $0.hasPrefix("Authorization: ") })
        let names = authorization.split(separator: "SignedHeaders=").last?.split(separator: ",")
            .first
        #expect(names == "content-type;host;x-amz-date;x-amz-security-token")
        #expect(echo.headers.contains("X-Amz-Security-Token: TOKEN1"))
    }

    @Test(
        arguments: [
            ("GET", "/"), ("POST", "/?b=1&a=2"), ("POST", "/?acl"), ("POST", "/a%20b"),
            ("POST", "/a//b"), ("POST", "/a/../b"), ("POST", "/a#b"), ("POST", "/a:b"),
        ]
    )
    func `what libcurl would sign wrong is refused`(method: String, path: String) async throws {
        let error = await #expect(throws: HTTPError.self) {
            try await client.response(to: signed(method, path))
        }
        #expect(error?.reason.hasPrefix("cannot be signed for AWS: the request ") == true)
    }

    @Test(
        arguments: [
            [], [HTTPField("Content-Type", "")], [HTTPField("Content-Type", "a  b")],
            [HTTPField("Content-Type", "a\r\nX-Evil: b")], [HTTPField("Content-Type", "ü")],
            [HTTPField("Content-Type", "a"), HTTPField("content-type", "a")],
            [HTTPField("Content-Type", "a"), HTTPField("Authorization", "b")],
            [HTTPField("Content-Type", "a"), HTTPField("Host", "b")],
            [HTTPField("Content-Type", "a"), HTTPField("X Y", "b")],
        ]
    )
    func `header fields that libcurl would sign wrong are refused`(
        headers: [HTTPField]
    ) async throws {
        let error = await #expect(throws: HTTPError.self) {
            try await client.response(to: signed(headers: headers))
        }
        #expect(error?.reason.hasPrefix("cannot be signed for AWS: the request ") == true)
    }

    @Test func `a request and a signature describe themselves without keys`() async throws {
        var request = signed()
        request.headers.append(HTTPField("X-Api-Key", "HEADER1"))
        request.url = "http://127.0.0.1:1/a?token=QUERY1"
        var text = "\(request) \(String(reflecting: request)) \(Self.signature) \([Self.signature])"
        dump(request, to: &text)
        dump(Self.signature, to: &text)
        request.url = "http://127.0.0.1:1/"
        let error = await #expect(throws: HTTPError.self) {
            try await client.response(to: request)
        }
        text += "\(String(reflecting: error))"
        #expect(text.contains("POST http://127.0.0.1:1/"))
        for secret in ["AKIA1", "SECRET1", "TOKEN1", "HEADER1", "QUERY1"] {
            #expect(!text.contains(secret))
        }
    }
}
