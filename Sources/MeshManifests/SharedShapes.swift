import MeshModel

// The shapes that several kinds share.

extension Fields {
    /// The counts that Envoy keeps in 32 bits.
    static let counts = 1...Int(UInt32.max)
    /// The longest duration: Envoy counts in nanoseconds, of which 64 bits hold 292 years.
    static let longestDuration = Duration.seconds(9_223_372_035)
    /// The lengths of an `awsName`.
    static let nameLengths = 1...255

    /// `awsName`; empty counts as absent.
    ///
    /// It becomes part of resource names, of Envoy's node id and, of a virtual service, the
    /// authority that requests name; so it has the characters of those.
    func awsName(default name: String) -> String {
        let given = string("awsName", length: 0...255) ?? ""
        let isName = given.utf8.allSatisfy { byte in
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "."),
                UInt8(ascii: "_"), UInt8(ascii: ":"):
                true
            default: false
            }
        }
        if !isName {
            error(
                "awsName",
                "\(quoted(given)) has characters that no host or resource name has",
                "use letters, digits, \"-\", \".\" and \"_\""
            )
        }
        return given.isEmpty ? name : given
    }

    /// A label selector.
    func selector(_ key: String) -> LabelSelector? {
        object(key) { fields in
            let requirements = fields.objects("matchExpressions") { $0.selectorRequirement() }
            return LabelSelector(
                matchLabels: fields.stringMap("matchLabels") ?? [:],
                matchExpressions: requirements ?? []
            )
        }
    }

    private func selectorRequirement() -> LabelSelector.Requirement? {
        let key = string("key", .required, length: 1...317)
        let `operator`: LabelSelector.Requirement.Operator? = choice("operator", .required)
        let values = strings("values") ?? []
        guard let key, let `operator` else { return nil }
        switch `operator` {
        case .in, .notIn:
            if values.isEmpty {
                error("values", "\(`operator`.rawValue) compares with no values", "give values")
            }
        case .exists, .doesNotExist:
            if !values.isEmpty {
                let name = `operator`.rawValue
                error("values", "\(name) does not compare with values", "remove the values")
            }
        }
        return LabelSelector.Requirement(key: key, operator: `operator`, values: values)
    }

    /// `meshRef` or `virtualGatewayRef`.
    func designatedReference(_ key: String) -> DesignatedReference? {
        object(key) { fields in
            let name = fields.string("name", .required)
            let namespace = fields.string("namespace")
            let uid = fields.string("uid", .required)
            guard let name, let uid else { return nil }
            return DesignatedReference(name: name, namespace: namespace, uid: uid)
        }
    }

    /// `{name, namespace}`, the namespace being the holder's by default.
    func objectReference(from holder: String) -> ObjectReference? {
        let name = string("name", .required, length: 1...253)
        let namespace = string("namespace", length: 0...63) ?? ""
        return name.map {
            ObjectReference(namespace: namespace.isEmpty ? holder : namespace, name: $0)
        }
    }

    /// Exactly one of `<type>Ref` and `<type>ARN`.
    func targetReference(_ type: String, from holder: String) -> TargetReference? {
        union(["\(type)Ref", "\(type)ARN"])
        let reference = object("\(type)Ref") { $0.objectReference(from: holder) }
        let arn = string("\(type)ARN").flatMap { targetReference(arn: $0, type) }
        return reference.map(TargetReference.object) ?? arn
    }

    /// The object of the type `type` that `arn` names.
    private func targetReference(arn: String, _ type: String) -> TargetReference? {
        let parts = arn.split(separator: ":", maxSplits: 5, omittingEmptySubsequences: false)
        let resource = parts.last?.split(separator: "/", omittingEmptySubsequences: false) ?? []
        if parts.count == 6, parts[0] == "arn", parts[2] == "appmesh", resource.count == 4,
            resource[0] == "mesh", resource[2] == type, !resource[3].isEmpty
        {
            return .arn(awsName: String(resource[3]), arn: arn)
        }
        error(
            "\(type)ARN",
            "\(quoted(arn)) is not the ARN of a \(type)",
            "write arn:<partition>:appmesh:<region>:<account>:mesh/<mesh>/\(type)/<name>"
        )
        return nil
    }

    /// `{unit, value}`.
    func duration(_ key: String, _ presence: Presence = .optional) -> Duration? {
        object(key, presence) { fields in
            let unit: TimeUnit? = fields.choice("unit", .required)
            let seconds = Int(Fields.longestDuration.components.seconds)
            let longest = unit == .seconds ? seconds : seconds * 1000
            guard let value = fields.integer("value", .required, in: 0...longest), let unit else {
                return nil
            }
            switch unit {
            case .seconds: return .seconds(value)
            case .milliseconds: return .milliseconds(value)
            }
        }
    }

    /// `logging`.
    func accessLog() -> AccessLog? {
        object("logging") { logging in
            logging.object("accessLog") { accessLog in
                accessLog.object("file", .required) { file in
                    let format = file.object("format") { $0.accessLogFormat() }
                    return file.string("path", .required, length: 1...255).map {
                        AccessLog(path: $0, format: format)
                    }
                }
            }
        }
    }

    private func accessLogFormat() -> AccessLog.Format? {
        union(["json", "text"])
        let text = string("text", length: 1...1000)
        if let text { checkOperators(in: text, path(of: "text"), line: line(of: "text")) }
        var lines: [String: Int] = [:]
        let json = objects("json", count: 1...Int.max) { fields -> AccessLog.JSONField? in
            let key = fields.string("key", .required, length: 1...100)
            if let key, let first = lines.updateValue(fields.line(of: "key"), forKey: key) {
                report.warning(
                    fields.path(of: "key"),
                    line: fields.line(of: "key"),
                    "duplicate key \(quoted(key))\(lineWords(first)); only one is written",
                    "rename one"
                )
            }
            let value = fields.string("value", .required, length: 1...100)
            guard let key, let value else { return nil }
            checkOperators(in: value, fields.path(of: "value"), line: fields.line(of: "value"))
            return AccessLog.JSONField(key: key, value: value)
        }
        return text.map(AccessLog.Format.text) ?? json.map(AccessLog.Format.json)
    }

    /// Reports the command operators in `format` that Envoy refuses.
    func checkOperators(in format: String, _ path: String, line: Int) {
        for mistake in formatMistakes(format) {
            report.error(path, line: line, mistake.problem, mistake.remedy)
        }
    }
}

/// `unit` of a duration.
private enum TimeUnit: String, CaseIterable {
    case seconds = "s"
    case milliseconds = "ms"
}
