#!/usr/bin/env python3
"""Makes the definitions of the custom resources beside this script from fields.txt.

    generate.py           writes them
    generate.py --check   says which are not what it would write, and fails if there are any

fields.txt says how it is to be read.
"""

import json
import pathlib
import re
import sys

HERE = pathlib.Path(__file__).resolve().parent
HEADER = "# Made by generate.py from fields.txt: change that, and run it.\n"


class Mistake(Exception):
    """Something in fields.txt that cannot be read."""


class Line:
    """One line of fields.txt: a name, what it is, and what is indented below it."""

    def __init__(self, number, indent, text, description):
        self.number, self.indent, self.text, self.description = number, indent, text, description
        self.children = []
        name, _, self.type = text.partition(":")
        self.type = self.type.strip()
        self.is_required = name.endswith("!")
        self.name = name.removesuffix("!")

    def mistake(self, problem):
        return Mistake(f"fields.txt:{self.number}: {problem}: {self.text}")


def read(text):
    """The lines without indentation, by their names."""
    tops, stack = {}, []
    for number, raw in enumerate(text.splitlines(), 1):
        if not raw.strip() or raw.startswith("#"):
            continue
        content, _, description = raw.partition(" # ")
        line = Line(number, len(raw) - len(raw.lstrip()), content.strip(), description.strip())
        while stack and stack[-1].indent >= line.indent:
            stack.pop()
        if stack:
            stack[-1].children.append(line)
        elif line.name in tops:
            raise line.mistake("this name is taken")
        else:
            tops[line.name] = line
        stack.append(line)
    return tops


class Table:
    """The kinds and shapes of fields.txt."""

    def __init__(self, text):
        tops = read(text)
        self.kinds = [line for line in tops.values() if "/" in line.type]
        self.shapes = {name: line for name, line in tops.items() if "/" not in line.type}

    def fields(self, lines):
        """`lines` with those of the shapes that they include."""
        for line in lines:
            if line.text.startswith("..."):
                yield from self.fields(self.shape(line, line.text[3:]).children)
            else:
                yield line

    def shape(self, line, name):
        if name not in self.shapes:
            raise line.mistake(f"no shape {name}")
        return self.shapes[name]

    def object(self, lines):
        """The schema of an object with the fields `lines`."""
        fields = list(self.fields(lines))
        schema = {"type": "object"}
        if fields:
            schema["properties"] = {line.name: self.schema(line) for line in fields}
        required = [line.name for line in fields if line.is_required]
        if required:
            schema["required"] = required
        return schema

    def schema(self, line):
        """The schema of a field, with its description."""
        if not line.description and line.children:
            raise line.mistake("say what it is after \" # \"")
        description = {"description": line.description} if line.description else {}
        return description | self.typed(line, line.type, line.children)

    def typed(self, line, text, children):
        """The schema of the type `text`, whose own fields, if any, are `children`."""
        if match := re.fullmatch(r"\[(.+)\](.*)", text):
            items = self.typed(line, match[1], children)
            return {"type": "array", "items": items} | self.extent(line, match[2], "Items")
        if match := re.fullmatch(r"\((.+)\)", text):
            return {"type": "string", "enum": match[1].split()}
        name, _, rest = text.partition(" ")
        if name == "object":
            if rest not in ("", "atomic"):
                raise line.mistake(f"no \"{rest}\" of an object")
            atomic = {"x-kubernetes-map-type": "atomic"} if rest else {}
            return self.object(children) | atomic
        if name == "string":
            return {"type": "string"} | self.extent(line, rest, "Length")
        if name == "integer":
            return {"type": "integer", "format": "int64"} | self.extent(line, rest, "imum")
        if name == "number":
            return {"type": "number"} | self.extent(line, rest, "imum")
        simple = {
            "boolean": {"type": "boolean"},
            "time": {"type": "string", "format": "date-time"},
            "{string}": {"type": "object", "additionalProperties": {"type": "string"}},
        }
        if text in simple:
            return simple[text]
        shape = self.shape(line, text)
        return self.typed(shape, shape.type, shape.children)

    @staticmethod
    def extent(line, text, noun):
        """`1..10`, `1..` or `atomic`, as the bounds of what `noun` counts."""
        bounds = {}
        for word in text.split():
            if word == "atomic":
                bounds["x-kubernetes-list-type"] = "atomic"
            elif match := re.fullmatch(r"(\d+)\.\.(\d*)", word):
                bounds["min" + noun] = int(match[1])
                if match[2]:
                    bounds["max" + noun] = int(match[2])
            else:
                raise line.mistake(f"no \"{word}\" here")
        return bounds

    def definition(self, kind):
        """The CustomResourceDefinition of `kind`."""
        api, plural, scope = kind.type.split()
        group, version = api.split("/")
        singular = kind.name.lower()
        names = {
            "kind": kind.name, "listKind": kind.name + "List", "plural": plural,
            "singular": singular,
        }
        columns, fields, is_open = [], [], False
        for line in kind.children:
            word, *rest = line.text.split(" ", 3)
            if word == "open":
                is_open = True
            elif word == "category":
                names["categories"] = rest
            elif word == "short":
                names["shortNames"] = rest
            elif word in ("column", "wide"):
                priority = {"priority": 1} if word == "wide" else {}
                columns.append({"name": rest[0], "type": rest[1], "jsonPath": rest[2]} | priority)
            else:
                fields.append(line)
        schema = {"description": f"{kind.name} of {group}."} | self.object(fields)
        standard = {
            "apiVersion": {"description": "The group and version.", "type": "string"},
            "kind": {"description": "The kind.", "type": "string"},
            "metadata": {"type": "object"},
        }
        schema["properties"] = standard | schema["properties"]
        if is_open:
            schema["x-kubernetes-preserve-unknown-fields"] = True
        served = {"name": version, "served": True, "storage": True}
        if columns:
            served["additionalPrinterColumns"] = columns
        served |= {"subresources": {"status": {}}, "schema": {"openAPIV3Schema": schema}}
        return f"{group}_{plural}.yaml", {
            "apiVersion": "apiextensions.k8s.io/v1",
            "kind": "CustomResourceDefinition",
            "metadata": {"name": f"{plural}.{group}"},
            "spec": {
                "group": group, "names": names,
                "scope": {"cluster": "Cluster", "namespaced": "Namespaced"}[scope],
                "versions": [served],
            },
        }


