import MeshModel

/// An event as the log keeps it: once for what happened again and again within a while.
struct LoggedEvent: Hashable, Sendable {
    /// What happened; its time is that of the last time.
    var event: MeshEvent
    /// When it happened first, in seconds since 1970.
    var firstSeconds: Double
    /// How often it happened.
    var count: Int
    /// The log's version when it happened first, which no other event has.
    var firstVersion: Int
    /// The log's version when it happened last.
    var version: Int

    /// What repeats have in common.
    struct Key: Hashable {
        var object: ObjectID
        var reason: String
        var message: String

        init(_ event: MeshEvent) {
            object = event.object
            reason = event.reason
            message = event.message
        }
    }

    /// `metadata.name`, as Kubernetes makes it: the object's name and a number.
    var name: String { "\(event.object.name).\(String(firstVersion, radix: 16))" }

    /// `metadata.namespace`; events of the whole cluster's objects are in `default`, as in Kubernetes.
    var namespace: String {
        event.object.kind.isNamespaced ? event.object.namespace : "default"
    }
}

// MARK: A line of the file

extension LoggedEvent {
    /// The event as a line of the log's file.
    var line: [UInt8] {
        let document: JSONValue = [
            "kind": .string(event.object.kind.rawValue),
            "namespace": .string(event.object.namespace), "name": .string(event.object.name),
            "type": .string(event.severity.rawValue), "reason": .string(event.reason),
            "message": .string(event.message), "first": .number(firstSeconds),
            "last": .number(event.timeSeconds), "count": .integer(count),
            "firstVersion": .integer(firstVersion), "version": .integer(version),
        ]
        return JSONText.compact(document) + [UInt8(ascii: "\n")]
    }

    /// Reads a line of the log's file; nil when it is damaged.
    init?(line document: JSONValue) {
        func seconds(_ key: String) -> Double? {
            switch document[key] {
            case .integer(let value): Double(value)
            case .number(let value): value
            case .null, .bool, .string, .array, .object, nil: nil
            }
        }
        guard let kind = document["kind"]?.string.flatMap(Kind.init),
            let namespace = document["namespace"]?.string, let name = document["name"]?.string,
            let severity = document["type"]?.string.flatMap(MeshEvent.Severity.init),
            let reason = document["reason"]?.string, let message = document["message"]?.string,
            let first = seconds("first"), let last = seconds("last"),
            let count = document["count"]?.integer, count > 0,
            let firstVersion = document["firstVersion"]?.integer,
            let version = document["version"]?.integer, 0...version ~= firstVersion,
            // No later one could follow it.
            version < 1 << 60
        else { return nil }
        self.init(
            event: MeshEvent(
                timeSeconds: last,
                severity: severity,
                reason: reason,
                message: message,
                object: ObjectID(kind, ObjectReference(namespace: namespace, name: name))
            ),
            firstSeconds: first,
            count: count,
            firstVersion: firstVersion,
            version: version
        )
    }
}
