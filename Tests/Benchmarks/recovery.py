#!/usr/bin/env python3
"""Times how soon a proxy answers again after its Envoy was killed.

    recovery.py --heddle PATH [--envoy PATH] [--kills N] [--proxies N]

Runs --proxies Workloads, kills the Envoy of one after the other with SIGKILL, and asks its ingress
until the first 200. A proxy is killed again only after a minute, by when Heddle takes it as recovered and
starts it at once. Prints the times in milliseconds.
"""

import argparse
import http.client
import os
import pathlib
import signal
import sys
import tempfile
import time

import load
import rotation
import running

# An Envoy that ran for so long starts again at once.
RECOVERED_SECONDS = 61


def manifests(names):
    namespace, mesh = rotation.MANIFESTS[:2]
    mesh = {**mesh, "metadata": {"name": "bench"}}
    nodes = [rotation.node(name, []) for name in names]
    return [namespace, mesh, *nodes, *[rotation.workload(name, {"8080": rotation.PORT}) for name in names]]


def first_answer(address, seconds=60):
    begun = time.monotonic()
    while time.monotonic() < begun + seconds:
        connection = http.client.HTTPConnection(address, 8080, timeout=2)
        try:
            connection.request("GET", "/")
            if connection.getresponse().status == 200:
                return
        except (OSError, http.client.HTTPException):
            pass
        finally:
            connection.close()
        time.sleep(0.001)
    raise running.Failure(f"{address} did not answer within {seconds} s")


def measure(heddle, names, kills):
    addresses = heddle.addresses()
    times, ready = [], dict.fromkeys(names, 0.0)
    for number in range(kills):
        name = names[number % len(names)]
        address = addresses[name][0]
        time.sleep(max(0, ready[name] + RECOVERED_SECONDS - time.monotonic()))
        first_answer(address)
        killed = heddle.sidecar(name, "pid")
        begun = time.monotonic()
        os.kill(killed, signal.SIGKILL)
        first_answer(address)
        ready[name] = time.monotonic()
        times.append(1000 * (ready[name] - begun))
        deadline = time.monotonic() + 30
        while heddle.sidecar(name, "pid") == killed:
            if time.monotonic() > deadline:
                raise running.Failure(f"{name} answers, and its Envoy is still the one that was killed")
            time.sleep(0.05)
    return times


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--heddle", required=True)
    parser.add_argument("--envoy")
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--proxies", type=int, default=25)
    arguments = parser.parse_args()
    names = [f"node-{number}" for number in range(arguments.proxies)]
    try:
        with load.Served(rotation.PORT), tempfile.TemporaryDirectory(prefix="heddle-recovery-") as folder:
            running.write(pathlib.Path(folder, "mesh.yaml"), manifests(names))
            with running.Heddle(arguments.heddle, arguments.envoy, folder) as heddle:
                heddle.wait_until_ready()
                times = measure(heddle, names, arguments.kills)
    except (running.Failure, load.Failed) as failure:
        sys.exit(str(failure))
    p50, p90, p99 = (load.percentile(times, share) for share in (0.5, 0.9, 0.99))
    print(
        f"{len(times)} kills, first 200 after: min {min(times):.0f}, p50 {p50:.0f}, p90 {p90:.0f}, "
        f"p99 {p99:.0f}, max {max(times):.0f} ms"
    )


if __name__ == "__main__":
    main()
