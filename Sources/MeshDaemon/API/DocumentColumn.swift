import MeshModel

/// A column of the table of a kind that is shown and not declared, whose cell is made from the API
/// object.
protocol DocumentColumn: Sendable {
    /// The heading.
    var name: String { get }
    /// What it tells.
    var description: String { get }
    /// 0 is always shown, 1 with `-o wide`.
    var priority: Int { get }
    /// The text for an object.
    var cell: @Sendable (_ object: JSONValue, _ nowSeconds: Int) -> String { get }

    /// All columns, in their order.
    static var columns: [Self] { get }
}

extension DocumentColumn {
    /// The column as a `Table` describes it.
    private var definition: JSONValue {
        [
            "name": .string(name), "type": "string", "priority": .integer(priority),
            "format": name == "Name" ? "name" : "", "description": .string(description),
        ]
    }

    /// The `Table` that kubectl prints; without its columns for all but the first of a watch.
    static func table(
        of objects: [JSONValue],
        version: Int,
        include: IncludeObject,
        nowSeconds: Int,
        includesColumns: Bool = true
    ) -> JSONValue {
        let rows = objects.map { object -> JSONValue in
            var row: JSONValue = [
                "cells": .array(columns.map { .string($0.cell(object, nowSeconds)) })
            ]
            switch include {
            case .none: break
            case .object: row["object"] = object
            case .metadata:
                row["object"] = [
                    "apiVersion": "meta.k8s.io/v1", "kind": "PartialObjectMetadata",
                    "metadata": object["metadata"] ?? [:],
                ]
            }
            return row
        }
        return [
            "apiVersion": "meta.k8s.io/v1", "kind": "Table",
            "metadata": ["resourceVersion": .string(String(version))],
            "columnDefinitions": includesColumns ? .array(columns.map(\.definition)) : .null,
            "rows": .array(rows),
        ]
    }
}
