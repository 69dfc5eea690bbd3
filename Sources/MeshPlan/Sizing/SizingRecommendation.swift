public import MeshModel

/// What a proxy should ask for, and why.
public struct SizingRecommendation: Hashable, Sendable {
    /// What the recommendation means for what is asked for now.
    public enum Verdict: String, CaseIterable, Hashable, Sendable {
        /// It asks for about what it needs.
        case fitting = "Fitting"
        /// It asks for more than it needs.
        case oversized = "Oversized"
        /// It may run short.
        case undersized = "Undersized"
    }

    /// What it asks for now.
    public var requested: SidecarResources
    /// What it should ask for.
    public var recommended: SidecarResources
    /// What that means.
    public var verdict: Verdict
    /// Whether it comes from the proxy's configuration alone, as there is no history yet.
    public var isForecast: Bool
    /// Why, in sentences, the most important first.
    public var reasons: [String]

    /// Makes a recommendation.
    public init(
        requested: SidecarResources,
        recommended: SidecarResources,
        verdict: Verdict,
        isForecast: Bool,
        reasons: [String]
    ) {
        self.requested = requested
        self.recommended = recommended
        self.verdict = verdict
        self.isForecast = isForecast
        self.reasons = reasons
    }
}
