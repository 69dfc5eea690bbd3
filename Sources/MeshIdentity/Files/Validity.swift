internal import MeshModel

/// From when to when a certificate is of use, in seconds since 1970.
struct Validity: Hashable, Sendable {
    var notBeforeSeconds: Int
    var notAfterSeconds: Int

    /// Whether the moment `now` is within.
    func contains(_ now: Duration) -> Bool {
        notBeforeSeconds <= now.wholeSeconds && now.wholeSeconds < notAfterSeconds
    }

    /// Why it is of no use at `now`; nil when it is.
    func problem(at now: Duration) -> String? {
        let now = now.wholeSeconds
        if now < notBeforeSeconds {
            return "it begins in \(span(notBeforeSeconds - now)) "
                + "(\(timestamp(secondsSince1970: notBeforeSeconds))); is the clock right?"
        }
        if now >= notAfterSeconds {
            return "it ended \(span(now - notAfterSeconds)) ago "
                + "(\(timestamp(secondsSince1970: notAfterSeconds))); put a new one there"
        }
        return nil
    }
}

extension Validity {
    /// What becomes of a certificate for which there is no newer one at `now`.
    func rest(at now: Duration) -> String {
        let end = timestamp(secondsSince1970: notAfterSeconds)
        return now.wholeSeconds < notAfterSeconds
            ? "the one before stays in use until \(end)"
            : "the one before ended at \(end), so peers refuse it"
    }
}

extension Duration {
    /// Without the fraction.
    var wholeSeconds: Int { Int(components.seconds) }
}

/// `3 days`, the largest unit of which there are two or more.
private func span(_ seconds: Int) -> String {
    for (unit, length) in [("days", 86400), ("hours", 3600), ("minutes", 60)]
    where seconds >= 2 * length {
        return "\(seconds / length) \(unit)"
    }
    return seconds == 1 ? "1 second" : "\(seconds) seconds"
}
