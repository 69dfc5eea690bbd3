#!/usr/bin/env python3
"""Renders a world of 200 virtual nodes that use everything, and has Envoy validate every proxy.

    render200.py --heddle PATH --envoy PATH [--nodes N] [--backends N] [--keep DIR]

A quarter of the nodes speak http, http2, grpc and tcp each; every node has a Workload, a virtual
service and 50 backends, and half of the services have routers. Listeners have health checks, outlier
detection, connection pools and timeouts, nodes write access logs, routes have retry policies and
timeouts, and a virtual gateway has 50 routes. Prints the times and what Envoy refuses; the exit code
is 1 if it refuses anything.
"""

import argparse
import concurrent.futures
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import time

import running

PROTOCOLS = ["http", "http2", "grpc", "tcp"]
GATEWAY_ROUTES = 50
SECOND = {"unit": "s", "value": 1}


def mesh_object(kind, name, spec, labels=None):
    metadata = {"name": name, "namespace": "big", "labels": labels or {}}
    version = "heddle.dev/v1alpha1" if kind == "Workload" else "appmesh.k8s.aws/v1beta2"
    return {"apiVersion": version, "kind": kind, "metadata": metadata, "spec": spec}


def protocol(index):
    return PROTOCOLS[index % 4]


def mapping(index):
    """HTTP services are told apart by their names, and TCP services by their ports."""
    port = {"http": 8080, "http2": 8081, "grpc": 8082, "tcp": 5000 + index}[protocol(index)]
    return {"port": port, "protocol": protocol(index)}


def listener(index):
    kind = protocol(index)
    pool = {
        "http": {"maxConnections": 100, "maxPendingRequests": 50},
        "http2": {"maxRequests": 200},
        "grpc": {"maxRequests": 200},
        "tcp": {"maxConnections": 100},
    }[kind]
    idle = {"idle": {"unit": "s", "value": 300}}
    check = {
        "protocol": kind,
        "healthyThreshold": 2,
        "unhealthyThreshold": 3,
        "timeoutMillis": 2000,
        "intervalMillis": 5000,
    }
    if kind.startswith("http"):
        check["path"] = "/ping"
    return {
        "portMapping": mapping(index),
        "healthCheck": check,
        "outlierDetection": {
            "maxServerErrors": 5,
            "interval": SECOND,
            "baseEjectionDuration": {"unit": "s", "value": 30},
            "maxEjectionPercent": 50,
        },
        "connectionPool": {kind: pool},
        "timeout": {kind: idle if kind == "tcp" else {**idle, "perRequest": SECOND}},
    }


def node(index, count, backends):
    name = f"node-{index}"
    json_format = [
        {"key": "start", "value": "%START_TIME%"},
        {"key": "status", "value": "%RESPONSE_CODE%"},
    ]
    log = {"path": "/dev/stdout", "format": {"json": json_format} if index % 2 else {"text": "%PROTOCOL%\n"}}
    called = ((index + step) % count for step in range(1, backends + 1))
    spec = {
        "podSelector": {"matchLabels": {"app": name}},
        "listeners": [listener(index)],
        "serviceDiscovery": {"dns": {"hostname": f"{name}.big.svc.cluster.local"}},
        "backends": [{"virtualService": {"virtualServiceRef": {"name": f"service-{to}"}}} for to in called],
        "logging": {"accessLog": {"file": log}},
    }
    return mesh_object("VirtualNode", name, spec)


def route(index, count, number):
    """One of two routes of a router; they share two nodes of one protocol."""
    kind = protocol(index)
    targets = [
        {"virtualNodeRef": {"name": f"node-{to}"}, "weight": weight, "port": mapping(to)["port"]}
        for to, weight in [(index, 90), ((index + 4) % count, 10)]
    ]
    result = {"action": {"weightedTargets": targets}}
    if kind == "tcp":
        return {"name": f"route-{number}", "tcpRoute": {**result, "timeout": {"idle": SECOND}}}
    header = {"name": "x-team", "match": {"regex": "core-[0-9]+"}}
    first = number == 0
    if kind == "grpc":
        match = {"serviceName": f"big.Service{index}", "metadata": [header]} if first else {}
    else:
        match = {"prefix": "/team", "headers": [header], "method": "GET"} if first else {"prefix": "/"}
    events = {"httpRetryEvents": ["server-error", "gateway-error"], "tcpRetryEvents": ["connection-error"]}
    if kind == "grpc":
        events["grpcRetryEvents"] = ["unavailable", "internal"]
    result |= {
        "match": match,
        "retryPolicy": {"maxRetries": 3, "perRetryTimeout": SECOND, **events},
        "timeout": {"perRequest": {"unit": "s", "value": 4}, "idle": SECOND},
    }
    return {"name": f"route-{number}", "priority": number, f"{kind}Route": result}


