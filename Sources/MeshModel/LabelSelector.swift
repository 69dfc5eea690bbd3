/// A Kubernetes label selector.
///
/// An empty one matches everything; an absent one is nil, and each
/// field says what that means.
public struct LabelSelector: Hashable, Sendable {
    /// One of `matchExpressions`.
    public struct Requirement: Hashable, Sendable {
        /// How the label and the values compare.
        public enum Operator: String, CaseIterable, Hashable, Sendable {
            case `in` = "In"
            case notIn = "NotIn"
            case exists = "Exists"
            case doesNotExist = "DoesNotExist"
        }

        /// The label's key.
        public var key: String
        /// How the label and the values compare.
        public var `operator`: Operator
        /// The values; empty for `Exists` and `DoesNotExist`.
        public var values: [String]

        /// Makes a requirement.
        public init(key: String, operator: Operator, values: [String] = []) {
            self.key = key
            self.operator = `operator`
            self.values = values
        }
    }

    /// Labels that must be present with just these values.
    public var matchLabels: [String: String]
    /// Further requirements, all of which must hold.
    public var matchExpressions: [Requirement]

    /// Makes a selector; without arguments one that matches everything.
    public init(
        matchLabels: [String: String] = [:],
        matchExpressions: [Requirement] = []
    ) {
        self.matchLabels = matchLabels
        self.matchExpressions = matchExpressions
    }

    /// Whether `labels` fulfil every requirement.
    ///
    /// As in Kubernetes, `NotIn` holds where the label is absent.
    public func matches(_ labels: [String: String]) -> Bool {
        matchLabels.allSatisfy { labels[$0.key] == $0.value }
            && matchExpressions.allSatisfy { requirement in
                let value = labels[requirement.key]
                switch requirement.operator {
                case .in: return value.map(requirement.values.contains) ?? false
                case .notIn: return !(value.map(requirement.values.contains) ?? false)
                case .exists: return value != nil
                case .doesNotExist: return value == nil
                }
            }
    }
}
