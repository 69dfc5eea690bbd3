#!/usr/bin/env python3
"""Makes install.yaml beside this script from the chart: everything that Heddle is in a cluster, for
`kubectl apply --server-side -f`.

    HEDDLE_HELM=$(.ci/install-helm) Manifests/install.py           writes it
    HEDDLE_HELM=$(.ci/install-helm) Manifests/install.py --check   fails if it is not what would be written
"""

import os
import pathlib
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
TARGET = ROOT / "Manifests/install.yaml"
# Nobody publishes an image of Heddle, and this is no one's registry.
IMAGE = "registry.example.com/heddle"
NAMESPACE = f"""\
# Made by install.py from Charts/heddle with its own values: change those, and run it.
#
# Build the image, push it to a registry of yours, and put its name into both places: the Deployment,
# and injection.json in the ConfigMap, from which injected Pods have it.
#
#   sed s,{IMAGE},REGISTRY/heddle, install.yaml | kubectl apply --server-side -f -
apiVersion: v1
kind: Namespace
metadata:
  name: heddle-system
"""


def without_helm(text):
    """`text` without what Helm alone has a use for."""
    lines = (line for line in text.splitlines() if not line.startswith("# Source: "))
    lines = (line for line in lines if not line.strip().startswith("helm.sh/chart:"))
    text = "\n".join(lines).replace("managed-by: Helm", "managed-by: kubectl")
    documents = [document.strip("\n") for document in text.split("\n---\n")]
    return [document.removeprefix("---\n") for document in documents if document.strip("-\n")]


def made():
    command = [
        os.environ.get("HEDDLE_HELM") or "helm", "template", "heddle", str(ROOT / "Charts/heddle"),
        "--namespace", "heddle-system", "--include-crds",
    ]
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as values:
        values.write(f"image: {{repository: {IMAGE}}}\n")
        values.flush()
        command += ["--values", values.name]
        output = subprocess.run(command, capture_output=True, text=True)
    if output.returncode:
        sys.exit(output.stderr)
    return "\n---\n".join([NAMESPACE.strip()] + without_helm(output.stdout)) + "\n"


def main():
    text = made()
    if sys.argv[1:] == ["--check"]:
        if TARGET.read_text() != text:
            sys.exit("Manifests/install.yaml is not what Manifests/install.py writes; run it")
    elif sys.argv[1:]:
        sys.exit(__doc__)
    else:
        TARGET.write_text(text)


if __name__ == "__main__":
    main()
