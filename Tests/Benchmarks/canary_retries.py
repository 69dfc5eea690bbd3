#!/usr/bin/env python3
"""Counts the client errors of a canary whose new version answers 503 to every request.

    canary_retries.py --heddle PATH [--envoy PATH] [--requests N] [--weights STABLE/CANARY]

Runs one mesh whose caller reaches the two versions through virtual services that differ in their
retry policy alone: App Mesh's default, one of the user's own, and none. Sends N requests (1,000) to
each at the weights (90/10) and prints how many of them failed for the client, how many reached the
canary, and how often the canary was asked for each of those. A retry stays with the target that the
weights chose; in the last two lines it may go to the other version: as a policy says so, and as both
versions are behind one virtual node.
"""

import argparse
import collections
import http.client
import http.server
import pathlib
import sys
import tempfile
import threading

import running

NAMESPACE = "canary"
OWN_POLICY = {
    "maxRetries": 4,
    "perRetryTimeout": {"unit": "s", "value": 2},
    "httpRetryEvents": ["server-error", "gateway-error"],
    "tcpRetryEvents": ["connection-error"],
}
POLICIES = {
    "default policy": None,
    "4 retries of one's own": OWN_POLICY,
    "no retries": {**OWN_POLICY, "maxRetries": 0},
}


class Application(http.server.ThreadingHTTPServer):
    """Answers `status`, and counts attempts by the request that they belong to."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, status):
        super().__init__(("127.0.0.1", 0), Handler)
        self.status = status
        self.attempts = collections.Counter()
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def port(self):
        return self.server_address[1]


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.server.attempts[self.headers["x-request-id"]] += 1
        self.send_response(self.server.status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


def mesh_object(kind, name, spec, labels=None):
    metadata = {"name": name, "namespace": NAMESPACE, "labels": labels or {}}
    own = kind in ("Workload", "TrafficPolicy")
    version = "heddle.dev/v1alpha1" if own else "appmesh.k8s.aws/v1beta2"
    return {"apiVersion": version, "kind": kind, "metadata": metadata, "spec": spec}


def node(name, backends=()):
    listener = {"portMapping": {"port": 8080, "protocol": "http"}}
    spec = {
        "podSelector": {"matchLabels": {"app": name}},
        "listeners": [listener],
        "serviceDiscovery": {"dns": {"hostname": f"{name}.{NAMESPACE}.svc.cluster.local"}},
        "backends": [{"virtualService": {"virtualServiceRef": {"name": to}}} for to in backends],
    }
    return mesh_object("VirtualNode", name, spec)


def workload(name, app, port=None):
    ports = {"8080": port} if port else {}
    return mesh_object("Workload", name, {"ports": ports}, {"app": app})


def service(name, targets, policy):
    """A virtual service with a router of its own."""
    weighted = [{"virtualNodeRef": {"name": to}, "weight": weight} for to, weight in targets.items()]
    route = {"match": {"prefix": "/"}, "action": {"weightedTargets": weighted}}
    if policy:
        route["retryPolicy"] = policy
    router = {
        "listeners": [{"portMapping": {"port": 8080, "protocol": "http"}}],
        "routes": [{"name": "all", "httpRoute": route}],
    }
    provider = {"virtualRouter": {"virtualRouterRef": {"name": name}}}
    return [
        mesh_object("VirtualRouter", name, router),
        mesh_object("VirtualService", name, {"provider": provider}),
    ]


def manifests(weights, stable, canary):
    services = []
    targets = dict(zip(["stable", "canary"], weights))
    for index, policy in enumerate(POLICIES.values()):
        services += service(f"service-{index}", targets, policy)
    services += service("service-other", targets, None)
    services += service("service-shared", {"shared": 1}, None)
    backends = [value["metadata"]["name"] for value in services if value["kind"] == "VirtualService"]
    return [
        {
            "apiVersion": "v1",
            "kind": "Namespace",
            "metadata": {"name": NAMESPACE, "labels": {"mesh": NAMESPACE}},
        },
        {
            "apiVersion": "appmesh.k8s.aws/v1beta2",
            "kind": "Mesh",
            "metadata": {"name": NAMESPACE},
            "spec": {"namespaceSelector": {"matchLabels": {"mesh": NAMESPACE}}},
        },
        *services,
        mesh_object(
            "TrafficPolicy",
            "other",
            {
                "targetRefs": [{"kind": "VirtualService", "name": "service-other"}],
                "retryOtherTargets": True,
            },
        ),
        node("caller", backends),
        node("stable"),
        node("canary"),
        node("shared"),
        workload("caller", "caller"),
        workload("stable", "stable", stable.port),
        workload("canary", "canary", canary.port),
        # As many of each as the weights say, of ten.
        *(workload(f"shared-stable-{n}", "shared", stable.port) for n in range(round(weights[0] / 10))),
        *(workload(f"shared-canary-{n}", "shared", canary.port) for n in range(round(weights[1] / 10))),
    ]


def send(address, service_name, count):
    """The statuses of `count` requests, one after the other."""
    statuses = collections.Counter()
    connection = http.client.HTTPConnection(address, 8080, timeout=30)
    for _ in range(count):
        connection.request("GET", "/", headers={"Host": f"{service_name}.{NAMESPACE}:8080"})
        response = connection.getresponse()
        response.read()
        statuses[response.status] += 1
    connection.close()
    return statuses


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--heddle", required=True)
    parser.add_argument("--envoy")
    parser.add_argument("--requests", type=int, default=1000)
    parser.add_argument(
        "--weights",
        type=lambda text: [int(weight) for weight in text.split("/")],
        default=[90, 10],
        metavar="STABLE/CANARY",
    )
    arguments = parser.parse_args()

    stable, canary = Application(200), Application(503)
    with tempfile.TemporaryDirectory(prefix="heddle-canary-") as folder:
        file = pathlib.Path(folder, "mesh.yaml")
        running.write(file, manifests(arguments.weights, stable, canary))
        with running.Heddle(arguments.heddle, arguments.envoy, folder) as heddle:
            heddle.wait_until_ready()
            _, address = heddle.addresses()["caller"]
            weights = "/".join(map(str, arguments.weights))
            print(f"{arguments.requests} requests each at {weights}, the canary answers 503")
            print(f"{'':<24} {'client errors':>14} {'at the canary':>14} {'attempts each':>14}")
            names = [(name, f"service-{index}") for index, name in enumerate(POLICIES)]
            names += [("default, other targets", "service-other"), ("default, one node", "service-shared")]
            for name, service_name in names:
                canary.attempts.clear()
                statuses = send(address, service_name, arguments.requests)
                errors = arguments.requests - statuses[200]
                reached, attempts = len(canary.attempts), sum(canary.attempts.values())
                each = attempts / reached if reached else 0
                print(f"{name:<24} {errors:>14} {reached:>14} {each:>14.2f}")


if __name__ == "__main__":
    try:
        main()
    except running.Failure as failure:
        sys.exit(str(failure))
