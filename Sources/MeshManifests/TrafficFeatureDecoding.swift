import MeshModel

extension Fields {
    /// `rateLimit`.
    func rateLimit() -> RateLimit? {
        let requests = integer("requests", .required, in: Fields.counts)
        let interval = duration("interval", from: .milliseconds(50), "50 ms")
        let burst = integer("burst", in: Fields.counts)
        guard let requests else { return nil }
        if let burst, burst < requests {
            error(
                "burst",
                "\(burst) is less than the \(requests) requests of an interval",
                "use \(requests) or more"
            )
        }
        return RateLimit(requests: requests, interval: interval ?? .seconds(1), burst: burst)
    }

    /// `cors`.
    func corsPolicy() -> CORSPolicy? {
        let origins = objects("allowOrigins", .required, count: 1...Int.max) { $0.stringMatch() }
        let methods = tokens("allowMethods", "method")
        let headers = tokens("allowHeaders", "header name")
        let exposed = tokens("exposeHeaders", "header name")
        let maxAge = duration("maxAge")
        if let maxAge, maxAge != .seconds(maxAge.components.seconds) {
            error("maxAge", "browsers count whole seconds", "use unit s")
        }
        let credentials = bool("allowCredentials")
        return origins.map {
            CORSPolicy(
                allowOrigins: $0,
                allowMethods: methods,
                allowHeaders: headers,
                exposeHeaders: exposed,
                maxAge: maxAge,
                allowCredentials: credentials ?? false
            )
        }
    }

    private func stringMatch() -> StringMatch? {
        union(["exact", "prefix", "suffix", "regex"])
        let lengths = 1...255
        let exact = string("exact", length: lengths).map(StringMatch.exact)
        let prefix = string("prefix", length: lengths).map(StringMatch.prefix)
        let suffix = string("suffix", length: lengths).map(StringMatch.suffix)
        let regex = regex(length: lengths).map(StringMatch.regex)
        return exact ?? prefix ?? suffix ?? regex
    }

    /// A list of HTTP's tokens, each of which is a `noun`.
    private func tokens(_ key: String, _ noun: String) -> [String] {
        let tokens = list(key) { node, path -> String? in
            guard let token = text(node, path, line: node.line, length: 1...255) else { return nil }
            if !isToken(token) {
                report.error(
                    path,
                    line: node.line,
                    "\(quoted(token)) is no \(noun)",
                    "use letters, digits and \"-\""
                )
            }
            return token
        }
        return tokens ?? []
    }

    /// `fault`.
    func fault() -> Fault? {
        let delay = object("delay") { delay -> Fault.Delay? in
            let duration = delay.duration("duration", .required, from: .milliseconds(1), "1 ms")
            let percentage = delay.percentage()
            return duration.map { Fault.Delay(duration: $0, percentage: percentage) }
        }
        let abort = object("abort") { abort -> Fault.Abort? in
            abort.union(["httpStatus", "grpcStatus"])
            let http = abort.integer("httpStatus", in: 200...599).map(Fault.Abort.Status.http)
            let grpc = abort.integer("grpcStatus", in: 0...16).map(Fault.Abort.Status.grpc)
            let percentage = abort.percentage()
            return (http ?? grpc).map { Fault.Abort(status: $0, percentage: percentage) }
        }
        if !has("delay"), !has("abort") {
            error("", "neither delay nor abort is given", "give one or both")
        }
        return Fault(delay: delay, abort: abort)
    }

    /// `mirror`.
    func mirror(_ namespace: String) -> Mirror? {
        let node = targetReference("virtualNode", from: namespace)
        let port = port("port")
        let percentage = percentage()
        return node.map { Mirror(virtualNode: $0, port: port, percentage: percentage) }
    }

    /// `retryBackOff`.
    func retryBackOff() -> RetryBackOff? {
        let base = duration("baseInterval", .required, from: .milliseconds(1), "1 ms")
        let longest = duration("maxInterval")
        guard let base else { return nil }
        if let longest, longest < base {
            error("maxInterval", "it is less than baseInterval", "use baseInterval or more")
        }
        // Ten times the longest of all durations would be none.
        let usual = max(base, min(base * 10, Fields.longestDuration))
        return RetryBackOff(baseInterval: base, maxInterval: longest ?? usual)
    }

