#!/usr/bin/env python3
"""Runs App Mesh's walkthroughs and checks what each of them promises.

    walkthroughs.py --manifests DIR [--heddle PATH] [--envoy PATH] [NAME...]

DIR has the manifests of the walkthroughs, unchanged: djapp, ingress-gateway, mtls-sds-based,
multiple-listeners, retry-policy, timeout-policy and tls-file-based, each a .yaml file. Each runs in a
`heddle run` of its own, beside Workloads whose applications behave as the walkthrough's do, and with
certificates that openssl makes where a walkthrough has its own. Prints a line for each check; the exit
code is 1 if one failed.
"""

import argparse
import http.client
import itertools
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time

import running

APPLICATION = pathlib.Path(__file__).with_name("walkthrough_app.py").resolve()
application_ports = itertools.count(21000)


def workload(namespace, name, labels, ports=(), mounts={}, **environment):
    """An application whose ports stand for `ports` of its virtual node.

    `mounts` has the folders that stand for paths of certificates in the manifests.
    """
    own = {str(port): next(application_ports) for port in ports}
    environment["PORT"] = ",".join(map(str, own.values()))
    command = {"command": ["python3", str(APPLICATION)], "env": environment} if ports else {}
    return {
        "apiVersion": "heddle.dev/v1alpha1",
        "kind": "Workload",
        "metadata": {"name": name, "namespace": namespace, "labels": labels},
        "spec": {"ports": own, "sidecar": {"secretMounts": mounts}, **command},
    }


def color(name, namespace="color-app", app="color", mounts={}):
    """An application that answers its colour."""
    labels = {"app": app, "version": name}
    return workload(namespace, name, labels, [8080], mounts, NAME=name)


def front(host, mounts={}):
    """The front end that calls `host`."""
    return workload("color-app", "front", {"app": "front"}, [8080], mounts, COLOR_HOST=host)


def get(address, port, path="/", headers={}):
    """Status and text of an answer."""
    connection = http.client.HTTPConnection(address, port, timeout=90)
    try:
        connection.request("GET", path, headers=headers)
        response = connection.getresponse()
        return response.status, response.read().decode(errors="replace")
    finally:
        connection.close()


class Walkthrough:
    """A walkthrough that runs: its checks, and what came of them."""

    def __init__(self, name, workloads, folder, heddle):
        self.name = name
        self.file = folder / f"{name}.yaml"
        self.heddle = heddle
        self.failures = 0
        self.ports = {value["metadata"]["name"]: value["spec"]["ports"] for value in workloads}
        addresses = heddle.addresses()
        self.ingress = {workload: pair[0] for workload, pair in addresses.items()}
        self.egress = {workload: pair[1] for workload, pair in addresses.items()}

    def check(self, what, found, expected):
        good = found == expected
        self.failures += not good
        reason = "" if good else f": expected {expected}, found {found}"
        print(f"{'ok  ' if good else 'FAIL'} {self.name}: {what}{reason}", flush=True)

    def application(self, workload, path):
        """Asks an application itself."""
        return get("127.0.0.1", next(iter(self.ports[workload].values())), path)

    def edit(self, change):
        """Saves the manifests as `change` makes them, and waits until that is in force."""
        seen = sum("in force" in line for line in self.heddle.lines)
        new = self.file.with_name(f".{self.file.name}.new")
        new.write_text(change(self.file.read_text()))
        new.rename(self.file)
        with self.heddle.changed:
            self.heddle.changed.wait_for(
                lambda: sum("in force" in line for line in self.heddle.lines) > seen, 30
            )


def djapp(run):
    for genre in ["jazz", "metal"]:
        host = f"{genre}.prod.svc.cluster.local:9080"
        answer = get(run.egress["dj"], 9080, headers={"Host": host})
        run.check(f"dj reaches {genre} on its port", answer, (200, genre))
        answer = get(run.ingress["dj"], 9080, f"/{genre}/")
        run.check(f"dj's application reaches {genre} by its name", answer, (200, genre))
    answer = get(run.egress["dj"], 9080, headers={"Host": "country.prod.svc.cluster.local:9080"})
    run.check("dj reaches nothing else", answer[0], 404)


def ingress_gateway(run):
    gateway = run.ingress["ingress-gw"]
    for value, expected in [
        ("blue", "blue"),
        ("a green one", "green"),
        ("reddish", "red"),
        ("bluer", "yellow"),
        (None, "white"),
    ]:
        headers = {"color_header": value} if value else {}
        answer = get(gateway, 8088, "/headers", headers)
        run.check(f"/headers with color_header {value} is {expected}", answer, (200, expected))
    for path in ["blue", "green", "red", "yellow"]:
        answer = get(gateway, 8088, f"/paths/{path}")
        run.check(f"/paths/{path} is {path}", answer, (200, path))
    run.check("/paths/ is white", get(gateway, 8088, "/paths/"), (200, "white"))
    run.check("no other path is routed", get(gateway, 8088, "/")[0], 404)


def openssl(*arguments):
    command = ["openssl", *map(str, arguments)]
    result = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if result.returncode:
        raise running.Failure(f"{' '.join(command)}: {result.stderr}")
    return result.stdout


