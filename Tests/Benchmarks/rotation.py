#!/usr/bin/env python3
"""Counts the requests that fail while certificates are renewed under load.

    rotation.py --heddle PATH [--envoy PATH] [--rate N] [--seconds N] [--lifetime TIME]
                [--rotate certificates|authority|root] [--every SECONDS]

Starts `heddle run` on two Workloads under `heddle.dev/mtls: STRICT` with certificates that last
--lifetime, and sends --rate requests a second from one to the other over keep-alive connections.
With --rotate it also replaces that by `heddle certificates rotate` every --every seconds.

A request is due at its time whether or not those before it are answered, its latency counts from
then, and nothing is tried again: every error and every status but 200 is a failure. What Envoy tried
again is told of, as it hides failures. Prints what became of the requests, the certificates that
openssl saw, and how long connections between the proxies lasted against the certificates.
"""

import argparse
import asyncio
import collections
import http.client
import pathlib
import re
import socket
import subprocess
import sys
import tempfile
import time

import running

PORT = 21480
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
REQUEST = b"GET / HTTP/1.1\r\nHost: blue.bench:8080\r\n\r\n"


def node(name, backends):
    return {
        "apiVersion": "appmesh.k8s.aws/v1beta2",
        "kind": "VirtualNode",
        "metadata": {"name": name, "namespace": "bench"},
        "spec": {
            "podSelector": {"matchLabels": {"app": name}},
            "listeners": [{"portMapping": {"port": 8080, "protocol": "http"}}],
            "serviceDiscovery": {"dns": {"hostname": f"{name}.bench"}},
            "backends": [
                {"virtualService": {"virtualServiceRef": {"name": backend}}} for backend in backends
            ],
        },
    }


def workload(name, ports):
    return {
        "apiVersion": "heddle.dev/v1alpha1",
        "kind": "Workload",
        "metadata": {"name": name, "namespace": "bench", "labels": {"app": name}},
        "spec": {"address": "127.0.0.1", "ports": ports},
    }


MANIFESTS = [
    {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {"name": "bench", "labels": {"mesh": "bench"}},
    },
    {
        "apiVersion": "appmesh.k8s.aws/v1beta2",
        "kind": "Mesh",
        "metadata": {"name": "bench", "annotations": {"heddle.dev/mtls": "STRICT"}},
        "spec": {"namespaceSelector": {"matchLabels": {"mesh": "bench"}}},
    },
    node("front", ["blue"]),
    node("blue", []),
    {
        "apiVersion": "appmesh.k8s.aws/v1beta2",
        "kind": "VirtualService",
        "metadata": {"name": "blue", "namespace": "bench"},
        "spec": {"provider": {"virtualNode": {"virtualNodeRef": {"name": "blue"}}}},
    },
    workload("front", {}),
    workload("blue", {"8080": PORT}),
]


async def answer(reader, writer):
    """The application behind blue."""
    try:
        while True:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(ANSWER)
    except (asyncio.IncompleteReadError, ConnectionError):
        writer.close()


class Load:
    """Requests at a rate, and what became of them."""

    def __init__(self, address, rate, seconds):
        self.address, self.rate, self.seconds = address, rate, seconds
        self.latencies = []
        self.failures = collections.Counter()
        self.idle = []
        self.connections = 0

    async def run(self):
        begun = time.monotonic()
        tasks = set()
        for number in range(int(self.rate * self.seconds)):
            due = begun + number / self.rate
            if (delay := due - time.monotonic()) > 0:
                await asyncio.sleep(delay)
            task = asyncio.create_task(self.request(due))
            tasks.add(task)
            task.add_done_callback(tasks.discard)
        if tasks:
            await asyncio.wait(tasks)

    async def request(self, due):
        connection = None
        try:
            async with asyncio.timeout(30):
                if self.idle:
                    connection = self.idle.pop()
                else:
                    connection = await asyncio.open_connection(self.address, 8080)
                    self.connections += 1
                reader, writer = connection
                writer.write(REQUEST)
                head = await reader.readuntil(b"\r\n\r\n")
                length = re.search(rb"content-length: *(\d+)", head, re.IGNORECASE)
                await reader.readexactly(int(length[1]) if length else 0)
            self.latencies.append(time.monotonic() - due)
            status = head.split(b" ", 2)[1].decode()
            if status != "200":
                self.failures[f"status {status}"] += 1
            if b"connection: close" in head.lower():
                writer.close()
            else:
                self.idle.append(connection)
        except (OSError, EOFError, TimeoutError) as failure:
            self.failures[type(failure).__name__] += 1
            if connection:
                connection[1].close()


class Certificates:
    """The certificates that a client sees, probed by openssl."""

    def __init__(self, address):
        self.address = address
        self.left = {}  # serial number: how long it had left when it was first seen
        self.least = float("inf")
        self.ended = 0
        self.failed = 0

    async def run(self):
        while True:
            await self.probe()
            await asyncio.sleep(1)

    async def probe(self):
        command = (
            f"openssl s_client -connect {self.address}:8080 </dev/null 2>/dev/null"
            " | openssl x509 -noout -serial -enddate"
        )
        # In a thread: a probe that is cancelled then still ends by itself.
        result = await asyncio.to_thread(
            subprocess.run, command, shell=True, capture_output=True, text=True
        )
        output = result.stdout
        fields = dict(line.split("=", 1) for line in output.splitlines() if "=" in line)
        if "serial" not in fields:
            self.failed += 1
            return
        now, end = time.time(), calendar_seconds(fields["notAfter"])
        self.left.setdefault(fields["serial"], end - now)
        self.least = min(self.least, end - now)
        self.ended += now > end


