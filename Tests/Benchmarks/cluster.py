#!/usr/bin/env python3
"""Measures the controller of a Kubernetes cluster: how soon it serves, what it uses, how often it asks.

    cluster.py --heddle PATH [--envoy PATH] [--kubernetes FOLDER] [--nodes N] [--pods N] [--idle SECONDS] [--rounds N]

Starts etcd and kube-apiserver from FOLDER (see .ci/install-kubernetes) and `heddle run --kubernetes` with the
rights of Manifests/install.yaml. Through its webhooks it creates --nodes virtual nodes with virtual services, every
fifth with a virtual router, and --pods injected Pods, which a patch of their status makes ready: no kubelet runs
them. One Pod has a real Envoy, with the bootstrap that the webhook made and a token bound to the Pod, over TLS.

Times are of this machine, on whose cores the API server and this script run too; processor time is Heddle's own.
Ports 9901, 9902, 15000, 15001, 18000 and 18001 have to be free. Needs kubectl and openssl; it does not take root.
"""

import argparse
import contextlib
import http.client
import os
import pathlib
import re
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time

import apiserver
import measuring
import propagation
import running

XDS_PORT, HTTP_PORT, ADMIN_PORT = 18000, 18001, 9901
TOKEN_PATH = "/var/run/secrets/heddle.dev/token/token"
NAMESPACES = 10
MESH = "/apis/appmesh.k8s.aws/v1beta2"
KUBERNETES_NODES = 50
PLANS = "heddle_reconcile_duration_seconds_count"


