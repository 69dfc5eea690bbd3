internal import MeshManifests
internal import MeshModel

extension InjectionSettings {
    /// What is wrong with the settings, each with its field and remedy; none when Pods can be injected.
    ///
    /// They are the cluster's, so they are looked at once and not with every Pod.
    public var problems: [String] {
        imageProblems + sidecarProblems + tracingProblems + otherProblems
    }

    private var imageProblems: [String] {
        [
            ("sidecar.image", sidecar.image), ("init.image", initContainer.image),
            ("xray.image", xRay.image),
        ].compactMap { field, image in
            image.repository.isEmpty ? "\(field).repository: empty; name an image" : nil
        }
    }

    private var sidecarProblems: [String] {
        var problems: [String] = []
        let ports = [
            ("sidecar.envoyAdminAccessPort", sidecar.envoyAdminAccessPort),
            ("sidecar.readinessPort", sidecar.readinessPort),
            ("stats.statsdPort", stats.statsdPort),
        ]
        for (field, port) in ports where Port(port) == nil {
            problems.append("\(field): \(port) is not a port; use 1 to 65535")
        }
        if [15000, 15001, sidecar.envoyAdminAccessPort].contains(sidecar.readinessPort) {
            problems.append(
                "sidecar.readinessPort: \(sidecar.readinessPort) is taken by the proxy; use another"
            )
        }
        let levels = ["trace", "debug", "info", "warning", "warn", "error", "critical", "off"]
        if !levels.contains(sidecar.logLevel) {
            problems.append(
                "sidecar.logLevel: unknown value \(quoted(sidecar.logLevel)); use "
                    + levels.joined(separator: ", ")
            )
        }
        let amounts = [
            ("requests.cpu", sidecar.resources.requests.cpu),
            ("requests.memory", sidecar.resources.requests.memory),
            ("limits.cpu", sidecar.resources.limits.cpu),
            ("limits.memory", sidecar.resources.limits.memory),
        ]
        for (field, amount) in amounts
        where !amount.isEmpty && quantity(amount, inThousandths: true) == nil {
            problems.append(
                "sidecar.resources.\(field): \(quoted(amount)) is not a quantity; write one such as "
                    + "250m or 256Mi"
            )
        }
        let seconds = [
            ("lifecycleHooks.preStopDelay", sidecar.lifecycleHooks.preStopDelay, 0),
            ("lifecycleHooks.postStartInterval", sidecar.lifecycleHooks.postStartInterval, 1),
            ("lifecycleHooks.postStartTimeout", sidecar.lifecycleHooks.postStartTimeout, 1),
            ("probes.readinessProbeInitialDelay", sidecar.probes.readinessProbeInitialDelay, 0),
            ("probes.readinessProbePeriod", sidecar.probes.readinessProbePeriod, 1),
        ]
        for (field, value, least) in seconds where !(least...3600).contains(value) {
            problems.append("sidecar.\(field): \(value) is out of range; use \(least) to 3600")
        }
        return problems
    }

    private var tracingProblems: [String] {
        guard tracing.enabled else { return [] }
        var problems: [String] = []
        if tracing.port != 0, Port(tracing.port) == nil {
            problems.append("tracing.port: \(tracing.port) is not a port; use 1 to 65535, or 0")
        }
        guard tracing.provider == .xRay else { return problems }
        if region.isEmpty {
            problems.append("region: empty, and the X-Ray daemon needs it; name an AWS region")
        }
        if !(0...1).contains(tracing.samplingRate) {
            problems.append(
                "tracing.samplingRate should be a decimal between 0 & 1.00, but instead got "
                    + "\(tracing.samplingRate); use a share such as 0.05"
            )
        }
        let levels = ["dev", "debug", "info", "prod", "warn", "error"]
        if !tracing.logLevel.isEmpty, !levels.contains(tracing.logLevel) {
            problems.append(
                "tracing.logLevel: \(quoted(tracing.logLevel)) is not valid; set one of "
                    + levels.joined(separator: ", ")
            )
        }
        if !tracing.role.isEmpty, !tracing.role.hasPrefix("arn:") {
            problems.append(
                "tracing.role: \(quoted(tracing.role)) is not the ARN of a role; write arn:..."
            )
        }
        return problems
    }

    private var otherProblems: [String] {
        var problems: [String] = []
        if sds.enabled, !sds.udsPath.hasPrefix("/") {
            problems.append("sds.udsPath: \(quoted(sds.udsPath)) is not absolute; begin it with /")
        }
        // The server takes no less.
        if !(600...86400).contains(token.expirationSeconds) {
            problems.append(
                "token.expirationSeconds: \(token.expirationSeconds) is out of range; use 600 to 86400"
            )
        }
        if stats.statsdEnabled, stats.statsdSocketPath.isEmpty, !isIPAddress(stats.statsdAddress),
            stats.statsdAddress != "ref:status.hostIP"
        {
            problems.append(
                "stats.statsdAddress: \(quoted(stats.statsdAddress)) is not an IP address, and Envoy "
                    + "takes no name; give one, or ref:status.hostIP"
            )
        }
        if token.audience.isEmpty { problems.append("token.audience: empty; use heddle.dev") }
        if let refusal = PodAnnotations([
            PodAnnotations.Name.egressIgnoredIPs.key: egressIgnoredIPs
        ]).refusals.first {
            problems.append("egressIgnoredIPs: \(refusal.problem); \(refusal.remedy)")
        }
        return problems
    }
}