def calendar_seconds(text):
    return time.mktime(time.strptime(text, "%b %d %H:%M:%S %Y %Z")) - time.timezone


class Rotations:
    """`heddle certificates rotate`, again and again."""

    def __init__(self, arguments, state):
        what = {"certificates": [], "authority": ["--mesh", "bench"], "root": ["--root"]}
        self.command = [arguments.heddle, "certificates", "rotate", *what[arguments.rotate]]
        self.command += ["--state-dir", state]
        self.every = arguments.every
        self.times = []

    async def run(self):
        while True:
            await asyncio.sleep(self.every)
            begun = time.monotonic()
            process = await asyncio.create_subprocess_exec(
                *self.command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
            )
            output = (await process.communicate())[0].decode().strip()
            self.times.append(time.monotonic() - begun)
            if process.returncode:
                print(f"rotation failed: {output}", flush=True)


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("localhost")
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(str(self.path))


def statistics(state, workload):
    """What an Envoy counts; of a histogram its greatest value in all."""
    folder = pathlib.Path(state, "proxies/bench", workload)
    connection = UnixConnection(folder / "admin.sock")
    try:
        connection.request("GET", "/stats")
    except OSError:
        # An Envoy that took over from another has the other socket.
        connection = UnixConnection(folder / "admin-2.sock")
        connection.request("GET", "/stats")
    values = {}
    for line in connection.getresponse().read().decode().splitlines():
        name, _, value = line.partition(": ")
        if greatest := re.search(r"P100\([^,]*,([\d.]+)\)", value):
            values[name] = float(greatest[1])
        elif value.isdigit():
            values[name] = int(value)
    return values


def total(values, pattern):
    return sum(value for name, value in values.items() if re.fullmatch(pattern, name))


def percentile(values, share):
    values = sorted(values)
    return values[min(int(len(values) * share), len(values) - 1)]


async def measure(arguments, heddle):
    addresses = heddle.addresses()
    load = Load(addresses["front"][1], arguments.rate, arguments.seconds)
    certificates = Certificates(addresses["blue"][0])
    others = [certificates]
    rotations = None
    if arguments.rotate:
        rotations = Rotations(arguments, heddle.state)
        others.append(rotations)
    tasks = [asyncio.create_task(other.run()) for other in others]
    await load.run()
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    return load, certificates, rotations


def report(load, certificates, rotations, caller, server):
    count = len(load.latencies) + sum(n for kind, n in load.failures.items() if " " not in kind)
    milliseconds = [1000 * latency for latency in load.latencies] or [0]
    failed = sum(load.failures.values())
    print(f"requests: {count} over {load.connections} connections, {failed} failed")
    for kind, number in load.failures.most_common():
        print(f"    {kind}: {number}")
    print(
        f"latency from when a request was due: p50 {percentile(milliseconds, 0.5):.1f}, "
        f"p99 {percentile(milliseconds, 0.99):.1f}, max {max(milliseconds):.1f} ms"
    )
    egress = r"cluster\.cds_egress.*\."
    print(
        f"tried again by the caller's Envoy: {total(caller, egress + 'upstream_rq_retry')}, "
        f"handshakes: {total(caller, egress + 'ssl.handshake')}, refused by the caller: "
        f"{total(caller, egress + 'ssl.fail_verify_.*')}, by the server: "
        f"{total(server, r'listener.*ssl.fail_verify_(?!no_cert).*')}"
    )
    print(
        f"certificates seen: {len(certificates.left)}, probes that saw one which had ended: "
        f"{certificates.ended}, probes without one: {certificates.failed}"
    )
    lengths = [value for name, value in caller.items() if re.fullmatch(egress + "upstream_cx_length_ms", name)]
    print(
        f"the longest connection between the proxies: {max(lengths, default=0) / 1000:.1f} s; a certificate "
        f"had {max(certificates.left.values(), default=0):.1f} s when it was new, and never less than "
        f"{certificates.least:.1f} s left"
    )
    if rotations:
        times = rotations.times or [0]
        print(f"rotations: {len(rotations.times)}, {min(times):.1f} to {max(times):.1f} s each")
    return failed


def serve():
    async def run():
        server = await asyncio.start_server(answer, "127.0.0.1", PORT)
        await server.serve_forever()

    asyncio.run(run())


def main():
    if sys.argv[1:] == ["serve"]:
        return serve()
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--heddle", required=True)
    parser.add_argument("--envoy")
    parser.add_argument("--rate", type=float, default=500, help="requests a second")
    parser.add_argument("--seconds", type=float, default=180)
    parser.add_argument("--lifetime", default="20s", help="of certificates")
    parser.add_argument("--rotate", choices=["certificates", "authority", "root"])
    parser.add_argument("--every", type=float, default=30, help="seconds between rotations")
    arguments = parser.parse_args()

    application = subprocess.Popen([sys.executable, __file__, "serve"])
    try:
        with tempfile.TemporaryDirectory(prefix="heddle-rotation-") as folder:
            running.write(pathlib.Path(folder, "mesh.yaml"), MANIFESTS)
            options = ["--certificate-lifetime", arguments.lifetime]
            with running.Heddle(arguments.heddle, arguments.envoy, folder, options=options) as heddle:
                heddle.wait_until_ready()
                result = asyncio.run(measure(arguments, heddle))
                proxies = [statistics(heddle.state, name) for name in ("front", "blue")]
                failed = report(*result, *proxies)
    except running.Failure as failure:
        sys.exit(str(failure))
    finally:
        application.terminate()
        application.wait()
    sys.exit(failed > 0)


if __name__ == "__main__":
    main()
