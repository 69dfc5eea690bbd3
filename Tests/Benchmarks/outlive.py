#!/usr/bin/env python3
"""Counts the requests that fail while daemons die and proxies are replaced.

    outlive.py --heddle PATH [--envoy PATH] [--requests N] [--rate N] [--processes N]
               [--kills N] [--restarts N] [--upgrades N]

Sends requests from one Workload to another under `heddle.dev/mtls: STRICT`, over connections that are kept
and over new ones, at full speed or at --rate a second, until there were --requests, and meanwhile in turn
- kills the daemon with SIGKILL and starts it again (--kills),
- ends it by SIGTERM under --keep-proxies and starts it again (--restarts),
- replaces every Envoy by `heddle proxies upgrade --all` (--upgrades).
Each of these begins when its share of the requests has ended, and has ended when Heddle says that it is ready.

Nothing is tried again: every error and every status but 200 is a failure. Prints what failed, how long each
step took, whether Envoys stayed or were replaced as they should, and what Envoy was sent anew.
"""

import argparse
import pathlib
import signal
import subprocess
import sys
import tempfile
import time

import load
import rotation
import running

REQUEST = rotation.REQUEST
WORKLOADS = ("front", "blue")


class Steps:
    """What is done to Heddle while requests go on."""

    def __init__(self, heddle, requests):
        self.heddle, self.requests = heddle, requests
        self.problems = []

    def run(self, arguments):
        steps = self.order(arguments.kills, arguments.restarts, arguments.upgrades)
        for number, step in enumerate(steps, 1):
            self.requests.wait_for(arguments.requests * number // (len(steps) + 1))
            self.perform(step)
        self.requests.wait_for(arguments.requests)

    def order(self, kills, restarts, upgrades):
        """All steps, those of each kind spread over the whole."""
        kinds = [(self.kill, kills), (self.restart, restarts), (self.upgrade, upgrades)]
        places = [((number + 0.5) / count, step) for step, count in kinds for number in range(count)]
        return [step for _, step in sorted(places, key=lambda place: place[0])]

    def perform(self, step):
        before, updates = self.processes(), self.updates()
        begun, count = time.monotonic(), self.requests.count()
        step()
        seconds, count = time.monotonic() - begun, self.requests.count() - count
        after, sent = self.processes(), self.updates()
        replaced = [name for name in WORKLOADS if before[name] != after[name]]
        if step == self.upgrade:
            anew = "-"
            if len(replaced) != len(WORKLOADS):
                self.problems.append("an upgrade left an Envoy as it was")
        else:
            anew = sum(sent[name] - updates[name] for name in WORKLOADS)
            self.problems += [f"after {step.__name__} {name} has another Envoy" for name in replaced]
        print(
            f"{begun - self.requests.begun:7.1f} s  {step.__name__:8} took {seconds:5.2f} s, {count} requests meanwhile, "
            f"resources sent anew: {anew}",
            flush=True,
        )

    def kill(self):
        self.heddle.end(signal.SIGKILL)
        self.begin()

    def restart(self):
        if code := self.heddle.end():
            self.problems.append(f"a daemon ended by SIGTERM with {code}")
        self.begin()

    def begin(self):
        # A while without a daemon.
        self.requests.wait_for(self.requests.count() + 1000)
        self.heddle.start("--keep-proxies")
        self.heddle.wait_until_ready()

    def upgrade(self):
        command = [self.heddle.heddle, "proxies", "upgrade", "--all", "--state-dir", self.heddle.state]
        result = subprocess.run(command, capture_output=True, text=True)
        if result.returncode:
            self.problems.append(f"{' '.join(command[1:4])}: {result.stdout}{result.stderr}")

    def processes(self):
        return {name: self.heddle.sidecar(name, "pid") for name in WORKLOADS}

    def updates(self):
        """How often each Envoy took clusters, endpoints, listeners or routes."""
        pattern = r"(cluster_manager\.cds|listener_manager\.lds|.*\.rds\..*|cluster\..*)\.update_success"
        return {
            name: rotation.total(rotation.statistics(self.heddle.state, name), pattern) for name in WORKLOADS
        }


def report(requests, problems):
    failures = requests.failures()
    failed = sum(number for number, _ in failures.values())
    print(
        f"{requests.count()} requests in {requests.seconds:.0f} s, {requests.count() / requests.seconds:.0f} a second, "
        f"over {requests.connections.value} connections: {failed} failed"
    )
    for reason, (number, first) in failures.items():
        print(f"    {reason}: {number}, first after {first:.1f} s")
    for problem in problems:
        print(f"problem: {problem}")
    return failed


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--heddle", required=True)
    parser.add_argument("--envoy")
    parser.add_argument("--requests", type=int, default=1_000_000)
    parser.add_argument("--rate", type=float, default=0, help="requests a second; 0 is full speed")
    parser.add_argument("--processes", type=int, default=1, help="that send requests")
    parser.add_argument("--kills", type=int, default=5)
    parser.add_argument("--restarts", type=int, default=5)
    parser.add_argument("--upgrades", type=int, default=2)
    arguments = parser.parse_args()
    try:
        with load.Served(rotation.PORT), tempfile.TemporaryDirectory(prefix="heddle-outlive-") as folder:
            running.write(pathlib.Path(folder, "mesh.yaml"), rotation.MANIFESTS)
            with running.Heddle(arguments.heddle, arguments.envoy, folder) as heddle:
                heddle.wait_until_ready()
                addresses = [(heddle.addresses()["front"][1], 8080)]
                requests = load.Load(addresses, REQUEST, processes=arguments.processes, rate=arguments.rate)
                with requests:
                    steps = Steps(heddle, requests)
                    steps.run(arguments)
                failed = report(requests, steps.problems)
    except (running.Failure, load.Failed) as failure:
        sys.exit(str(failure))
    sys.exit(failed > 0 or bool(steps.problems))


if __name__ == "__main__":
    main()
