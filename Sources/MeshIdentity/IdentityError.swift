/// Why something about identities can't be done: object, field, problem and remedy in one line.
///
/// Guarantee: no key is in it.
public struct IdentityError: Error, Hashable, Sendable, CustomStringConvertible {
    /// The line.
    public let description: String

    /// Makes an error that says `description`.
    public init(_ description: String) { self.description = description }
}
