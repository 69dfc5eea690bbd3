#!/usr/bin/env python3
"""Tells what it costs to see what happens in the mesh: latency and processor time, on against off.

    overhead.py --heddle PATH [--envoy PATH] [--rate N] [--seconds N] [--rounds N] [--connections N]

Sends --rate requests a second over kept connections from one Workload to another, under
`heddle.dev/mtls: STRICT`, for --seconds in each of these ways in turn, --rounds times:
- off: no tracing, no access log, nothing listens but the API's socket,
- on: X-Ray tracing of 5 %, access logs, the page open (its map as it changes, its traces every 5 s), and
  /metrics scraped every 5 s,
- tapped: as on, while `heddle tap` would show every request of both proxies,
- all traced: as on, with X-Ray tracing of 100 %.

A request's time counts from when it is sent. Prints the medians over the rounds: p50 and p99 in milliseconds,
and the processor time of both Envoys and of the daemon in milliseconds per 1,000 requests, with what was
seen meanwhile. A way that saw nothing of what it should see is a failure, and so is a request that failed.
"""

import argparse
import contextlib
import copy
import http.client
import pathlib
import socket
import statistics
import sys
import tempfile
import threading
import time

import load
import measuring
import rotation
import running

WORKLOADS = ("front", "blue")
WARM_UP_SECONDS = 4
# On this host alone, and none that a Heddle uses by default.
PAGE, SEGMENTS, SPANS = "127.0.0.1:21481", "127.0.0.1:21482", "127.0.0.1:21483"
WAYS = {
    "off": {"rate": None, "is_tapped": False},
    "on": {"rate": "0.05", "is_tapped": False},
    "tapped": {"rate": "0.05", "is_tapped": True},
    "all traced": {"rate": "1", "is_tapped": False},
}


def manifests(rate, logs):
    """Two Workloads; where `rate` is given they are traced, and write what they do to the folder `logs`."""
    objects = copy.deepcopy(rotation.MANIFESTS)
    if rate is None:
        return objects
    for value in objects:
        if value["kind"] == "Mesh":
            value["metadata"]["annotations"] |= {
                "heddle.dev/tracing": "x-ray",
                "heddle.dev/trace-sampling": rate,
            }
        if value["kind"] == "VirtualNode":
            path = str(pathlib.Path(logs, value["metadata"]["name"]))
            value["spec"]["logging"] = {"accessLog": {"file": {"path": path}}}
    return objects


class Watcher(threading.Thread):
    """Reads what an answer streams until it is told to stop, and counts what begins like `mark`."""

    def __init__(self, connection, path, mark):
        super().__init__(daemon=True)
        self.connection, self.path, self.mark = connection, path, mark
        connection.connect()
        self.socket = connection.sock
        self.count = 0
        self.is_over = False

    def run(self):
        try:
            self.connection.request("GET", self.path)
            answer = self.connection.getresponse()
            if answer.status != 200:
                raise running.Failure(f"{self.path}: status {answer.status}: {answer.read(200)}")
            while line := answer.readline():
                self.count += line.startswith(self.mark)
        except (OSError, http.client.HTTPException):
            if not self.is_over:
                raise

    def end(self):
        self.is_over = True
        # Wakes the other thread.
        with contextlib.suppress(OSError):
            self.socket.shutdown(socket.SHUT_RDWR)


class Asker(threading.Thread):
    """Asks for a path of the page every few seconds."""

    def __init__(self, path, seconds):
        super().__init__(daemon=True)
        self.path, self.seconds = path, seconds
        self.over = threading.Event()
        self.count = 0

    def run(self):
        while not self.over.wait(self.seconds):
            self.count += bool(page(self.path))

    def end(self):
        self.over.set()


def page(path):
    """What the page's address answers."""
    connection = http.client.HTTPConnection(PAGE, timeout=10)
    with contextlib.closing(connection):
        connection.request("GET", path)
        answer = connection.getresponse()
        text = answer.read().decode()
        if answer.status != 200:
            raise running.Failure(f"{path}: status {answer.status}: {text[:200]}")
        return text


def spans():
    """How many spans the daemon received."""
    lines = [line for line in page("/metrics").splitlines() if line.startswith("heddle_spans_received_total")]
    return sum(float(line.rsplit(" ", 1)[1]) for line in lines)


