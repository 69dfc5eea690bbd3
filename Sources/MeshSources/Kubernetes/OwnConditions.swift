internal import MeshModel

extension LiveObject {
    /// The status of an object that never was without mistakes; nil of another.
    func brokenStatus(of id: ObjectID, _ moment: Moment) -> ObjectStatus? {
        guard !mistakes.isEmpty else { return nil }
        let sentences = mistakes.map { mistake in
            var mistake = mistake
            mistake.object = nil
            return mistake.field.isEmpty ? sentence(mistake.message) : ended(mistake.message)
        }
        return ObjectStatus(
            conditions: [
                Condition(
                    type: "\(id.kind.rawValue)Active",
                    status: .false,
                    reason: "Invalid",
                    message: sentences.joined(separator: " "),
                    lastTransitionTimeSeconds: Int(moment.wallSeconds)
                )
            ],
            observedGeneration: generation
        )
    }
}

/// The condition by which a Mesh tells what Heddle may not read or write; nil when it may all.
func accessCondition(_ denials: [Diagnostic], _ moment: Moment) -> Condition? {
    guard !denials.isEmpty else { return nil }
    return Condition(
        type: "KubernetesAccess",
        status: .false,
        reason: "Denied",
        message: denials.map { sentence($0.message) }.joined(separator: " "),
        lastTransitionTimeSeconds: Int(moment.wallSeconds)
    )
}

/// `text` with a capital and a full stop.
private func sentence(_ text: String) -> String {
    text.prefix(1).uppercased() + ended(String(text.dropFirst()))
}

/// `text` with a full stop.
private func ended(_ text: String) -> String {
    text.hasSuffix(".") || text.hasSuffix("?") ? text : text + "."
}