def service(index, count):
    name = f"service-{index}"
    if (index // 4) % 2:
        provider = {"virtualNode": {"virtualNodeRef": {"name": f"node-{index}"}}}
        return [mesh_object("VirtualService", name, {"provider": provider})]
    numbers = [0] if protocol(index) == "tcp" else [0, 1]
    router = {
        "listeners": [{"portMapping": mapping(index)}],
        "routes": [route(index, count, number) for number in numbers],
    }
    provider = {"virtualRouter": {"virtualRouterRef": {"name": name}}}
    return [
        mesh_object("VirtualRouter", name, router),
        mesh_object("VirtualService", name, {"provider": provider}),
    ]


def gateway(count):
    ports = {"http": 8088, "http2": 8089, "grpc": 8090}
    spec = {
        "namespaceSelector": {"matchLabels": {"mesh": "big"}},
        "podSelector": {"matchLabels": {"app": "gateway"}},
        "listeners": [{"portMapping": {"port": ports[kind], "protocol": kind}} for kind in ports],
        "logging": {"accessLog": {"file": {"path": "/dev/stdout"}}},
    }
    yield mesh_object("VirtualGateway", "gateway", spec)
    yield mesh_object("Workload", "gateway", {}, {"app": "gateway"})
    targets = [index for index in range(count) if protocol(index) != "tcp"]
    for number, index in enumerate(targets[:GATEWAY_ROUTES]):
        kind = protocol(index)
        match = {"port": ports[kind]}
        rewrite = {}
        if kind == "grpc":
            match["serviceName"] = f"big.Service{index}"
        else:
            match["prefix"] = f"/service-{index}/"
            rewrite = {"rewrite": {"prefix": {"value": "/api/"}}} if number % 3 == 0 else {}
        if number % 2:
            match["hostname"] = {"exact": f"s{index}.example.com"}
        target = {"virtualService": {"virtualServiceRef": {"name": f"service-{index}"}}}
        rule = {"match": match, "action": {"target": target, **rewrite}}
        yield mesh_object("GatewayRoute", f"to-service-{index}", {f"{kind}Route": rule})


def world(count, backends):
    yield {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {"name": "big", "labels": {"mesh": "big"}},
    }
    yield {
        "apiVersion": "appmesh.k8s.aws/v1beta2",
        "kind": "Mesh",
        "metadata": {"name": "big"},
        "spec": {"namespaceSelector": {"matchLabels": {"mesh": "big"}}},
    }
    for index in range(count):
        yield node(index, count, backends)
        yield from service(index, count)
        ports = {str(mapping(index)["port"]): 20000 + index}
        yield mesh_object("Workload", f"node-{index}-1", {"ports": ports}, {"app": f"node-{index}"})
    yield from gateway(count)


def render(heddle, folder, *options):
    """What heddle prints, and the seconds it took."""
    begun = time.monotonic()
    result = subprocess.run([heddle, "render", folder, *options], capture_output=True, text=True)
    if problems := result.stderr.strip():
        print("\n".join(problems.splitlines()[:20]))
    if result.returncode:
        sys.exit(f"heddle render ended with exit code {result.returncode}")
    return result.stdout, time.monotonic() - begun


def refusal(envoy, file):
    """Why Envoy refuses a configuration; None when it takes it."""
    command = [envoy, "--mode", "validate", "-l", "error", "-c", str(file)]
    result = subprocess.run(command, capture_output=True, text=True)
    return None if result.returncode == 0 else (result.stderr or result.stdout).strip()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--heddle", required=True)
    parser.add_argument("--envoy", required=True)
    parser.add_argument("--nodes", type=int, default=200)
    parser.add_argument("--backends", type=int, default=50)
    parser.add_argument("--keep", help="a folder for the manifests and configurations")
    arguments = parser.parse_args()

    with tempfile.TemporaryDirectory(prefix="heddle-render-") as temporary:
        folder = pathlib.Path(arguments.keep or temporary)
        manifests, proxies = folder / "manifests", folder / "proxies"
        manifests.mkdir(parents=True, exist_ok=True)
        proxies.mkdir(exist_ok=True)
        objects = list(world(arguments.nodes, arguments.backends))
        running.write(manifests / "mesh.yaml", objects)
        print(f"{len(objects)} objects, {arguments.nodes + 1} proxies, {arguments.backends} backends each")

        text, seconds = render(arguments.heddle, str(manifests))
        # A document follows the name of its proxy, in a comment.
        parts = re.split(r"^# proxy (\S+)\n---\n", text, flags=re.M)[1:]
        print(f"heddle render of all: {seconds:.1f} s, {len(text) / 1e6:.1f} MB")
        _, seconds = render(arguments.heddle, str(manifests), "--proxy", "big/node-0-1")
        print(f"heddle render of one: {seconds:.1f} s")

        files = {}
        for name, document in zip(parts[::2], parts[1::2]):
            files[name] = proxies / f"{name.replace('/', '_')}.json"
            files[name].write_text(document)
        begun = time.monotonic()
        with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
            reasons = pool.map(lambda file: refusal(arguments.envoy, file), files.values())
            refused = {name: reason for name, reason in zip(files, reasons) if reason}
        for name, reason in list(refused.items())[:5]:
            print(f"{name}: {reason}")
        print(
            f"envoy --mode validate: {time.monotonic() - begun:.1f} s, "
            f"{len(files) - len(refused)} accepted, {len(refused)} refused"
        )
        sys.exit(bool(refused) or len(files) != arguments.nodes + 1)


if __name__ == "__main__":
    main()
