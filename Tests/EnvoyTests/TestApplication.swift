import Foundation
import HTTPClient
import MeshModel

/// An application of the tests' own, asked and steered past the mesh.
///
/// It speaks HTTP/1 and HTTP/2 and answers with what it was asked, as JSON; with `MODE: tcp` it
/// answers each line with its name and that line. Requests for a path meet what a test laid down for
/// that path, or else for every path. It counts HTTP/2 as the path `h2`, TCP as `tcp`, and as `silent`
/// connections on which nothing was said.
struct TestApplication: Sendable {
    /// The port of its own that it listens on.
    let port: Int
    let client: HTTPClient

    /// What a request or connection meets.
    enum Answer: Sendable, CustomStringConvertible {
        case status(Int)
        /// It is held until `release`, and then answered with 200.
        case hold
        /// Its connection is closed without an answer; an HTTP/2 stream is refused.
        case reset

        var description: String {
            switch self {
            case .status(let status): "\(status)"
            case .hold: "hold"
            case .reset: "reset"
            }
        }
    }

    /// What it has seen.
    struct Counts: Decodable, Hashable, Sendable {
        /// Requests, or connections.
        var attempts = 0
        /// The different `x-request-id` among them: a retry has its request's.
        var requests = 0
        /// How many are being held.
        var held = 0
        /// The `Host` of the last request.
        var host: String?
        /// How many the other side gave up while they were held; with `MODE: tcp`, how many
        /// connections ended.
        var gone = 0
    }

    /// Lays down what the next requests meet, one after the other.
    func answer(next answers: [Answer], to path: String? = nil) async throws {
        let list = answers.map(\.description).joined(separator: ",")
        try await control("answer", ["path": path, "next": list])
    }

    /// Lays down what requests meet from now on.
    func answer(always answer: Answer, to path: String? = nil) async throws {
        try await control("answer", ["path": path, "always": "\(answer)"])
    }

    /// Answers the requests that are held, and holds no more.
    func release(_ path: String? = nil) async throws {
        try await control("release", ["path": path])
    }

    /// What was seen of requests for `path`, or of all.
    func counts(_ path: String? = nil) async throws -> Counts {
        try await control("wait", ["path": path])
    }

    /// Waits until at least so much was seen, and returns what was.
    @discardableResult
    func wait(
        _ path: String? = nil,
        attempts: Int = 0,
        held: Int = 0,
        gone: Int = 0
    ) async throws -> Counts {
        try await control(
            "wait",
            ["path": path, "attempts": "\(attempts)", "held": "\(held)", "gone": "\(gone)"]
        )
    }

    @discardableResult
    private func control(_ verb: String, _ fields: [String: String?]) async throws -> Counts {
        var url = URLComponents()
        url.queryItems = fields.compactMap { name, value in
            value.map { URLQueryItem(name: name, value: $0) }
        }
        let response = try await client.response(
            to: HTTPRequest("GET", "http://127.0.0.1:\(port)/control/\(verb)\(url.string ?? "")")
        )
        return try JSONDecoder().decode(Counts.self, from: Data(response.body))
    }
}

extension HTTPResponse {
    /// The answer of a test's application: `name`, `method`, `path`, `host`, `port`, `headers` by
    /// their names in lower case, `body`, and as `attempt` how often its request was seen.
    ///
    /// It is null when no application answered. The response header `X-Name` has the name too.
    var answer: JSONValue {
        (try? JSONDecoder().decode(JSONValue.self, from: Data(body))) ?? .null
    }

    /// The name of the application that answered, nil when none did.
    var name: String? { answer["name"]?.string }
}

extension TestApplication {
    /// The program, which Heddle starts with NAME, its PORT or several with commas, and a MODE.
    static let program = #"""
        import collections, http.server, json, os, select, socket, socketserver, struct, threading
        from urllib.parse import parse_qs, urlsplit

        name, changed = os.environ["NAME"], threading.Condition()
        following = {}  # path: the answers to the next requests; None stands for every path
        standing = {}  # path: the answer to all others
        counts = collections.defaultdict(collections.Counter)  # path: what was seen
        attempts = collections.Counter()  # (path, x-request-id): how often it was seen
        hosts, holds = {}, []  # path: the last Host

        def see(path, what, by=1):
            with changed:
                for key in {path, None if path != "silent" else path}: counts[key][what] += by
                changed.notify_all()

        def meet(path, request_id=None):
            """What a request meets, and how often it was seen; it is counted."""
            with changed:
                attempts[path, request_id] += 1
                attempt = attempts[path, request_id]
                if attempt == 1 or request_id is None: see(path, "requests")
                see(path, "attempts")
                for key in (path, None):
                    if following.get(key): return following[key].pop(0), attempt
                    if key in standing: return standing[key], attempt
                return "200", attempt

        class Hold:
            """A request that waits for its release, or for the end of who asks."""
            def __init__(self, path):
                self.path, (self.here, self.there) = path, socket.socketpair()
                with changed: holds.append(self)
                see(path, "held")
            def end(self, released):
                self.there.send(b"r" if released else b"g")
            def wait(self, connection=None):
                ready = select.select([x for x in (connection, self.here) if x], [], [])[0]
                released = self.here in ready and self.here.recv(1) == b"r"
                with changed:
                    holds.remove(self)
                    see(self.path, "held", -1)
                    if not released: see(self.path, "gone")
                return released

