/// What libcurl signs a request to AWS with, by Signature Version 4.
///
/// Guarantee: it describes itself without the keys, so that no log and no message can show them.
public struct AWSSignature: Hashable, Sendable {
    /// The region in the signature's scope, such as `eu-west-1`.
    public var region: String
    /// The service in the signature's scope, such as `acm-pca`.
    public var service: String
    /// The name of the key.
    public var accessKeyID: String
    /// The key.
    public var secretAccessKey: String
    /// Goes with keys that expire; sent as `X-Amz-Security-Token` and signed.
    public var sessionToken: String?

    /// Makes a signature.
    public init(
        region: String,
        service: String,
        accessKeyID: String,
        secretAccessKey: String,
        sessionToken: String? = nil
    ) {
        self.region = region
        self.service = service
        self.accessKeyID = accessKeyID
        self.secretAccessKey = secretAccessKey
        self.sessionToken = sessionToken
    }

    /// The scheme, region and service as `CURLOPT_AWS_SIGV4` takes them.
    var scope: String { "aws:amz:\(region):\(service)" }
}

extension AWSSignature: CustomStringConvertible, CustomReflectable {
    /// `signature for acm-pca in eu-west-1`.
    public var description: String { "signature for \(service) in \(region)" }
    /// Shows the service and the region only.
    public var customMirror: Mirror {
        Mirror(self, children: ["region": region, "service": service])
    }
}

extension HTTPRequest {
    /// Header fields that the signature itself writes, or that it would sign and libcurl not send.
    private static let reservedNames: Set = [
        "authorization", "expect", "host", "x-amz-date", "x-amz-security-token",
    ]

    /// Why libcurl would sign this request otherwise than AWS checks it; nil when it would not.
    ///
    /// libcurl 7.88 neither sorts a query nor encodes a path a second time, and leaves a header's
    /// inner spaces alone. So a signed request is a POST to a plain path, without a query, with
    /// header fields that are their own canonical form.
    var signatureProblem: String? {
        guard let signature else { return nil }
        if method != "POST" { return "is not a POST" }
        if !hasPlainPath { return "has a URL other than http[s]://host[:port]/plain/path" }
        let parts = [signature.region, signature.service]
        if !parts.allSatisfy({ !$0.isEmpty && $0.utf8.allSatisfy(\.isLetterDigitOrHyphen) }) {
            return "has the region \"\(signature.region)\" and service \"\(signature.service)\", "
                + "which shall be letters, digits and hyphens"
        }
        let keys = [
            signature.accessKeyID, signature.secretAccessKey, signature.sessionToken ?? "-",
        ]
        if !keys.allSatisfy({ !$0.isEmpty && $0.utf8.allSatisfy { $0 > 0x20 && $0 < 0x7F } }) {
            return "has a key that is empty or holds spaces"
        }
        return headerProblem
    }

    private var headerProblem: String? {
        var names: Set<String> = []
        for field in headers {
            let name = field.name.lowercased()
            if Self.reservedNames.contains(name) { return "sets \(field.name) itself" }
            if !names.insert(name).inserted { return "has \(field.name) twice" }
            if name.isEmpty || !name.utf8.allSatisfy(\.isLetterDigitOrHyphen) {
                return "has a header field with a name of other than letters, digits and hyphens"
            }
            if !field.value.isCanonicalHeaderValue {
                return "has \(field.name) with a value that is empty, or holds other than single "
                    + "spaces and visible ASCII"
            }
        }
        return names.contains("content-type") ? nil : "has no Content-Type"
    }

    private var hasPlainPath: Bool {
        guard let scheme = ["https://", "http://"].first(where: url.hasPrefix) else { return false }
        let rest = url.dropFirst(scheme.count)
        let host = rest.prefix { $0 != "/" }
        guard !host.isEmpty, !host.contains(where: { "@?#%\\".contains($0) }) else { return false }
        let path = rest.dropFirst(host.count)
        guard !path.isEmpty, path != "/" else { return true }
        return path.dropFirst().split(separator: "/", omittingEmptySubsequences: false).allSatisfy {
            !["", ".", ".."].contains($0)
                && $0.utf8.allSatisfy { $0.isLetterDigitOrHyphen || "._~".utf8.contains($0) }
        }
    }
}

extension String {
    fileprivate var isCanonicalHeaderValue: Bool {
        !isEmpty && first != " " && last != " " && !contains("  ")
            && utf8.allSatisfy { $0 >= 0x20 && $0 < 0x7F }
    }
}

extension UInt8 {
    fileprivate var isLetterDigitOrHyphen: Bool {
        switch self {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
            UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"):
            true
        default: false
        }
    }
}
