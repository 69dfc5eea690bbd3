/// Values by the input they were made from.
///
/// What a plan does not ask for, the next one forgets, so
/// that a memo never outgrows a plan.
struct Memo<Input: Hashable & Sendable, Value: Sendable>: Sendable {
    private var current: [Input: Value] = [:]
    private var previous: [Input: Value] = [:]

    /// The value made from `input`, now or by the last plan.
    mutating func value(for input: Input, make: () throws -> Value) rethrows -> Value {
        if let known = current[input] { return known }
        let value = try previous.removeValue(forKey: input) ?? make()
        current[input] = value
        return value
    }

    /// Starts the next plan: what the one before last made and the last did not use is forgotten.
    mutating func turn() {
        previous = current
        current = [:]
    }
}
