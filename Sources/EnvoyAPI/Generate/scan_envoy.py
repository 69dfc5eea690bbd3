"""Read the protocol descriptors out of an Envoy binary.

C++ protobuf keeps each .proto file in the binary as a serialized FileDescriptorProto, so the binary documents exactly the API
it speaks. A serialized file starts with its name and ends where the next field number would not ascend any more.
"""

import argparse
import re
from pathlib import Path

from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet
from google.protobuf.message import DecodeError

# Tag of field 1, the length of the name, the name.
START = re.compile(rb"\x0a([\x07-\x7f])([\w./-]+\.proto)")
REPEATED = {3, 4, 5, 6, 7, 10, 11, 15}
# Field number to wire type: 0 is a varint, 2 has a length.
WIRE_TYPES = {1: 2, 2: 2, 3: 2, 4: 2, 5: 2, 6: 2, 7: 2, 8: 2, 9: 2, 10: 0, 11: 0, 12: 2, 14: 0, 15: 2}


def varint(data: bytes, at: int) -> tuple[int, int]:
    """The number at `at` and the position after it."""
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7


def end_of_file_descriptor(data: bytes, at: int) -> int:
    """The position after the last field that can belong to the descriptor whose name ends at `at`."""
    last = 1
    while at < len(data):
        tag, after = varint(data, at)
        field, wire_type = tag >> 3, tag & 7
        ascends = field > last or field == last and field in REPEATED
        if not ascends or WIRE_TYPES.get(field) != wire_type:
            break
        value, after = varint(data, after)
        if wire_type == 2:
            after += value
        if after > len(data):
            break
        at, last = after, field
    return at


def scan(data: bytes) -> dict[str, FileDescriptorProto]:
    """Every file descriptor in `data` by name; the longest, where a name occurs twice."""
    found: dict[str, FileDescriptorProto] = {}
    for start in START.finditer(data):
        if start[1][0] != len(start[2]):
            continue
        file = FileDescriptorProto()
        try:
            file.ParseFromString(data[start.start() : end_of_file_descriptor(data, start.end())])
        except DecodeError:
            continue  # A string that only looks like the start of a descriptor.
        if file.name not in found or file.ByteSize() > found[file.name].ByteSize():
            found[file.name] = file
    return found


def in_order_of_import(files: dict[str, FileDescriptorProto]) -> FileDescriptorSet:
    """All files, each after those it imports. A missing import means that the scan lost a file."""
    ordered = FileDescriptorSet()
    done: set[str] = set()

    def add(name: str, importer: str) -> None:
        if name in done:
            return
        if name not in files:
            raise SystemExit(f"{importer} imports {name}, which is not in the binary")
        done.add(name)
        for dependency in files[name].dependency:
            add(dependency, importer=name)
        ordered.file.append(files[name])

    for name in sorted(files):
        add(name, importer=name)
    return ordered


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("envoy", type=Path, help="the Envoy binary")
    parser.add_argument("output", type=Path, help="the FileDescriptorSet to write")
    arguments = parser.parse_args()

    descriptors = in_order_of_import(scan(arguments.envoy.read_bytes()))
    if not descriptors.file:
        raise SystemExit(f"{arguments.envoy} has no protocol descriptors; pass the binary itself, not a wrapper script")
    arguments.output.write_bytes(descriptors.SerializeToString())
    print(f"{arguments.envoy.name} has {len(descriptors.file)} files of descriptors")


if __name__ == "__main__":
    main()
