internal import Foundation
internal import HTTPClient

/// An HTTP server that gives answers in their order, and the last one again and again.
public final class ScriptedServer: Sendable {
    /// What the server answers.
    public struct Answer: Codable, Sendable {
        var status: Int
        var headers: [String: String]
        var body: String

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
        /// The body as text.
        public var body: String
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
        import http.server, json, ssl, sys
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
                body = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
                requests.append({"method": self.command, "path": self.path, "body": body,
                    "headers": {name.lower(): value for name, value in self.headers.items()}})
                next = answers.pop(0) if len(answers) > 1 else answers[0]
                self.answer(next["status"], next["headers"], next["body"].encode())
            do_POST = do_PUT = do_GET
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
