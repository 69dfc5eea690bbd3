import MeshModel

/// Reads the names of kinds on the command line.
enum KindName {
    private static let shortNames: [String: Kind] = [
        "ns": .namespace, "vn": .virtualNode, "vs": .virtualService, "vr": .virtualRouter,
        "vg": .virtualGateway, "gr": .gatewayRoute, "tp": .trafficPolicy,
        "certmap": .certificateMapping,
    ]

    /// The kinds that `text` names: plural, singular, Kind, a short name, several with commas, or
    /// `all`.
    static func kinds(_ text: String) throws(ClientFailure) -> [Kind] {
        var kinds: [Kind] = []
        for part in text.split(separator: ",") {
            if part == "all" {
                kinds += Kind.allCases.filter(\.isNamespaced)
            } else {
                kinds.append(try kind(String(part)))
            }
        }
        return kinds
    }

    /// The kind that `text` names; a group after a dot is allowed, as kubectl prints it.
    static func kind(_ text: String) throws(ClientFailure) -> Kind {
        let name = text.lowercased()
        let kind = Kind.allCases.first { kind in
            [kind.plural, kind.singular].contains { $0 == name || "\($0).\(kind.group)" == name }
        }
        guard let kind = kind ?? shortNames[name] else {
            if [Certificates.plural, "certificate"].contains(name.prefix { $0 != "." }.lowercased())
            {
                throw ClientFailure(.usage, "certificates are listed by \"heddle certificates\"")
            }
            if [Proxies.plural, "proxy"].contains(name.prefix { $0 != "." }.lowercased()) {
                throw ClientFailure(
                    .usage,
                    "proxies are listed by \"heddle proxies\"; \"heddle describe workload NAME\" has one "
                        + "with its events"
                )
            }
            if [Events.plural, "event", "ev"].contains(name) {
                throw ClientFailure(.usage, "events are listed by \"heddle events\"")
            }
            let known = Kind.allCases.map(\.plural).joined(separator: ", ")
            throw ClientFailure(
                .usage,
                "no kind \"\(text)\"; the kinds are \(known), and all; short: "
                    + shortNames.keys.sorted().joined(separator: ", ")
            )
        }
        return kind
    }
}