class Seen:
    """Who looks at the mesh meanwhile, in a `with` statement."""

    def __init__(self, heddle, way, logs):
        self.heddle, self.way, self.logs = heddle, way, logs
        self.threads = {}

    def __enter__(self):
        if self.way["rate"] is None:
            return self
        self.threads["maps"] = Watcher(http.client.HTTPConnection(PAGE), "/map?watch", b"data:")
        self.threads["traces"] = Asker("/traces?limit=50", 5)
        self.threads["scrapes"] = Asker("/metrics", 5)
        if self.way["is_tapped"]:
            for name in WORKLOADS:
                connection = rotation.UnixConnection(pathlib.Path(self.heddle.state, "api.sock"))
                self.threads[f"taps of {name}"] = Watcher(connection, f"/tap/bench/{name}", b'{"')
        for thread in self.threads.values():
            thread.start()
        return self

    def __exit__(self, *_):
        for thread in self.threads.values():
            thread.end()

    def counts(self):
        """What was seen so far."""
        counts = {name: thread.count for name, thread in self.threads.items()}
        if self.threads:
            counts["spans"] = spans()
            for name in WORKLOADS:
                counts[f"log of {name}"] = pathlib.Path(self.logs, name).read_bytes().count(b"\n")
        return counts


def processor_seconds(heddle):
    """Of both Envoys, and of the daemon."""
    pids = [heddle.sidecar(name, "pid") for name in WORKLOADS]
    return sum(map(measuring.processor_seconds, pids)), measuring.processor_seconds(heddle.process.pid)


def phase(heddle, way, logs, arguments):
    """Sends requests in one of the ways; its numbers, what was seen, and how many requests failed."""
    address = (heddle.addresses()["front"][1], 8080)
    requests = load.Load([address], rotation.REQUEST, kept=arguments.connections, new=0, rate=arguments.rate)
    with Seen(heddle, way, logs) as seen, requests:
        time.sleep(WARM_UP_SECONDS)
        # Told by the kernel between the two readings; asking Heddle for process numbers is outside of them.
        seen_before, processors = seen.counts(), processor_seconds(heddle)
        count, times = requests.count(), requests.answered()
        time.sleep(arguments.seconds)
        count = requests.count() - count
        times = [after - before for before, after in zip(times, requests.answered())]
        spent = [after - before for before, after in zip(processors, processor_seconds(heddle))]
        counts = {name: number - seen_before[name] for name, number in seen.counts().items()}
    numbers = [1000 * load.quantile(times, 0.5), 1000 * load.quantile(times, 0.99)]
    numbers += [1e6 * seconds / count for seconds in spent]
    failures = requests.failures()
    for reason, (number, _) in failures.items():
        print(f"    {reason}: {number}")
    return numbers, counts, sum(number for number, _ in failures.values())


def measure(way, arguments):
    """One round of one way."""
    with tempfile.TemporaryDirectory(prefix="heddle-overhead-") as folder:
        logs = pathlib.Path(folder, "logs")
        logs.mkdir()
        mesh = pathlib.Path(folder, "mesh")
        mesh.mkdir()
        running.write(mesh / "mesh.yaml", manifests(way["rate"], logs))
        addresses = ("none",) * 3 if way["rate"] is None else (PAGE, SEGMENTS, SPANS)
        with running.Heddle(arguments.heddle, arguments.envoy, mesh, addresses=addresses) as heddle:
            heddle.wait_until_ready()
            return phase(heddle, way, logs, arguments)


def judge(name, counts):
    """What should have been seen and was not."""
    return [f"{name}: no {what} at all" for what, number in counts.items() if number <= 0]


def report(results, columns):
    print(f"{'':12}" + "".join(f"{column:>18}" for column in columns))
    medians = {name: [statistics.median(column) for column in zip(*rounds)] for name, rounds in results.items()}
    for name, numbers in medians.items():
        print(f"{name:12}" + "".join(f"{number:18.2f}" for number in numbers))
    for name, numbers in list(medians.items())[1:]:
        shares = [100 * (number / base - 1) for number, base in zip(numbers, medians["off"])]
        print(f"{name + ' - off':20}" + "".join(f"{share:+9.0f} %{'':7}" for share in shares))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--heddle", required=True)
    parser.add_argument("--envoy")
    parser.add_argument("--rate", type=float, default=500, help="requests a second; 0 is full speed")
    parser.add_argument("--seconds", type=float, default=20, help="of each way in each round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--connections", type=int, default=8)
    arguments = parser.parse_args()
    results, problems = {name: [] for name in WAYS}, []
    try:
        with load.Served(rotation.PORT):
            for number in range(arguments.rounds):
                for name, way in WAYS.items():
                    numbers, counts, failed = measure(way, arguments)
                    results[name].append(numbers)
                    problems += judge(name, counts)
                    if failed:
                        problems.append(f"{name}: {failed} requests failed")
                    seen = ", ".join(f"{what} {number:.0f}" for what, number in counts.items())
                    print(f"round {number + 1}, {name}: {seen or 'nothing seen'}", flush=True)
    except (running.Failure, load.Failed) as failure:
        sys.exit(str(failure))
    report(results, ["p50 ms", "p99 ms", "Envoys ms/1,000", "daemon ms/1,000"])
    for problem in problems:
        print(f"problem: {problem}")
    sys.exit(bool(problems))


if __name__ == "__main__":
    main()
