import MeshModel

extension Fields {
    /// How a Mesh is traced, from its annotations; nil is not at all.
    func tracing() -> TracingSpec? {
        let name = string(Annotation.tracing.rawValue)
        let provider = name.flatMap(tracingProvider)
        let key = Annotation.tracingEndpoint.rawValue
        let endpoint = endpoint(key, example: provider?.defaultEndpoint ?? .openTelemetry)
        let sampling = traceSampling()
        guard let provider else {
            // Who writes off, means to turn it on again.
            if name == nil { warnOfTracingWithoutProvider() }
            return nil
        }
        if provider == .xRay, let endpoint, !isIPAddress(endpoint.host) {
            error(
                key,
                "\(quoted(endpoint.host)) is a name, and Envoy sends to X-Ray's daemon by IP address",
                "give its IP address, such as \(TelemetryEndpoint.xRay)"
            )
        }
        if provider != .xRay, sampling.rules != nil {
            let key = Annotation.traceSamplingRules.rawValue
            report.warning(
                path(of: key),
                line: line(of: key),
                "sampling rules have no effect with \(provider.rawValue), as they are X-Ray's",
                "give a rate by \(Annotation.traceSampling.rawValue)"
            )
        }
        return TracingSpec(provider: provider, endpoint: endpoint, sampling: sampling)
    }

    /// The provider `name`; nil of `off` and of a wrong name.
    private func tracingProvider(_ name: String) -> TracingSpec.Provider? {
        if let provider = TracingSpec.Provider(rawValue: name) { return provider }
        let off = "off"
        guard name != off else { return nil }
        let names = TracingSpec.Provider.allCases.map(\.rawValue) + [off]
        error(
            Annotation.tracing.rawValue,
            "unknown value \(quoted(name))",
            nearestName(to: name, among: names).map { "did you mean \(quoted($0))?" }
                ?? "use \(alternatives(names))"
        )
        return nil
    }

    private func warnOfTracingWithoutProvider() {
        let others: [Annotation] = [.tracingEndpoint, .traceSampling, .traceSamplingRules]
        for key in others.map(\.rawValue) where has(key) {
            report.warning(
                path(of: key),
                line: line(of: key),
                "it has no effect without \(Annotation.tracing.rawValue)",
                "add that annotation, such as x-ray, or remove this one"
            )
        }
    }

    /// What is traced, from the annotations of a Mesh, a VirtualNode or a VirtualGateway.
    func traceSampling() -> TraceSampling {
        TraceSampling(
            rate: samplingRate(Annotation.traceSampling.rawValue),
            rules: samplingRules(Annotation.traceSamplingRules.rawValue)
        )
    }

    private func samplingRate(_ key: String) -> Double? {
        guard let text = string(key) else { return nil }
        let isDecimal = text.utf8.allSatisfy {
            (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) || $0 == UInt8(ascii: ".")
        }
        if isDecimal, let rate = Double(text), (0...1).contains(rate) { return rate }
        error(
            key,
            "\(quoted(text)) is no share of requests",
            "give a number from 0 to 1, such as \(TraceSampling.defaultRate) for 5 %"
        )
        return nil
    }

    private func endpoint(_ key: String, example: TelemetryEndpoint) -> TelemetryEndpoint? {
        guard let text = string(key) else { return nil }
        if let endpoint = TelemetryEndpoint(text) { return endpoint }
        error(key, "\(quoted(text)) is no endpoint", "write host:port, such as \(example)")
        return nil
    }
}

extension Fields {
    /// Where a mesh's proxies send statistics as DogStatsD.
    func dogStatsD(_ key: String) -> DogStatsDAddress? {
        guard let text = string(key) else { return nil }
        let scheme = "unix:"
        if text.hasPrefix(scheme) {
            let path = String(text.dropFirst(scheme.count))
            // What fits the address of a socket.
            if path.hasPrefix("/"), path.utf8.count <= 107, isOneLine(path) {
                return .unixSocket(path)
            }
            error(
                key,
                "\(quoted(path)) is no path of a socket",
                "write \(scheme) and an absolute path of at most 107 bytes"
            )
            return nil
        }
        guard let endpoint = TelemetryEndpoint(text) else {
            error(
                key,
                "\(quoted(text)) is no address of a DogStatsD server",
                "write 127.0.0.1:8125, or \(scheme) and the path of its socket"
            )
            return nil
        }
        if isIPAddress(endpoint.host) { return .udp(endpoint) }
        error(
            key,
            "\(quoted(endpoint.host)) is a name, and Envoy sends statistics to an IP address",
            "give its IP address, such as 127.0.0.1:\(endpoint.port)"
        )
        return nil
    }

