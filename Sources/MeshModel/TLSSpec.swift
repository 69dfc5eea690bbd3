/// Certificate and key in files (`file`).
public struct FileCertificate: Hashable, Codable, Sendable {
    /// Path of the certificate chain.
    public var certificateChain: String
    /// Path of the private key.
    public var privateKey: String

    /// Makes a pair of paths.
    public init(certificateChain: String, privateKey: String) {
        self.certificateChain = certificateChain
        self.privateKey = privateKey
    }
}

/// A certificate that a proxy presents.
public enum TLSCertificate: Hashable, Sendable {
    /// `acm.certificateARN`; listeners only.
    case acm(certificateARN: String)
    case file(FileCertificate)
    /// `sds.secretName`.
    case sds(secretName: String)
}

/// The authorities that a proxy trusts.
public enum TLSTrust: Hashable, Sendable {
    /// `acm.certificateAuthorityARNs`, one to three.
    case acm(certificateAuthorityARNs: [String])
    /// `file.certificateChain`.
    case file(certificateChain: String)
    /// `sds.secretName`.
    case sds(secretName: String)
}

/// How a peer's certificate is checked (`validation`).
public struct TLSValidation: Hashable, Sendable {
    /// `trust`.
    public var trust: TLSTrust
    /// `subjectAlternativeNames.match.exact`; nil leaves the check at its default.
    public var subjectAlternativeNames: [String]?

    /// Makes a validation.
    public init(trust: TLSTrust, subjectAlternativeNames: [String]? = nil) {
        self.trust = trust
        self.subjectAlternativeNames = subjectAlternativeNames
    }
}

/// TLS on a listener (`listeners[].tls`).
public struct ListenerTLS: Hashable, Sendable {
    /// `mode`.
    public enum Mode: String, CaseIterable, Hashable, Sendable {
        case disabled = "DISABLED"
        case permissive = "PERMISSIVE"
        case strict = "STRICT"
    }

    /// `mode`.
    public var mode: Mode
    /// `certificate`.
    public var certificate: TLSCertificate
    /// `validation`; its presence turns on mutual TLS.
    public var validation: TLSValidation?

    /// Makes a listener's TLS settings.
    public init(mode: Mode, certificate: TLSCertificate, validation: TLSValidation? = nil) {
        self.mode = mode
        self.certificate = certificate
        self.validation = validation
    }
}

/// TLS towards backends (`clientPolicy.tls`).
public struct ClientTLS: Hashable, Sendable {
    /// Refuse plaintext to the backends that this covers; the App Mesh API's default is true.
    public var enforce: Bool
    /// Backend ports covered; empty means all.
    public var ports: [Port]
    /// The certificate for mutual TLS.
    public var certificate: TLSCertificate?
    /// How the backend's certificate is checked.
    public var validation: TLSValidation

    /// Makes a client policy.
    public init(
        enforce: Bool = true,
        ports: [Port] = [],
        certificate: TLSCertificate? = nil,
        validation: TLSValidation
    ) {
        self.enforce = enforce
        self.ports = ports
        self.certificate = certificate
        self.validation = validation
    }
}
