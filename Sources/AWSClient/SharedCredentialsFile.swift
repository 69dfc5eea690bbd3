/// `~/.aws/credentials`: profiles in brackets, with `key = value` lines below each.
struct SharedCredentialsFile {
    private var profiles: [String: [String: String]] = [:]

    /// Reads profiles; lines that are neither are passed over, as AWS' tools do.
    init(text: String) {
        var profile: String?
        for line in text.split(whereSeparator: \.isNewline) {
            let content = line.trimmingWhitespace()
            if content.isEmpty || content.hasPrefix("#") || content.hasPrefix(";") { continue }
            if content.hasPrefix("["), let end = content.firstIndex(of: "]") {
                let name = content[..<end].dropFirst().trimmingWhitespace()
                profile = name
                profiles[name] = profiles[name] ?? [:]
            } else if let profile, let equals = content.firstIndex(of: "=") {
                let key = content[..<equals].trimmingWhitespace().lowercased()
                let value = content[content.index(after: equals)...].trimmingWhitespace()
                profiles[profile, default: [:]][key] = value
            }
        }
    }

    /// The credentials of `profile`; nil asks for `default`, which may be missing.
    func credentials(of profile: String?) throws(AWSCredentialsProblem) -> AWSCredentials? {
        let name = profile ?? "default"
        guard let values = profiles[name] else {
            guard profile != nil else { return nil }
            let names = profiles.keys.sorted().joined(separator: ", ")
            throw AWSCredentialsProblem(
                problem: "no profile \"\(name)\"",
                remedy:
                    "set AWS_PROFILE to one of: \(names.isEmpty ? "(the file has none)" : names)"
            )
        }
        guard let key = values["aws_access_key_id"], !key.isEmpty,
            let secret = values["aws_secret_access_key"], !secret.isEmpty
        else {
            throw AWSCredentialsProblem(
                problem: "profile \"\(name)\" has not both aws_access_key_id and "
                    + "aws_secret_access_key",
                remedy: "write both; roles and processes of a profile are not followed"
            )
        }
        let token = values["aws_session_token"]
        return AWSCredentials(
            accessKeyID: key,
            secretAccessKey: secret,
            sessionToken: token?.isEmpty == false ? token : nil
        )
    }
}

extension Substring {
    fileprivate func trimmingWhitespace() -> String {
        var text = drop(while: \.isWhitespace)
        while text.last?.isWhitespace == true { text.removeLast() }
        return String(text)
    }
}
