internal import Foundation
internal import HTTPClient

/// A server that speaks AWS' protocols and keeps all in memory: moto.
///
/// Where it differs from AWS: an authority's key is RSA 2048 whatever it is created with, its usage
/// mode is `SHORT_LIVED_CERTIFICATE`, and a certificate is valid for a year from now on, whatever
/// is asked for.
public final class MotoServer: Sendable {
    /// The keys of a user or a session.
    public struct Keys: Sendable {
        /// The name of the key.
        public var id: String
        /// The key.
        public var secret: String
        /// Of a session.
        public var token: String?

        /// The environment in which they are found.
        public var environment: [String: String] {
            var variables = ["AWS_ACCESS_KEY_ID": id, "AWS_SECRET_ACCESS_KEY": secret]
            variables["AWS_SESSION_TOKEN"] = token
            return variables
        }
    }

    /// The region of all that is made here.
    public static let region = "eu-west-1"

    /// `http://127.0.0.1:port`.
    public let endpoint: String
    private let process: ServerProcess
    private let client = HTTPClient()

    /// Starts a server, which takes a few seconds; at a port of its own choice unless one is given.
    public init(port: Int = 0) async throws {
        guard let motoPath else { throw MotoMissing() }
        process = try await .start(
            [motoPath, "-H", "127.0.0.1", "-p", "\(port)"],
            until: "Running on"
        )
        endpoint = String(process.line.split(separator: " ").last ?? "")
    }

    /// Checks signatures and permissions from now on, as AWS does, or does so no more.
    public func checkSignatures(_ isOn: Bool = true) async throws {
        let request = HTTPRequest(
            "POST",
            endpoint + "/moto-api/reset-auth",
            headers: [HTTPField("Content-Type", "text/plain")],
            // So many requests pass unchecked.
            body: Array((isOn ? "0" : "inf").utf8)
        )
        _ = try await answer(to: request)
    }

    // MARK: Authorities

    /// Makes a root authority that signs, and gives its ARN.
    public func makeAuthority(
        name: String,
        keyAlgorithm: String = "EC_prime256v1"
    ) async throws -> String {
        let arn = try await authorities(
            "CreateCertificateAuthority",
            [
                "CertificateAuthorityType": "ROOT",
                "CertificateAuthorityConfiguration": [
                    "KeyAlgorithm": keyAlgorithm, "SigningAlgorithm": "SHA256WITHECDSA",
                    "Subject": ["CommonName": name],
                ],
            ]
        )["CertificateAuthorityArn"]
        let request = try await authorities("GetCertificateAuthorityCsr", authority(arn))
        let certificate = try await authorities(
            "IssueCertificate",
            [
                "CertificateAuthorityArn": arn ?? "",
                "Csr": Data((request["Csr"] ?? "").utf8).base64EncodedString(),
                "SigningAlgorithm": "SHA256WITHRSA",
                "TemplateArn": "arn:aws:acm-pca:::template/RootCACertificate/V1",
                "Validity": ["Type": "DAYS", "Value": 365],
            ]
        )["CertificateArn"]
        let issued = try await authorities(
            "GetCertificate",
            ["CertificateAuthorityArn": arn ?? "", "CertificateArn": certificate ?? ""]
        )
        _ = try await authorities(
            "ImportCertificateAuthorityCertificate",
            [
                "CertificateAuthorityArn": arn ?? "",
                "Certificate": Data((issued["Certificate"] ?? "").utf8).base64EncodedString(),
            ]
        )
        return arn ?? ""
    }

    /// Changes an authority's state, for example to `DISABLED`.
    public func setStatus(_ status: String, of arn: String) async throws {
        _ = try await authorities(
            "UpdateCertificateAuthority",
            ["CertificateAuthorityArn": arn, "Status": status]
        )
    }

    /// The certificate of an authority, in PEM.
    public func certificate(of arn: String) async throws -> String {
        let answer = try await authorities("GetCertificateAuthorityCertificate", authority(arn))
        return answer["Certificate"] ?? ""
    }

    /// Deletes an authority.
    public func deleteAuthority(_ arn: String) async throws {
        _ = try await authorities("DeleteCertificateAuthority", authority(arn))
    }

