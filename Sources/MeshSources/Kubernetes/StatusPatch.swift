internal import MeshModel

/// What has to be written so that an object's status says `desired`, as a merge patch of `status`
/// (RFC 7386); nil when it says so already.
///
/// A condition whose status does not differ keeps its transition time. The status is Heddle's as a
/// whole: what else is in it, such as App Mesh's own ARNs, goes.
func statusPatch(from live: JSONValue, to desired: ObjectStatus) -> JSONValue? {
    mergePatch(from: live, to: statusDocument(desired, after: live))
}

/// The status as it is written, with the transition times of `live`.
func statusDocument(_ status: ObjectStatus, after live: JSONValue) -> JSONValue {
    var times: [[String?]: JSONValue] = [:]
    for condition in live["conditions"]?.array ?? [] {
        times[[condition["type"]?.string, condition["status"]?.string]] =
            condition["lastTransitionTime"]
    }
    var bounded = status
    for index in bounded.conditions.indices {
        bounded.conditions[index].message = bounded.conditions[index].message.truncated(
            toBytes: longestMessage
        )
    }
    var document = bounded.document.withoutNulls
    document["conditions"] = .array(
        (document["conditions"]?.array ?? []).map { condition in
            var condition = condition
            if case .string? = times[[condition["type"]?.string, condition["status"]?.string]] {
                condition["lastTransitionTime"] =
                    times[
                        [condition["type"]?.string, condition["status"]?.string]
                    ]
            }
            return condition
        }
    )
    return document
}

/// A status with more than this is of no use to who reads it, and each object has it in memory.
private let longestMessage = 8192

/// The conditions of `desired` that are False, and are not in `live`.
func turnsFalse(_ desired: ObjectStatus, after live: JSONValue) -> Bool {
    let known = Set(
        (live["conditions"]?.array ?? []).filter { $0["status"] == "False" }
            .compactMap { $0["type"]?.string }
    )
    return desired.conditions.contains { $0.status == .false && !known.contains($0.type) }
}

/// Whether a condition of `desired` differs from `live` in what is waited for: type, status or reason.
func changesCondition(_ desired: ObjectStatus, after live: JSONValue) -> Bool {
    let meanings = { (conditions: [JSONValue]) in
        Set(conditions.map { [$0["type"]?.string, $0["status"]?.string, $0["reason"]?.string] })
    }
    return meanings(desired.document["conditions"]?.array ?? [])
        != meanings(live["conditions"]?.array ?? [])
}

/// The merge patch that makes `live` equal `desired`; nil when they are equal.
private func mergePatch(from live: JSONValue, to desired: JSONValue) -> JSONValue? {
    // A value may be nil, and no patch is another nil.
    if live == desired { return Optional.none }
    guard case .object(let members) = desired else { return desired }
    let present = live.object ?? [:]
    var patch: [String: JSONValue] = [:]
    for (key, value) in members {
        if let old = present[key] {
            patch[key] = mergePatch(from: old, to: value)
        } else {
            patch[key] = value
        }
    }
    for key in present.keys where members[key] == nil && present[key] != .null {
        patch.updateValue(.null, forKey: key)
    }
    if patch.isEmpty, live.object != nil { return Optional.none }
    return .object(patch)
}

extension JSONValue {
    /// The value as a server gives it back: no member is null, and no whole number has a point.
    fileprivate var withoutNulls: JSONValue {
        switch self {
        case .object(let members):
            .object(members.filter { $0.value != .null }.mapValues(\.withoutNulls))
        case .array(let values): .array(values.map(\.withoutNulls))
        case .number(let value): Int(exactly: value).map(JSONValue.integer) ?? self
        case .null, .bool, .integer, .string: self
        }
    }
}

extension String {
    /// The text, cut between characters to at most so many bytes.
    func truncated(toBytes limit: Int) -> String {
        guard utf8.count > limit else { return self }
        var end = utf8.index(utf8.startIndex, offsetBy: limit - 3)
        while end > startIndex, end.samePosition(in: self) == nil { end = utf8.index(before: end) }
        return "\(self[..<end])…"
    }
}

/// `2026-11-23T00:41:19Z`.
func kubernetesTime(_ seconds: Double) -> String { timestamp(secondsSince1970: Int(seconds)) }