        def control(verb, field):
            path = field.get("path")
            with changed:
                if verb == "answer":
                    if "next" in field: following[path] = field["next"].split(",")
                    if "always" in field: standing[path] = field["always"]
                elif verb == "release":
                    for key in [key for key in standing if path in (None, key)]:
                        if standing[key] == "hold": del standing[key]
                    for hold in holds:
                        if path in (None, hold.path): hold.end(released=True)
                elif verb == "wait":
                    least = {key: int(field.get(key, 0)) for key in ("attempts", "held", "gone")}
                    seen = counts[path]
                    changed.wait_for(lambda: all(seen[k] >= n for k, n in least.items()), 25)
                return dict(counts[path])

        class Web(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            wbufsize = -1  # head and body in one piece, lest the body wait for a delayed ACK
            def serve(self):
                path, body = urlsplit(self.path), self.body()
                if path.path.startswith("/control/"):
                    field = {key: values[0] for key, values in parse_qs(path.query).items()}
                    seen = control(path.path.removeprefix("/control/"), field)
                    keys = ("attempts", "requests", "held", "gone")
                    seen = {key: seen.get(key, 0) for key in keys}
                    return self.answer(200, seen | {"host": hosts.get(field.get("path"))})
                hosts[path.path] = self.headers["Host"]
                met, attempt = meet(path.path, self.headers["x-request-id"])
                if met == "hold" and not Hold(path.path).wait(self.connection): met = "reset"
                if met == "reset":
                    self.close_connection = True
                    return
                self.answer(200 if met == "hold" else int(met), {
                    "name": name, "method": self.command, "path": self.path,
                    "host": self.headers["Host"], "port": self.server.server_address[1],
                    "headers": {key.lower(): ",".join(self.headers.get_all(key)) for key in self.headers},
                    "body": body.decode(errors="replace"), "attempt": attempt,
                })
            def body(self):
                if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
                    return self.rfile.read(int(self.headers.get("Content-Length", 0)))
                body = b""
                while size := int(self.rfile.readline().split(b";")[0], 16):
                    body += self.rfile.read(size)
                    self.rfile.readline()
                while self.rfile.readline().strip(): pass
                return body
            def answer(self, status, fields):
                body = json.dumps(fields).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.send_header("X-Name", name)
                self.end_headers()
                if self.command != "HEAD": self.wfile.write(body)
            def log_message(self, *arguments):
                if not self.path.startswith("/control/"): print(self.path, flush=True)
        for method in "GET HEAD POST PUT DELETE OPTIONS PATCH TRACE".split():
            setattr(Web, "do_" + method, Web.serve)

        class HTTP2:
            """As much of HTTP/2 as is answered without reading a head."""
            def __init__(self, connection):
                self.connection, self.lock, self.holds = connection, threading.Lock(), {}
                self.input = connection.makefile("rb")
                self.input.read(24)
                self.send((4, 0, 0, b""))
                while head := self.input.read(9):
                    kind, flags, stream = head[3], head[4], int.from_bytes(head[5:], "big")
                    payload = self.input.read(int.from_bytes(head[:3], "big"))
                    if kind in (4, 6) and not flags & 1:  # SETTINGS and PING want to be confirmed
                        self.send((kind, 1, 0, payload if kind == 6 else b""))
                    if kind in (0, 1) and flags & 1:  # DATA or HEADERS that end the request
                        threading.Thread(target=self.answer, args=[stream], daemon=True).start()
                    if kind == 3 and stream in self.holds: self.holds[stream].end(released=False)
                for hold in list(self.holds.values()): hold.end(released=False)
            def answer(self, stream):
                met, attempt = meet("h2")
                if met == "hold":
                    self.holds[stream] = Hold("h2")
                    if not self.holds[stream].wait(): return
                if met == "reset": return self.send((3, 0, stream, struct.pack(">I", 7)))
                status = b"200" if met == "hold" else met.encode()
                body = json.dumps({"name": name, "attempt": attempt}).encode()
                self.send((1, 4, stream, b"\x08\x03" + status), (0, 1, stream, body))
            def send(self, *frames):
                with self.lock:
                    for kind, flags, stream, payload in frames:
                        self.connection.sendall(struct.pack(">I", len(payload))[1:]
                            + bytes([kind, flags]) + struct.pack(">I", stream) + payload)

        def tcp(connection):
            met, _ = meet("tcp")
            if met == "hold" and not Hold("tcp").wait(): return
            if met == "reset": return
            try:
                for line in connection.makefile("rb"):
                    if line.startswith(b"GET "):
                        return connection.sendall(f"HTTP/1.0 200 OK\r\n\r\n{name}".encode())
                    connection.sendall(f"{name}: ".encode() + line)
            finally: see("tcp", "gone")

        class Server(socketserver.ThreadingTCPServer):
            allow_reuse_address = True
            daemon_threads = True
            request_queue_size = 128
            def finish_request(self, connection, client):
                is_tcp = os.environ.get("MODE") == "tcp"
                start = connection.recv(13, socket.MSG_PEEK)
                if not start: return see("silent", "attempts")
                if is_tcp and start != b"GET /control/": tcp(connection)
                elif start.startswith(b"PRI *"): HTTP2(connection)
                else: Web(connection, client, self)
            def handle_error(self, connection, client): pass  # a client that went away

        servers = [Server(("127.0.0.1", int(port)), None) for port in os.environ["PORT"].split(",")]
        for server in servers[1:]:
            threading.Thread(target=server.serve_forever, daemon=True).start()
        servers[0].serve_forever()

        """#
}