    /// Where a mesh's telemetry goes beyond this host; a text of nothing but spaces is nowhere.
    func telemetryExport(_ key: String) -> TelemetryExport? {
        guard let text = string(key) else { return nil }
        var export = TelemetryExport()
        guard text.contains(where: { $0 != " " }) else { return export }
        for part in text.split(separator: ",", omittingEmptySubsequences: false) {
            let part = trimmed(part)
            let sides = part.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            switch (sides.first.map(String.init) ?? "", sides.dropFirst().first) {
            case ("x-ray", nil): export.xRay = true
            case ("cloudwatch", nil): export.cloudWatch = true
            case ("cloudwatch-logs", nil): export.cloudWatchLogs = true
            case ("otlp", let url):
                guard let url = collectorURL(key, url ?? "") else { continue }
                if let first = export.openTelemetryURL, first != url {
                    error(key, "otlp is given twice", "keep one; a collector can pass it on")
                }
                export.openTelemetryURL = url
            case (let name, _): unknownExport(key, part, name)
            }
        }
        return export
    }

    private func unknownExport(_ key: String, _ part: String, _ name: String) {
        let names = ["x-ray", "cloudwatch", "cloudwatch-logs", "otlp=http://host:4318"]
        let near = nearestName(to: name, among: names.dropLast() + ["otlp"])
        let remedy: String
        if names.contains(name) {
            remedy = "write \(name) without \"=\""
        } else if let near {
            remedy = "did you mean \(quoted(near == "otlp" ? "otlp=http://host:4318" : near))?"
        } else {
            remedy = "use \(alternatives(names)), with commas between"
        }
        error(key, "unknown export \(quoted(part))", remedy)
    }

    /// `url` as `http[s]://host[:port]`, if it is one.
    private func collectorURL(_ key: String, _ url: Substring) -> String? {
        let remedy = "write otlp=http://host:4318; paths are added to it"
        for scheme in ["http://", "https://"] where url.hasPrefix(scheme) {
            var host = url.dropFirst(scheme.count)
            if host.hasSuffix("/") { host = host.dropLast() }
            // A name and a password stay out of messages.
            if host.utf8.contains(UInt8(ascii: "@")) {
                error(key, "the URL of otlp has a user name, which is not sent", remedy)
                return nil
            }
            if isAuthority(host) { return scheme + host }
        }
        let problem =
            url.isEmpty
            ? "otlp is without a URL" : "\(quoted(String(url))) is no URL of a collector"
        error(key, problem, remedy)
        return nil
    }
}

extension TelemetryEndpoint {
    /// Reads `host:port`, with brackets around an IPv6 address.
    fileprivate init?(_ text: String) {
        guard let (host, port) = authority(text[...]), let port else { return nil }
        self.init(host: host, port: port)
    }
}

/// Whether `text` is a host with or without a port.
private func isAuthority(_ text: Substring) -> Bool { authority(text) != nil }

/// The host, without brackets and in lower case, and the port in `text`.
private func authority(_ text: Substring) -> (host: String, port: Port?)? {
    var host = text
    var port: Port?
    if !text.hasSuffix("]"), let colon = text.lastIndex(of: ":") {
        let digits = text[text.index(after: colon)...]
        guard digits.utf8.allSatisfy({ (48...57).contains($0) }),
            let number = Int(digits).flatMap({ Port($0) })
        else { return nil }
        port = number
        host = text[..<colon]
    }
    if host.hasPrefix("["), host.hasSuffix("]") {
        let address = String(host.dropFirst().dropLast())
        return address.utf8.contains(UInt8(ascii: ":")) && isIPAddress(address)
            ? (address, port) : nil
    }
    let name = host.lowercased()
    return isHostName(name[...]) ? (name, port) : nil
}
