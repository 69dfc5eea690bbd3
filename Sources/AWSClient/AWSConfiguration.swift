internal import FoundationEssentials

/// Which region and which endpoints AWS' own tools would use.
///
/// The region is `AWS_REGION`, `AWS_DEFAULT_REGION` or that of the profile `AWS_PROFILE` in
/// `AWS_CONFIG_FILE` (default `~/.aws/config`). An endpoint is `AWS_ENDPOINT_URL_<SERVICE>`, else
/// `AWS_ENDPOINT_URL`, else AWS' own of the region.
///
/// The file is read for every question, so an edited one counts at once.
public struct AWSConfiguration: Sendable {
    private let environment: [String: String]

    /// Reads `environment`; empty variables are as if they were not there.
    public init(environment: [String: String]) {
        self.environment = environment.filter { !$0.value.isEmpty }
    }

    /// AWS X-Ray.
    ///
    /// - Throws: `AWSError` of the kind `notConfigured`, without a region.
    public func xRay() throws(AWSError) -> AWSService {
        AWSService(
            name: "xray",
            region: try region(for: "X-Ray"),
            endpoint: endpoint("XRAY"),
            targetPrefix: nil
        )
    }

    /// Amazon CloudWatch, to which forms are submitted.
    ///
    /// - Throws: `AWSError` of the kind `notConfigured`, without a region.
    public func cloudWatch() throws(AWSError) -> AWSService {
        AWSService(
            name: "monitoring",
            region: try region(for: "CloudWatch"),
            endpoint: endpoint("CLOUDWATCH"),
            targetPrefix: nil,
            permissionPrefix: "cloudwatch"
        )
    }

    /// Amazon CloudWatch Logs.
    ///
    /// - Throws: `AWSError` of the kind `notConfigured`, without a region.
    public func cloudWatchLogs() throws(AWSError) -> AWSService {
        AWSService(
            name: "logs",
            region: try region(for: "CloudWatch Logs"),
            endpoint: endpoint("CLOUDWATCH_LOGS"),
            targetPrefix: "Logs_20140328"
        )
    }

    private func endpoint(_ service: String) -> String? {
        if environment["AWS_IGNORE_CONFIGURED_ENDPOINT_URLS"]?.lowercased() == "true" { return nil }
        return environment["AWS_ENDPOINT_URL_\(service)"] ?? environment["AWS_ENDPOINT_URL"]
    }

    private func region(for service: String) throws(AWSError) -> String {
        if let region = environment["AWS_REGION"] ?? environment["AWS_DEFAULT_REGION"] {
            return region
        }
        if let region = regionOfProfile() { return region }
        let kind = AWSError.Kind.notConfigured
        throw AWSError(
            kind: kind,
            request: service,
            problem: "no AWS region is set",
            remedy: kind.remedy(service: service, operation: "")
        )
    }

    /// The `region` of the profile's section in the shared configuration file.
    private func regionOfProfile() -> String? {
        let path =
            environment["AWS_CONFIG_FILE"] ?? (environment["HOME"] ?? "") + "/.aws/config"
        guard let data = FileManager.default.contents(atPath: path) else { return nil }
        let profile = environment["AWS_PROFILE"] ?? "default"
        var isInside = false
        for line in String(decoding: data, as: UTF8.self).split(whereSeparator: \.isNewline) {
            let words = line.split(whereSeparator: \.isWhitespace)
            guard let first = words.first, !first.hasPrefix("#"), !first.hasPrefix(";") else {
                continue
            }
            if first.hasPrefix("[") {
                let name = words.joined(separator: " ").filter { $0 != "[" && $0 != "]" }
                let parts = name.split(separator: " ")
                isInside =
                    parts == [profile[...]]
                    || parts.first == "profile" && parts.dropFirst().elementsEqual([profile[...]])
            } else if isInside {
                let parts = words.joined().split(separator: "=", maxSplits: 1)
                if parts.count == 2, parts[0].lowercased() == "region" { return String(parts[1]) }
            }
        }
        return nil
    }
}
