#!/usr/bin/env python3
"""Times how soon a proxy answers again after its Envoy was killed.

    recovery.py --heddle PATH --envoy PATH [--rounds N]

Runs the canary example, kills the front end's Envoy with SIGKILL in each round, and asks its ingress
until the first 200. Prints the times in milliseconds.
"""

import argparse
import http.client
import json
import os
import pathlib
import signal
import subprocess
import sys
import time

CANARY = pathlib.Path(__file__).resolve().parents[2] / "Manifests/examples/canary"
sys.path.insert(0, str(CANARY))
import demo  # noqa: E402


def envoy_process(heddle):
    command = [heddle.heddle, "get", "workloads", "-A", "-o", "json", "--state-dir", heddle.state]
    for workload in json.loads(subprocess.check_output(command))["items"]:
        if workload["metadata"]["name"] == "front":
            return workload["status"]["sidecar"].get("pid")


def first_answer(address):
    while True:
        connection = http.client.HTTPConnection(address, demo.MESH_PORT, timeout=2)
        try:
            demo.ask(connection)
            return
        except (OSError, http.client.HTTPException, demo.Failure):
            time.sleep(0.002)
        finally:
            connection.close()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--heddle", required=True)
    parser.add_argument("--envoy", required=True)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--folder", default=".build/demo/recovery")
    arguments = parser.parse_args()
    folder = pathlib.Path(arguments.folder).resolve()
    folder.parent.mkdir(parents=True, exist_ok=True)
    demo.copy_example(folder)
    heddle = demo.Heddle(
        os.path.abspath(arguments.heddle), arguments.envoy, folder, "--address", "none"
    )
    times = []
    try:
        address, _ = heddle.wait_until_ready()
        for _ in range(arguments.rounds):
            killed = envoy_process(heddle)
            begun = time.monotonic()
            os.kill(killed, signal.SIGKILL)
            first_answer(address)
            times.append(1000 * (time.monotonic() - begun))
            if len(times) < arguments.rounds:
                time.sleep(31)  # an Envoy that ran for 30 s starts again at once
    finally:
        heddle.stop()
    times.sort()
    print(
        f"{len(times)} kills, first 200 after: min {times[0]:.0f}, "
        f"p50 {times[len(times) // 2]:.0f}, max {times[-1]:.0f} ms"
    )


if __name__ == "__main__":
    main()
