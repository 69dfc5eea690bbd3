#!/usr/bin/env python3
"""Times how long a saved weight takes to be in force on every proxy of a host.

    propagation.py --heddle PATH [--envoy PATH] --proxies N [--rounds N] [--idle SECONDS]

Starts `heddle run` on N Workloads, each with a real Envoy, whose virtual node calls one routed
virtual service. Each round saves new weights by an atomic rename and waits for the line in which
Heddle says that every proxy acknowledged them. Prints both times in milliseconds (from the save to
that line; from the change's arrival to the last ACK), the resident memory of the daemon and of an
Envoy, and, with --idle, the CPU time that the idle daemon uses.
"""

import argparse
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

MESH = """
apiVersion: v1
kind: Namespace
metadata: {name: bench, labels: {mesh: bench}}
---
apiVersion: appmesh.k8s.aws/v1beta2
kind: Mesh
metadata: {name: bench}
spec:
  namespaceSelector: {matchLabels: {mesh: bench}}
---
apiVersion: appmesh.k8s.aws/v1beta2
kind: VirtualNode
metadata: {name: caller, namespace: bench}
spec:
  podSelector: {matchLabels: {app: caller}}
  listeners: [{portMapping: {port: 8080, protocol: http}}]
  serviceDiscovery: {dns: {hostname: caller.bench}}
  backends: [{virtualService: {virtualServiceRef: {name: color}}}]
---
apiVersion: appmesh.k8s.aws/v1beta2
kind: VirtualService
metadata: {name: color, namespace: bench}
spec: {provider: {virtualRouter: {virtualRouterRef: {name: color}}}}
"""
NODE = """---
apiVersion: appmesh.k8s.aws/v1beta2
kind: VirtualNode
metadata: {{name: {name}, namespace: bench}}
spec:
  listeners: [{{portMapping: {{port: 8080, protocol: http}}}}]
  serviceDiscovery: {{dns: {{hostname: 127.0.0.1}}}}
"""
WORKLOAD = """---
apiVersion: heddle.dev/v1alpha1
kind: Workload
metadata: {{name: caller-{number}, namespace: bench, labels: {{app: caller}}}}
"""
ROUTER = """
apiVersion: appmesh.k8s.aws/v1beta2
kind: VirtualRouter
metadata: {{name: color, namespace: bench}}
spec:
  listeners: [{{portMapping: {{port: 8080, protocol: http}}}}]
  routes:
    - name: all
      httpRoute:
        match: {{prefix: /}}
        action:
          weightedTargets:
            - {{virtualNodeRef: {{name: blue}}, weight: {blue}}}
            - {{virtualNodeRef: {{name: green}}, weight: {green}}}
"""


def save(path, text):
    """Saves as most editors do: whole, then renamed into place."""
    new = path.with_name(f".{path.name}.new")
    new.write_text(text)
    new.rename(path)


def line_with(stream, pattern):
    """The match in the next line that has `pattern`."""
    for line in stream:
        if found := re.search(pattern, line):
            return found
    sys.exit("heddle run ended")


def percentile(values, share):
    values = sorted(values)
    return values[min(int(len(values) * share), len(values) - 1)]


def summary(name, values):
    return (
        f"{name}: min {min(values):.0f}, p50 {percentile(values, 0.5):.0f}, "
        f"p99 {percentile(values, 0.99):.0f}, max {max(values):.0f} ms"
    )


def resident_kilobytes(process, field="VmRSS"):
    status = pathlib.Path(f"/proc/{process}/status").read_text()
    return int(re.search(rf"{field}:\s+(\d+)", status)[1])


def cpu_seconds(process):
    fields = pathlib.Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def envoys(state):
    """The processes of the proxies under the state directory."""
    found = []
    for entry in pathlib.Path("/proc").iterdir():
        try:
            command = (entry / "cmdline").read_bytes()
        except (OSError, NotADirectoryError):
            continue
        if b"bootstrap.json" in command and state.encode() in command:
            found.append(int(entry.name))
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--heddle", required=True)
    parser.add_argument("--envoy")
    parser.add_argument("--proxies", type=int, required=True)
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("--idle", type=float, default=0, help="seconds to watch the idle daemon")
    arguments = parser.parse_args()

    state = tempfile.mkdtemp(prefix="heddle-bench-")
    folder = pathlib.Path(state, "manifests")
    folder.mkdir()
    (folder / "mesh.yaml").write_text(MESH + NODE.format(name="blue") + NODE.format(name="green"))
    workloads = (WORKLOAD.format(number=number) for number in range(arguments.proxies))
    (folder / "workloads.yaml").write_text("".join(workloads))
    router = folder / "router.yaml"
    router.write_text(ROUTER.format(blue=100, green=0))
    command = [arguments.heddle, "run", str(folder), "--state-dir", f"{state}/s", "--http-address", "none"]
    if arguments.envoy:
        command += ["--envoy", arguments.envoy]
    started = time.monotonic()
    heddle = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=sys.stderr, text=True)
    try:
        line_with(heddle.stdout, r"^all \d+ workloads? (is|are) ready")
        print(f"{arguments.proxies} proxies ready after {time.monotonic() - started:.1f} s")
        saved, acknowledged = [], []
        for number in range(arguments.rounds):
            time.sleep(0.1)  # rounds that do not touch: the next begins when all is quiet
            begun = time.monotonic()
            save(router, ROUTER.format(blue=number % 100, green=100 - number % 100))
            found = line_with(heddle.stdout, r"^in force: (\d+) prox(?:y|ies) updated in (\d+) ms")
            saved.append(1000 * (time.monotonic() - begun))
            acknowledged.append(int(found[2]))
            if int(found[1]) != arguments.proxies:
                print(f"round {number}: only {found[1]} proxies were updated")
        print(f"{arguments.rounds} rounds")
        print(summary("file saved to last ACK", saved))
        print(summary("change seen to last ACK", acknowledged))
        processes = envoys(state)
        print(f"daemon: {resident_kilobytes(heddle.pid) / 1024:.0f} MiB resident")
        if processes:
            whole = percentile([resident_kilobytes(process) for process in processes], 0.5)
            own = percentile([resident_kilobytes(process, "RssAnon") for process in processes], 0.5)
            print(f"an Envoy: {whole / 1024:.0f} MiB resident, {own / 1024:.0f} MiB of them its own")
        if arguments.idle:
            before = cpu_seconds(heddle.pid)
            time.sleep(arguments.idle)
            used = cpu_seconds(heddle.pid) - before
            print(f"idle daemon: {used:.2f} s of CPU in {arguments.idle:.0f} s")
    finally:
        heddle.send_signal(signal.SIGTERM)
        heddle.wait(60)
        shutil.rmtree(state, ignore_errors=True)


if __name__ == "__main__":
    main()
