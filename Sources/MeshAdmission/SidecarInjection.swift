/// What the injector goes by beside a Pod and the world.
public struct InjectionSettings: Hashable, Sendable {
    /// The image of the proxy.
    public var proxyImage: String
    /// The image of Heddle itself, whose `heddle redirect` is the init container.
    public var heddleImage: String

    /// Makes settings.
    public init(proxyImage: String, heddleImage: String) {
        self.proxyImage = proxyImage
        self.heddleImage = heddleImage
    }
}