def issue(folder, name, extensions, authority=None):
    """A certificate `name` with its key, signed by the authority of that name or by itself."""
    empty = folder / "openssl.cnf"
    empty.write_text("[req]\ndistinguished_name = name\n[name]\n")
    command = ["req", "-x509", "-config", empty, "-newkey", "ec", "-pkeyopt"]
    command += ["ec_paramgen_curve:prime256v1", "-nodes", "-days", 1, "-subj", "/O=walkthrough"]
    command += ["-keyout", folder / f"{name}_key.pem", "-out", folder / f"{name}_cert_chain.pem"]
    for extension in extensions:
        command += ["-addext", extension]
    if authority:
        command += ["-CA", f"{authority}_cert_chain.pem", "-CAkey", f"{authority}_key.pem"]
    openssl(*command)


def leaf(folder, name, alternative, authority):
    issue(folder, name, [f"subjectAltName=critical,{alternative}", "basicConstraints=CA:FALSE"], authority)


def tls_files(folder):
    """The certificates of tls-file-based where its Pods mounted them."""
    for name in ["front/certs", "blue", "green", "authority"]:
        (folder / "secrets" / name).mkdir(parents=True)
    secrets = folder / "secrets"
    issue(secrets / "authority", "ca", ["basicConstraints=critical,CA:TRUE"])
    shutil.copy(secrets / "authority/ca_cert_chain.pem", secrets / "front/certs/ca.pem")
    for name in ["blue", "green"]:
        host = f"DNS:color-{name}.color-app.svc.cluster.local"
        leaf(secrets / name, f"colorapp-{name}", host, secrets / "authority/ca")


def by_header(run, *names):
    for name in names:
        answer = get(run.ingress["front"], 8080, "/", {"color_header": name})
        run.check(f"color_header {name} is {name}", answer, (200, name))
    answer = get(run.ingress["front"], 8080, "/", {"color_header": "pink"})
    run.check("no other colour is routed", answer[0], 404)


def presented(address, *options):
    """The names and the serial number of the certificate that a server presents."""
    command = ["openssl", "s_client", "-connect", f"{address}:8080", *map(str, options)]
    hello = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True)
    command = ["openssl", "x509", "-noout", "-serial", "-ext", "subjectAltName"]
    shown = subprocess.run(command, input=hello.stdout, capture_output=True)
    return shown.stdout.decode()


def curl(address, *options, scheme="https"):
    """The status of an answer, 0 when there is none."""
    command = ["curl", "--silent", "--insecure", "--max-time", "20", "--output", "/dev/null"]
    command += ["--write-out", "%{http_code}", *map(str, options), f"{scheme}://{address}:8080/"]
    return int(subprocess.run(command, capture_output=True, text=True).stdout)


def tls_file_based(run):
    by_header(run, "blue", "green")
    answer = get(run.ingress["front"], 8080, "/", {"color_header": "red"})
    run.check("red has no TLS, which the policy of front asks for", answer[0], 503)
    authority = run.file.parent / "secrets/authority/ca_cert_chain.pem"
    for name in ["blue", "green"]:
        address = run.ingress[name]
        found = presented(address, "-CAfile", authority, "-verify_return_error")
        host = f"DNS:color-{name}.color-app.svc.cluster.local"
        run.check(f"{name} presents the certificate of its files", host in found, True)
        run.check(f"{name} takes no plaintext", curl(address, scheme="http"), 0)
        run.check(f"{name} takes TLS", curl(address), 200)


def mtls_sds_based(run):
    by_header(run, "blue", "green", "red")
    folder = run.file.parent / "clients"
    folder.mkdir()
    authority = run.heddle.authority("color-app", folder)
    for name in ["blue", "green", "red"]:
        address = run.ingress[name]
        chain = f"{authority}_cert_chain.pem"
        found = presented(address, "-CAfile", chain, "-partial_chain", "-verify_return_error")
        uri = f"URI:spiffe://color-mesh.aws/{name}"
        run.check(f"{name} presents its identity", uri in found, True)
        run.check(f"{name} takes no plaintext", curl(address, scheme="http"), 0)
        run.check(f"{name} takes nobody without a certificate", curl(address), 0)
    issue(folder, "elsewhere", ["basicConstraints=critical,CA:TRUE"])
    for signer, identity, what, expected in [
        (authority, "front", "front by the mesh's authority is let in", 200),
        (authority, "blue", "another by the mesh's authority is refused", 0),
        (folder / "elsewhere", "front", "front by another authority is refused", 0),
    ]:
        leaf(folder, "client", f"URI:spiffe://color-mesh.aws/{identity}", signer)
        certificate = ["--cert", folder / "client_cert_chain.pem", "--key", folder / "client_key.pem"]
        run.check(what, curl(run.ingress["blue"], *certificate), expected)


def multiple_listeners(run):
    for port, name in [(8080, "white"), (8090, "black")]:
        answer = get(run.ingress["colors-gw"], port)
        run.check(f"port {port} of the gateway is {name}", answer, (200, name))


