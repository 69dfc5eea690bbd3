#!/usr/bin/env python3
"""Counts what part of requests is traced, and times how soon another rate is in force.

    sampling.py --heddle PATH [--envoy PATH] [--requests N] [--rounds N] [--connections N] [--provider NAME]

Sends --requests from one Workload to another, which are traced at a rate of 5 %, and counts those that the
application finds to be traced by their headers. Then changes the rate in the manifest to 0 and 100 % in turn,
--rounds times, while requests go on over --connections that are kept, at --rate a second: it prints how long
after each change the last request was treated by the rate before, and how many requests failed. X-Ray's rules
have one request traced each second whatever the rate is: those are not counted.
"""

import argparse
import asyncio
import copy
import pathlib
import re
import sys
import tempfile
import time

import load
import rotation
import running

HOST = "127.0.0.1"
SEGMENTS, SPANS = f"{HOST}:21482", f"{HOST}:21483"
# For so long after a change each request is looked at.
WATCHED_SECONDS = 4


class Application(load.Application):
    """Answers 1 where a request is traced, and else 0."""

    def data_received(self, data):
        for head in data.split(b"\r\n\r\n")[:-1]:
            is_traced = re.search(rb"Sampled=1|traceparent: *[0-9a-f-]*-01\r", head + b"\r", re.IGNORECASE)
            self.transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n" + (b"1" if is_traced else b"0"))


def manifests(provider, rate):
    objects = copy.deepcopy(rotation.MANIFESTS)
    mesh = next(value for value in objects if value["kind"] == "Mesh")
    mesh["metadata"]["annotations"] |= {"heddle.dev/tracing": provider, "heddle.dev/trace-sampling": rate}
    return objects


def save(folder, objects):
    """As an editor does."""
    file = pathlib.Path(folder, "mesh.yaml")
    running.write(file.with_suffix(".new"), objects)
    file.with_suffix(".new").rename(file)


class Requests:
    """Requests over kept connections, and which of them were traced."""

    def __init__(self, address, connections, rate=0):
        self.address, self.connections, self.rate = address, connections, rate
        self.answers = []  # when, and whether it was traced
        self.failures = []

    async def send(self, is_over):
        await asyncio.gather(*[self.repeat(is_over) for _ in range(self.connections)])

    async def repeat(self, is_over):
        writer = None
        while not is_over():
            try:
                if writer is None:
                    reader, writer = await asyncio.open_connection(self.address, 8080)
                begun = time.monotonic()
                writer.write(rotation.REQUEST)
                head = await reader.readuntil(b"\r\n\r\n")
                if b" 200 " not in head.split(b"\r\n")[0]:
                    raise running.Failure(head.split(b"\r\n")[0].decode())
                # What counts is what Envoy decided, between begin and end.
                self.answers.append((begun, await reader.readexactly(1) == b"1"))
                if b"connection: close" in head.lower():
                    writer.close()
                    writer = None
            except (OSError, EOFError, running.Failure) as failure:
                self.failures.append(repr(failure))
                writer = None
            if self.rate:
                await asyncio.sleep(self.connections / self.rate)


async def share(address, arguments):
    """Prints the share that is traced; how many requests failed."""
    requests = Requests(address, arguments.connections)
    await requests.send(lambda: len(requests.answers) + len(requests.failures) >= arguments.requests)
    traced = sum(is_traced for _, is_traced in requests.answers)
    percent = 100 * traced / len(requests.answers)
    print(f"5 %: {traced} of {len(requests.answers)} requests traced, {percent:.2f} %", flush=True)
    return requests.failures


async def change(address, folder, arguments):
    """Times changes of the rate; the greatest time, and what failed."""
    requests = Requests(address, arguments.connections, arguments.rate)
    over = False
    times = {"1": [], "0": []}
    task = asyncio.create_task(requests.send(lambda: over))
    for number in range(arguments.rounds + 1):
        rate = "10"[number % 2]
        save(folder, manifests(arguments.provider, rate))
        saved = time.monotonic()
        await asyncio.sleep(WATCHED_SECONDS)
        since = [(moment - saved, is_traced) for moment, is_traced in requests.answers if moment > saved]
        others = [seconds for seconds, is_traced in since if is_traced != (rate == "1")]
        if rate == "0" and arguments.provider == "x-ray":
            # Close to the one before, and so not the one of its second.
            others = [after for before, after in zip(others, others[1:]) if after - before < 0.5]
        if number > 0:  # The first one comes from 5 %.
            times[rate].append(max(others, default=0))
    over = True
    await task
    for rate, seconds in times.items():
        if seconds:
            print(
                f"to {100 * int(rate)} %: the last request of the rate before {1000 * sorted(seconds)[len(seconds) // 2]:.0f} ms after "
                f"the change (median), {1000 * max(seconds):.0f} ms at most"
            )
    print(f"{len(requests.answers)} requests meanwhile, {len(requests.failures)} failed", flush=True)
    return max(times["1"] + times["0"]), requests.failures


async def measure(address, folder, arguments):
    failures = await share(address, arguments)
    greatest, others = await change(address, folder, arguments)
    for failure in (failures + others)[:10]:
        print(f"    {failure}")
    return greatest < 2 and not failures and not others


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--heddle", required=True)
    parser.add_argument("--envoy")
    parser.add_argument("--requests", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--rate", type=float, default=400, help="requests a second while the rate changes")
    parser.add_argument("--provider", choices=["x-ray", "otlp"], default="x-ray")
    arguments = parser.parse_args()
    try:
        with load.Served(rotation.PORT, Application), tempfile.TemporaryDirectory(prefix="heddle-sampling-") as folder:
            save(folder, manifests(arguments.provider, "0.05"))
            addresses = ("none", SEGMENTS, SPANS)
            with running.Heddle(arguments.heddle, arguments.envoy, folder, addresses=addresses) as heddle:
                heddle.wait_until_ready()
                good = asyncio.run(measure(heddle.addresses()["front"][1], folder, arguments))
    except (running.Failure, load.Failed) as failure:
        sys.exit(str(failure))
    sys.exit(not good)


if __name__ == "__main__":
    main()
