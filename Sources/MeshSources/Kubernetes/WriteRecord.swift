internal import MeshModel

/// What is written of an object, and when.
struct WriteRecord {
    enum State {
        case idle
        case writing
        /// Until the informer tells of `version`, or for so long.
        case awaiting(version: String, until: Duration)
        /// Until the informer tells of another than `version`, or for so long.
        case stale(version: String, until: Duration)
    }

    /// What failed, and until when it is not tried again.
    struct BackOff {
        var failures = 0
        var until = Duration.zero
    }

    let uid: String
    var state = State.idle
    /// What was written last, and what the server made of it.
    var settled: (wanted: ObjectStatus, live: JSONValue)?
    var written: ObjectStatus?
    var writtenAt: Duration?
    /// Of each part by itself: a webhook that refuses objects does not refuse their status.
    var backOffs: [ObjectWrite.Part: BackOff] = [:]
    /// How often another changed what was settled.
    var disputes = 0
    var disputedVersion: String?
    /// When App Mesh's finalizers were removed.
    var clearedAt: Duration?
    /// When it was told last that members are in the way.
    var pendingAt: Duration?

    /// What to do while a write is under way or was not seen yet; nil when neither is.
    mutating func wait(_ live: LiveObject, at now: Duration) -> WriteDecision? {
        switch state {
        case .idle: return nil
        case .writing: return .nothing
        case .awaiting(let version, let until):
            if live.resourceVersion == version {
                // What still differs the server does not keep.
                if let written { settled = (written, live.status) }
            } else if now < until, !isVersion(live.resourceVersion, atLeast: version) {
                return .later(until)
            }
            written = nil
        case .stale(let version, let until):
            if live.resourceVersion == version, now < until { return .later(until) }
        }
        state = .idle
        return nil
    }
}

/// What to do with an object.
enum WriteDecision {
    case nothing
    case later(Duration)
    case write(ObjectWrite)
}

/// Whether `version` is `other` or came after it, as far as versions can be compared: they are the
/// revisions of etcd.
private func isVersion(_ version: String, atLeast other: String) -> Bool {
    guard let version = UInt64(version), let other = UInt64(other) else { return version == other }
    return version >= other
}
