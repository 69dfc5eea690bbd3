#!/usr/bin/env python3
"""Shows what becomes of a proxy whose load wants more memory than its limit.

    memory.py --heddle PATH [--envoy PATH] [--limits MiB,MiB,...] [--rate N] [--seconds N]
              [--burst N]

For each of --limits runs a Workload whose sidecar has that memory limit, and lets --rate clients a second ask
for 8 MB that they hardly read: Envoy has to keep about 1.7 MB for each. With --burst so many come at once before,
which is more than Envoy can look at in time where the limit is small. Prints whether the proxy shed load or
was ended by the kernel, the most that its control group held, and what status, events and `heddle sizing` say.

Limits need a control group that may be written; without one only Envoy itself sheds.
"""

import argparse
import asyncio
import collections
import json
import pathlib
import re
import socket
import subprocess
import sys
import tempfile
import time

import load
import rotation
import running

BODY = 8_000_000
REQUEST = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"


class LargeAnswers(load.Application):
    """An application whose answers are large."""

    ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % BODY + bytes(BODY)


def manifests(limit):
    namespace, mesh = rotation.MANIFESTS[:2]
    mesh = {**mesh, "metadata": {"name": "bench"}}
    workload = rotation.workload("blue", {"8080": rotation.PORT})
    sizes = {"memory": f"{limit}Mi"}
    workload["spec"]["sidecar"] = {"resources": {"requests": sizes, "limits": sizes}}
    return [namespace, mesh, rotation.node("blue", []), workload]


class SlowReaders:
    """Clients that come at a rate, ask for much, and read little."""

    def __init__(self, address, rate):
        self.address, self.rate = address, rate
        self.outcomes = collections.Counter()

    async def run(self, seconds, burst):
        tasks = [asyncio.create_task(self.read()) for _ in range(burst)]
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            tasks.append(asyncio.create_task(self.read()))
            await asyncio.sleep(1 / self.rate)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def read(self):
        outcome = "waited to be taken"
        try:
            with socket.socket() as small:
                # What the kernel takes for the client, Envoy need not keep.
                small.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
                small.setblocking(False)
                await asyncio.get_running_loop().sock_connect(small, self.address)
                reader, writer = await asyncio.open_connection(sock=small.dup(), limit=4096)
            try:
                writer.write(REQUEST)
                outcome = "waited for an answer"
                outcome = f"answered {(await reader.read(2000))[9:12].decode()}"
                while await reader.read(2000):
                    await asyncio.sleep(0.5)
                outcome += ", then cut"
            finally:
                writer.close()
        except OSError as failure:
            outcome += f", then {type(failure).__name__}"
        finally:
            self.outcomes[outcome] += 1


class Watch:
    """What a proxy and its control group show while there is load."""

    def __init__(self, heddle):
        self.heddle = heddle
        self.group = self.find_group()
        self.first = heddle.sidecar("blue", "restarts") or 0
        self.most = self.pressure = 0
        self.actions = set()

    def find_group(self):
        """The folder of the proxy's control group; None when it has none of its own."""
        text = pathlib.Path(f"/proc/{self.heddle.sidecar('blue', 'pid')}/cgroup").read_text()
        for line in text.splitlines():
            _, controllers, path = line.split(":", 2)
            for root in ("/sys/fs/cgroup/memory", "/sys/fs/cgroup"):
                folder = pathlib.Path(root + path)
                if path != "/" and controllers in ("", "memory") and folder.is_dir():
                    return folder
        return None

    async def run(self):
        while True:
            await asyncio.to_thread(self.look)
            await asyncio.sleep(0.2)

    def look(self):
        for name in ("memory.max_usage_in_bytes", "memory.peak"):
            try:
                self.most = max(self.most, int((self.group / name).read_text()))
            except (OSError, TypeError):
                pass
        try:
            values = rotation.statistics(self.heddle.state, "blue")
        except OSError:
            return
        prefix = "overload.envoy.resource_monitors.fixed_heap.pressure"
        self.pressure = max(self.pressure, values.get(prefix, 0))
        for name, value in values.items():
            if (found := re.fullmatch(r"overload\.envoy\.overload_actions\.(.*)\.active", name)) and value:
                self.actions.add(found[1])


def told(heddle, *command):
    command = [heddle.heddle, *command, "--state-dir", heddle.state]
    return subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True).stdout.rstrip()


async def press(heddle, arguments):
    watch = Watch(heddle)
    readers = SlowReaders((heddle.addresses()["blue"][0], 8080), arguments.rate)
    looking = asyncio.create_task(watch.run())
    await readers.run(arguments.seconds, arguments.burst)
    looking.cancel()
    await asyncio.gather(looking, return_exceptions=True)
    return watch, readers


def settled(heddle, seconds=30):
    """Waits until Heddle has measured what happened, and the proxy runs again."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        proxy = heddle.ask("proxies")["items"][0]["status"]
        if proxy["phase"] == "Running" and proxy.get("history"):
            return proxy
        time.sleep(0.2)
    return proxy


def report(limit, heddle, watch, readers):
    proxy = settled(heddle)
    restarts = proxy["restarts"] - watch.first
    history = proxy.get("history", {})
    if restarts:
        verdict = f"ended {restarts} times"
    else:
        verdict = "shed load" if watch.actions else "had enough"
    print(f"\n{limit} MiB: {verdict}; at most {watch.most / (1 << 20):.1f} MiB in its control group")
    print(f"    pressure of the heap {watch.pressure} %, stages: {', '.join(sorted(watch.actions)) or 'none'}")
    print(f"    clients: {dict(readers.outcomes)}")
    print(f"    last error: {proxy.get('lastError', '-')}")
    print(
        f"    kills by the kernel: {history.get('outOfMemoryKills', 0)}, periods of shedding: "
        f"{history.get('sheddingPeriods', 0)}, enforced by: {json.dumps(proxy.get('enforcement'))}"
    )
    sizes = json.loads(told(heddle, "sizing", "-o", "json"))["proxies"]
    print(f"    heddle sizing: {json.dumps(sizes[0] if sizes else None)}")
    for line in told(heddle, "events").splitlines():
        if "memory" in line.lower():
            print(f"    event: {line}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--heddle", required=True)
    parser.add_argument("--envoy")
    parser.add_argument("--limits", default="64,32", help="of memory, in MiB")
    parser.add_argument("--rate", type=float, default=40, help="clients a second")
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--burst", type=int, default=0, help="clients that come at once before")
    arguments = parser.parse_args()
    try:
        with load.Served(rotation.PORT, LargeAnswers):
            for limit in map(int, arguments.limits.split(",")):
                with tempfile.TemporaryDirectory(prefix="heddle-memory-") as folder:
                    running.write(pathlib.Path(folder, "mesh.yaml"), manifests(limit))
                    with running.Heddle(arguments.heddle, arguments.envoy, folder) as heddle:
                        heddle.wait_until_ready()
                        report(limit, heddle, *asyncio.run(press(heddle, arguments)))
    except (running.Failure, load.Failed) as failure:
        sys.exit(str(failure))


if __name__ == "__main__":
    main()