    /// `timeout`.
    func policyTimeouts() -> Timeouts? {
        if !has("perRequest"), !has("idle") {
            error("", "neither perRequest nor idle is given", "give one or both")
        }
        return timeouts()
    }

    /// `loadBalancing`.
    func loadBalancing() -> LoadBalancing? {
        if !has("algorithm"), !has("panicThreshold") {
            error("", "neither algorithm nor panicThreshold is given", "give at least one of them")
        }
        let given: LoadBalancing.Algorithm? = choice("algorithm")
        let keys = objects("hashOn", count: 1...Int.max) { $0.hashKey() }
        let threshold = integer("panicThreshold", in: 0...100)
        // What goes with a misspelt algorithm is not known.
        guard given != nil || !has("algorithm") else { return nil }
        let algorithm = given ?? .roundRobin
        if algorithm.isByHash, !has("hashOn") {
            missing("hashOn", "name what \(algorithm.rawValue) hashes, such as [{header: x-user}]")
        } else if !algorithm.isByHash, has("hashOn") {
            error(
                "hashOn",
                "\(algorithm.rawValue) does not hash",
                "remove it, or use RING_HASH or MAGLEV"
            )
        }
        return LoadBalancing(
            algorithm: algorithm,
            hashOn: keys ?? [],
            panicThreshold: threshold
        )
    }

    private func hashKey() -> HashKey? {
        union(["header", "cookie", "queryParameter", "sourceAddress"])
        let header = headerName("header").map(HashKey.header)
        let cookie = object("cookie") { cookie -> HashKey? in
            let name = cookie.string("name", .required, length: 1...255)
            if let name, !isToken(name) {
                cookie.error(
                    "name",
                    "\(quoted(name)) is no cookie's name",
                    "use letters, digits and \"-\""
                )
            }
            let ttl = cookie.duration("ttl")
            return name.map { .cookie(name: $0, ttl: ttl) }
        }
        let parameter = string("queryParameter", length: 1...255).map(HashKey.queryParameter)
        let sourceAddress = bool("sourceAddress")
        if sourceAddress == false {
            error("sourceAddress", "false hashes on nothing", "write true, or remove it")
        }
        return header ?? cookie ?? parameter ?? sourceAddress.map { _ in .sourceAddress }
    }
}

extension Fields {
    /// A duration that is not below `least`, which `words` spell.
    private func duration(
        _ key: String,
        _ presence: Presence = .optional,
        from least: Duration,
        _ words: String
    ) -> Duration? {
        let duration = duration(key, presence)
        if let duration, duration < least {
            error(key, "it is less than \(words)", "use \(words) or more")
        }
        return duration
    }

    /// `percentage` with up to four decimals; by default all.
    private func percentage() -> Percentage {
        guard let entry = entry("percentage") else { return .all }
        let number: Double
        switch entry.value.content {
        case .scalar(.integer(let value, _)): number = Double(value)
        case .scalar(.number(let value, _)): number = value
        case .scalar(.string(let text)) where Double(text) != nil:
            error(
                "percentage",
                "expected a number, found the string \(quoted(text))",
                "remove the quotes"
            )
            return .all
        case .scalar, .sequence, .mapping:
            let found = entry.value.description
            error("percentage", "expected a number, found \(found)", "give a number from 0 to 100")
            return .all
        }
        guard (0...100).contains(number) else {
            error("percentage", "\(entry.value.description) is out of range", "use 0 to 100")
            return .all
        }
        // A percent is ten thousand millionths; as binary fractions, decimals are slightly off.
        let millionths = (number * 10_000).rounded()
        if abs(millionths - number * 10_000) > 0.000_001 {
            error(
                "percentage",
                "\(entry.value.description) has more than four decimals",
                "round it"
            )
        }
        return Percentage(millionths: Int(millionths)) ?? .all
    }
}
