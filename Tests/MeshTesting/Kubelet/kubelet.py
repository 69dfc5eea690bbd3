#!/usr/bin/env python3
"""Runs the Pods of a test's API server as processes of this machine, as a kubelet does in containers.

Each Pod has a network namespace with an address of its own on one bridge, and a mount namespace with
its volumes. The containers' programs are those of this machine: Envoy for images with "envoy" in their
names, heddle for those with "heddle", else what the command says. Names of Services are in /etc/hosts,
at addresses that lead nowhere unless a sidecar takes the connection.

A server of DNS knows the same names, and says of others that there are none.

Done as a kubelet does it: init containers in their order, those with restartPolicy Always as sidecars,
environment with field references and $(NAME), projected service-account tokens bound to the Pod,
readiness probes, status, preStop hooks and grace periods. Needs root, iproute2 and util-linux. However it
ends, what it started ends with it.
"""
import argparse
import base64
import http.client
import json
import os
import re
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
import urllib.request

PARENT_DIES = "import ctypes,signal,sys,os; ctypes.CDLL(None).prctl(1, signal.SIGKILL); os.execvp(sys.argv[1], sys.argv[1:])"


class API:
    """The API server of a kubeconfig with a token and a CA, as the tests' servers have it."""

    def __init__(self, kubeconfig):
        run = ["kubectl", "--kubeconfig", kubeconfig, "config", "view", "--raw", "--minify", "-o", "json"]
        config = json.loads(subprocess.run(run, check=True, capture_output=True, text=True).stdout)
        cluster, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
        self.host = cluster["server"].split("//")[1].rstrip("/")
        self.headers = {"Authorization": "Bearer " + user["token"], "Content-Type": "application/json"}
        data = cluster.get("certificate-authority-data")
        authority = base64.b64decode(data).decode() if data else open(cluster["certificate-authority"]).read()
        self.context = ssl.create_default_context(cadata=authority)
        self.local = threading.local()

    def connect(self, timeout=10):
        return http.client.HTTPSConnection(self.host, context=self.context, timeout=timeout)

    def call(self, method, path, body=None, content_type="application/json"):
        """The answer's document; None when there is no such object."""
        for attempt in range(50):
            try:
                connection = getattr(self.local, "connection", None) or self.connect()
                self.local.connection = connection
                data = None if body is None else json.dumps(body)
                connection.request(method, path, data, {**self.headers, "Content-Type": content_type})
                response = connection.getresponse()
                answer = response.read()
            except (OSError, http.client.HTTPException):
                self.local.connection = None
                time.sleep(0.2)
                continue
            if response.status in (429, 500, 503):
                time.sleep(0.2)
                continue
            if response.status == 404:
                return None
            if response.status >= 400:
                raise RuntimeError(f"{method} {path}: {response.status} {answer[:300]}")
            return json.loads(answer)
        raise RuntimeError(f"{method} {path}: the API server does not answer")

    def watch(self, path):
        """Each event after a list, for ever; a list comes as events too."""
        while True:
            try:
                listed = self.call("GET", path)
                yield {"type": "LISTED", "object": listed}
                connection = self.connect(timeout=60)
                version = listed["metadata"]["resourceVersion"]
                connection.request("GET", f"{path}?watch=1&timeoutSeconds=50&resourceVersion={version}", headers=self.headers)
                response = connection.getresponse()
                while line := response.readline():
                    yield json.loads(line)
            except (OSError, http.client.HTTPException, RuntimeError, ValueError):
                time.sleep(0.2)


def ip(*arguments, check=True):
    subprocess.run(["ip", *arguments], check=check, capture_output=not check)


