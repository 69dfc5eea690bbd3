/// Why Heddle cannot start or go on: one line that says what and what to do.
public struct DaemonError: Error, Hashable, CustomStringConvertible {
    /// What is wrong, and the remedy after a semicolon.
    public var description: String

    /// Makes an error from its line.
    public init(_ description: String) { self.description = description }
}
