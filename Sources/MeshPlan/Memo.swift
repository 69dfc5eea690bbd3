/// Values by the input they were made from.
///
/// What a plan does not ask for, the next one forgets, so
/// that a memo never outgrows a plan.
struct Memo<Input: Hashable & Sendable, Value: Sendable>: Sendable {
    private struct Entry {
        var value: Value
        /// The plan that asked for it last.
        var turn: Int
    }

    private var entries: [Input: Entry] = [:]
    private var currentTurn = 0
    /// How many entries the current plan asked for.
    private var usedCount = 0

    /// The value made from `input`, now or by the last plan.
    ///
    /// Inputs are large, and hashing one costs more than what else is done here: what is known stays
    /// where it is.
    mutating func value(for input: Input, make: () throws -> Value) rethrows -> Value {
        if let index = entries.index(forKey: input) {
            if entries.values[index].turn != currentTurn {
                entries.values[index].turn = currentTurn
                usedCount += 1
            }
            return entries.values[index].value
        }
        let value = try make()
        entries[input] = Entry(value: value, turn: currentTurn)
        usedCount += 1
        return value
    }

    /// Starts the next plan: what the last one did not ask for is forgotten.
    mutating func turn() {
        if usedCount < entries.count {
            let unused = entries.compactMap { $0.value.turn == currentTurn ? nil : $0.key }
            for input in unused { entries[input] = nil }
        }
        currentTurn += 1
        usedCount = 0
    }
}
