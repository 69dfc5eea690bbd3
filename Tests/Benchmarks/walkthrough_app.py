"""The applications of App Mesh's walkthroughs, as their environment says.

    PORT=8080 [NAME=text] [SUCCEEDS_EVERY=2]  answers its name, and 503 to every other request
    PORT=8080 COLOR_HOST=host:port            a front end, which asks that host and tells its answer

GET /ping is for health checks, and /succeed-every/N changes that number. A header `slow-seconds`
delays an answer. PORT may be several with commas, each with a name of its own.
"""

import http.server
import itertools
import os
import threading
import time
import urllib.error
import urllib.request

PASSED_ON = ("color_header", "slow-seconds")
succeeds_every = int(os.environ.get("SUCCEEDS_EVERY", 1))
count = itertools.count(1)


def ask(host, path, headers):
    """A backend's answer, through the proxy that HTTP_PROXY names."""
    passed_on = {name: headers[name] for name in PASSED_ON if name in headers}
    request = urllib.request.Request(f"http://{host}{path}", headers=passed_on)
    try:
        with urllib.request.urlopen(request, timeout=120) as response:
            return response.status, response.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # head and body in one piece, lest the body wait for a delayed ACK

    def do_GET(self):
        global succeeds_every
        host = os.environ.get("COLOR_HOST")
        if self.path == "/ping":
            self.answer(200, b"")
        elif self.path.startswith("/succeed-every/"):
            succeeds_every = int(self.path.rpartition("/")[2])
            self.answer(200, b"")
        elif host:
            # A front end with several backends has them as the first part of the path.
            name, _, rest = self.path.lstrip("/").partition("/")
            self.answer(*ask(host.format(name), "/" + rest if "{}" in host else self.path, self.headers))
        elif next(count) % succeeds_every:
            self.answer(503, b"not now")
        else:
            time.sleep(float(self.headers.get("slow-seconds", 0)))
            self.answer(200, self.server.name.encode())

    def answer(self, status, body):
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, port, name):
        super().__init__(("127.0.0.1", int(port)), Handler)
        self.name = name


if __name__ == "__main__":
    ports = os.environ["PORT"].split(",")
    names = os.environ.get("NAME", "front").split(",")
    for port, name in list(zip(ports, names))[1:]:
        threading.Thread(target=Server(port, name).serve_forever, daemon=True).start()
    Server(ports[0], names[0]).serve_forever()
