public import Foundation
internal import HTTPClient

/// An HTTP server that gives answers in their order, and the last one again and again.
public final class ScriptedServer: Sendable {
    /// What the server answers.
    public struct Answer: Codable, Sendable {
        var status: Int
        var headers: [String: String]
        var body: String
        /// The server whose answer is given in its place.
        var server: String?

        /// The answer of another server, at `http://host:port`.
        public static func of(_ server: String) -> Answer {
            var answer = Answer(200)
            answer.server = server
            return answer
        }

        /// Makes an answer.
        public init(_ status: Int, headers: [String: String] = [:], _ body: String = "") {
            self.status = status
            self.headers = headers
            self.body = body
        }
    }

    /// What the server was asked.
    public struct Request: Decodable, Sendable {
        /// `POST`, ...
        public var method: String
        /// With the query.
        public var path: String
        /// By names in lower case.
        public var headers: [String: String]
        /// The body as text; where it is none, see `bytes`.
        public var body: String
        /// The body.
        public var bytes: Data
    }

    /// `http[s]://127.0.0.1:port`.
    public let endpoint: String
    private let process: ServerProcess
    private let client = HTTPClient()
    private let certificateFile: String?

    /// Starts a server; for `https` the PEM file has a certificate and its key.
    public init(_ answers: [Answer], certificateFile: String? = nil) async throws {
        let text = String(decoding: try JSONEncoder().encode(answers), as: UTF8.self)
        process = try await .start(
            ["python3", "-c", Self.script, text] + (certificateFile.map { [$0] } ?? []),
            until: "listening on"
        )
        let port = process.line.split(separator: " ").last ?? ""
        endpoint = "\(certificateFile == nil ? "http" : "https")://127.0.0.1:\(port)"
        self.certificateFile = certificateFile
    }

    /// Gives other answers from now on.
    public func answer(_ answers: [Answer]) async throws {
        _ = try await client.response(
            to: HTTPRequest(
                "POST",
                endpoint + "/.answers",
                body: Array(try JSONEncoder().encode(answers)),
                certificateAuthorityFile: certificateFile
            )
        )
    }

    /// What was asked so far.
    public func requests() async throws -> [Request] {
        let response = try await client.response(
            to: HTTPRequest(
                "GET",
                endpoint + "/.requests",
                certificateAuthorityFile: certificateFile
            )
        )
        return try JSONDecoder().decode([Request].self, from: Data(response.body))
    }

    private static let script = #"""
        import base64, http.client, http.server, json, ssl, sys, urllib.parse
        answers, requests = json.loads(sys.argv[1]), []
        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            def address_string(self): return "test"
            def log_message(self, *_): pass
            def answer(self, status, headers, body):
                self.send_response(status)
                for name, value in headers.items(): self.send_header(name, value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)
            def do_GET(self):
                if self.path == "/.requests":
                    return self.answer(200, {}, json.dumps(requests).encode())
                bytes = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                body = bytes.decode(errors="replace")
                if self.path == "/.answers":
                    answers[:] = json.loads(body)
                    return self.answer(200, {}, b"")
                requests.append({"method": self.command, "path": self.path, "body": body,
                    "bytes": base64.b64encode(bytes).decode(),
                    "headers": {name.lower(): value for name, value in self.headers.items()}})
                next = answers.pop(0) if len(answers) > 1 else answers[0]
                if next.get("server"): return self.answer(*self.asked(next["server"], body))
                self.answer(next["status"], next["headers"], next["body"].encode())
            def asked(self, server, body):
                other = http.client.HTTPConnection(urllib.parse.urlsplit(server).netloc)
                other.request(self.command, self.path, body.encode(), dict(self.headers))
                response = other.getresponse()
                kept = {name: value for name, value in response.getheaders() if name.lower()
                    not in ("connection", "content-length", "date", "server")}
                return response.status, kept, response.read()
            do_POST = do_PUT = do_PATCH = do_DELETE = do_GET
        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True
        server = Server(("127.0.0.1", 0), Handler)
        if len(sys.argv) > 2:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(sys.argv[2])
            server.socket = context.wrap_socket(server.socket, server_side=True)
        print("listening on", server.server_address[1], flush=True)
        server.serve_forever()
        """#
}