class Controller:
    """`heddle run --kubernetes`, in a `with` statement."""

    def __init__(self, heddle, server):
        self.state = tempfile.mkdtemp(prefix="heddle-cluster-")
        self.log = []
        self.requests = apiserver.Requests(server)
        self.begun, self.begun_wall = time.monotonic(), time.time()
        self.process = subprocess.Popen(
            [
                heddle, "run", "--kubernetes", "--kubeconfig", server.heddle_kubeconfig, "--state-dir", self.state,
                "--xds-address", f"127.0.0.1:{XDS_PORT}", "--webhook-address", server.webhook_address,
                "--http-address", f"127.0.0.1:{HTTP_PORT}", "--log-level", "info",
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )  # fmt: skip
        threading.Thread(target=self.read, daemon=True).start()

    def read(self):
        for line in self.process.stdout:
            self.log.append((time.monotonic() - self.begun, line.rstrip()))

    def seconds_until(self, what, condition, pause=0.005):
        """Waits for `condition`; the seconds since the start."""

        def check():
            if self.process.poll() is not None:
                raise running.Failure("heddle ended:\n" + "\n".join(line for _, line in self.log[-20:]))
            return condition()

        apiserver.wait_until(what, check, 300, pause)
        return time.monotonic() - self.begun

    def listens(self):
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", XDS_PORT), 1):
            return True

    def is_ready(self):
        return get(HTTP_PORT, "/readyz")[0] == 200

    def logged(self, text):
        """When a line with `text` was logged, in seconds since the start; None before."""
        return next((second for second, line in self.log if text in line), None)

    def processor_seconds(self):
        return measuring.processor_seconds(self.process.pid)

    def mebibytes(self, field="VmRSS"):
        return propagation.resident_kilobytes(self.process.pid, field) / 1024

    def metric(self, pattern):
        """The sum of the samples whose lines match."""
        lines = get(HTTP_PORT, "/metrics")[1].splitlines()
        return sum(float(line.rsplit(" ", 1)[1]) for line in lines if re.match(pattern, line))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        shutil.rmtree(self.state, ignore_errors=True)


def get(port, path):
    """Status and text of an answer; 0 when there is none."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        return response.status, response.read().decode()
    except (OSError, http.client.HTTPException):
        return 0, ""
    finally:
        connection.close()


class Proxy:
    """The Envoy of the Pod `path`, in a `with` statement, as a kubelet would start it."""

    def __init__(self, envoy, server, path):
        pod = server.ask("GET", path)
        metadata = pod["metadata"]
        container = next(each for each in pod["spec"]["containers"] if each["name"] == "envoy")
        arguments = container["args"]
        bootstrap = arguments[arguments.index("--config-yaml") + 1].replace("$$", "$")
        self.folder = tempfile.mkdtemp(prefix="heddle-envoy-")
        token = {
            "audiences": ["heddle.dev"],
            "expirationSeconds": 86400,
            "boundObjectRef": {"kind": "Pod", "apiVersion": "v1", "name": metadata["name"], "uid": metadata["uid"]},
        }
        token_path = pathlib.Path(self.folder, "token")
        token_path.write_text(server.token(metadata["namespace"], "default", token))
        name = f"heddle.{apiserver.NAMESPACE}.svc"
        bootstrap = re.sub(rf'("address"\s*:\s*)"{re.escape(name)}"', r'\1"127.0.0.1"', bootstrap)
        config = pathlib.Path(self.folder, "bootstrap.json")
        config.write_text(bootstrap.replace(TOKEN_PATH, str(token_path)))
        self.command = [envoy, "-c", config, "--disable-hot-restart", "--concurrency", "1", "--log-level", "warn"]
        self.log = pathlib.Path(self.folder, "log")
        self.process = None

    def start(self):
        self.process = subprocess.Popen(
            self.command, stdin=subprocess.DEVNULL, stdout=open(self.log, "w"), stderr=subprocess.STDOUT
        )

    def is_live(self):
        """Whether it has clusters, listeners and all that they wait for."""
        if self.process and self.process.poll() is not None:
            raise running.Failure(f"Envoy ended:\n{self.log.read_text()[-2000:]}")
        return get(ADMIN_PORT, "/ready")[0] == 200

    def configuration(self, resource):
        query = f"include_eds&resource={resource}" if resource == "dynamic_endpoint_configs" else f"resource={resource}"
        return get(ADMIN_PORT, f"/config_dump?{query}")[1]

    def stop(self):
        if self.process:
            self.process.kill()
            self.process.wait()
            self.process = None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)


class Shop:
    """The objects of the cluster: virtual node N, and its services, are in namespace N % NAMESPACES."""

    def __init__(self, server, nodes):
        self.server, self.nodes = server, nodes
        self.pod_count = 0

    def namespace(self, number):
        return f"team-{number % self.nodes % NAMESPACES}"

    def reference(self, number):
        return {"name": f"app-{number % self.nodes}", "namespace": self.namespace(number)}

    def path(self, kind, number):
        return f"{MESH}/namespaces/{self.namespace(number)}/{kind}/app-{number % self.nodes}"

    def pod_path(self, number):
        namespace = self.namespace(number)
        return f"/api/v1/namespaces/{namespace}/pods/{self.pod_name(number)}"

    def pod_name(self, number):
        return f"app-{number % self.nodes}-5d4f8c7b9-{number // self.nodes:05d}"

    def is_routed(self, number):
        return number % 5 == 0

    def create_namespaces(self):
        labels = {"mesh": "shop", "appmesh.k8s.aws/sidecarInjectorWebhook": "enabled"}
        for number in range(KUBERNETES_NODES):
            node = {"name": f"node-{number}", "labels": {"topology.kubernetes.io/zone": f"zone-{number % 3}"}}
            self.server.ask("POST", "/api/v1/nodes", {"metadata": node})
        for number in range(NAMESPACES):
            name = f"team-{number}"
            self.server.ask("POST", "/api/v1/namespaces", {"metadata": {"name": name, "labels": labels}})
            path = f"/api/v1/namespaces/{name}/serviceaccounts"
            self.server.ask("POST", path, {"metadata": {"name": "default"}})
        mesh = {"namespaceSelector": {"matchLabels": {"mesh": "shop"}}}
        self.create("meshes", {"name": "shop"}, mesh)

    def create(self, kind, metadata, spec):
        namespace = metadata.get("namespace")
        place = f"{MESH}/namespaces/{namespace}/{kind}" if namespace else f"{MESH}/{kind}"
        kinds = {"meshes": "Mesh", "virtualnodes": "VirtualNode", "virtualrouters": "VirtualRouter"}
        name = kinds.get(kind, "VirtualService")
        document = {"apiVersion": "appmesh.k8s.aws/v1beta2", "kind": name, "metadata": metadata, "spec": spec}
        self.server.ask("POST", place, document)

    def create_node(self, number):
        """A virtual node with its service, which every fifth time is routed."""
        service = lambda other: {"virtualService": {"virtualServiceRef": self.reference(other)}}
        reference = self.reference(number)
        name, namespace = reference["name"], reference["namespace"]
        listener = {"portMapping": {"port": 8080, "protocol": "http"}}
        self.create("virtualnodes", {"name": name, "namespace": namespace}, {
            "podSelector": {"matchLabels": {"part-of": "shop", "app": name}},
            "listeners": [listener],
            "serviceDiscovery": {"dns": {"hostname": f"{name}.{namespace}.svc.cluster.local"}},
            "backends": [service(number + step) for step in (5, 7, 31)],
        })  # fmt: skip
        provider = {"virtualNode": {"virtualNodeRef": reference}}
        if self.is_routed(number):
            provider = {"virtualRouter": {"virtualRouterRef": reference}}
            self.create("virtualrouters", dict(reference), {"listeners": [listener], "routes": self.routes(number, 90)})
        self.create("virtualservices", dict(reference), {"provider": provider})

    def routes(self, number, weight):
        weights = [(self.reference(number), weight), (self.reference(number + 1), 100 - weight)]
        targets = [{"virtualNodeRef": node, "weight": share} for node, share in weights]
        match = {"match": {"prefix": "/"}, "action": {"weightedTargets": targets}}
        return [{"name": "all", "httpRoute": match}]

    def create_pod(self, number):
        """A Pod as a Deployment makes it, which is ready."""
        node = self.reference(number)["name"]
        metadata = {
            "name": self.pod_name(number),
            "labels": {"part-of": "shop", "app": node, "pod-template-hash": "5d4f8c7b9"},
            "annotations": {"prometheus.io/scrape": "true"},
        }
        probe = {"httpGet": {"path": "/health", "port": 8080}}
        application = {
            "name": "app",
            "image": f"registry.example.com/shop/{node}:1.0.0",
            "ports": [{"containerPort": 8080}],
            "readinessProbe": probe,
            "env": [{"name": f"VARIABLE_{index}", "value": "a value"} for index in range(10)],
        }
        spec = {"nodeName": f"node-{number % KUBERNETES_NODES}", "serviceAccountName": "default", "containers": [application]}
        namespace = self.namespace(number)
        self.server.ask("POST", f"/api/v1/namespaces/{namespace}/pods", {"metadata": metadata, "spec": spec})
        self.set_ready(number, True)

    def set_ready(self, number, is_ready):
        address = f"10.{number // 62500 + 1}.{number // 250 % 250}.{number % 250 + 1}"
        value = str(is_ready)
        now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        conditions = [
            {"type": type, "status": value if "Ready" in type else "True", "lastTransitionTime": now}
            for type in ("Initialized", "Ready", "ContainersReady", "PodScheduled")
        ]
        containers = [
            {
                "name": name, "ready": is_ready, "started": True, "restartCount": 0, "image": name, "imageID": "sha256:0",
                "containerID": f"containerd://{number:064d}", "state": {"running": {"startedAt": now}},
            }
            for name in ("app", "envoy")
        ]  # fmt: skip
        status = {
            "phase": "Running", "podIP": address, "podIPs": [{"ip": address}], "hostIP": "192.0.2.1", "startTime": now,
            "conditions": conditions, "containerStatuses": containers,
        }  # fmt: skip
        self.server.patch(f"{self.pod_path(number)}/status", {"status": status})

    def grow(self, pods):
        """Creates Pods until there are so many; prints how fast that went."""
        numbers = range(self.pod_count, pods)
        before = self.server.webhook_seconds("mutate-pod")
        seconds = self.server.all(self.create_pod, numbers)
        spent, calls = (after - before for after, before in zip(self.server.webhook_seconds("mutate-pod"), before))
        self.pod_count = pods
        print(
            f"{len(numbers)} Pods created and made ready, eight at a time: {len(numbers) / seconds:.0f} a second; "
            f"{1000 * spent / max(calls, 1):.0f} ms in the webhook (mean)",
            flush=True,
        )

    def forget_statuses(self):
        """Takes the statuses away, as of objects that Heddle has never seen; how many there are."""
        paths = [f"{MESH}/meshes/shop"]
        for number in range(self.nodes):
            kinds = ["virtualnodes", "virtualservices"] + ["virtualrouters"] * self.is_routed(number)
            paths += [self.path(kind, number) for kind in kinds]
        self.server.all(lambda path: self.server.patch(f"{path}/status", {"status": None}), paths)
        return len(paths)


def settled(controller):
    """Waits until all is written; when the last status was, in seconds since the start, and how many were."""
    controller.requests.wait_until_quiet()
    times = [moment for name, moment in controller.requests.all() if name.endswith("/status")]
    return max(times, default=controller.begun_wall) - controller.begun_wall, len(times)


def start(controller, title, proxy=None):
    """Prints how long a start takes."""
    print(title)
    listening = controller.seconds_until("xDS is served", controller.listens)
    if proxy:
        proxy.start()
    ready = controller.seconds_until("heddle is ready", controller.is_ready)
    read = controller.logged("kubernetes objects read")
    served = ""
    if proxy:
        seconds = controller.seconds_until("Envoy has its configuration", proxy.is_live)
        served = f", the first snapshot in a waiting Envoy after {seconds:.2f} s"
    print(f"    xDS listens after {listening:.2f} s, all was listed after {read:.2f} s, ready after {ready:.2f} s{served}")
    print(f"    {controller.processor_seconds():.1f} s of processor time by then", flush=True)
    last, count = settled(controller)
    rate = f", {count / max(last - ready, 0.01):.0f} a second" if count else ""
    print(f"    {count} statuses written, the last after {last:.1f} s{rate}")
    print(f"    {controller.processor_seconds():.1f} s of processor time, {controller.mebibytes():.0f} MiB resident, "
          f"{controller.mebibytes('VmHWM'):.0f} MiB at most", flush=True)  # fmt: skip


def is_regular(name):
    """Whether Heddle asks for it whatever happens: its Lease, and watches that are renewed."""
    return "leases" in name or name.startswith("watch ")


def listed(counter):
    return ", ".join(f"{count} {name}" for name, count in sorted(counter.items())) or "none"


def idle(controller, server, seconds):
    requests, spent = apiserver.Requests(server), controller.processor_seconds()
    counted = controller.metric("heddle_kubernetes_requests_total")
    begun = time.monotonic()
    time.sleep(seconds)
    seconds = time.monotonic() - begun
    cores = (controller.processor_seconds() - spent) / seconds
    counted = controller.metric("heddle_kubernetes_requests_total") - counted
    print(f"idle for {seconds:.0f} s: {100 * cores:.2f} % of a core")
    count = requests.count()
    per_minute = 60 * sum(count.values()) / seconds
    print(f"    {per_minute:.1f} requests a minute ({60 * counted / seconds:.1f} by its own count): {listed(count)}", flush=True)
    return cores


class Changes:
    """Makes small changes one at a time, and says what each costs."""

    def __init__(self, controller, proxy, shop, idle_cores, rounds):
        self.controller, self.proxy, self.shop = controller, proxy, shop
        self.idle_cores, self.rounds = idle_cores, rounds

    def measure(self, name, change, resource=None):
        """`resource`: what the change alters in Envoy's configuration; None is nothing."""
        times, spent = [], []
        requests = apiserver.Requests(self.shop.server)
        plans = self.controller.metric(PLANS)
        for number in range(self.rounds):
            before = resource and self.proxy.configuration(resource)
            begun, processor = time.monotonic(), self.controller.processor_seconds()
            change(number)
            if resource:
                altered = lambda: self.proxy.configuration(resource) != before
                apiserver.wait_until(f"Envoy has: {name}", altered, 60, 0.002)
                times.append(1000 * (time.monotonic() - begun))
            apiserver.Requests(self.shop.server).wait_until_quiet()
            seconds = time.monotonic() - begun
            spent.append(self.controller.processor_seconds() - processor - self.idle_cores * seconds)
        # What differs in fields only is written ten seconds after the write before.
        time.sleep(11)
        count = requests.count()
        count = {name: round(number / self.rounds, 1) for name, number in count.items() if not is_regular(name)}
        took = f"in Envoy after {statistics.median(times):.0f} ms (median; {max(times):.0f} at most), " if times else ""
        plans = (self.controller.metric(PLANS) - plans) / self.rounds
        print(
            f"{name}: {took}{1000 * statistics.mean(spent):.0f} ms of processor time for {plans:.1f} plans; requests: "
            f"{listed(count)}; {self.controller.mebibytes():.0f} MiB resident",
            flush=True,
        )

    def all(self):
        shop, server = self.shop, self.shop.server
        # Envoy is of Pod 0, and node 5 a backend of its node.
        patch = lambda number: server.patch(
            shop.path("virtualrouters", 5), {"spec": {"routes": shop.routes(5, 10 + number % 80)}}
        )
        self.measure("one weight", patch, "dynamic_route_configs")
        self.measure("one Pod not ready, then ready", lambda number: shop.set_ready(5, number % 2 > 0), "dynamic_endpoint_configs")
        last = (shop.pod_count // shop.nodes - 1) * shop.nodes + 5
        delete = lambda number: server.ask("DELETE", f"{shop.pod_path(last - number * shop.nodes)}?gracePeriodSeconds=0")
        self.rounds = min(self.rounds, last // shop.nodes)
        self.measure("one Pod deleted", delete, "dynamic_endpoint_configs")
        spec = {
            "podSelector": {"matchLabels": {"app": "new"}},
            "listeners": [{"portMapping": {"port": 8080, "protocol": "http"}}],
            "serviceDiscovery": {"dns": {"hostname": "new.team-0"}},
        }
        add = lambda number: shop.create("virtualnodes", {"name": f"new-{number}", "namespace": "team-0"}, spec)
        self.measure("one VirtualNode added", add)


def run(arguments, server):
    server.install()
    shop = Shop(server, arguments.nodes)
    with Controller(arguments.heddle, server) as controller:
        controller.seconds_until("heddle is ready", controller.is_ready)
        apiserver.wait_until("webhooks are registered", server.is_guarded)
        shop.create_namespaces()
        time.sleep(1)
        seconds = server.all(shop.create_node, range(arguments.nodes))
        print(f"{arguments.nodes} virtual nodes and what leads to them created through the webhooks in {seconds:.0f} s")
        shop.grow(min(arguments.nodes, arguments.pods))
        settled(controller)
    with Controller(arguments.heddle, server) as controller:
        start(controller, f"start, {shop.pod_count} Pods, statuses as they are:")
        few, fewer = controller.mebibytes(), shop.pod_count
        shop.grow(arguments.pods)
        settled(controller)
    path = shop.pod_path(0)
    with Proxy(arguments.envoy, server, path) as proxy:
        with Controller(arguments.heddle, server) as controller:
            start(controller, f"start, {shop.pod_count} Pods, statuses as they are:", proxy)
            if shop.pod_count > fewer:
                many = 1024 * (controller.mebibytes() - few) / (shop.pod_count - fewer)
                print(f"    {many:.1f} KiB resident for each Pod more")
            cores = idle(controller, server, arguments.idle)
            Changes(controller, proxy, shop, cores, arguments.rounds).all()
            print(f"in the end: {controller.mebibytes():.0f} MiB resident, {controller.mebibytes('VmHWM'):.0f} MiB at most")
            proxy.stop()
        count = shop.forget_statuses()
        with Controller(arguments.heddle, server) as controller:
            start(controller, f"start, {shop.pod_count} Pods, {count} objects without a status:", proxy)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--heddle", required=True)
    for name, what in (("envoy", "the program"), ("kubernetes", "the folder of etcd and kube-apiserver")):
        known = os.environ.get(f"HEDDLE_{name.upper()}")
        parser.add_argument(f"--{name}", required=not known, default=known, help=f"{what}; default $HEDDLE_{name.upper()}")
    parser.add_argument("--nodes", type=int, default=1000)
    parser.add_argument("--pods", type=int, default=5000)
    parser.add_argument("--idle", type=float, default=90, help="seconds to watch the idle controller")
    parser.add_argument("--rounds", type=int, default=4, help="how often each change is made")
    arguments = parser.parse_args()
    try:
        with apiserver.Server(arguments.kubernetes) as server:
            run(arguments, server)
    except running.Failure as failure:
        sys.exit(str(failure))


if __name__ == "__main__":
    main()
