"""Run protoc-gen-swift on a FileDescriptorSet, without protoc, and write the Swift files.

Replaces the Swift files of the output directory: one that is no longer generated goes.
"""

import argparse
import subprocess
from pathlib import Path

from google.protobuf.compiler.plugin_pb2 import CodeGeneratorRequest, CodeGeneratorResponse
from google.protobuf.descriptor_pb2 import DescriptorProto, FileDescriptorSet

OPTIONS = "Visibility=Public,FileNaming=PathToUnderscores,UseAccessLevelOnImports=true"


def json_name(name: str) -> str:
    first, *others = name.split("_")
    return first + "".join(part[:1].upper() + part[1:] for part in others)


def fill_json_names(message: DescriptorProto) -> None:
    """Adds what protoc adds and Envoy's copy lacks; the plugin traps without it."""
    for field in message.field:
        field.json_name = field.json_name or json_name(field.name)
    for nested in message.nested_type:
        fill_json_names(nested)


def generate(descriptors: FileDescriptorSet, plugin: Path) -> dict[str, str]:
    """The generated text by file name. SwiftProtobuf brings google/protobuf itself."""
    request = CodeGeneratorRequest(parameter=OPTIONS, proto_file=descriptors.file)
    request.compiler_version.major = 5  # Any version with JSON support: the plugin warns without one.
    for file in request.proto_file:
        for message in file.message_type:
            fill_json_names(message)
        if not file.name.startswith("google/protobuf/"):
            request.file_to_generate.append(file.name)
    run = subprocess.run([plugin], input=request.SerializeToString(), stdout=subprocess.PIPE, check=True)
    response = CodeGeneratorResponse.FromString(run.stdout)
    if response.error:
        raise SystemExit(f"{plugin.name}: {response.error}")
    return {file.name: file.content for file in response.file}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("descriptors", type=Path, help="the FileDescriptorSet")
    parser.add_argument("plugin", type=Path, help="protoc-gen-swift")
    parser.add_argument("output", type=Path, help="the directory of the Swift files")
    arguments = parser.parse_args()

    files = generate(FileDescriptorSet.FromString(arguments.descriptors.read_bytes()), arguments.plugin)
    arguments.output.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (arguments.output / name).write_text(text)
    for old in arguments.output.glob("*.swift"):
        if old.name not in files:
            old.unlink()
    lines = sum(text.count("\n") for text in files.values())
    print(f"{arguments.output.name} has {len(files)} files, {lines} lines")


if __name__ == "__main__":
    main()