class Pod:
    """One Pod that runs here."""

    def __init__(self, kubelet, document, number):
        self.kubelet, self.document, self.number = kubelet, document, number
        metadata = document["metadata"]
        self.namespace, self.name, self.uid = metadata["namespace"], metadata["name"], metadata["uid"]
        self.path = f"/api/v1/namespaces/{self.namespace}/pods/{self.name}"
        self.address = f"198.18.{kubelet.number}.{number % 250 + 2}"
        self.net = f"heddle-{os.getpid()}-{kubelet.number}-{number}"
        self.link = f"hk{kubelet.number}-{number}"
        self.folder = os.path.join(kubelet.folder, f"{self.namespace}_{self.name}")
        self.processes = {}
        self.ready = {}
        self.ending = threading.Event()
        self.removed = threading.Event()
        self.error = None

    def network(self):
        ip("netns", "add", self.net)
        ip("link", "add", self.link, "type", "veth", "peer", "name", "eth0", "netns", self.net)
        ip("link", "set", self.link, "master", self.kubelet.bridge, "up")
        ip("-n", self.net, "link", "set", "lo", "up")
        ip("-n", self.net, "address", "add", f"{self.address}/24", "dev", "eth0")
        ip("-n", self.net, "link", "set", "eth0", "up")
        ip("-n", self.net, "route", "add", "default", "via", self.kubelet.address)

    def volumes(self):
        """The folder of each volume, by name."""
        for volume in self.document["spec"].get("volumes", []):
            folder = os.path.join(self.folder, "volumes", volume["name"])
            os.makedirs(folder, exist_ok=True)
            for source in volume.get("projected", {}).get("sources", []):
                if token := source.get("serviceAccountToken"):
                    self.write(folder, token["path"], self.token(token))
            if secret := volume.get("secret"):
                found = self.kubelet.api.call("GET", f"/api/v1/namespaces/{self.namespace}/secrets/{secret['secretName']}")
                for name, data in ((found or {}).get("data") or {}).items():
                    self.write(folder, name, base64.b64decode(data))

    def write(self, folder, name, data):
        path = os.path.join(folder, name)
        new = path + ".new"
        with open(new, "wb") as file:
            file.write(data)
        os.chmod(new, 0o644)
        os.rename(new, path)

    def token(self, source):
        account = self.document["spec"].get("serviceAccountName") or "default"
        accounts = f"/api/v1/namespaces/{self.namespace}/serviceaccounts"
        if self.kubelet.api.call("GET", f"{accounts}/{account}") is None:
            self.kubelet.api.call("POST", accounts, {"metadata": {"name": account}})
        request = {"spec": {
            "audiences": [source["audience"]] if source.get("audience") else [],
            "expirationSeconds": max(600, source.get("expirationSeconds", 3600)),
            "boundObjectRef": {"kind": "Pod", "apiVersion": "v1", "name": self.name, "uid": self.uid},
        }}
        return self.kubelet.api.call("POST", f"{accounts}/{account}/token", request)["status"]["token"].encode()

    def environment(self, container):
        values = {"PATH": os.environ["PATH"], "HOSTNAME": self.name}
        fields = {"metadata.name": self.name, "metadata.namespace": self.namespace, "metadata.uid": self.uid,
                  "status.podIP": self.address, "status.hostIP": self.kubelet.address, "spec.nodeName": self.kubelet.node}
        for variable in container.get("env", []):
            reference = (variable.get("valueFrom") or {}).get("fieldRef")
            value = fields.get(reference["fieldPath"], "") if reference else variable.get("value", "")
            values[variable["name"]] = self.expand(value, values)
        return values

    @staticmethod
    def expand(text, values):
        return re.sub(r"\$\(([A-Za-z_][A-Za-z0-9_]*)\)", lambda match: values.get(match[1], match[0]), text)

    def command(self, container, environment):
        image = container["image"].rsplit("/", 1)[-1]
        command, arguments = container.get("command") or [], container.get("args") or []
        program = self.kubelet.envoy if "envoy" in image else self.kubelet.heddle if "heddle" in image else None
        if program:
            words = (command or []) + arguments
            if not words or os.path.basename(words[0]) not in ("envoy", "heddle"):
                words = [program] + words
            words[0] = program
        else:
            words = command + arguments
        return [self.expand(word, environment) for word in words]

    def start(self, container):
        environment = self.environment(container)
        command = self.command(container, environment)
        user = (container.get("securityContext") or {}).get("runAsUser")
        script = ["set -e", f"mount --bind {self.kubelet.hosts} /etc/hosts"]
        script += [f"mount --bind {self.kubelet.resolver} /etc/resolv.conf"]
        script += ["mount -t tmpfs tmpfs /run"]
        for mount in container.get("volumeMounts", []):
            folder = os.path.join(self.folder, "volumes", mount["name"])
            script += [f"mkdir -p {mount['mountPath']}", f"mount --bind {folder} {mount['mountPath']}"]
        script += ['program=$(command -v "$1")', "exec 9<\"$program\"", "shift"]
        become = f"setpriv --reuid {user} --regid {user} --clear-groups -- " if user else ""
        script += [f'exec {become}/proc/self/fd/9 "$@"' if user else 'exec "$program" "$@"']
        log = open(os.path.join(self.folder, container["name"] + ".log"), "ab")
        # A container's user may open /dev/stdout.
        os.fchown(log.fileno(), user or 0, -1)
        enter = [sys.executable, "-c", PARENT_DIES, "nsenter", f"--net=/run/netns/{self.net}", "--",
                 "unshare", "-m", "--propagation", "private", "sh", "-c", "\n".join(script), "sh"]
        return subprocess.Popen(enter + command, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def run(self):
        try:
            os.makedirs(self.folder, exist_ok=True)
            self.network()
            with open(os.path.join(self.folder, "network"), "w") as file:
                file.write(self.net)
            self.volumes()
            spec = self.document["spec"]
            for container in spec.get("initContainers", []):
                process = self.start(container)
                if container.get("restartPolicy") == "Always":
                    self.processes[container["name"]] = process
                    continue
                if process.wait() != 0:
                    self.error = f"init container {container['name']} exited with {process.returncode}"
                    self.report("Failed")
                    return
            for container in spec["containers"]:
                self.processes[container["name"]] = self.start(container)
            self.watch_over()
        except Exception as error:
            print(f"{self.namespace}/{self.name}: {error!r}", file=sys.stderr, flush=True)
            self.error = repr(error)
            if not self.ending.is_set():
                self.report("Failed")

    def containers(self):
        spec = self.document["spec"]
        return spec["containers"] + [each for each in spec.get("initContainers", []) if each.get("restartPolicy") == "Always"]

    def watch_over(self):
        """Restarts what ends, asks what is ready, and tells, until the Pod ends."""
        told, restarts = None, {}
        while not self.ending.is_set():
            for container in self.containers():
                name = container["name"]
                if self.processes[name].poll() is not None:
                    restarts[name] = restarts.get(name, 0) + 1
                    self.processes[name] = self.start(container)
                self.ready[name] = self.probe(container)
            state = (tuple(sorted(self.ready.items())), tuple(sorted(restarts.items())))
            if state != told:
                self.report("Running", restarts)
                told = state
            self.ending.wait(0.3)
        # Processes end with the thread that started them.
        self.removed.wait()

    def probe(self, container):
        probe = container.get("readinessProbe") or {}
        if run := probe.get("exec"):
            enter = ["nsenter", f"--net=/run/netns/{self.net}", "--"]
            return subprocess.run(enter + run["command"], capture_output=True).returncode == 0
        get = probe.get("httpGet")
        if not get:
            return True
        port = get["port"]
        if isinstance(port, str):
            port = next(each["containerPort"] for each in container.get("ports", []) if each.get("name") == port)
        try:
            with urllib.request.urlopen(f"http://{self.address}:{port}{get.get('path', '/')}", timeout=1) as answer:
                return answer.status < 400
        except OSError:
            return False

    def report(self, phase, restarts={}):
        is_ready = phase == "Running" and all(self.ready.get(each["name"]) for each in self.containers())
        conditions = [{"type": kind, "status": "True" if is_ready else "False"} for kind in ("Ready", "ContainersReady")]
        conditions += [{"type": kind, "status": "True"} for kind in ("Initialized", "PodScheduled")]
        names = {each["name"] for each in self.document["spec"]["containers"]}
        statuses = [{
            "name": each["name"], "ready": bool(self.ready.get(each["name"])), "restartCount": restarts.get(each["name"], 0),
            "image": each["image"], "imageID": "", "state": {"running": {}},
        } for each in self.containers() if each["name"] in names]
        status = {"phase": phase, "podIP": self.address, "podIPs": [{"ip": self.address}], "hostIP": self.kubelet.address,
                  "conditions": conditions, "containerStatuses": statuses, "message": self.error or ""}
        self.kubelet.api.call("PATCH", self.path + "/status", {"status": status}, "application/merge-patch+json")

    def end(self, grace):
        """Ends all containers at once, each after its own hook, and native sidecars after the rest."""
        self.ending.set()
        names = {each["name"] for each in self.document["spec"]["containers"]}
        containers = self.containers()
        for some in ([each for each in containers if each["name"] in names],
                     [each for each in containers if each["name"] not in names]):
            threads = [threading.Thread(target=self.end_container, args=[each, grace], daemon=True) for each in some]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        self.remove()
        self.kubelet.api.call("DELETE", self.path, {"gracePeriodSeconds": 0, "preconditions": {"uid": self.uid}})

    def end_container(self, container, grace):
        hook = threading.Thread(target=self.pre_stop, args=[container], daemon=True)
        hook.start()
        hook.join(grace)
        process = self.processes[container["name"]]
        process.terminate()
        try:
            process.wait(2)
        except subprocess.TimeoutExpired:
            process.kill()

    def pre_stop(self, container):
        hook = ((container.get("lifecycle") or {}).get("preStop")) or {}
        if sleep := hook.get("sleep"):
            time.sleep(sleep["seconds"])
        if run := hook.get("exec"):
            subprocess.run(["nsenter", f"--net=/run/netns/{self.net}", "--"] + run["command"], capture_output=True)
        if get := hook.get("httpGet"):
            try:
                urllib.request.urlopen(f"http://{self.address}:{get['port']}{get['path']}", timeout=60).read()
            except OSError:
                pass

    def remove(self):
        for process in self.processes.values():
            process.kill()
        ip("netns", "delete", self.net, check=False)
        ip("link", "delete", self.link, check=False)
        self.removed.set()


class Kubelet:
    def __init__(self, options):
        self.api, self.envoy, self.heddle = API(options.kubeconfig), options.envoy, options.heddle
        self.number, self.node, self.folder = options.network, options.node, options.folder
        self.address, self.bridge = f"198.18.{self.number}.1", f"hb{self.number}"
        self.pods, self.count, self.fixed = {}, 0, options.host
        os.makedirs(self.folder, exist_ok=True)
        self.hosts = os.path.join(self.folder, "hosts")
        self.resolver = os.path.join(self.folder, "resolv.conf")
        self.names = {}

    def write_hosts(self, services):
        lines = ["127.0.0.1 localhost"] + ["{1} {0}".format(*each.split("=")) for each in self.fixed]
        known = {each.split("=")[0] for each in self.fixed}
        for service in services:
            name, namespace = service["metadata"]["name"], service["metadata"]["namespace"]
            if f"{name}.{namespace}.svc" in known:
                continue
            address = service["spec"].get("clusterIP")
            if address and address != "None":
                # In a Pod, an address of this host would be one of its own.
                address = re.sub(r"^127\.", "10.", address)
                lines.append(f"{address} {name}.{namespace}.svc.cluster.local {name}.{namespace}.svc {name}.{namespace} {name}")
        self.names = {name: line.split()[0] for line in lines for name in line.split()[1:]}
        # Mounted as a file: written in place.
        with open(self.hosts, "w") as file:
            file.write("\n".join(lines) + "\n")

    def follow_services(self):
        services = {}
        for event in self.api.watch("/api/v1/services"):
            found = event["object"]
            if event["type"] == "LISTED":
                services = {each["metadata"]["uid"]: each for each in found["items"]}
            elif event["type"] in ("ADDED", "MODIFIED"):
                services[found["metadata"]["uid"]] = found
            elif event["type"] == "DELETED":
                services.pop(found["metadata"]["uid"], None)
            self.write_hosts(services.values())

    def begin(self):
        # Of a kubelet whose guard was killed too.
        ip("link", "delete", self.bridge, check=False)
        ip("link", "add", self.bridge, "type", "bridge")
        ip("address", "add", f"{self.address}/24", "dev", self.bridge)
        ip("link", "set", self.bridge, "up")
        node = {"metadata": {"name": self.node, "labels": {"topology.kubernetes.io/zone": "zone-a"}}}
        if self.api.call("GET", f"/api/v1/nodes/{self.node}") is None:
            self.api.call("POST", "/api/v1/nodes", node)
        self.write_hosts([])
        with open(self.resolver, "w") as file:
            file.write(f"nameserver {self.address}\n")
        server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        server.bind((self.address, 53))
        threading.Thread(target=self.serve_names, args=[server], daemon=True).start()
        threading.Thread(target=self.follow_services, daemon=True).start()

    def serve_names(self, server):
        while True:
            query, client = server.recvfrom(1500)
            labels, place = [], 12
            while query[place]:
                labels.append(query[place + 1:place + 1 + query[place]].decode())
                place += 1 + query[place]
            question, kind = query[12:place + 5], query[place + 1:place + 3]
            address = self.names.get(".".join(labels).lower())
            answer = b""
            if address and kind == b"\0\1":
                answer = b"\xc0\x0c\0\1\0\1\0\0\0\5\0\4" + socket.inet_aton(address)
            # Recursion is available; without such a name, NXDOMAIN.
            flags = b"\x81\x80" if address else b"\x81\x83"
            counts = b"\0\1" + (b"\0\1" if answer else b"\0\0") + b"\0\0\0\0"
            server.sendto(query[:2] + flags + counts + question + answer, client)

    def take(self, document):
        metadata = document["metadata"]
        uid = metadata["uid"]
        if document["spec"].get("nodeName") not in (None, self.node):
            return
        if "deletionTimestamp" in metadata:
            if pod := self.pods.pop(uid, None):
                grace = metadata.get("deletionGracePeriodSeconds", 30)
                threading.Thread(target=pod.end, args=[grace], daemon=True).start()
            else:
                path = f"/api/v1/namespaces/{metadata['namespace']}/pods/{metadata['name']}"
                self.api.call("DELETE", path, {"gracePeriodSeconds": 0, "preconditions": {"uid": uid}})
            return
        if uid in self.pods or document.get("status", {}).get("phase") in ("Failed", "Succeeded"):
            return
        self.count += 1
        pod = self.pods[uid] = Pod(self, document, self.count)
        if not document["spec"].get("nodeName"):
            binding = {"metadata": {"name": pod.name}, "target": {"kind": "Node", "name": self.node}}
            self.api.call("POST", pod.path + "/binding", binding)
        threading.Thread(target=pod.run, daemon=True).start()

    def run(self):
        print(f"kubelet {self.address}", flush=True)
        for event in self.api.watch("/api/v1/pods"):
            try:
                if event["type"] == "LISTED":
                    for document in event["object"]["items"]:
                        self.take(document)
                elif event["type"] in ("ADDED", "MODIFIED"):
                    self.take(event["object"])
                elif event["type"] == "DELETED":
                    if pod := self.pods.pop(event["object"]["metadata"]["uid"], None):
                        threading.Thread(target=pod.remove, daemon=True).start()
            except RuntimeError as error:
                print(error, file=sys.stderr, flush=True)


def guard(network):
    """Removes the network once this process is gone, however that comes about."""
    read, write = os.pipe()
    prefix = f"heddle-{os.getpid()}-{network}-"
    if os.fork() > 0:
        os.close(read)
        return
    os.setsid()
    os.close(write)
    os.read(read, 1)
    for name in os.listdir("/run/netns") if os.path.isdir("/run/netns") else []:
        if name.startswith(prefix):
            pids = subprocess.run(["ip", "netns", "pids", name], capture_output=True, text=True).stdout
            for pid in pids.split():
                os.kill(int(pid), signal.SIGKILL)
            ip("netns", "delete", name, check=False)
    ip("link", "delete", f"hb{network}", check=False)
    os._exit(0)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--kubeconfig", required=True)
    parser.add_argument("--envoy", required=True)
    parser.add_argument("--heddle", required=True)
    parser.add_argument("--folder", required=True, help="logs of containers and volumes go here")
    parser.add_argument("--node", default="node-1")
    parser.add_argument("--network", type=int, default=os.getpid() % 200 + 20, help="the third byte of addresses")
    parser.add_argument("--host", action="append", default=[], help="NAME=ADDRESS for /etc/hosts")
    options = parser.parse_args()
    guard(options.network)
    kubelet = Kubelet(options)
    kubelet.begin()
    kubelet.run()


if __name__ == "__main__":
    main()
