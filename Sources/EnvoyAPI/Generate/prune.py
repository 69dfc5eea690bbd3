"""Keep the messages and fields that an allow-list names; what they look like on the wire stays the same.

Dropped besides: options, annotations and their imports, and enums that no kept field has.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path

from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    EnumDescriptorProto,
    FieldDescriptorProto,
    FileDescriptorProto,
    FileDescriptorSet,
)

WELL_KNOWN = "google/protobuf/"


class AllowList:
    """Lines of `message field...`, `message *` or `service name [method...]`; `#` starts a comment."""

    def __init__(self, text: str) -> None:
        self.messages: dict[str, list[str]] = {}
        self.services: dict[str, list[str]] = {}
        for line in text.splitlines():
            words = line.split("#")[0].split()
            if not words:
                continue
            names = self.services if words[0] == "service" else self.messages
            name, *members = words[1:] if names is self.services else words
            if name in names:
                raise SystemExit(f"allow-list: {name} is there twice; join the two lines")
            names[name] = members


class Pruner:
    def __init__(self, descriptors: FileDescriptorSet, allowed: AllowList) -> None:
        self.allowed = allowed
        self.files = {file.name: file for file in descriptors.file}
        self.messages: dict[str, DescriptorProto] = {}
        self.enums: set[str] = set()
        self.home: dict[str, str] = {}  # The name of a type to the name of its file.
        self.mistakes: list[str] = []
        self.dropped: list[str] = []  # Fields that a `*` covers but whose type is not kept.
        for file in descriptors.file:
            self._index(file.package, file.message_type, file.enum_type, file.name)
        self.fields = {name: self._kept_fields(name) for name in allowed.messages}
        self._check_services(descriptors)
        self.used_enums = {
            field.type_name[1:]
            for fields in self.fields.values()
            for field in self._with_map_entries(fields)
            if field.type == FieldDescriptorProto.TYPE_ENUM
        }

    def _index(self, scope: str, messages, enums, file: str) -> None:
        for enum in enums:
            self.enums.add(f"{scope}.{enum.name}")
            self.home[f"{scope}.{enum.name}"] = file
        for message in messages:
            name = f"{scope}.{message.name}"
            self.messages[name] = message
            self.home[name] = file
            self._index(name, message.nested_type, message.enum_type, file)

    def _map_entry(self, field: FieldDescriptorProto) -> DescriptorProto | None:
        """The hidden message behind a field that is a map."""
        message = self.messages.get(field.type_name[1:])
        return message if message is not None and message.options.map_entry else None

    def _with_map_entries(self, fields) -> Iterator[FieldDescriptorProto]:
        for field in fields:
            yield field
            if entry := self._map_entry(field):
                yield from entry.field

    def _missing_type(self, field: FieldDescriptorProto) -> str | None:
        """The type of `field`, or of its map's values, if it is not kept."""
        if entry := self._map_entry(field):
            return next(filter(None, map(self._missing_type, entry.field)), None)
        name = field.type_name[1:]
        if not name or name in self.enums or name in self.allowed.messages:
            return None
        return None if self.home[name].startswith(WELL_KNOWN) else name

    def _kept_fields(self, name: str) -> list[FieldDescriptorProto]:
        """The fields to keep, in the order of declaration."""
        if name not in self.messages:
            self.mistakes.append(f"no message {name}")
            return []
        wanted = self.allowed.messages[name]
        if wanted == ["*"]:
            fields = [field for field in self.messages[name].field if not field.options.deprecated]
            report = self.dropped
        else:
            fields = [field for field in self.messages[name].field if field.name in wanted]
            report = self.mistakes
            for unknown in sorted(set(wanted) - {field.name for field in fields}):
                self.mistakes.append(f"{name} has no field {unknown}")
        report += [f"{name}.{field.name}: {type} is not kept" for field in fields if (type := self._missing_type(field))]
        return [field for field in fields if not self._missing_type(field)]

    def _check_services(self, descriptors: FileDescriptorSet) -> None:
        services = {f"{file.package}.{service.name}": service for file in descriptors.file for service in file.service}
        for name, wanted in self.allowed.services.items():
            methods = {method.name: method for method in services[name].method} if name in services else {}
            if not methods:
                self.mistakes.append(f"no service {name}")
            for method in wanted or methods:
                if method not in methods:
                    self.mistakes.append(f"{name} has no method {method}")
                    continue
                types = {methods[method].input_type[1:], methods[method].output_type[1:]}
                self.mistakes += [f"{name}.{method}: {type} is not kept" for type in sorted(types - self.fields.keys())]

    def prune(self) -> FileDescriptorSet:
        """The kept part of every file that has one, each after those it imports."""
        pruned = [self._file(file) for file in self.files.values() if not file.name.startswith(WELL_KNOWN)]
        kept = {file.name: file for file in pruned if file.message_type or file.enum_type or file.service}
        result = FileDescriptorSet()
        done: set[str] = set()

        def add(name: str) -> None:
            if name in done:
                return
            done.add(name)
            file = kept.get(name) or self.files[name]
            for dependency in file.dependency:
                add(dependency)
            result.file.append(file)

        for name in sorted(kept):
            add(name)
        return result

    def _file(self, file: FileDescriptorProto) -> FileDescriptorProto:
        result = FileDescriptorProto(name=file.name, package=file.package, syntax=file.syntax)
        for message in file.message_type:
            if pruned := self._message(file.package, message):
                result.message_type.append(pruned)
        result.enum_type.extend(self._enums(file.package, file.enum_type))
        types = {field.type_name[1:] for message in result.message_type for field in fields_within(message)}
        for service in file.service:
            name = f"{file.package}.{service.name}"
            if name not in self.allowed.services:
                continue
            methods = self.allowed.services[name]
            kept = result.service.add(name=service.name)
            for method in service.method:
                if not methods or method.name in methods:
                    kept.method.add().CopyFrom(method)
                    kept.method[-1].ClearField("options")
                    types |= {method.input_type[1:], method.output_type[1:]}
        result.dependency.extend(sorted({self.home[type] for type in types if type} - {file.name}))
        return result

    def _message(self, scope: str, message: DescriptorProto) -> DescriptorProto | None:
        """The kept part of a message, without fields if only something inside it is kept."""
        name = f"{scope}.{message.name}"
        result = DescriptorProto(name=message.name)
        result.nested_type.extend(filter(None, (self._message(name, nested) for nested in message.nested_type)))
        result.enum_type.extend(self._enums(name, message.enum_type))
        oneofs: dict[int, int] = {}
        for field in self.fields.get(name, []):
            kept = result.field.add()
            kept.CopyFrom(field)
            clear_options(kept)
            if field.HasField("oneof_index"):
                kept.oneof_index = oneofs.setdefault(field.oneof_index, len(oneofs))
            if entry := self._map_entry(field):
                result.nested_type.add().CopyFrom(entry)
                for part in result.nested_type[-1].field:
                    clear_options(part)
        for index in oneofs:
            result.oneof_decl.add(name=message.oneof_decl[index].name)
        is_kept = name in self.fields or result.nested_type or result.enum_type
        return result if is_kept else None

    def _enums(self, scope: str, enums) -> Iterator[EnumDescriptorProto]:
        for enum in enums:
            if f"{scope}.{enum.name}" in self.used_enums:
                kept = EnumDescriptorProto()
                kept.CopyFrom(enum)
                kept.ClearField("options")
                if enum.options.allow_alias:
                    kept.options.allow_alias = True
                for value in kept.value:
                    value.ClearField("options")
                yield kept


