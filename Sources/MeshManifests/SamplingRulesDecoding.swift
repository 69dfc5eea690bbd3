import FoundationEssentials
import MeshModel

extension Fields {
    /// X-Ray's local sampling rules, as they are written.
    ///
    /// https://docs.aws.amazon.com/xray/latest/devguide/xray-sdk-go-configuration.html
    func samplingRules(_ key: String) -> String? {
        guard let text = string(key, length: 1...65_536) else { return nil }
        guard let document = try? BoundedJSON.value(of: Array(text.utf8)[...], depth: 16),
            case .object(let members) = document
        else {
            error(key, "it is no JSON object", "write \(exampleRules)")
            return nil
        }
        var mistakes = RuleMistakes()
        mistakes.check(members)
        for (problem, remedy) in mistakes.errors { error(key, problem, remedy) }
        for (problem, remedy) in mistakes.warnings {
            report.warning(path(of: key), line: line(of: key), problem, remedy)
        }
        return mistakes.errors.isEmpty ? text : nil
    }
}

/// The shortest document of rules.
private let exampleRules =
    #"{"version": 2, "rules": [], "default": {"fixed_target": 1, "rate": 0.05}}"#

/// What is wrong with sampling rules: Envoy passes over rules and whole documents that it does not
/// like, and takes 5 % instead.
private struct RuleMistakes {
    private(set) var errors: [(problem: String, remedy: String)] = []
    private(set) var warnings: [(problem: String, remedy: String)] = []

    mutating func check(_ document: [String: JSONValue]) {
        checkVersion(document["version"])
        checkNames(document, nil, ["version", "rules", "default"])
        switch document["default"] {
        case .object(let rule): check(rule, "default")
        case nil: errors.append(("it has no default rule", "write \(exampleRules)"))
        default: errors.append(("default is no object", "write \(exampleRules)"))
        }
        switch document["rules"] {
        case nil, .array([]): break
        case .array(let rules):
            for (index, rule) in rules.enumerated() {
                if case .object(let rule) = rule {
                    check(rule, "rules[\(index)]")
                } else {
                    errors.append(("rules[\(index)] is no object", "give it fixed_target and rate"))
                }
            }
        default: errors.append(("rules is no list", "write [] for none"))
        }
    }

    private mutating func checkVersion(_ version: JSONValue?) {
        switch version {
        case .integer(2): break
        case .integer(1):
            errors.append(
                (
                    "version 1 is not supported by Envoy",
                    "write version 2, with host in place of service_name"
                )
            )
        case nil: errors.append(("it has no version", "write version 2"))
        default: errors.append(("its version is unknown", "write version 2"))
        }
    }

    private mutating func check(_ rule: [String: JSONValue], _ place: String) {
        switch rule["fixed_target"] {
        case .integer(0...Int(UInt32.max)): break
        case nil:
            errors.append(("\(place) has no fixed_target", "give requests per second, such as 1"))
        default:
            errors.append(
                (
                    "\(place).fixed_target is no number of requests per second",
                    "give an integer, such as 1"
                )
            )
        }
        switch rule["rate"] {
        case .integer(0...1), .number(0...1): break
        case nil: errors.append(("\(place) has no rate", "give a number from 0 to 1, such as 0.05"))
        default: errors.append(("\(place).rate is out of range", "use 0 to 1"))
        }
        for name in ["host", "http_method", "url_path"] {
            guard let value = rule[name], value.string == nil else { continue }
            errors.append(("\(place).\(name) is no string", "quote it, or leave it out for all"))
        }
        // As AWS' own tools write it, the default rule has members that mean nothing.
        let idle = place == "default" ? ["service_name"] : []
        checkNames(
            rule,
            place,
            ["description", "host", "http_method", "url_path", "fixed_target", "rate"] + idle
        )
    }

    private mutating func checkNames(
        _ members: [String: JSONValue],
        _ place: String?,
        _ known: [String]
    ) {
        for name in members.keys.sorted().filter({ !known.contains($0) }).prefix(20) {
            let remedy =
                nearestName(to: name, among: known).map { "did you mean \(quoted($0))?" }
                ?? "known are \(enumeration(known))"
            let of = place.map { " of \($0)" } ?? ""
            warnings.append(("unknown member \(quoted(name))\(of) is ignored", remedy))
        }
    }
}
