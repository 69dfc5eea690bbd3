import MeshModel

/// What an ARN of ACM names.
private enum ARNResource: String {
    case certificate
    case authority = "certificate-authority"

    /// The service that has it.
    var service: String {
        switch self {
        case .certificate: "acm"
        case .authority: "acm-pca"
        }
    }

    /// How such an ARN is written.
    var pattern: String { "arn:aws:\(service):<region>:<account>:\(rawValue)/<id>" }

    /// Reads an ARN; nil when it is neither of the two.
    init?(arn: String) {
        let parts = arn.split(separator: ":", omittingEmptySubsequences: false)
        guard parts.count == 6, parts[0] == "arn", parts[1] == "aws" || parts[1].hasPrefix("aws-")
        else { return nil }
        let resource = parts[5].split(separator: "/", omittingEmptySubsequences: false)
        guard resource.count == 2, let type = ARNResource(rawValue: String(resource[0])),
            parts[2] == type.service, parts[4].utf8.count == 12, parts[4].utf8.allSatisfy(isDigit),
            [parts[1], parts[3], resource[1]].allSatisfy(isWord)
        else { return nil }
        self = type
    }
}

extension Fields {
    /// `spec` of a CertificateMapping.
    func certificateMapping() -> CertificateMappingSpec? {
        let arn = arn("arn", .required, of: [.certificate, .authority])
        union(["file", "heddle", "acmPrivateCA"])
        let file = object("file") { $0.mappedFile(standingFor: arn?.resource) }
        let heddle = object("heddle") { _ in CertificateMappingSpec.Source.heddle }
        let authority = object("acmPrivateCA") { $0.privateAuthority(standingFor: arn) }
        guard let arn, let source = file ?? heddle ?? authority else { return nil }
        return CertificateMappingSpec(arn: arn.text, source: source)
    }

    /// An ARN of one of `resources`.
    private func arn(
        _ key: String,
        _ presence: Presence = .optional,
        of resources: [ARNResource]
    ) -> (text: String, resource: ARNResource)? {
        guard let text = string(key, presence, length: 1...2048) else { return nil }
        if let resource = ARNResource(arn: text), resources.contains(resource) {
            return (text, resource)
        }
        let names = resources.map {
            $0 == .certificate ? "a certificate" : "a certificate authority"
        }
        error(
            key,
            "\(quoted(text)) is not the ARN of \(alternatives(names))",
            "write \(alternatives(resources.map(\.pattern)))"
        )
        return nil
    }

    /// `file`: a certificate has a key, and an authority has none here.
    private func mappedFile(standingFor resource: ARNResource?) -> CertificateMappingSpec.Source? {
        let chain = filePath("certificateChain", .required)
        let key = filePath("privateKey")
        switch resource {
        case .certificate where !has("privateKey"):
            missing("privateKey", "name the file of the certificate's key")
        case .authority where has("privateKey"):
            error(
                "privateKey",
                "proxies trust an authority, and need no key of it",
                "remove it"
            )
        case .certificate, .authority, nil: break
        }
        return chain.map { .file(certificateChain: $0, privateKey: key) }
    }

    /// `acmPrivateCA`, which may leave out an authority that the mapping's own ARN names.
    private func privateAuthority(
        standingFor mapped: (text: String, resource: ARNResource)?
    ) -> CertificateMappingSpec.Source? {
        let given = arn("certificateAuthorityARN", of: [.authority])?.text
        let endpoint = origin("endpoint")
        if mapped?.resource == .certificate, !has("certificateAuthorityARN") {
            missing(
                "certificateAuthorityARN",
                "name the authority that shall issue the certificate"
            )
        }
        return (given ?? mapped?.text).map {
            .acmPrivateCA(ACMPrivateCA(authorityARN: $0, endpoint: endpoint))
        }
    }

    /// The URL of a server: `https://host[:port]`.
    private func origin(_ key: String) -> String? {
        guard let url = string(key, length: 1...2048) else { return nil }
        if isOrigin(url) { return url }
        error(
            key,
            "\(quoted(url)) is not the URL of a server",
            "write https://host or https://host:port, without a path"
        )
        return nil
    }
}

/// Whether `url` is `http` or `https`, a host, and perhaps a port.
private func isOrigin(_ url: String) -> Bool {
    guard let scheme = ["https://", "http://"].first(where: url.hasPrefix) else { return false }
    let authority = url.dropFirst(scheme.count)
    var host = authority
    if let colon = authority.lastIndex(of: ":"), authority.last != "]" {
        let port = authority[authority.index(after: colon)...]
        guard port.utf8.allSatisfy(isDigit), Int(port).flatMap({ Port($0) }) != nil else {
            return false
        }
        host = authority[..<colon]
    }
    if host.hasPrefix("["), host.hasSuffix("]") {
        let address = String(host.dropFirst().dropLast())
        return address.contains(":") && isIPAddress(address)
    }
    return isHostName(host.lowercased()[...])
}

private func isDigit(_ byte: UInt8) -> Bool {
    (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte)
}

/// Whether `text` has letters, digits and hyphens only, and at least one.
private func isWord(_ text: Substring) -> Bool {
    !text.isEmpty
        && text.utf8.allSatisfy {
            switch $0 {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                UInt8(ascii: "-"):
                true
            default: isDigit($0)
            }
        }
}