def failures(run, count=200):
    return sum(get(run.ingress["front"], 8080)[0] != 200 for _ in range(count))


def retry_policy(run):
    run.check("the default policy hides 503 as every other answer", failures(run), 0)
    run.application("blue", "/succeed-every/5")
    run.check("and not 4 of 5, as it has 2 retries", failures(run) > 0, True)
    # The manifest's own remark: "UNCOMMENT below to enable retries".
    run.edit(lambda text: text.replace("        #", "        ").replace(" UNCOMMENT", " #UNCOMMENT"))
    run.check("the walkthrough's own policy of 4 retries hides those", failures(run), 0)


def timeout_policy(run):
    begun = time.monotonic()
    answer = get(run.ingress["front"], 8080, "/color", {"slow-seconds": "17"})
    elapsed = time.monotonic() - begun
    good = answer[0] == 200 and answer[1] in ("red", "blue") and elapsed > 17
    run.check("an answer after 17 s passes, as the timeouts are 60 s", good, True)
    found = {get(run.ingress["front"], 8080, "/color")[1] for _ in range(50)}
    run.check("both colours answer", found, {"red", "blue"})
    run.edit(lambda text: text.replace("value: 60", "value: 1"))
    answer = get(run.ingress["front"], 8080, "/color", {"slow-seconds": "17"})
    run.check("with timeouts of 1 s it does not", answer[0], 504)


COLOR_HOST = "color.color-app.svc.cluster.local:8080"
LABELS = {"app": "color", "version": "blue"}

# What each walkthrough runs, its checks, and what else is put beside its manifests.
WALKTHROUGHS = {
    "djapp": (
        [
            workload("prod", "dj", {"app": "dj"}, [9080], COLOR_HOST="{}.prod.svc.cluster.local:9080"),
            workload("prod", "jazz-v1", {"app": "jazz", "version": "v1"}, [9080], NAME="jazz"),
            workload("prod", "metal-v1", {"app": "metal", "version": "v1"}, [9080], NAME="metal"),
        ],
        djapp,
    ),
    "ingress-gateway": (
        [workload("color-app", "ingress-gw", {"app": "ingress-gw"})]
        + [color(name) for name in ["white", "blue", "red", "yellow", "green"]],
        ingress_gateway,
    ),
    "mtls-sds-based": (
        [front(COLOR_HOST), color("blue"), color("green"), color("red")],
        mtls_sds_based,
    ),
    "multiple-listeners": (
        [
            workload("colors", "colors-gw", {"app": "colors-gw"}),
            workload("colors", "white", {"app": "color"}, [8080, 8090], NAME="white,black"),
        ],
        multiple_listeners,
    ),
    "retry-policy": (
        [
            front(COLOR_HOST),
            workload("color-app", "blue", LABELS, [8080], NAME="blue", SUCCEEDS_EVERY="2"),
        ],
        retry_policy,
    ),
    "timeout-policy": (
        [
            front("colorapp.color-app.pvt.aws.local:8080"),
            color("blue", app="colorapp"),
            color("red", app="colorapp"),
        ],
        timeout_policy,
    ),
    "tls-file-based": (
        [
            front(COLOR_HOST, {"/certs/": "secrets/front"}),
            color("blue", mounts={"/certs/": "secrets/blue"}),
            color("green", mounts={"/certs/": "secrets/green"}),
            color("red"),
        ],
        tls_file_based,
        tls_files,
    ),
}


def check(name, arguments):
    """Runs a walkthrough; returns how many of its checks failed."""
    workloads, checks, *preparations = WALKTHROUGHS[name]
    with tempfile.TemporaryDirectory(prefix="heddle-walkthrough-") as folder:
        folder = pathlib.Path(folder)
        shutil.copy(pathlib.Path(arguments.manifests, f"{name}.yaml"), folder)
        for prepare in preparations:
            prepare(folder)
        running.write(folder / "workloads.yaml", workloads)
        with running.Heddle(arguments.heddle, arguments.envoy, folder) as heddle:
            try:
                heddle.wait_until_ready()
                run = Walkthrough(name, workloads, folder, heddle)
                checks(run)
                if run.failures:
                    print("\n".join(heddle.lines))
                return run.failures
            except (running.Failure, OSError, http.client.HTTPException) as failure:
                print(f"FAIL {name}: {failure}\n" + "\n".join(heddle.lines))
                return 1


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--manifests", required=True, help="the folder with the walkthroughs' files")
    parser.add_argument("--heddle", default=".build/debug/heddle")
    parser.add_argument("--envoy")
    parser.add_argument("names", nargs="*", metavar="NAME", help="only these walkthroughs")
    arguments = parser.parse_args()
    if unknown := set(arguments.names) - set(WALKTHROUGHS):
        parser.error(f"no walkthrough {', '.join(unknown)}; there are {', '.join(WALKTHROUGHS)}")
    failures = sum(check(name, arguments) for name in arguments.names or WALKTHROUGHS)
    print(f"{failures} checks failed" if failures else "all checks passed")
    sys.exit(failures > 0)


if __name__ == "__main__":
    main()
