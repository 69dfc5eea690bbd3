internal import FoundationEssentials

/// A random generator whose numbers follow from its seed (SplitMix64).
public struct SeededGenerator: RandomNumberGenerator, Sendable {
    private var state: UInt64

    /// Starts at `seed`.
    public init(seed: UInt64) { state = seed }

    /// The next number.
    public mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var mixed = state
        mixed = (mixed ^ (mixed >> 30)) &* 0xbf58_476d_1ce4_e5b9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94d0_49bb_1331_11eb
        return mixed ^ (mixed >> 31)
    }

    /// True in `percent` of a hundred cases.
    public mutating func chance(_ percent: Int) -> Bool {
        Int.random(in: 0..<100, using: &self) < percent
    }

    /// One of `values`, of which there is at least one.
    public mutating func pick<Value>(_ values: [Value]) -> Value {
        values[Int.random(in: 0..<values.count, using: &self)]
    }
}

/// The seeds that a property is tried with: `HEDDLE_SEED` alone where it is set, else 1 to `count`.
///
/// Tests print the seed that fails, as Swift Testing names the argument.
public func seeds(_ count: UInt64) -> [UInt64] {
    if let given = ProcessInfo.processInfo.environment["HEDDLE_SEED"].flatMap({ UInt64($0) }) {
        return [given]
    }
    return Array(1...count)
}
