#!/usr/bin/env python3
"""Compares what Heddle says that proxies use with what the kernel says, and counts what that costs.

    measuring.py --heddle PATH [--envoy PATH] [--baseline PATH] [--proxies N] [--seconds N] [--rate N]

Runs --proxies Workloads, for --seconds without a request and then for --seconds under --rate requests a
second in all. Meanwhile it asks `heddle top` and `heddle proxies` for what each proxy uses, and reads processor
time and memory of each Envoy from /proc by itself: processor time over the very interval that Heddle measured,
memory at the end of it. Prints the mean and the greatest difference over the proxies, where a proxy's is that
of its means over the phase, and the processor time of the daemon; with --baseline also that of another heddle, such as one
that does not measure. The exit code is 1 if a difference is over 5 % and over the grain of what is shown.
"""

import argparse
import collections
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import threading
import time

import load
import recovery
import rotation
import running

TOLERANCE = 0.05
# What is shown in whole thousandths of a core cannot be nearer.
GRAIN = {"cpu": 1.0, "memory": 1 << 20}


def processor_seconds(pid):
    """Of all threads, to the nanosecond; /proc/PID/stat knows hundredths of a second."""
    tasks = pathlib.Path("/proc", str(pid), "task")
    return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks.iterdir()) / 1e9


def memory_bytes(pid):
    """Anonymous and shared pages."""
    pages = 0
    for line in pathlib.Path("/proc", str(pid), "status").read_text().splitlines():
        if line.startswith(("RssAnon:", "RssShmem:")):
            pages += int(line.split()[1])
    return pages << 10


class Kernel:
    """What the kernel says of processes, several times a second."""

    def __init__(self, processes):
        self.processes = processes
        self.samples = {name: [] for name in processes}
        self.over = threading.Event()
        self.thread = threading.Thread(target=self.run)

    def run(self):
        while not self.over.wait(0.2):
            for name, pid in self.processes.items():
                self.samples[name].append((time.time(), processor_seconds(pid), memory_bytes(pid)))

    def at(self, name, moment, field):
        """A field at a moment, between the samples beside it; None outside of them."""
        samples = self.samples[name]
        for before, after in zip(samples, samples[1:]):
            if before[0] <= moment <= after[0]:
                share = (moment - before[0]) / (after[0] - before[0])
                return before[field] + share * (after[field] - before[field])
        return None

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        self.thread.join()


def measurements(heddle, names, seconds):
    """Every measurement that Heddle makes meanwhile, of each proxy by its time."""
    found = {name: {} for name in names}
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        for proxy in heddle.ask("proxies")["items"]:
            usage = proxy["status"].get("usage")
            if usage:
                found[proxy["metadata"]["name"]][usage["timeSeconds"]] = usage
        time.sleep(1)
    return found


def compare(found, kernel):
    """The means of what Heddle said and of what the kernel said, of each proxy."""
    means = collections.defaultdict(dict)
    for name, usages in found.items():
        pairs = collections.defaultdict(list)
        for moment, usage in usages.items():
            interval = usage["intervalSeconds"]
            begun, ended = (kernel.at(name, time, 1) for time in (moment - interval, moment))
            if begun is not None and ended is not None:
                pairs["cpu"].append((usage["cpuMillicores"], 1000 * (ended - begun) / interval))
            if (memory := kernel.at(name, moment, 2)) is not None:
                pairs["memory"].append((usage["memoryBytes"], memory))
        for field, values in pairs.items():
            means[field][name] = [statistics.fmean(side) for side in zip(*values)]
    return means


