internal import KubernetesAPI
internal import Logging
internal import MeshModel

/// What can't be written, by kind: each spell is told once.
struct WriteTroubles: Sendable {
    private struct Target: Hashable, Comparable {
        var kind: Kind
        var part: ObjectWrite.Part

        /// `virtualnodes.appmesh.k8s.aws/status`, as rights name it.
        var name: String {
            KubernetesResource(kind).qualifiedName + (part == .status ? "/status" : "")
        }

        static func < (left: Target, right: Target) -> Bool {
            (left.kind, left.part.rawValue) < (right.kind, right.part.rawValue)
        }
    }

    private struct Spell {
        /// The objects that were not written.
        var objects: Set<ObjectID> = []
        var denial: Diagnostic?
        /// Until when a kind is not tried that is denied, or that a webhook refuses.
        var until: Duration?
    }

    private var spells: [Target: Spell] = [:]

    /// Until when writes of a kind are not tried, as rights are missing or a webhook refuses them; nil
    /// when neither is so.
    func deniedUntil(_ kind: Kind, _ part: ObjectWrite.Part) -> Duration? {
        spells[Target(kind: kind, part: part)]?.until
    }

    /// What can't be written for lack of rights, sorted.
    var diagnostics: [Diagnostic] { spells.values.compactMap(\.denial).sorted() }

    /// Webhooks come and go, and nobody tells when.
    private static let webhookPause = Duration.seconds(5)

    /// A write begins: where a webhook refused those of its kind, the others wait for what becomes of it.
    mutating func begins(_ kind: Kind, _ part: ObjectWrite.Part, at now: Duration) {
        let target = Target(kind: kind, part: part)
        guard let spell = spells[target], spell.until != nil, spell.denial == nil else { return }
        spells[target]?.until = now + Self.webhookPause
    }

    /// A write failed; gives what to log.
    mutating func failed(
        _ id: ObjectID,
        _ part: ObjectWrite.Part,
        _ error: KubernetesError,
        at now: Duration
    ) -> [LogLine] {
        let target = Target(kind: id.kind, part: part)
        var spell = spells[target] ?? Spell()
        let isDenied = error.isForbidden && !error.isByWebhook
        let isTold = isDenied ? spell.denial != nil : !spell.objects.isEmpty
        spell.objects.insert(id)
        if error.isByWebhook {
            spell.until = now + Self.webhookPause
        } else if error.isForbidden {
            spell.until = now + .seconds(10)
            spell.denial = denial(of: target, error)
        } else if spell.denial == nil {
            spell.until = nil
        }
        spells[target] = spell
        guard !isTold else { return [] }
        return [
            LogLine(
                level: .warning,
                message: "kubernetes objects cannot be written",
                metadata: [
                    "resource": target.name, "object": "\(id)",
                    "problem": isDenied
                        ? spell.denial?.message ?? "" : error.description.truncated(toBytes: 1000),
                ]
            )
        ]
    }

    /// A write succeeded; gives what to log.
    mutating func succeeded(_ id: ObjectID, _ part: ObjectWrite.Part) -> [LogLine] {
        let target = Target(kind: id.kind, part: part)
        guard spells[target] != nil else { return [] }
        spells[target]?.denial = nil
        spells[target]?.until = nil
        return settle(id, target)
    }

    /// An object is gone; gives what to log.
    mutating func forget(_ id: ObjectID) -> [LogLine] {
        [ObjectWrite.Part.status, .finalizers].flatMap { part in
            let target = Target(kind: id.kind, part: part)
            // Nobody knows whether rights are there now.
            return spells[target].map { $0.denial == nil } ?? false ? settle(id, target) : []
        }
    }

    private mutating func settle(_ id: ObjectID, _ target: Target) -> [LogLine] {
        spells[target]?.objects.remove(id)
        guard spells[target]?.objects.isEmpty == true else { return [] }
        spells[target] = nil
        return [
            LogLine(
                level: .notice,
                message: "kubernetes objects can be written again",
                metadata: ["resource": target.name]
            )
        ]
    }

    private func denial(of target: Target, _ error: KubernetesError) -> Diagnostic {
        let kind = target.kind.rawValue
        return Diagnostic(
            .error,
            problem: "\(account(in: error)) may not patch \(target.name), so that "
                + (target.part == .status
                    ? "the status of each \(kind) stays as it is"
                    : "finalizers of App Mesh's controller stay on each \(kind)"),
            remedy: "grant verb patch in a ClusterRole"
        )
    }
}

extension KubernetesError {
    /// Whether a webhook refuses the write, or does not answer.
    ///
    /// The API server has no reason of its own for it: the text is what `webhook/errors` of its library
    /// has said since version 1.9.
    var isByWebhook: Bool {
        problem.contains("failed calling webhook") || problem.contains("admission webhook ")
    }
}