def clear_options(field: FieldDescriptorProto) -> None:
    """Clears all options but `packed`, which decides the bytes on the wire."""
    packed = field.options.packed if field.options.HasField("packed") else None
    field.ClearField("options")
    if packed is not None:
        field.options.packed = packed


def fields_within(message: DescriptorProto) -> Iterator[FieldDescriptorProto]:
    yield from message.field
    for nested in message.nested_type:
        yield from fields_within(nested)


def count_messages(messages) -> int:
    return sum(1 + count_messages(message.nested_type) for message in messages if not message.options.map_entry)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("input", type=Path, help="the FileDescriptorSet to prune")
    parser.add_argument("allow_list", type=Path)
    parser.add_argument("output", type=Path, help="the FileDescriptorSet to write")
    parser.add_argument("--verbose", action="store_true", help="list the fields that a `*` covers but whose type is not kept")
    arguments = parser.parse_args()

    descriptors = FileDescriptorSet.FromString(arguments.input.read_bytes())
    pruner = Pruner(descriptors, AllowList(arguments.allow_list.read_text()))
    if pruner.mistakes:
        raise SystemExit("\n".join(f"{arguments.allow_list.name}: {mistake}" for mistake in pruner.mistakes))
    pruned = pruner.prune()
    arguments.output.write_bytes(pruned.SerializeToString())
    if arguments.verbose:
        print(*pruner.dropped, sep="\n")
    ours = [file for file in pruned.file if not file.name.startswith(WELL_KNOWN)]
    messages = sum(count_messages(file.message_type) for file in ours)
    fields = sum(len(kept) for kept in pruner.fields.values())
    print(f"{arguments.output.name} keeps {len(ours)} files, {messages} messages, {fields} fields")


if __name__ == "__main__":
    main()