def judge(means, unit):
    """Prints the differences; whether all are small."""
    good = True
    for field, proxies in means.items():
        differences = {name: said - real for name, (said, real) in proxies.items()}
        shares = {name: abs(differences[name]) / proxies[name][1] for name in proxies}
        wrong = [
            name for name in proxies if shares[name] > TOLERANCE and abs(differences[name]) > GRAIN[field]
        ]
        total = [sum(side) for side in zip(*proxies.values())]
        print(
            f"    {field}: {len(proxies)} proxies, Heddle {total[0] / unit[field]:.1f}, kernel {total[1] / unit[field]:.1f} in all "
            f"({100 * (total[0] / total[1] - 1):+.1f} %); of one proxy {100 * statistics.fmean(shares.values()):.1f} % apart on "
            f"average, {100 * max(shares.values()):.1f} % at most; {len(wrong)} too far"
        )
        good = good and not wrong
    return good and len(means) == 2


def phase(title, heddle, names, seconds):
    pids = {name: heddle.sidecar(name, "pid") for name in names}
    daemon = processor_seconds(heddle.process.pid)
    with Kernel(pids) as kernel:
        time.sleep(1)
        found = measurements(heddle, names, seconds)
        time.sleep(1)
    print(f"{title}: {min(map(len, found.values()))} measurements or more of each proxy")
    good = judge(compare(found, kernel), {"cpu": 1, "memory": 1 << 20})
    spent = processor_seconds(heddle.process.pid) - daemon
    print(f"    the daemon, asked every second: {1000 * spent / (seconds + 2):.1f} millicores")
    return good


def alone(heddle, seconds):
    """The processor time of a daemon that nobody asks, in thousandths of a core."""
    begun = processor_seconds(heddle.process.pid)
    time.sleep(seconds)
    return 1000 * (processor_seconds(heddle.process.pid) - begun) / seconds


def shown(heddle, names):
    """What `heddle top` and `heddle sizing` print, briefly."""
    top = heddle.ask("top")
    print(f"heddle top: {json.dumps(top['total'])}")
    # Its exit code is 1 when a proxy may run short.
    command = [heddle.heddle, "sizing", "-o", "json", "--state-dir", heddle.state]
    output = subprocess.run(command, stdout=subprocess.PIPE, text=True).stdout
    sizes = [proxy for proxy in json.loads(output)["proxies"] if proxy["name"] == names[0]]
    print(f"heddle sizing: {json.dumps(sizes[0] if sizes else None)}")


def run(arguments, folder, names):
    good = True
    with running.Heddle(arguments.heddle, arguments.envoy, folder) as heddle:
        heddle.wait_until_ready()
        print(f"a daemon that nobody asks: {alone(heddle, arguments.seconds / 4):.1f} millicores")
        good &= phase("idle", heddle, names, arguments.seconds)
        addresses = [(heddle.addresses()[name][0], 8080) for name in names]
        request = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
        with load.Load(addresses, request, kept=2 * len(names), new=0, rate=arguments.rate) as requests:
            time.sleep(5)
            good &= phase(f"{arguments.rate:.0f} requests a second", heddle, names, arguments.seconds)
        failed = sum(number for number, _ in requests.failures().values())
        print(f"    {requests.count() / requests.seconds:.0f} requests a second were sent, {failed} failed")
        shown(heddle, names)
    return good


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--heddle", required=True)
    parser.add_argument("--envoy")
    parser.add_argument("--baseline", help="another heddle, of which only the processor time counts")
    parser.add_argument("--proxies", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=120)
    parser.add_argument("--rate", type=float, default=1000)
    arguments = parser.parse_args()
    names = [f"node-{number}" for number in range(arguments.proxies)]
    try:
        with load.Served(rotation.PORT), tempfile.TemporaryDirectory(prefix="heddle-measuring-") as folder:
            running.write(pathlib.Path(folder, "mesh.yaml"), recovery.manifests(names))
            if arguments.baseline:
                with running.Heddle(arguments.baseline, arguments.envoy, folder) as heddle:
                    heddle.wait_until_ready()
                    spent = alone(heddle, arguments.seconds / 4)
                print(f"the baseline's daemon: {spent:.1f} millicores")
            good = run(arguments, folder, names)
    except (running.Failure, load.Failed) as failure:
        sys.exit(str(failure))
    sys.exit(not good)


if __name__ == "__main__":
    main()
