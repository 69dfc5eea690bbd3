internal import Foundation
internal import HTTPClient

/// Passes TCP connections on to a server, counts them, and holds them up when a test says so.
///
/// It is an HTTP proxy, too: a connection that begins with `CONNECT host:port` is passed on to there.
public final class ConnectionRelay: Sendable {
    /// What went through so far.
    public struct Counts: Decodable, Sendable {
        /// How many connections were made.
        public var connections: Int
        /// How many of them have not ended.
        public var open: Int
        /// How many bytes came from the server.
        public var received: Int
        /// The heads of `CONNECT` requests.
        public var requests: [String]
    }

    /// `127.0.0.1:port`.
    public let address: String
    private let process: ServerProcess
    private let control: String
    private let client = HTTPClient()

    /// Starts a relay to `server`, such as `https://127.0.0.1:6443`.
    public init(to server: String) async throws {
        let place = server.split(separator: "/").last.map(String.init) ?? server
        process = try await .start(["python3", "-c", Self.script, place], until: "listening on")
        let ports = process.line.split(separator: " ").suffix(2)
        address = "127.0.0.1:\(ports.first ?? "")"
        control = "http://127.0.0.1:\(ports.last ?? "")"
    }

    /// What went through so far.
    public func counts() async throws -> Counts {
        let response = try await client.response(to: HTTPRequest("GET", control + "/counts"))
        return try JSONDecoder().decode(Counts.self, from: Data(response.body))
    }

    /// Passes nothing on any more over the connections that are there; new ones are not concerned.
    public func stall() async throws {
        _ = try await client.response(to: HTTPRequest("GET", control + "/stall"))
    }

    /// Ends all connections that are there.
    public func cut() async throws {
        _ = try await client.response(to: HTTPRequest("GET", control + "/cut"))
    }

    private static let script = #"""
        import http.server, json, socket, sys, threading
        host, port = sys.argv[1].rsplit(":", 1)
        counts = {"connections": 0, "open": 0, "received": 0, "requests": []}
        lock, links = threading.Lock(), []
        class Link:
            def __init__(self, client):
                self.client, self.isStalled, self.ends = client, False, 0
                with lock:
                    counts["connections"] += 1
                    counts["open"] += 1
                    links.append(self)
                threading.Thread(target=self.run, daemon=True).start()
            def run(self):
                place, first = (host, int(port)), b""
                if self.client.recv(8, socket.MSG_PEEK) == b"CONNECT ":
                    head = b""
                    while not head.endswith(b"\r\n\r\n"): head += self.client.recv(1)
                    name, number = head.split()[1].decode().rsplit(":", 1)
                    # All names are this host.
                    place = ("127.0.0.1", int(number))
                    with lock: counts["requests"].append(head.decode())
                    first = b"HTTP/1.1 200 OK\r\n\r\n"
                self.server = socket.create_connection(place)
                self.client.sendall(first)
                threading.Thread(target=self.pump, args=(self.client, self.server, 0), daemon=True).start()
                self.pump(self.server, self.client, 1)
            def pump(self, source, target, counted):
                try:
                    while data := source.recv(65536):
                        if self.isStalled: return
                        if counted:
                            with lock: counts["received"] += len(data)
                        target.sendall(data)
                except OSError: pass
                self.end()
            def end(self):
                for one in (self.client, getattr(self, "server", None)):
                    if one:
                        try: one.shutdown(socket.SHUT_RDWR)
                        except OSError: pass
                with lock:
                    if self in links:
                        links.remove(self)
                        counts["open"] -= 1
        class Control(http.server.BaseHTTPRequestHandler):
            def address_string(self): return "test"
            def log_message(self, *_): pass
            def do_GET(self):
                for link in list(links):
                    if self.path == "/stall": link.isStalled = True
                    if self.path == "/cut": link.end()
                with lock: body = json.dumps(counts).encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)
        control = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Control)
        control.daemon_threads = True
        threading.Thread(target=control.serve_forever, daemon=True).start()
        listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        print("listening on", listener.getsockname()[1], control.server_address[1], flush=True)
        while True: Link(listener.accept()[0])
        """#
}
