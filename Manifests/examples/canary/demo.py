#!/usr/bin/env python3
"""Runs the canary example under Heddle and shows how requests split between its two versions.

    demo.py --heddle PATH --envoy PATH            shows the split until Ctrl-C
    demo.py --heddle PATH --envoy PATH --check    shifts the weights under load and verifies the
                                                  split; exit code 0 when no request failed

The example is copied to --folder, which is what Heddle watches and what you may edit.
"""

import argparse
import collections
import http.client
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

EXAMPLE = pathlib.Path(__file__).resolve().parent
MESH_PORT = 8080
READY_SECONDS = 120
STOP_SECONDS = 40
VERSIONS = ["blue v1", "green v2"]

Answer = collections.namedtuple("Answer", "when seconds version")  # version None: it failed


class Failure(Exception):
    """What went wrong, for the user."""


def ask(connection):
    """One request through the front end's Envoy: the version that answered, or an error."""
    connection.request("GET", "/")
    response = connection.getresponse()
    body = response.read()
    if response.status != 200:
        raise Failure(f"status {response.status}: {body.decode(errors='replace').strip()}")
    answer = json.loads(body)
    return f"{answer['color']} {answer['version']}"


class Heddle:
    """`heddle run` over the copied example, with a state folder of its own."""

    def __init__(self, heddle, envoy, folder, *options):
        self.heddle = heddle
        self.folder = folder
        self.log_path = folder.with_suffix(".log")
        # Short, as the paths of Unix sockets are limited to 107 bytes.
        self.state = tempfile.mkdtemp(prefix="heddle-demo-")
        environment = dict(os.environ, HEDDLE_ENVOY=envoy)
        self.log = open(self.log_path, "wb")
        self.started = time.monotonic()
        self.process = subprocess.Popen(
            [heddle, "run", str(folder), "--state-dir", self.state, *options],
            stdout=self.log,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            env=environment,
            start_new_session=True,  # Ctrl-C reaches this script alone, which stops Heddle
        )

    def front_address(self):
        """Where the host reaches the front end's Envoy; None until Heddle knows."""
        command = [self.heddle, "get", "workloads", "-A", "-o", "json", "--state-dir", self.state]
        listing = subprocess.run(command, capture_output=True, text=True)
        if listing.returncode != 0:
            return None
        for workload in json.loads(listing.stdout)["items"]:
            if workload["metadata"]["name"] == "front":
                sidecar = workload.get("status", {}).get("sidecar", {})
                return (sidecar.get("ingressAddress") or "").split(":")[0] or None
        return None

    def wait_until_ready(self):
        """Waits for the first answer that came through the mesh.

        Returns the front end's address and the seconds since `heddle run`.
        """
        address, last = None, "no address of the front end's Envoy"
        while time.monotonic() < self.started + READY_SECONDS:
            if self.process.poll() is not None:
                raise Failure(f"heddle run ended with exit code {self.process.returncode}")
            address = address or self.front_address()
            if address:
                try:
                    connection = http.client.HTTPConnection(address, MESH_PORT, timeout=5)
                    ask(connection)
                    return address, time.monotonic() - self.started
                except (OSError, http.client.HTTPException, Failure) as error:
                    last = str(error)
                finally:
                    connection.close()
            time.sleep(0.05)
        raise Failure(f"no answer through the mesh within {READY_SECONDS} s; last: {last}")

    def processes(self):
        """Processes of this run, by their command line, environment or working directory."""
        found = {}
        for entry in pathlib.Path("/proc").iterdir():
            if not entry.name.isdigit() or int(entry.name) == os.getpid():
                continue
            try:
                command = (entry / "cmdline").read_bytes()
                environment = (entry / "environ").read_bytes()
                where = os.readlink(entry / "cwd")
            except OSError:
                continue
            ours = self.state.encode() in command + environment or where == str(self.folder)
            if command and ours:
                found[int(entry.name)] = command.replace(b"\0", b" ").decode(errors="replace")
        return found

    def stop(self):
        """Stops Heddle, its proxies and applications. Returns what outlived it, now killed."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        try:
            self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.log.close()
        left = self.processes()
        for process in left:
            try:
                os.kill(process, signal.SIGKILL)
            except ProcessLookupError:
                pass
        shutil.rmtree(self.state, ignore_errors=True)
        return left


class Load:
    """Sends requests at a steady rate over connections that stay open."""

    def __init__(self, address, rate, workers=8):
        self.address = address
        self.rate = rate
        self.answers = []
        self.failures = 0
        self.error = None
        self.begun = time.monotonic()
        self.sent = 0
        self.lock = threading.Lock()
        self.ended = threading.Event()
        self.threads = [threading.Thread(target=self.work, daemon=True) for _ in range(workers)]
        for thread in self.threads:
            thread.start()

    def work(self):
        connection = http.client.HTTPConnection(self.address, MESH_PORT, timeout=10)
        while not self.ended.is_set():
            with self.lock:
                due = self.begun + self.sent / self.rate
                self.sent += 1
            if self.ended.wait(max(0, due - time.monotonic())):
                break
            begun = time.monotonic()
            try:
                version = ask(connection)
            except (OSError, http.client.HTTPException, Failure, ValueError, KeyError) as error:
                version = None
                self.failures += 1
                self.error = f"{type(error).__name__}: {error}"
                connection.close()
            self.answers.append(Answer(begun, time.monotonic() - begun, version))
        connection.close()

    def take(self, count):
        """Waits for `count` more answers and returns them."""
        first = len(self.answers)
        limit = time.monotonic() + 30 + 10 * count / self.rate
        while len(self.answers) < first + count:
            if time.monotonic() > limit:
                raise Failure(f"only {len(self.answers) - first} of {count} requests came back")
            time.sleep(0.01)
        return self.answers[first : first + count]

    def stop(self):
        self.ended.set()
        for thread in self.threads:
            thread.join(10)


def split(answers):
    """The share of each version in percent, of the requests that did not fail."""
    counts = collections.Counter(answer.version for answer in answers if answer.version)
    total = max(sum(counts.values()), 1)
    return {version: 100 * counts[version] / total for version in [*VERSIONS, *sorted(counts)]}


def failed(answers):
    return sum(answer.version is None for answer in answers)


def chart(answers, width=40):
    lines = []
    for version, share in split(answers).items():
        count = sum(answer.version == version for answer in answers)
        lines.append(f"  {version:<9} {count:>5}  {share:5.1f} %  {'█' * round(share * width / 100)}")
    return "\n".join(lines)


def percentile(answers, share):
    times = sorted(answer.seconds for answer in answers)
    return 1000 * times[min(int(len(times) * share), len(times) - 1)]


def weights(mesh):
    """The weights that the manifest has."""
    return [int(weight) for weight in re.findall(r"^ +weight: (\d+)$", mesh.read_text(), re.M)]


def set_weights(mesh, values):
    """Writes new weights, in place as an editor may."""
    remaining = iter(values)
    text = re.sub(
        r"^( +weight: )\d+$", lambda match: f"{match[1]}{next(remaining)}", mesh.read_text(), flags=re.M
    )
    mesh.write_text(text)


def copy_example(folder):
    shutil.rmtree(folder, ignore_errors=True)
    ignored = shutil.ignore_patterns("__pycache__", pathlib.Path(__file__).name)
    shutil.copytree(EXAMPLE, folder, ignore=ignored)


def show(heddle, mesh):
    """Prints the split of 200 requests, then that of the latest, until Ctrl-C."""
    print("starting Heddle, three applications and their Envoys ...", flush=True)
    address, seconds = heddle.wait_until_ready()
    print(f"first answer through the mesh after {seconds:.1f} s\n")
    load = Load(address, rate=400)
    answers = load.take(200)
    load.stop()
    print(f"200 requests to http://{address}:{MESH_PORT}/, {failed(answers)} failed")
    print(chart(answers))
    print(
        f"\nTo shift the traffic, edit the weights in {os.path.relpath(mesh)} and save."
        "\nTo see the mesh: http://127.0.0.1:18001/"
        f"\nTo look around: {heddle.heddle} status --state-dir {heddle.state}"
        f"\nHeddle's log: {os.path.relpath(heddle.log_path)}"
        "\nCtrl-C stops everything.\n",
        flush=True,
    )
    load = Load(address, rate=50, workers=2)
    try:
        while heddle.process.poll() is None:
            time.sleep(0.5)
            if sys.stdout.isatty():
                latest = load.answers[-100:]
                shares = "   ".join(f"{name} {share:3.0f} %" for name, share in split(latest).items())
                bar = "".join(
                    block * round(share * 0.3) for block, share in zip("█░▒▓", split(latest).values())
                )
                line = f"last 100: {shares}  {bar}  {load.sent} sent, {load.failures} failed"
                print(f"\r\033[K{line}", end="", flush=True)
            del load.answers[:-100]
    finally:
        load.stop()
        print()
    raise Failure(f"heddle run ended with exit code {heddle.process.returncode}")


def check(heddle, mesh, arguments):
    """Verifies the split before and after a change of the weights under load."""
    address, seconds = heddle.wait_until_ready()
    print(f"heddle run to the first 200 through the mesh: {seconds:.2f} s", flush=True)
    load = Load(address, rate=arguments.rate)
    problems = []
    for values in [None, *arguments.weights]:
        if values:
            set_weights(mesh, values)
            load.take(arguments.rate)  # a second of requests while the change is under way
        answers = load.take(arguments.requests)
        expected = weights(mesh)
        shares = split(answers)
        text = ", ".join(f"{version} {share:.1f} %" for version, share in shares.items())
        took = answers[-1].when - answers[0].when
        print(
            f"weights {expected}: {text} of {len(answers)} requests at {len(answers) / took:.0f}/s, "
            f"p50 {percentile(answers, 0.5):.1f} ms, p99 {percentile(answers, 0.99):.1f} ms",
            flush=True,
        )
        for version, weight in zip(VERSIONS, expected):
            if abs(shares[version] - weight) > arguments.tolerance:
                problems.append(
                    f"{version} answered {shares[version]:.1f} % of the requests at weight {weight}, "
                    f"more than {arguments.tolerance} points off"
                )
    load.stop()
    print(f"failed requests: {load.failures} of {len(load.answers)}")
    if load.failures:
        problems.append(f"{load.failures} requests failed, the last with {load.error}")
    return problems


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--heddle", required=True, help="the heddle program")
    parser.add_argument("--envoy", required=True, help="the Envoy program")
    parser.add_argument("--folder", default=".build/demo/canary", help="where the copy goes")
    parser.add_argument("--check", action="store_true", help="verify instead of showing")
    parser.add_argument("--requests", type=int, default=5000, help="requests per split of --check")
    parser.add_argument("--rate", type=int, default=400, help="requests a second of --check")
    parser.add_argument(
        "--weights",
        type=lambda text: [int(weight) for weight in text.split("/")],
        nargs="*",
        default=[[50, 50]],
        metavar="BLUE/GREEN",
        help="weights that --check saves one after the other",
    )
    parser.add_argument("--tolerance", type=float, default=3, help="points a split may be off")
    arguments = parser.parse_args()

    folder = pathlib.Path(arguments.folder).resolve()
    folder.parent.mkdir(parents=True, exist_ok=True)
    copy_example(folder)
    mesh = folder / "mesh.yaml"
    signal.signal(signal.SIGTERM, lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    # A check needs no TCP port for the API, which another Heddle may have.
    options = ["--http-address", "none"] if arguments.check else []
    heddle = Heddle(os.path.abspath(arguments.heddle), arguments.envoy, folder, *options)
    problems = []
    try:
        if arguments.check:
            problems = check(heddle, mesh, arguments)
        else:
            show(heddle, mesh)
    except Failure as failure:
        problems.append(str(failure))
    except KeyboardInterrupt:
        if arguments.check:
            problems.append("interrupted")
        else:
            print("stopping ...", flush=True)
    finally:
        begun = time.monotonic()
        left = heddle.stop()
    if arguments.check:
        print(f"stopped in {time.monotonic() - begun:.1f} s, {len(left)} processes left")
    problems += [f"process {process} was left: {command}" for process, command in left.items()]
    if problems:
        print(f"\nend of {heddle.log_path}:", file=sys.stderr)
        for line in heddle.log_path.read_text(errors="replace").splitlines()[-30:]:
            print(f"  {line}", file=sys.stderr)
        for problem in problems:
            print(f"demo: {problem}", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()
