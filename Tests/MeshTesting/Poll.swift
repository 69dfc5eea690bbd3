/// Looks until what is seen is as `isExpected` says, and returns that: for what nothing tells of.
///
/// It gives up after `limit`, which is longer where what is waited for takes its time by design.
///
/// - Throws: `NotSeen` when it lasts too long, before the time of a suite is over.
@discardableResult
public func poll<Value: Sendable>(
    within limit: Duration = .seconds(20),
    _ look: () async throws -> Value,
    until isExpected: (Value) -> Bool
) async throws -> Value {
    let end = ContinuousClock.now + limit
    while true {
        let value = try await look()
        if isExpected(value) { return value }
        guard ContinuousClock.now < end else { throw NotSeen(last: "\(value)") }
        try await Task.sleep(for: .milliseconds(20))
    }
}

/// What a test waited for did not come.
public struct NotSeen: Error, CustomStringConvertible {
    let last: String
    /// What was seen instead of it.
    public var description: String { "waited in vain; seen last: \(last)" }
}
