"""The front end: asks the virtual service for a color and passes the answer on.

It reaches the mesh as any program with an HTTP proxy setting does: Heddle gives it HTTP_PROXY, the
address of its Envoy.
"""

import http.client
import os
import threading
import urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

BACKEND = "http://color.color-app:8080/"
PROXY = urllib.parse.urlsplit(os.environ["HTTP_PROXY"])
TRACE = "X-Amzn-Trace-Id"
local = threading.local()


def ask(trace):
    """The status and body of the back end's answer, over a connection that stays open.

    `trace` is the X-Amzn-Trace-Id of the request that this is for: passed on, it makes both one trace.
    """
    fresh = getattr(local, "connection", None) is None
    if fresh:
        local.connection = http.client.HTTPConnection(PROXY.hostname, PROXY.port, timeout=10)
    try:
        local.connection.request("GET", BACKEND, headers={TRACE: trace} if trace else {})
        response = local.connection.getresponse()
        return response.status, response.read()
    except (OSError, http.client.HTTPException) as error:
        local.connection.close()
        local.connection = None
        # Envoy may close a connection that was idle; a new one tells whether there is a fault.
        return (502, f"{error}\n".encode()) if fresh else ask(trace)


class Front(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # one packet for headers and body

    def do_GET(self):
        status, body = ask(self.headers.get(TRACE))
        self.send_response(status)
        self.send_header("Content-Type", "application/json" if status == 200 else "text/plain")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


class Server(ThreadingHTTPServer):
    request_queue_size = 128
    daemon_threads = True


Server(("127.0.0.1", int(os.environ["PORT"])), Front).serve_forever()
