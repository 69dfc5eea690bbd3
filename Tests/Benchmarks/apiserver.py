"""A Kubernetes API server of one's own, with Heddle's CRDs and rights, for the scripts in this folder."""

import calendar
import collections
import concurrent.futures
import contextlib
import http.client
import json
import pathlib
import re
import shutil
import socket
import ssl
import subprocess
import tempfile
import threading
import time

import running

REPOSITORY = pathlib.Path(__file__).parent.parent.parent
NAMESPACE = "heddle-system"
ACCOUNT = f"system:serviceaccount:{NAMESPACE}:heddle"
TOKEN = "token-of-an-administrator"
WEBHOOK_PORT = 9443
CERTIFICATES = r"""
set -e
new="openssl ecparam -name prime256v1 -genkey -noout -out"
$new accounts.key; $new authority.key; $new server.key
openssl req -x509 -new -key authority.key -days 30 -subj /CN=kubernetes -out authority.crt \
    -addext keyUsage=critical,keyCertSign,cRLSign
printf '%s\n' extendedKeyUsage=serverAuth subjectAltName=IP:127.0.0.1,DNS:localhost >server.ext
openssl req -new -key server.key -subj /CN=kube-apiserver \
    | openssl x509 -req -CA authority.crt -CAkey authority.key -CAcreateserial -days 30 \
        -extfile server.ext -out server.crt
"""
MERGE = "application/merge-patch+json"


def unused_port():
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        return server.getsockname()[1]


def wait_until(what, condition, seconds=120, pause=0.05):
    """Waits for `condition`, and gives what it gave."""
    end = time.monotonic() + seconds
    while not (found := condition()):
        if time.monotonic() > end:
            raise running.Failure(f"not within {seconds} s: {what}")
        time.sleep(pause)
    return found


