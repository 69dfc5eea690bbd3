import MeshModel

/// What Kubernetes calls events: a kind that is shown and not declared.
enum Events {
    static let apiVersion = "v1"
    static let kind = "Event"
    static let plural = "events"

    /// The path of those in `namespace`, or of all.
    static func path(namespace: String? = nil) -> String {
        "/api/\(apiVersion)" + (namespace.map { "/namespaces/\($0)" } ?? "") + "/\(plural)"
    }
}

extension LoggedEvent {
    /// The event as Kubernetes shows one.
    ///
    /// `objectUID` is the uid of the object as it is now, by which kubectl asks for its events.
    func document(objectUID: String?) -> JSONValue {
        let object = event.object
        var involved: JSONValue = [
            "apiVersion": .string(object.kind.apiVersion), "kind": .string(object.kind.rawValue),
            "name": .string(object.name),
        ]
        if object.kind.isNamespaced { involved["namespace"] = .string(object.namespace) }
        involved["uid"] = objectUID.map(JSONValue.string)
        let first = timestamp(secondsSince1970: Int(firstSeconds))
        return [
            "apiVersion": .string(Events.apiVersion), "kind": .string(Events.kind),
            "metadata": [
                "name": .string(name), "namespace": .string(namespace), "uid": .string(uid),
                "resourceVersion": .string(String(version)), "creationTimestamp": .string(first),
            ],
            "involvedObject": involved, "type": .string(event.severity.rawValue),
            "reason": .string(event.reason), "message": .string(event.message),
            "firstTimestamp": .string(first),
            "lastTimestamp": .string(timestamp(secondsSince1970: Int(event.timeSeconds))),
            "count": .integer(count), "eventTime": .null, "source": ["component": "heddle"],
            "reportingComponent": "heddle", "reportingInstance": "",
        ]
    }

    /// A UUID of version 8, which no other event has.
    private var uid: String {
        func hexadecimal(_ value: Int, _ width: Int) -> String {
            let digits = String(value, radix: 16)
            return String(repeating: "0", count: max(0, width - digits.count))
                + digits.suffix(width)
        }
        let time = Int(firstSeconds)
        return [
            hexadecimal(time & 0xFFFF_FFFF, 8), "e7e7", "8000", "8000",
            hexadecimal(firstVersion, 12),
        ]
        .joined(separator: "-")
    }
}

/// A column of the table of events, whose cell is made from the API object; kubectl has the same.
struct EventColumn: DocumentColumn {
    var name: String
    var description: String
    /// 0 is always shown, 1 with `-o wide`.
    var priority = 0
    var cell: @Sendable (_ event: JSONValue, _ nowSeconds: Int) -> String

    /// All columns.
    static let columns = [
        EventColumn(name: "Last Seen", description: "Time since it happened last.") { event, now in
            age(event["lastTimestamp"], now)
        },
        EventColumn(name: "Type", description: "Normal, or Warning: somebody should look.") {
            event,
            _ in event["type"]?.string ?? ""
        },
        EventColumn(name: "Reason", description: "What happened, in one word.") { event, _ in
            event["reason"]?.string ?? ""
        },
        EventColumn(name: "Object", description: "To what it happened.") { event, _ in
            let object = event["involvedObject"]
            return "\(object?["kind"]?.string?.lowercased() ?? "")/\(object?["name"]?.string ?? "")"
        },
        EventColumn(name: "Subobject", description: "A part of the object.", priority: 1) { _, _ in
            ""
        },
        EventColumn(name: "Source", description: "Who tells of it.", priority: 1) { event, _ in
            event["source"]?["component"]?.string ?? ""
        },
        EventColumn(name: "Message", description: "What happened.") { event, _ in
            event["message"]?.string ?? ""
        },
        EventColumn(name: "First Seen", description: "Time since it happened first.", priority: 1) {
            event,
            now in age(event["firstTimestamp"], now)
        },
        EventColumn(name: "Count", description: "How often it happened.", priority: 1) { event, _ in
            String(event["count"]?.integer ?? 1)
        },
        EventColumn(name: "Name", description: "Name, unique within the namespace.", priority: 1) {
            event,
            _ in event["metadata"]?["name"]?.string ?? ""
        },
    ]

    private static func age(_ time: JSONValue?, _ nowSeconds: Int) -> String {
        guard let seconds = time?.string.flatMap(secondsSince1970) else { return "<unknown>" }
        return humanDuration(seconds: max(0, nowSeconds - seconds))
    }
}
