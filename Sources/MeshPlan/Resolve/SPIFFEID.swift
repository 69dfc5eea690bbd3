/// A SPIFFE ID, or the URI of a trust domain alone.
///
/// See <https://spiffe.io/docs/latest/spiffe-specs/spiffe-id/>.
struct SPIFFEID: Hashable {
    /// The authority of the URI.
    var trustDomain: String
    /// The path with its leading slash; empty of a trust domain alone.
    var path: String

    /// Reads `spiffe://<trust domain>[/<path>]`; nil when the specification does not allow `text`.
    init?(_ text: String) {
        let scheme = "spiffe://"
        guard text.hasPrefix(scheme), text.utf8.count <= 2048 else { return nil }
        let rest = text.dropFirst(scheme.count)
        let domain = rest.prefix { $0 != "/" }
        let path = rest.dropFirst(domain.count)
        guard (1...255).contains(domain.utf8.count), domain.utf8.allSatisfy(isOfDomain) else {
            return nil
        }
        let segments = path.dropFirst().split(separator: "/", omittingEmptySubsequences: false)
        guard path.isEmpty || segments.allSatisfy(isSegment) else { return nil }
        trustDomain = String(domain)
        self.path = String(path)
    }
}

private func isOfDomain(_ byte: UInt8) -> Bool {
    switch byte {
    case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "0")...UInt8(ascii: "9"),
        UInt8(ascii: "-"), UInt8(ascii: "."), UInt8(ascii: "_"):
        true
    default: false
    }
}

private func isSegment(_ segment: Substring) -> Bool {
    !segment.isEmpty && segment != "." && segment != ".."
        && segment.utf8.allSatisfy {
            isOfDomain($0) || (UInt8(ascii: "A")...UInt8(ascii: "Z")).contains($0)
        }
}
