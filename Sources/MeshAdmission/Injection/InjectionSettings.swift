/// What the injector goes by beside a Pod and the world.
///
/// As JSON the settings have the names of the App Mesh chart's values, and what a document leaves out
/// has its default; a name that is none of theirs is an error. An empty string means that nothing is
/// set.
public struct InjectionSettings: Hashable, Codable, Sendable {
    /// `region`: `AWS_REGION` of the containers; required by the X-Ray daemon.
    public var region = ""
    /// `kubernetesVersion`: the version of the cluster's server, such as `v1.32.4`.
    ///
    /// It says which fields a Pod may have; an empty one counts as an old one.
    public var kubernetesVersion = ""
    /// `heddleVersion`: this program's, for `APPMESH_PLATFORM_APP_MESH_CONTROLLER_VERSION`.
    public var heddleVersion = ""
    /// `ipFamily`: that of the cluster's Pods, which a Mesh's `ipPreference` follows.
    public var ipFamily = IPFamily.unknown
    /// `nativeSidecars`: whether containers are added as init containers that keep running.
    public var nativeSidecars = NativeSidecars.auto
    /// `egressIgnoredIPs`: addresses that applications reach without their proxy, with commas between,
    /// unless the Pod's annotation says otherwise.
    public var egressIgnoredIPs = "169.254.169.254"
    /// `imagePullSecrets`: names of Secrets that Pods of virtual nodes get to pull the images with.
    public var imagePullSecrets: [String] = []
    /// `sidecar`: the proxy.
    public var sidecar = Sidecar()
    /// `init`: the init container.
    public var initContainer = Initialization()
    /// `xray`: the X-Ray daemon.
    public var xRay = XRay()
    /// `sds`: a server of secrets on each Kubernetes node.
    public var sds = SDS()
    /// `tracing`: the collector of traces.
    public var tracing = Tracing()
    /// `stats`: where proxies send their statistics.
    public var stats = Stats()
    /// `token`: how proxies prove to Heddle which Pod they are in.
    public var token = Token()

    /// Makes settings, with every default.
    public init() {}

    /// Makes settings with these images, and every other default.
    public init(proxyImage: String, heddleImage: String) {
        sidecar.image = Image(proxyImage)
        initContainer.image = Image(heddleImage)
    }

    /// The image of the proxy.
    public var proxyImage: String { sidecar.image.description }
    /// The image of Heddle itself, whose `heddle redirect` is the init container.
    public var heddleImage: String { initContainer.image.description }

    /// The addresses that Pods have.
    public enum IPFamily: String, Hashable, Codable, Sendable {
        /// It is not known, and an `ipPreference` stays as it is.
        case unknown = ""
        /// An `ipPreference` that is given becomes `IPv4_ONLY`.
        case ipv4 = "IPv4"
        /// Every Mesh gets `IPv6_ONLY`.
        case ipv6 = "IPv6"
    }

    /// Whether containers are added as init containers that keep running.
    public enum NativeSidecars: String, Hashable, Codable, Sendable {
        /// From Kubernetes 1.29 on.
        case auto
        /// Always.
        case enabled
        /// Never.
        case disabled
    }

    enum CodingKeys: String, CodingKey, CaseIterable {
        case region, kubernetesVersion, heddleVersion, ipFamily, nativeSidecars, egressIgnoredIPs
        case imagePullSecrets, sidecar, sds, tracing, stats, token
        case initContainer = "init"
        case xRay = "xray"
    }

    /// Reads settings; what is left out has its default.
    public init(from decoder: any Decoder) throws {
        let values = try decoder.settings(CodingKeys.self)
        try values.read(.region, &region)
        try values.read(.kubernetesVersion, &kubernetesVersion)
        try values.read(.heddleVersion, &heddleVersion)
        try values.read(.ipFamily, &ipFamily)
        try values.read(.nativeSidecars, &nativeSidecars)
        try values.read(.egressIgnoredIPs, &egressIgnoredIPs)
        try values.read(.imagePullSecrets, &imagePullSecrets)
        try values.read(.sidecar, &sidecar)
        try values.read(.initContainer, &initContainer)
        try values.read(.xRay, &xRay)
        try values.read(.sds, &sds)
        try values.read(.tracing, &tracing)
        try values.read(.stats, &stats)
        try values.read(.token, &token)
    }
}