    private func authority(_ arn: String?) -> [String: Any] {
        ["CertificateAuthorityArn": arn ?? ""]
    }

    /// What an operation of ACM Private CA answers; values that are not text are left out.
    private func authorities(
        _ operation: String,
        _ input: [String: Any]
    ) async throws -> [String: String] {
        let request = HTTPRequest(
            "POST",
            endpoint + "/",
            headers: [
                HTTPField("Content-Type", "application/x-amz-json-1.1"),
                HTTPField("X-Amz-Target", "ACMPrivateCA.\(operation)"),
                Self.authorization(service: "acm-pca"),
            ],
            body: Array(try JSONSerialization.data(withJSONObject: input))
        )
        let body = Data(try await answer(to: request).utf8)
        let members = try JSONSerialization.jsonObject(with: body) as? [String: Any]
        return (members ?? [:]).compactMapValues { $0 as? String }
    }

    // MARK: Users

    /// Makes a user who may do `actions`, such as `acm-pca:*`.
    public func makeUser(_ name: String, mayDo actions: String?) async throws -> Keys {
        _ = try await query("iam", "CreateUser", ["UserName": name])
        if let actions {
            _ = try await query(
                "iam",
                "PutUserPolicy",
                [
                    "UserName": name, "PolicyName": "all",
                    "PolicyDocument": Self.policy(actions),
                ]
            )
        }
        return Self.keys(try await query("iam", "CreateAccessKey", ["UserName": name]))
    }

    /// Makes a role that may do `actions`, and gives a session of it.
    public func makeSession(_ name: String, mayDo actions: String) async throws -> Keys {
        let role = try await query(
            "iam",
            "CreateRole",
            ["RoleName": name, "AssumeRolePolicyDocument": Self.policy("sts:AssumeRole")]
        )
        _ = try await query(
            "iam",
            "PutRolePolicy",
            ["RoleName": name, "PolicyName": "all", "PolicyDocument": Self.policy(actions)]
        )
        return Self.keys(
            try await query(
                "sts",
                "AssumeRole",
                ["RoleArn": Self.element("Arn", of: role) ?? "", "RoleSessionName": name]
            )
        )
    }

    private static func policy(_ actions: String) -> String {
        #"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"\#(actions)","#
            + #""Resource":"*"}]}"#
    }

    private static func keys(_ answer: String) -> Keys {
        Keys(
            id: element("AccessKeyId", of: answer) ?? "",
            secret: element("SecretAccessKey", of: answer) ?? "",
            token: element("SessionToken", of: answer)
        )
    }

    private static func element(_ name: String, of text: String) -> String? {
        guard let start = text.range(of: "<\(name)>")?.upperBound,
            let end = text.range(of: "</\(name)>", range: start..<text.endIndex)?.lowerBound
        else { return nil }
        return String(text[start..<end])
    }

    private func query(
        _ service: String,
        _ action: String,
        _ parameters: [String: String]
    ) async throws -> String {
        let form = parameters.merging(["Action": action, "Version": "2010-05-08"]) { old, _ in old }
        let body = form.map { name, value in
            "\(name)=\(value.addingPercentEncoding(withAllowedCharacters: .alphanumerics) ?? "")"
        }
        let request = HTTPRequest(
            "POST",
            endpoint + "/",
            headers: [
                HTTPField("Content-Type", "application/x-www-form-urlencoded"),
                Self.authorization(service: service),
            ],
            body: Array(body.joined(separator: "&").utf8)
        )
        return try await answer(to: request)
    }

    /// Names service and region to moto; the signature is checked only after `checkSignatures`.
    private static func authorization(service: String) -> HTTPField {
        let scope = "20260101/\(region)/\(service)/aws4_request"
        return HTTPField(
            "Authorization",
            "AWS4-HMAC-SHA256 Credential=AKIA/\(scope), SignedHeaders=host, Signature=0"
        )
    }

    private func answer(to request: HTTPRequest) async throws -> String {
        let response = try await client.response(to: request)
        guard response.status == 200 else {
            throw ServerFailed(output: "\(response.status) \(response.text)")
        }
        return response.text
    }
}
