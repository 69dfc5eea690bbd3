"""`heddle run` on a folder of manifests, for the scripts in this folder."""

import contextlib
import json
import pathlib
import shutil
import signal
import subprocess
import tempfile
import threading


class Failure(Exception):
    """What went wrong, for who runs a script."""


class Heddle:
    """`heddle run` with a state folder of its own, in a `with` statement."""

    def __init__(self, heddle, envoy, *paths, options=(), addresses=("none", "none", "none")):
        """`addresses`: of the page, and of those that take X-Ray's segments and OpenTelemetry's spans."""
        self.heddle = heddle
        # Short, as the paths of Unix sockets are limited to 107 bytes.
        self.state = tempfile.mkdtemp(prefix="heddle-run-")
        self.command = [heddle, "run", *map(str, paths), "--state-dir", self.state]
        for name, address in zip(("http", "xray", "otlp"), addresses):
            self.command += [f"--{name}-address", address]
        self.command += options
        if envoy:
            self.command += ["--envoy", envoy]
        self.changed = threading.Condition()
        self.start()

    def start(self, *options):
        """Starts the daemon, at first and after an end."""
        self.lines = []
        self.ended = False
        self.options = options
        self.process = subprocess.Popen(
            [*self.command, *options],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        threading.Thread(target=self.read, args=[self.process, self.lines], daemon=True).start()

    def read(self, process, lines):
        for line in process.stdout:
            with self.changed:
                lines.append(line.rstrip())
                self.changed.notify_all()
        with self.changed:
            if process is self.process:
                self.ended = True
                self.changed.notify_all()

    def end(self, by=signal.SIGTERM):
        """Ends the daemon; its exit code."""
        self.process.send_signal(by)
        try:
            return self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait()

    def wait_for(self, text, seconds=120):
        """Waits for a line that contains `text`."""
        with self.changed:
            found = lambda: any(text in line for line in self.lines)
            self.changed.wait_for(lambda: self.ended or found(), seconds)
            if not found():
                output = "\n".join(self.lines)
                raise Failure(f'heddle run did not print "{text}"; it printed:\n{output}')

    def wait_until_ready(self):
        """Waits until every Workload has an Envoy that serves, and its application."""
        self.wait_for(" ready; ")

    def ask(self, *arguments):
        """What a command of heddle prints as JSON about this run."""
        command = [self.heddle, *arguments, "-o", "json", "--state-dir", self.state]
        return json.loads(subprocess.check_output(command))

    def addresses(self):
        """The ingress and the egress address of each Workload, by its name."""
        items = self.ask("get", "workloads", "-A")["items"]
        sidecars = {item["metadata"]["name"]: item["status"]["sidecar"] for item in items}
        return {
            name: (sidecar.get("ingressAddress"), sidecar.get("egressAddress"))
            for name, sidecar in sidecars.items()
        }

    def authority(self, mesh, folder):
        """Writes the authority of a Mesh of Heddle's own to `folder`: its certificate and its key."""
        file = pathlib.Path(self.state, "ca", "meshes", f"{mesh}.json")
        signing = json.loads(file.read_text())["signing"]
        name = folder / f"mesh-{mesh}"
        pathlib.Path(f"{name}_cert_chain.pem").write_text(signing["certificate"])
        pathlib.Path(f"{name}_key.pem").write_text(signing["key"])
        return name

    def sidecar(self, name, field):
        """A field of `status.sidecar` of a Workload."""
        items = self.ask("get", "workloads", "-A")["items"]
        return next(item["status"]["sidecar"].get(field) for item in items if item["metadata"]["name"] == name)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is not None or "--keep-proxies" in self.options:
            # Proxies go on without their daemon; another one ends them.
            self.end()
            self.start()
            with contextlib.suppress(Failure):
                self.wait_until_ready()
        self.end()
        shutil.rmtree(self.state, ignore_errors=True)


def flow(value):
    """`value` as YAML, of which JSON is a part."""
    return json.dumps(value)


def write(path, objects):
    """Writes manifests, one document for each of `objects`."""
    pathlib.Path(path).write_text("".join(f"---\n{flow(value)}\n" for value in objects))
