import MeshModel

/// What the API calls certificates: a kind that is shown and not declared.
enum Certificates {
    static let apiVersion = Kind.certificateMapping.apiVersion
    static let kind = "Certificate"
    static let plural = "certificates"

    /// The path of those in `namespace`, or of all.
    static func path(namespace: String? = nil, name: String? = nil) -> String {
        var path = "/apis/\(apiVersion)"
        if let namespace { path += "/namespaces/\(namespace)" }
        path += "/\(plural)"
        if let name { path += "/\(name)" }
        return path
    }
}

/// How a certificate is, in one word; the API's table and `heddle certificates` agree through it.
struct CertificateState: Hashable, Sendable {
    /// `Valid`, an authority's phase, or what is wrong.
    var word: String
    /// How to take it.
    var verdict: ProxyState.Verdict
}

extension CertificateState {
    /// Reads the `status` of a certificate.
    ///
    /// Without `expiringWithin` the last quarter of its life is too late: Heddle renews at half of
    /// it. An authority that retires is to end.
    init(status: JSONValue, nowSeconds: Int, expiringWithin: Duration? = nil) {
        // What Heddle makes is valid from a little before.
        let begin = (status["issued"]?.string ?? status["notBefore"]?.string)
            .flatMap(secondsSince1970)
        let end = status["notAfter"]?.string.flatMap(secondsSince1970)
        let phase = status["phase"]?.string
        let left = end.map { $0 - nowSeconds }
        let quarter = end.flatMap { end in begin.map { (end - $0) / 4 } } ?? 0
        let threshold = expiringWithin.map { Int($0.components.seconds) } ?? quarter
        if status["problem"]?.string != nil {
            (word, verdict) = ("Failed", .bad)
        } else if let left, phase == AuthorityObservation.Phase.retiring.rawValue {
            (word, verdict) = (left > 0 ? phase ?? "" : "Expired", .good)
        } else if let left {
            if left <= 0 {
                (word, verdict) = ("Expired", .bad)
            } else if left <= threshold {
                (word, verdict) = ("Expiring", .bad)
            } else {
                (word, verdict) = (phase ?? "Valid", .good)
            }
        } else {
            (word, verdict) = ("Pending", .changing)
        }
    }
}

/// A column of the table of certificates, whose cell is made from the API object.
struct CertificateColumn: DocumentColumn {
    var name: String
    var description: String
    /// 0 is always shown, 1 with `-o wide`.
    var priority = 0
    var cell: @Sendable (_ certificate: JSONValue, _ nowSeconds: Int) -> String

    /// All columns after the name.
    static let all = [
        CertificateColumn(name: "Source", description: "Where it comes from.") { certificate, _ in
            text(certificate["spec"]?["source"])
        },
        CertificateColumn(
            name: "Identity",
            description: "The SPIFFE ID, or the file.",
            priority: 1
        ) { certificate, _ in text(certificate["spec"]?["identity"]) },
        CertificateColumn(name: "State", description: "Valid, or what is wrong.") {
            certificate,
            _ in text(certificate["status"]?["state"])
        },
        CertificateColumn(name: "Serial", description: "The serial number's last digits.") {
            certificate,
            _ in
            certificate["status"]?["serial"]?.string.map { String($0.suffix(8)) } ?? none
        },
        CertificateColumn(
            name: "Serial-Number",
            description: "The whole serial number.",
            priority: 1
        ) { certificate, _ in text(certificate["status"]?["serial"]) },
        CertificateColumn(
            name: "Age",
            description: "Time since Heddle made it, or since it began."
        ) { certificate, now in
            let isHeddles = certificate["status"]?["issued"] != nil
            return duration(certificate, isHeddles ? "issued" : "notBefore") { now - $0 }
        },
        CertificateColumn(name: "Expires-In", description: "Time to its end.") {
            certificate,
            now in
            duration(certificate, "notAfter") { max(0, $0 - now) }
        },
        CertificateColumn(name: "Proxies", description: "How many hold it or trust it.") {
            certificate,
            _ in String(certificate["status"]?["proxies"]?.array?.count ?? 0)
        },
        CertificateColumn(
            name: "Proxy-Names",
            description: "Which hold it or trust it.",
            priority: 1
        ) { certificate, _ in
            let names = certificate["status"]?["proxies"]?.array?.compactMap(\.string) ?? []
            return names.isEmpty ? none : names.joined(separator: ",")
        },
        CertificateColumn(
            name: "Last-Rotation",
            description: "Time since it took the place of another."
        ) { certificate, now in duration(certificate, "lastRotation") { now - $0 } },
        CertificateColumn(name: "Problem", description: "Why the newest could not be had.") {
            certificate,
            _ in certificate["status"]?["problem"]?.string ?? ""
        },
    ]

    /// What an absent value shows as, as in kubectl.
    private static let none = "<none>"

    private static func text(_ value: JSONValue?) -> String { value?.string ?? none }

    private static func duration(
        _ certificate: JSONValue,
        _ key: String,
        _ seconds: (Int) -> Int
    ) -> String {
        guard let time = certificate["status"]?[key]?.string.flatMap(secondsSince1970) else {
            return none
        }
        return humanDuration(seconds: max(0, seconds(time)))
    }

    private static let name = CertificateColumn(
        name: "Name",
        description: "Name, unique within the namespace."
    ) { certificate, _ in certificate["metadata"]?["name"]?.string ?? "" }

    static let columns = [name] + all
}
