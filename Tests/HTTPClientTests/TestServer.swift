import Foundation

/// An HTTP server in Python that lives as long as this object, and ends with the test process.
final class TestServer {
    let port: Int
    let socketPath: String
    private let process = Process()
    /// The server ends when this is closed.
    private let input = Pipe()
    private let folder: URL

    init() throws {
        folder = FileManager.default.temporaryDirectory
            .appendingPathComponent("http-client-\(UUID().uuidString.prefix(8))")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        socketPath = folder.appendingPathComponent("server.sock").path
        let output = Pipe()
        process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
        process.arguments = ["python3", "-c", Self.script, socketPath]
        process.standardInput = input
        process.standardOutput = output
        process.standardError = FileHandle.nullDevice
        try process.run()
        var line = Data()
        while line.last != UInt8(ascii: "\n") {
            let bytes = output.fileHandleForReading.availableData
            guard !bytes.isEmpty else { throw CocoaError(.fileReadUnknown) }
            line += bytes
        }
        port = Int(String(decoding: line.dropLast(), as: UTF8.self)) ?? 0
    }

    deinit {
        kill(process.processIdentifier, SIGKILL)
        try? FileManager.default.removeItem(at: folder)
    }

    func url(_ path: String) -> String { "http://127.0.0.1:\(port)\(path)" }

    private static let script = #"""
        import gzip, http.server, json, os, socket, socketserver, sys, threading
        go, stalled, broken = threading.Event(), threading.Event(), threading.Event()
        sent = 0
        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            def address_string(self): return "test"
            def log_message(self, *_): pass
            def answer(self, body, status=200, headers=()):
                self.send_response(status)
                for name, value in headers: self.send_header(name, value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                if self.command != "HEAD": self.wfile.write(body)
            def chunk(self, data):
                self.wfile.write(b"%x\r\n" % len(data) + data + b"\r\n")
            def start_chunks(self):
                self.send_response(200)
                self.send_header("Transfer-Encoding", "chunked")
                self.end_headers()
            def echo(self):
                length = int(self.headers.get("Content-Length", 0))
                body = self.rfile.read(length).decode()
                self.answer(json.dumps({"method": self.command, "path": self.path, "body": body,
                    "headers": [f"{k}: {v}" for k, v in self.headers.items()]}).encode(),
                    headers=[("X-Twice", "a"), ("X-Twice", "b")])
            do_POST = do_PUT = do_PATCH = do_DELETE = do_HEAD = echo
            def do_GET(self):
                global sent
                if self.path == "/steps":
                    self.start_chunks()
                    self.chunk(b"one")
                    go.wait()
                    self.chunk(b"two")
                    self.chunk(b"")
                elif self.path == "/go": go.set(); self.answer(b"")
                elif self.path == "/silent": broken.wait()
                elif self.path == "/missing": self.answer(b"no such thing", 404)
                elif self.path == "/large": self.answer(b"x" * 1_000_000)
                elif self.path == "/compressed":
                    body, isAsked = b"z" * 1_000_000, "gzip" in self.headers.get("Accept-Encoding", "")
                    headers = [("Content-Encoding", "gzip")] if isAsked else []
                    self.answer(gzip.compress(body) if isAsked else body, headers=headers)
                elif self.path == "/cut":
                    self.send_response(200)
                    self.send_header("Content-Length", "100")
                    self.end_headers()
                    self.wfile.write(b"half")
                    self.close_connection = True
                elif self.path == "/endless":
                    self.start_chunks()
                    self.connection.settimeout(0.3)
                    try:
                        while True:
                            self.chunk(b"y" * 65536)
                            sent += 65536
                    except TimeoutError: stalled.set()
                    except OSError: broken.set()
                    self.connection.settimeout(None)
                    try: self.connection.recv(1) or broken.set()
                    except OSError: broken.set()
                    self.close_connection = True
                elif self.path == "/stalled": stalled.wait(); self.answer(str(sent).encode())
                elif self.path == "/broken": broken.wait(); self.answer(b"")
                else: self.echo()
        class Server(socketserver.ThreadingTCPServer):
            daemon_threads, request_queue_size = True, 256
        class UnixServer(socketserver.ThreadingUnixStreamServer):
            daemon_threads, request_queue_size = True, 256
        unix = UnixServer(sys.argv[1], Handler)
        tcp = Server(("127.0.0.1", 0), Handler)
        threading.Thread(target=unix.serve_forever, daemon=True).start()
        threading.Thread(target=lambda: (sys.stdin.read(), os._exit(0)), daemon=True).start()
        print(tcp.server_address[1], flush=True)
        tcp.serve_forever()
        """#
}
