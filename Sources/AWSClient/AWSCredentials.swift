/// What requests to AWS are signed with.
///
/// Guarantee: it describes itself without the keys, so that no log and no message can show them.
public struct AWSCredentials: Hashable, Sendable, CustomStringConvertible, CustomReflectable {
    /// `AWS_ACCESS_KEY_ID`.
    public var accessKeyID: String
    /// `AWS_SECRET_ACCESS_KEY`.
    public var secretAccessKey: String
    /// `AWS_SESSION_TOKEN`; nil with keys that do not expire.
    public var sessionToken: String?

    /// Makes credentials.
    public init(accessKeyID: String, secretAccessKey: String, sessionToken: String? = nil) {
        self.accessKeyID = accessKeyID
        self.secretAccessKey = secretAccessKey
        self.sessionToken = sessionToken
    }

    /// `AWS credentials`, and no more.
    public var description: String { "AWS credentials" }
    /// Shows nothing.
    public var customMirror: Mirror { Mirror(self, children: [:]) }

    /// Whether the keys are what a header field and a signature can carry.
    var areVisibleASCII: Bool {
        [accessKeyID, secretAccessKey, sessionToken ?? ""].allSatisfy {
            $0.utf8.allSatisfy { $0 > 0x20 && $0 < 0x7F }
        }
    }

    /// `text` without these keys.
    ///
    /// AWS answers a wrong signature with the text that it would have signed, token included.
    func redacted(from text: String) -> String {
        [sessionToken, secretAccessKey, accessKeyID].compactMap(\.self).reduce(text) { text, key in
            key.count < 4
                ? text
                : text.split(separator: key, omittingEmptySubsequences: false)
                    .joined(separator: "***")
        }
    }
}

/// Why there are no credentials, or none that could be read.
struct AWSCredentialsProblem: Error, Hashable {
    /// What is wrong.
    var problem: String
    /// What to do about it.
    var remedy: String
}