class Server:
    """etcd and kube-apiserver, in a `with` statement.

    Services get addresses within 127.96.0.0/16, all of which lead to this machine.
    """

    def __init__(self, binaries):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="heddle-apiserver-"))
        self.audit = self.folder / "audit.log"
        self.processes = []
        self.local = threading.local()
        self.binaries = pathlib.Path(binaries)

    def __enter__(self):
        try:
            self.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        for process in reversed(self.processes):
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def start(self):
        with open(self.folder / "openssl.log", "w") as log:
            subprocess.run(["sh", "-c", CERTIFICATES], cwd=self.folder, check=True, stdout=log, stderr=log)
        (self.folder / "tokens.csv").write_text(f'{TOKEN},admin,admin,"system:masters"\n')
        rules = [{"level": "Metadata", "users": [ACCOUNT]}, {"level": "None"}]
        policy = {"apiVersion": "audit.k8s.io/v1", "kind": "Policy", "omitStages": ["RequestReceived"], "rules": rules}
        self.audit.touch()
        (self.folder / "audit.json").write_text(json.dumps(policy))
        self.context = ssl.create_default_context(cafile=str(self.folder / "authority.crt"))
        store, peers, self.port = unused_port(), unused_port(), unused_port()
        client, peer = f"http://127.0.0.1:{store}", f"http://127.0.0.1:{peers}"
        self.run(
            "etcd", "--name=default", f"--data-dir={self.folder}/etcd", f"--listen-client-urls={client}",
            f"--advertise-client-urls={client}", f"--listen-peer-urls={peer}", f"--initial-advertise-peer-urls={peer}",
            f"--initial-cluster=default={peer}", "--logger=zap", "--log-level=warn", "--unsafe-no-fsync",
        )  # fmt: skip
        file = lambda name: self.folder / name
        self.run(
            "kube-apiserver", f"--etcd-servers={client}", "--bind-address=127.0.0.1", "--advertise-address=127.0.0.1",
            f"--secure-port={self.port}", "--insecure-port=0", f"--tls-cert-file={file('server.crt')}",
            f"--tls-private-key-file={file('server.key')}", f"--cert-dir={self.folder}",
            f"--client-ca-file={file('authority.crt')}", "--service-account-issuer=https://kubernetes.default.svc",
            f"--service-account-signing-key-file={file('accounts.key')}",
            f"--service-account-key-file={file('accounts.key')}", "--service-cluster-ip-range=127.96.0.0/16",
            f"--token-auth-file={file('tokens.csv')}", "--authorization-mode=RBAC", "--allow-privileged=true",
            "--disable-admission-plugins=ServiceAccount", "--endpoint-reconciler-type=none",
            f"--audit-policy-file={file('audit.json')}", f"--audit-log-path={self.audit}",
        )  # fmt: skip
        wait_until("kube-apiserver is ready", self.is_ready)
        self.kubeconfig = self.write_kubeconfig("kubeconfig", TOKEN)

    def run(self, name, *arguments):
        with open(self.folder / f"{name}.log", "w") as log:
            command = [self.binaries / name, *arguments]
            self.processes.append(subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log))

    def is_ready(self):
        for process in self.processes:
            if process.poll() is not None:
                name = pathlib.Path(process.args[0]).name
                raise running.Failure((self.folder / f"{name}.log").read_text()[-2000:])
        with contextlib.suppress(OSError, running.Failure):
            return self.ask("GET", "/readyz") == "ok" and self.ask("GET", "/api/v1/namespaces/default")

    def write_kubeconfig(self, name, token, namespace="default"):
        path = self.folder / name
        cluster = {"server": f"https://127.0.0.1:{self.port}", "certificate-authority": str(self.folder / "authority.crt")}
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "a", "cluster": cluster}],
            "users": [{"name": "a", "user": {"token": token}}],
            "contexts": [{"name": "a", "context": {"cluster": "a", "user": "a", "namespace": namespace}}],
            "current-context": "a",
        }
        path.write_text(running.flow(config))
        return path

    def kubectl(self, *arguments, text=None):
        command = ["kubectl", "--kubeconfig", self.kubeconfig, "--cache-dir", self.folder / "kubectl", *arguments]
        result = subprocess.run(command, input=text, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        if result.returncode:
            raise running.Failure(result.stdout)
        return result.stdout

    def ask(self, method, path, body=None, type="application/json"):
        """The answer's document, asked for as an administrator over this thread's own connection."""
        headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": type}
        connection = getattr(self.local, "connection", None)
        self.local.connection = None
        connection = connection or http.client.HTTPSConnection("127.0.0.1", self.port, context=self.context, timeout=60)
        connection.request(method, path, body and json.dumps(body), headers)
        response = connection.getresponse()
        text = response.read().decode()
        self.local.connection = connection
        if response.status >= 300:
            raise running.Failure(f"{method} {path}: {response.status} {text[:500]}")
        return json.loads(text) if text.startswith("{") else text

    def patch(self, path, body):
        return self.ask("PATCH", path, body, MERGE)

    def all(self, work, items):
        """Does `work` for each of `items`, eight at a time; how long it took in seconds."""
        begun = time.monotonic()
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            for _ in pool.map(work, items):
                pass
        return time.monotonic() - begun

    # Heddle

    def install(self):
        """Applies Manifests/install.yaml, but for what this server does not know and for Pods of Heddle.

        The webhooks' port is one that does not take root.
        """
        self.kubectl("apply", "--server-side", "-f", REPOSITORY / "Manifests/crds")
        self.kubectl("wait", "--for=condition=Established", "crd", "--all")
        documents = (REPOSITORY / "Manifests/install.yaml").read_text().split("\n---\n")
        left = ["Deployment", "PodDisruptionBudget", "CustomResourceDefinition"]
        kept = [text for text in documents if not any(f"\nkind: {kind}\n" in f"\n{text}\n" for kind in left)]
        text = "\n---\n".join(kept).replace("port: 443\n", f"port: {WEBHOOK_PORT}\n")
        self.kubectl("apply", "--server-side", "-f", "-", text=text)
        service = self.ask("GET", f"/api/v1/namespaces/{NAMESPACE}/services/heddle")
        self.webhook_address = f"{service['spec']['clusterIP']}:{WEBHOOK_PORT}"
        token = self.token(NAMESPACE, "heddle", {"expirationSeconds": 86400})
        self.heddle_kubeconfig = self.write_kubeconfig("heddle.kubeconfig", token, NAMESPACE)

    def token(self, namespace, account, spec):
        path = f"/api/v1/namespaces/{namespace}/serviceaccounts/{account}/token"
        return self.ask("POST", path, {"spec": spec})["status"]["token"]

    def is_guarded(self):
        """Whether the webhooks have the root of those who serve them."""
        path = "/apis/admissionregistration.k8s.io/v1/{}webhookconfigurations/heddle"
        found = [self.ask("GET", path.format(kind)) for kind in ("mutating", "validating")]
        return all(hook["clientConfig"].get("caBundle") for each in found for hook in each["webhooks"])

    def webhook_seconds(self, name):
        """How long the webhooks whose names begin so took, as the API server sees them, and how often it asked."""
        pattern = r'apiserver_admission_webhook_admission_duration_seconds_{}{{.*name="{}[^"]*".*}} (.*)'
        metrics = self.ask("GET", "/metrics")
        return [sum(map(float, re.findall(pattern.format(part, name), metrics))) for part in ("sum", "count")]


class Requests:
    """The requests of Heddle from now on, as the API server's audit log has them."""

    def __init__(self, server):
        self.server = server
        self.begin = server.audit.stat().st_size

    def all(self):
        """Verb and what was asked for, with the time in seconds since 1970, of each request."""
        with open(self.server.audit, "rb") as file:
            file.seek(self.begin)
            lines = file.read().split(b"\n")[:-1]
        for line in lines:
            event = json.loads(line)
            # A watch is there twice: once it begins, and once it ends.
            if (event["verb"] == "watch") == (event["stage"] == "ResponseStarted"):
                about = event.get("objectRef", {})
                parts = [about.get("resource"), about.get("subresource")]
                text = event["requestReceivedTimestamp"].rstrip("Z").split(".")
                second = calendar.timegm(time.strptime(text[0], "%Y-%m-%dT%H:%M:%S"))
                name = "/".join(part for part in parts if part) or event["requestURI"].split("?")[0]
                yield f"{event['verb']} {name}", second + float(f"0.{text[1]}")

    def count(self):
        return collections.Counter(name for name, _ in self.all())

    def wait_until_quiet(self, seconds=4, limit=300):
        """Waits until Heddle has asked for nothing but its Lease for so long; the last request's time."""

        def last():
            times = [moment for name, moment in self.all() if "leases" not in name]
            last = max(times, default=begun)
            return last if time.time() - max(last, begun) > seconds else None

        begun = time.time()
        return wait_until("Heddle asks for nothing", last, limit, 0.5)
