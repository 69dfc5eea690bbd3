import MeshModel

/// Gives objects from files what Kubernetes' API server gives its own: uid, creation time,
/// generation and resource version.
struct ObjectLedger: Sendable {
    private struct Entry {
        var metadata: Metadata
        var document: JSONValue
    }

    private var entries: [ObjectID: Entry] = [:]
    private var revision = 0

    /// The objects with their metadata completed, ordered by identity.
    ///
    /// Objects of the last call that are not among them count as deleted. `now` is the time since 1970.
    mutating func enter(_ objects: [MeshObject], at now: Duration) -> [MeshObject] {
        var present: [ObjectID: Entry] = [:]
        var completed: [MeshObject] = []
        for var object in objects.sorted(by: { $0.id < $1.id }) {
            let entry = entry(for: object, at: now)
            present[object.id] = entry
            object.metadata = entry.metadata
            completed.append(object)
        }
        entries = present
        return completed
    }

    private mutating func entry(for object: MeshObject, at now: Duration) -> Entry {
        let document = object.manifest.document
        var metadata = object.metadata
        guard let last = entries[object.id], accepts(metadata.uid, after: last.metadata.uid) else {
            metadata.generation = 1
            metadata.creationTimestampSeconds = Int(now.components.seconds)
            // A dump of a cluster has uids, and its references name them.
            if metadata.uid.isEmpty { metadata.uid = uid(of: object.id, createdAt: now) }
            metadata.resourceVersion = nextVersion(at: now)
            return Entry(metadata: metadata, document: document)
        }
        metadata.uid = last.metadata.uid
        metadata.generation = last.metadata.generation
        metadata.creationTimestampSeconds = last.metadata.creationTimestampSeconds
        metadata.resourceVersion = last.metadata.resourceVersion
        if document["spec"] != last.document["spec"] { metadata.generation += 1 }
        if document != last.document || metadata != last.metadata {
            metadata.resourceVersion = nextVersion(at: now)
        }
        return Entry(metadata: metadata, document: document)
    }

    /// Whether an object whose manifest says the uid `uid` may be the one that had `last`.
    private func accepts(_ uid: String, after last: String) -> Bool { uid.isEmpty || uid == last }

    /// A version above all before it, in this run and in earlier ones: it starts from the clock.
    private mutating func nextVersion(at now: Duration) -> String {
        let (seconds, attoseconds) = now.components
        revision = max(revision + 1, Int(seconds) * 1000 + Int(attoseconds / 1_000_000_000_000_000))
        return String(revision)
    }
}

/// A uid made from what an object is and when it appeared: a UUID of version 8 that holds the
/// FNV-1a hash of both.
func uid(of id: ObjectID, createdAt now: Duration) -> String {
    let (seconds, attoseconds) = now.components
    var hash: UInt128 = 0x6C62_272E_07BB_0142_62B8_2175_6295_C58D
    for byte in "\(id.kind.rawValue)/\(id.namespace)/\(id.name)@\(seconds).\(attoseconds)".utf8 {
        hash = (hash ^ UInt128(byte)) &* 0x0100_0000_0000_0000_0000_013B
    }
    hash = hash & ~(0xF << 76) | 8 << 76
    hash = hash & ~(0x3 << 62) | 2 << 62
    var digits = String(hash, radix: 16)
    digits = String(repeating: "0", count: 32 - digits.count) + digits
    var text = ""
    for (index, digit) in digits.enumerated() {
        if [8, 12, 16, 20].contains(index) { text += "-" }
        text.append(digit)
    }
    return text
}
