package import MeshModel

/// Every field that a manifest of `kind` may have: `spec.listeners[].portMapping.port`.
///
/// The decoders themselves are asked: in a survey a mapping that is absent is decoded as an empty one,
/// and a list as one of one mapping, so that each decoder asks for all its fields, as `Fields` wants it
/// on every path. A free-form mapping such as labels is one field, as a list of strings is.
package func fields(of kind: Kind) -> Set<String> {
    let report = Report(file: nil, isSurvey: true)
    let empty = YAMLNode(content: .mapping([]), line: 0)
    _ = object(kind, in: empty, report)
    return Set((report.survey ?? []).map { $0.replacing("[0]", with: "[]") })
}

/// What a list is in a survey.
var oneMapping: YAMLNode.Content { .sequence([YAMLNode(content: .mapping([]), line: 0)]) }

extension Report {
    /// What stands for the absent field `key` in a survey; nil otherwise, and for fields that hold no
    /// others.
    func surveyed(_ key: String, as content: YAMLNode.Content?) -> YAMLNode.Entry? {
        guard survey != nil, let content else { return nil }
        return YAMLNode.Entry(key: key, line: 0, value: YAMLNode(content: content, line: 0))
    }
}
