internal import Foundation
internal import HTTPClient

/// An HTTPS proxy before a Kubernetes API server that answers a share of requests itself: the server is
/// overloaded, or its answers break off.
///
/// It presents the server's own certificate, and speaks HTTP/1.1.
public final class AnswerProxy: Sendable {
    /// What it does to requests.
    public struct Faults: Codable, Sendable {
        var share: Double
        var statuses: [Int]
        var retryAfter: Int?
        var cutShare: Double
        var matching: String

        /// Passes all on.
        public static let none = Faults()

        /// Makes faults.
        ///
        /// - Parameters:
        ///   - share: Of requests that are turned down, from 0 to 1.
        ///   - statuses: What they are answered, by chance.
        ///   - retryAfter: What such an answer asks to wait, in seconds.
        ///   - cutShare: Of answers that are cut in their middle, from 0 to 1.
        ///   - matching: A regular expression that the request has to match for all this: method, a
        ///     space and the path with its query.
        public init(
            share: Double = 0,
            statuses: [Int] = [429, 500, 503],
            retryAfter: Int? = nil,
            cutShare: Double = 0,
            matching: String = ""
        ) {
            self.share = share
            self.statuses = statuses
            self.retryAfter = retryAfter
            self.cutShare = cutShare
            self.matching = matching
        }
    }

    /// What happened to requests so far.
    public struct Counts: Decodable, Hashable, Sendable {
        /// How many were passed on and answered.
        public var passed: Int
        /// How many were turned down.
        public var refused: Int
        /// How many answers were cut.
        public var cut: Int
    }

    /// `https://127.0.0.1:port`.
    public let endpoint: String
    private let authority: String
    private let process: ServerProcess
    private let client = HTTPClient()

    /// Starts a proxy before `server`, whose faults by chance follow from `seed`.
    public init(_ server: KubernetesServer, seed: UInt64 = 1) async throws {
        let (certificate, key) = server.serverCertificate
        process = try await .start(
            ["python3", "-c", Self.script, server.server, certificate, key, "\(seed)"],
            until: "listening on"
        )
        endpoint = "https://127.0.0.1:\(process.line.split(separator: " ").last ?? "")"
        authority = server.certificateAuthority
    }

    /// Does so from now on.
    public func set(_ faults: Faults) async throws {
        _ = try await ask("POST", ".faults", Array(try JSONEncoder().encode(faults)))
    }

    /// What happened so far.
    public func counts() async throws -> Counts {
        try JSONDecoder().decode(Counts.self, from: Data(try await ask("GET", ".counts")))
    }

    private func ask(
        _ method: String,
        _ path: String,
        _ body: [UInt8]? = nil
    ) async throws -> [UInt8] {
        let request = HTTPRequest(
            method,
            "\(endpoint)/\(path)",
            body: body,
            certificateAuthorityFile: authority
        )
        return try await client.response(to: request).body
    }

    private static let script = #"""
        import http.client, http.server, json, random, re, ssl, sys, threading, urllib.parse
        server, certificate, key, seed = sys.argv[1:]
        chance, lock = random.Random(int(seed)), threading.Lock()
        faults, counts = {"share": 0, "cutShare": 0}, {"passed": 0, "refused": 0, "cut": 0}
        unverified = ssl._create_unverified_context()
        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            def address_string(self): return "test"
            def log_message(self, *_): pass
            def answer(self, status, body, headers = {}):
                self.send_response(status)
                for name, value in headers.items(): self.send_header(name, value)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)
            def do_GET(self):
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                if self.path == "/.counts": return self.answer(200, json.dumps(counts).encode())
                if self.path == "/.faults":
                    new = json.loads(body)
                    with lock: (faults.clear(), faults.update(new))
                    return self.answer(200, b"")
                with lock:
                    is_meant = re.search(faults.get("matching", ""), self.command + " " + self.path)
                    is_refused = is_meant and chance.random() < faults["share"]
                    is_cut = is_meant and not is_refused and chance.random() < faults["cutShare"]
                    counts["refused" if is_refused else "cut" if is_cut else "passed"] += 1
                    status = chance.choice(faults["statuses"]) if is_refused else 0
                    wait = faults.get("retryAfter")
                if is_refused:
                    return self.answer(status, json.dumps({"kind": "Status", "apiVersion": "v1",
                        "status": "Failure", "message": "out of order", "code": status}).encode(),
                        {"Retry-After": str(wait)} if wait is not None else {})
                self.forward(body, is_cut)
            def forward(self, body, is_cut):
                try:
                    other = http.client.HTTPSConnection(urllib.parse.urlsplit(server).netloc,
                        context=unverified)
                    headers = {name: value for name, value in self.headers.items()
                        if name.lower() not in ("connection", "host", "content-length")}
                    other.request(self.command, self.path, body or None, headers)
                    response = other.getresponse()
                except OSError:
                    return self.answer(502, b"{}")
                self.send_response(response.status)
                for name, value in response.getheaders():
                    if name.lower() not in ("connection", "content-length", "transfer-encoding"):
                        self.send_header(name, value)
                self.send_header("Transfer-Encoding", "chunked")
                self.end_headers()
                try:
                    while data := response.read1(65536):
                        if is_cut: data = data[:len(data) // 2]
                        self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data) if data else b"")
                        if is_cut:
                            self.close_connection = True
                            return
                    self.wfile.write(b"0\r\n\r\n")
                except (OSError, http.client.HTTPException):
                    self.close_connection = True
                finally: other.close()
            do_POST = do_PUT = do_PATCH = do_DELETE = do_GET
        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 100
            def handle_error(self, *_): pass
        listener = Server(("127.0.0.1", 0), Handler)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        # The handshake is made by the thread of the connection.
        listener.socket = context.wrap_socket(listener.socket, server_side=True,
            do_handshake_on_connect=False)
        print("listening on", listener.server_address[1], flush=True)
        listener.serve_forever()
        """#
}
