import MeshModel

extension Fields {
    /// `metadata` of an object of the kind `kind`.
    func metadata(of kind: Kind) -> Metadata? {
        let name = string("name", .required)
        if let name, !isName(name, withDots: kind != .namespace) {
            error(
                "name",
                "\(quoted(name)) is not a valid name",
                "use lower-case letters, digits and \"-\", beginning and ending with a letter or digit"
            )
        }
        let namespace = namespace(of: kind)
        let labels = stringMap("labels") ?? [:]
        let annotations = stringMap("annotations") ?? [:]
        checkAnnotations(of: kind)
        let uid = string("uid") ?? ""
        let generation = integer("generation", in: 0...Int.max) ?? 1
        let version = string("resourceVersion") ?? ""
        let created = string("creationTimestamp").flatMap(secondsSince1970) ?? 0
        // What else Kubernetes writes here. It means nothing to a mesh.
        for key in Fields.otherMetadata { _ = entry(key) }
        return name.map {
            Metadata(
                name: $0,
                namespace: namespace,
                uid: uid,
                generation: generation,
                resourceVersion: version,
                creationTimestampSeconds: created,
                labels: labels,
                annotations: annotations
            )
        }
    }

    private static let otherMetadata = [
        "clusterName", "deletionGracePeriodSeconds", "deletionTimestamp", "finalizers",
        "generateName", "managedFields", "ownerReferences", "selfLink",
    ]

    private func namespace(of kind: Kind) -> String {
        let namespace = string("namespace") ?? ""
        guard kind.isNamespaced else {
            if !namespace.isEmpty {
                report.warning(
                    path(of: "namespace"),
                    line: line(of: "namespace"),
                    "a \(kind.rawValue) has no namespace; \(quoted(namespace)) is ignored",
                    "remove it"
                )
                report.prune(path(of: "namespace"))
            }
            return ""
        }
        guard !namespace.isEmpty else { return defaultNamespace }
        if !isName(namespace, withDots: false) {
            error(
                "namespace",
                "\(quoted(namespace)) is not a valid namespace",
                "use lower-case letters, digits and \"-\", beginning and ending with a letter or digit"
            )
        }
        return namespace
    }
}

/// The namespace of objects that name none.
let defaultNamespace = "default"

/// Whether `name` is a DNS label, or with dots a DNS subdomain (RFC 1123), as Kubernetes asks of names.
private func isName(_ name: String, withDots: Bool) -> Bool {
    guard name.utf8.count <= (withDots ? 253 : 63) else { return false }
    let labels =
        withDots ? name.split(separator: ".", omittingEmptySubsequences: false) : [name[...]]
    return labels.allSatisfy { label in
        guard let first = label.utf8.first, let last = label.utf8.last else { return false }
        return first != UInt8(ascii: "-") && last != UInt8(ascii: "-")
            && label.utf8.allSatisfy {
                switch $0 {
                case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "0")...UInt8(ascii: "9"),
                    UInt8(ascii: "-"):
                    true
                default: false
                }
            }
    }
}

/// The seconds from 1970 to `text`, a time as Kubernetes writes it: `2026-07-14T09:30:00Z`.
private func secondsSince1970(_ text: String) -> Int? {
    let bytes = Array(text.utf8)
    guard bytes.count == 20, bytes[10] == UInt8(ascii: "T"), bytes[19] == UInt8(ascii: "Z") else {
        return nil
    }
    func number(_ range: Range<Int>) -> Int? {
        Int(String(decoding: bytes[range], as: UTF8.self)).flatMap { $0 >= 0 ? $0 : nil }
    }
    guard let year = number(0..<4), let month = number(5..<7), let day = number(8..<10),
        let hour = number(11..<13), let minute = number(14..<16), let second = number(17..<19)
    else { return nil }
    // Days since 1970 in the Gregorian calendar, counting years from March.
    let shifted = month > 2 ? year : year - 1
    let dayOfYear = (153 * ((month + 9) % 12) + 2) / 5 + day - 1
    let days = shifted * 365 + shifted / 4 - shifted / 100 + shifted / 400 + dayOfYear - 719_468
    return days * 86400 + hour * 3600 + minute * 60 + second
}