extension InjectionSettings {
    /// An image of a registry.
    public struct Image: Hashable, Codable, Sendable, CustomStringConvertible {
        /// `repository`, with the registry.
        public var repository: String
        /// `tag`, or a digest that begins with `sha256:`; empty is the registry's default.
        public var tag: String

        /// Makes the image `repository:tag`.
        public init(repository: String, tag: String) {
            self.repository = repository
            self.tag = tag
        }

        /// Reads `repository:tag` or `repository@digest`; the registry may have a port.
        public init(_ text: String) {
            let name = text.lastIndex(of: "/").map { text.index(after: $0) } ?? text.startIndex
            let cut = text.firstIndex(of: "@") ?? text[name...].firstIndex(of: ":")
            repository = String(text[..<(cut ?? text.endIndex)])
            tag = cut.map { String(text[text.index(after: $0)...]) } ?? ""
        }

        /// `repository:tag`.
        public var description: String {
            if tag.isEmpty { return repository }
            return repository + (tag.hasPrefix("sha256:") ? "@" : ":") + tag
        }

        enum CodingKeys: String, CodingKey, CaseIterable { case repository, tag }

        /// Reads an image; what is left out is empty.
        public init(from decoder: any Decoder) throws {
            self.init(repository: "", tag: "")
            let values = try decoder.settings(CodingKeys.self)
            try values.read(.repository, &repository)
            try values.read(.tag, &tag)
        }
    }

    /// The init container (`init`).
    public struct Initialization: Hashable, Codable, Sendable {
        /// `init.image`: Heddle's own.
        public var image = Image(repository: "heddle", tag: "latest")

        enum CodingKeys: String, CodingKey, CaseIterable { case image }

        /// Makes it with its default.
        public init() {}

        /// Reads it; what is left out has its default.
        public init(from decoder: any Decoder) throws {
            try decoder.settings(CodingKeys.self).read(.image, &image)
        }
    }

    /// The X-Ray daemon (`xray`).
    public struct XRay: Hashable, Codable, Sendable {
        /// `xray.image`.
        public var image = Image(
            repository: "public.ecr.aws/xray/aws-xray-daemon",
            tag: "latest"
        )

        enum CodingKeys: String, CodingKey, CaseIterable { case image }

        /// Makes it with its default.
        public init() {}

        /// Reads it; what is left out has its default.
        public init(from decoder: any Decoder) throws {
            try decoder.settings(CodingKeys.self).read(.image, &image)
        }
    }

    /// A server of secrets on each Kubernetes node, such as SPIRE's agent (`sds`).
    public struct SDS: Hashable, Codable, Sendable {
        /// `sds.enabled`: whether proxies reach it.
        public var enabled = false
        /// `sds.udsPath`: its Unix socket on the Kubernetes node.
        public var udsPath = "/run/spire/sockets/agent.sock"

        enum CodingKeys: String, CodingKey, CaseIterable { case enabled, udsPath }

        /// Makes it with its defaults.
        public init() {}

        /// Reads it; what is left out has its default.
        public init(from decoder: any Decoder) throws {
            let values = try decoder.settings(CodingKeys.self)
            try values.read(.enabled, &enabled)
            try values.read(.udsPath, &udsPath)
        }
    }

    /// How proxies prove to Heddle which Pod they are in (`token`).
    public struct Token: Hashable, Codable, Sendable {
        /// `token.audience`: for whom the service account's token is made.
        public var audience = "heddle.dev"
        /// `token.expirationSeconds`: how long one lasts; the kubelet renews it before.
        public var expirationSeconds = 3600

        enum CodingKeys: String, CodingKey, CaseIterable { case audience, expirationSeconds }

        /// Makes it with its defaults.
        public init() {}

        /// Reads it; what is left out has its default.
        public init(from decoder: any Decoder) throws {
            let values = try decoder.settings(CodingKeys.self)
            try values.read(.audience, &audience)
            try values.read(.expirationSeconds, &expirationSeconds)
        }
    }
}
