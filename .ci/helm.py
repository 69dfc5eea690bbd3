#!/usr/bin/env python3
"""The part of `helm` that the tests and Manifests/install.yaml need, by Helm's own engine.

    helm lint CHART
    helm template NAME CHART    prints what an installation would create
    helm install NAME CHART     and upgrade; prints the notes
    helm uninstall NAME

Flags: -n NAMESPACE, -f VALUES (several), --kubeconfig FILE, --create-namespace, --include-crds, and
for `template` --api-versions GROUP/VERSION (several), which the cluster is said to have beside its
usual ones. Nothing is waited for. The engine comes as a library with Python bindings (helm-sdkpy)
that has no dry run, so `template` installs into an API server of its own that keeps nothing.
"""

import argparse
import asyncio
import http.server
import json
import os
import pathlib
import sys
import tempfile
import threading

CACHE = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache")
sys.path.insert(0, str(CACHE / "heddle/helm/packages"))  # which .ci/install-helm fills

import helm_sdkpy  # noqa: E402
import yaml  # noqa: E402

# The kinds that charts here use, by group and version, with their plurals.
KINDS = {
    "v1": {
        "Namespace": "namespaces", "Secret": "secrets", "ConfigMap": "configmaps",
        "Service": "services", "ServiceAccount": "serviceaccounts", "Pod": "pods",
    },
    "apps/v1": {"Deployment": "deployments"},
    "policy/v1": {"PodDisruptionBudget": "poddisruptionbudgets"},
    "policy/v1beta1": {"PodDisruptionBudget": "poddisruptionbudgets"},
    "rbac.authorization.k8s.io/v1": {
        "ClusterRole": "clusterroles", "ClusterRoleBinding": "clusterrolebindings",
        "Role": "roles", "RoleBinding": "rolebindings",
    },
    "networking.k8s.io/v1": {"NetworkPolicy": "networkpolicies"},
    "admissionregistration.k8s.io/v1": {
        "MutatingWebhookConfiguration": "mutatingwebhookconfigurations",
        "ValidatingWebhookConfiguration": "validatingwebhookconfigurations",
    },
    "apiextensions.k8s.io/v1": {"CustomResourceDefinition": "customresourcedefinitions"},
    "monitoring.coreos.com/v1": {
        "ServiceMonitor": "servicemonitors", "PrometheusRule": "prometheusrules",
    },
}
CLUSTER_WIDE = {
    "Namespace", "ClusterRole", "ClusterRoleBinding", "CustomResourceDefinition",
    "MutatingWebhookConfiguration", "ValidatingWebhookConfiguration",
}
USUAL = set(KINDS) - {"policy/v1beta1", "monitoring.coreos.com/v1"}


class NoCluster(http.server.BaseHTTPRequestHandler):
    """An API server that knows kinds, has no object, and takes every new one."""

    protocol_version = "HTTP/1.1"
    versions = USUAL

    def log_message(self, *_):
        pass

    def answer(self, document, status=200):
        self.send(json.dumps(document).encode(), "application/json", status)

    def send(self, body, type, status):
        self.send_response(status)
        self.send_header("Content-Type", type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        path = self.path.split("?")[0].strip("/")
        group_version = path.removeprefix("apis/").removeprefix("api/")
        if path == "version":
            self.answer({"major": "1", "minor": "32", "gitVersion": "v1.32.0"})
        elif path == "api":
            self.answer({"kind": "APIVersions", "versions": ["v1"]})
        elif path == "apis":
            groups = {}
            for version in sorted(self.versions - {"v1"}):
                entry = {"groupVersion": version, "version": version.split("/")[1]}
                groups.setdefault(version.split("/")[0], []).append(entry)
            self.answer({"kind": "APIGroupList", "apiVersion": "v1", "groups": [
                {"name": name, "versions": versions, "preferredVersion": versions[0]}
                for name, versions in groups.items()
            ]})
        elif group_version in self.versions:
            self.answer({
                "kind": "APIResourceList", "groupVersion": group_version,
                "resources": [
                    {"name": plural, "kind": kind, "namespaced": kind not in CLUSTER_WIDE,
                     "verbs": ["create", "get", "list", "patch"]}
                    for kind, plural in KINDS[group_version].items()
                ],
            })
        elif path.endswith("/secrets"):
            self.answer({"kind": "SecretList", "apiVersion": "v1", "metadata": {}, "items": []})
        else:
            self.answer({"kind": "Status", "apiVersion": "v1", "status": "Failure",
                         "reason": "NotFound", "code": 404, "message": f"no {path}"}, 404)

    def write(self):
        # As it was sent: the engine sends its own records in protobuf.
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.send(body, self.headers["Content-Type"], 201)

    do_POST = do_PUT = do_PATCH = write


def template(arguments):
    NoCluster.versions = USUAL | set(arguments.api_versions)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), NoCluster)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with tempfile.NamedTemporaryFile("w", suffix=".json") as kubeconfig:
        json.dump({
            "apiVersion": "v1", "kind": "Config", "current-context": "none",
            "clusters": [{"name": "none", "cluster": {
                "server": f"http://127.0.0.1:{server.server_port}"}}],
            "contexts": [{"name": "none", "context": {"cluster": "none", "user": "none"}}],
            "users": [{"name": "none", "user": {}}],
        }, kubeconfig)
        kubeconfig.flush()
        arguments.kubeconfig = kubeconfig.name
        release = run(arguments, helm_sdkpy.Install)
    text = release["manifest"]
    if arguments.include_crds:
        chart = pathlib.Path(arguments.chart)
        crds = [path.read_text() for path in sorted(chart.glob("crds/*.yaml"))]
        text = "".join(f"---\n{crd}" for crd in crds) + text
    print(text.strip("\n"))


