"""An application of tests: answers with its name, or with what another one answers.

application.py NAME PORT
  /            NAME
  /call?URL    status and text of URL, fetched as this application
"""
import http.server
import socketserver
import sys
import urllib.error
import urllib.parse
import urllib.request

NAME, PORT = sys.argv[1], int(sys.argv[2])


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        status, text = 200, NAME
        if self.path.startswith("/call?"):
            try:
                with urllib.request.urlopen(urllib.parse.unquote(self.path[6:]), timeout=5) as answer:
                    status, text = answer.status, answer.read().decode()
            except urllib.error.HTTPError as error:
                status, text = error.code, error.read().decode()
            except OSError as error:
                status, text = 502, repr(error)
        body = text.encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def server_bind(self):
        # Not http.server's own, which asks for a name of the address: nobody answers in a Pod.
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = NAME, PORT


Server(("0.0.0.0", PORT), Handler).serve_forever()