def scalar(value):
    """A string, number or boolean in YAML."""
    is_plain = isinstance(value, str) and re.fullmatch(r"[A-Za-z][\w./-]*", value)
    words = ("y", "n", "yes", "no", "on", "off", "true", "false", "null")
    return value if is_plain and value.lower() not in words else json.dumps(value)


def yaml(value, indent=""):
    """`value` in YAML's block style, a line at a time."""
    for key, member in value.items() if isinstance(value, dict) else [("-", v) for v in value]:
        lead = indent + ("- " if key == "-" else f"{scalar(key)}:")
        if isinstance(member, (dict, list)) and member:
            lines = yaml(member, indent + "  ")
            if key == "-":
                yield lead + next(lines).strip()
            else:
                yield lead
            yield from lines
        elif isinstance(member, (dict, list)):
            yield f"{lead} {'{}' if isinstance(member, dict) else '[]'}"
        else:
            yield lead + (" " if key != "-" else "") + scalar(member)


def main():
    table = Table((HERE / "fields.txt").read_text())
    made = {}
    for kind in table.kinds:
        name, definition = table.definition(kind)
        made[name] = HEADER + "\n".join(yaml(definition)) + "\n"
    if sys.argv[1:] == ["--check"]:
        found = {path.name: path.read_text() for path in HERE.glob("*.yaml")}
        stale = sorted(name for name in made | found if made.get(name) != found.get(name))
        for name in stale:
            print(f"Manifests/crds/{name} is not what generate.py writes; run it")
        sys.exit(bool(stale))
    if sys.argv[1:]:
        sys.exit(__doc__)
    for path in HERE.glob("*.yaml"):
        path.unlink()
    for name, text in made.items():
        (HERE / name).write_text(text)


if __name__ == "__main__":
    try:
        main()
    except Mistake as mistake:
        sys.exit(str(mistake))
