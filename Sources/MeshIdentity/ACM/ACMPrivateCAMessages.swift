/// The requests and answers of ACM Private CA that are used, with AWS' own field names.
///
/// https://docs.aws.amazon.com/privateca/latest/APIReference/
enum ACMPrivateCAMessages {
    /// Names an authority: the request of `DescribeCertificateAuthority` and
    /// `GetCertificateAuthorityCertificate`.
    struct Authority: Encodable {
        var arn: String

        enum CodingKeys: String, CodingKey {
            case arn = "CertificateAuthorityArn"
        }
    }

    /// The answer of `DescribeCertificateAuthority`.
    struct Description: Decodable {
        struct Authority: Decodable {
            var status: String
            /// `GENERAL_PURPOSE`, or `SHORT_LIVED_CERTIFICATE` that grants seven days at most.
            var usageMode: String?
            /// When the authority itself begins and ends, in seconds since 1970.
            var notBefore: Double?
            var notAfter: Double?
            var configuration: Configuration

            enum CodingKeys: String, CodingKey {
                case status = "Status"
                case usageMode = "UsageMode"
                case notBefore = "NotBefore"
                case notAfter = "NotAfter"
                case configuration = "CertificateAuthorityConfiguration"
            }
        }

        struct Configuration: Decodable {
            /// `RSA_2048`, `EC_prime256v1`, ...
            var keyAlgorithm: String

            enum CodingKeys: String, CodingKey {
                case keyAlgorithm = "KeyAlgorithm"
            }
        }

        var authority: Authority

        enum CodingKeys: String, CodingKey {
            case authority = "CertificateAuthority"
        }
    }

    /// A time: a value of the unit `ABSOLUTE` is in seconds since 1970.
    ///
    /// The units `DAYS`, `MONTHS` and `YEARS` hold no shorter lifetime than a day.
    struct Time: Encodable {
        var seconds: Int

        enum CodingKeys: String, CodingKey {
            case type = "Type"
            case value = "Value"
        }

        func encode(to encoder: any Encoder) throws {
            var container = encoder.container(keyedBy: CodingKeys.self)
            try container.encode("ABSOLUTE", forKey: .type)
            try container.encode(seconds, forKey: .value)
        }
    }

    /// The request of `IssueCertificate`.
    ///
    /// Without `TemplateArn` it is `EndEntityCertificate/V1`: subject and subject alternative names
    /// are those of the request, for servers and clients.
    struct Issue: Encodable {
        var arn: String
        /// The PEM text in base64.
        var csr: String
        var signingAlgorithm: String
        var notAfter: Time
        /// AWS' default is an hour ago.
        var notBefore: Time
        /// Equal ones within five minutes issue one certificate.
        var idempotencyToken: String

        enum CodingKeys: String, CodingKey {
            case arn = "CertificateAuthorityArn"
            case csr = "Csr"
            case signingAlgorithm = "SigningAlgorithm"
            case notAfter = "Validity"
            case notBefore = "ValidityNotBefore"
            case idempotencyToken = "IdempotencyToken"
        }
    }

    /// The answer of `IssueCertificate`.
    struct Issued: Decodable {
        var certificateARN: String

        enum CodingKeys: String, CodingKey {
            case certificateARN = "CertificateArn"
        }
    }

    /// The request of `GetCertificate`.
    struct Get: Encodable {
        var arn: String
        var certificateARN: String

        enum CodingKeys: String, CodingKey {
            case arn = "CertificateAuthorityArn"
            case certificateARN = "CertificateArn"
        }
    }

    /// The answer of `GetCertificate` and `GetCertificateAuthorityCertificate`.
    struct Chain: Decodable {
        var certificate: String
        /// Those above, up to the root; nil for a root.
        var chain: String?

        enum CodingKeys: String, CodingKey {
            case certificate = "Certificate"
            case chain = "CertificateChain"
        }

        /// Both in one PEM text; nil when the first is no certificate.
        var pem: String? {
            guard certificate.contains("-----BEGIN CERTIFICATE-----") else { return nil }
            return [certificate, chain ?? ""].filter { !$0.isEmpty }
                .map { $0.hasSuffix("\n") ? $0 : $0 + "\n" }.joined()
        }
    }
}