def run(arguments, action):
    values = {}
    for path in arguments.values:
        values = merged(values, yaml.safe_load(pathlib.Path(path).read_text()) or {})
    configuration = helm_sdkpy.Configuration(
        namespace=arguments.namespace, kubeconfig=arguments.kubeconfig
    )
    options = {"create_namespace": True} if arguments.create_namespace else {}
    return asyncio.run(action(configuration).run(
        arguments.name, arguments.chart, values=values, wait=False, **options
    ))


def merged(low, high):
    """`low` with the values of `high`, mappings by their members."""
    if isinstance(low, dict) and isinstance(high, dict):
        return low | {key: merged(low.get(key), value) for key, value in high.items()}
    return high


def lint(arguments):
    configuration = helm_sdkpy.Configuration(namespace=arguments.namespace)
    result = asyncio.run(helm_sdkpy.Lint(configuration).run(arguments.chart))
    # The bindings keep the text of messages to themselves: what is not serious is that an icon is
    # recommended.
    messages = result["Messages"] or []
    serious = [message for message in messages if message["Severity"] > 1]
    if serious or result["Errors"]:
        sys.exit(f"Error: {json.dumps(serious)} {json.dumps(result['Errors'])}")
    print(f"{len(messages)} hints, no warnings and no mistakes")


def main():
    parser = argparse.ArgumentParser(prog="helm", description=__doc__)
    parser.add_argument("verb", choices=["lint", "template", "install", "upgrade", "uninstall"])
    parser.add_argument("operands", nargs="+", metavar="NAME CHART")
    parser.add_argument("-n", "--namespace", default="default")
    parser.add_argument("-f", "--values", action="append", default=[])
    parser.add_argument("-a", "--api-versions", action="append", default=[])
    parser.add_argument("--kubeconfig", default=os.environ.get("KUBECONFIG"))
    parser.add_argument("--create-namespace", action="store_true")
    parser.add_argument("--include-crds", action="store_true")
    arguments = parser.parse_args()
    arguments.name, arguments.chart = arguments.operands[0], arguments.operands[-1]
    try:
        if arguments.verb == "template":
            template(arguments)
        elif arguments.verb == "lint":
            lint(arguments)
        elif arguments.verb == "uninstall":
            configuration = helm_sdkpy.Configuration(
                namespace=arguments.namespace, kubeconfig=arguments.kubeconfig
            )
            asyncio.run(helm_sdkpy.Uninstall(configuration).run(arguments.name, wait=False))
        else:
            action = {"install": helm_sdkpy.Install, "upgrade": helm_sdkpy.Upgrade}[arguments.verb]
            print(run(arguments, action)["info"].get("notes", "").strip())
    except helm_sdkpy.HelmError as error:
        sys.exit(f"Error: {error}")


if __name__ == "__main__":
    main()
