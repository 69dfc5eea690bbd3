import FoundationEssentials

/// One condition of an object's status.
public struct Condition: Hashable, Sendable {
    /// Whether a condition holds.
    public enum Status: String, Hashable, Sendable {
        case `true` = "True"
        case `false` = "False"
        case unknown = "Unknown"
    }

    /// What it is about, such as `VirtualNodeActive`.
    public var type: String
    /// Whether it holds.
    public var status: Status
    /// One CamelCase word for programs.
    public var reason: String
    /// A sentence for people.
    public var message: String
    /// When `status` last changed, in seconds since 1970.
    public var lastTransitionTimeSeconds: Int

    /// Makes a condition.
    public init(
        type: String,
        status: Status,
        reason: String,
        message: String,
        lastTransitionTimeSeconds: Int = 0
    ) {
        self.type = type
        self.status = status
        self.reason = reason
        self.message = message
        self.lastTransitionTimeSeconds = lastTransitionTimeSeconds
    }

    /// `conditions`, each with the transition time of the one in `previous` that has its type and
    /// status, else with `now`.
    public static func merging(
        _ conditions: [Condition],
        into previous: [Condition],
        nowSeconds: Int
    ) -> [Condition] {
        conditions.map { condition in
            let same = previous.first { $0.type == condition.type && $0.status == condition.status }
            var merged = condition
            merged.lastTransitionTimeSeconds = same?.lastTransitionTimeSeconds ?? nowSeconds
            return merged
        }
    }
}

/// `status` of an object.
public struct ObjectStatus: Hashable, Sendable {
    /// `conditions`.
    public var conditions: [Condition]
    /// `observedGeneration`.
    public var observedGeneration: Int
    /// The kind's own fields, such as `meshARN`.
    public var fields: [String: JSONValue]

    /// Makes a status.
    public init(
        conditions: [Condition],
        observedGeneration: Int,
        fields: [String: JSONValue] = [:]
    ) {
        self.conditions = conditions
        self.observedGeneration = observedGeneration
        self.fields = fields
    }

    /// The status as the API shows it.
    public var document: JSONValue {
        var members = fields
        members["observedGeneration"] = .integer(observedGeneration)
        members["conditions"] = .array(
            conditions.map { condition in
                [
                    "type": .string(condition.type),
                    "status": .string(condition.status.rawValue),
                    "reason": .string(condition.reason),
                    "message": .string(condition.message),
                    "lastTransitionTime": .string(
                        timestamp(secondsSince1970: condition.lastTransitionTimeSeconds)
                    ),
                ]
            }
        )
        return .object(members)
    }
}

/// `2026-11-23T00:41:19Z`, as Kubernetes writes times.
public func timestamp(secondsSince1970 seconds: Int) -> String {
    Date(timeIntervalSince1970: Double(seconds)).formatted(.iso8601)
}
