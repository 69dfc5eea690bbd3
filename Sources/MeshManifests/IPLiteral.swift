/// Whether `text` is an IPv4 or IPv6 address, without zone and port.
public func isIPAddress(_ text: String) -> Bool {
    text.utf8.contains(UInt8(ascii: ":")) ? isIPv6Address(text) : isIPv4Address(text[...])
}

private func isIPv4Address(_ text: Substring) -> Bool {
    let parts = text.split(separator: ".", omittingEmptySubsequences: false)
    return parts.count == 4
        && parts.allSatisfy { part in
            (1...3).contains(part.utf8.count) && part.utf8.allSatisfy { (0x30...0x39).contains($0) }
                && (part == "0" || !part.hasPrefix("0")) && UInt8(part) != nil
        }
}

private func isIPv6Address(_ text: String) -> Bool {
    guard text.utf8.count <= 45, let halves = splitAtDoubleColon(text) else { return false }
    var groups = 0
    for (index, half) in halves.enumerated() where !half.isEmpty {
        var parts = half.split(separator: ":", omittingEmptySubsequences: false)
        if index == halves.count - 1, let last = parts.last, last.utf8.contains(UInt8(ascii: ".")) {
            guard isIPv4Address(last) else { return false }
            parts.removeLast()
            groups += 2
        }
        groups += parts.count
        guard parts.allSatisfy(isHexadecimalGroup) else { return false }
    }
    return halves.count == 2 ? groups < 8 : groups == 8
}

/// What stands on both sides of the `::`, or all of `text`; nil when there are several.
private func splitAtDoubleColon(_ text: String) -> [Substring]? {
    let bytes = Array(text.utf8)
    let colon = UInt8(ascii: ":")
    let cuts = bytes.indices.dropLast().filter { bytes[$0] == colon && bytes[$0 + 1] == colon }
    guard let cut = cuts.first else { return [text[...]] }
    guard cuts.count == 1 else { return nil }
    let index = text.utf8.index(text.startIndex, offsetBy: cut)
    return [text[..<index], text[text.utf8.index(index, offsetBy: 2)...]]
}

private func isHexadecimalGroup(_ group: Substring) -> Bool {
    (1...4).contains(group.utf8.count)
        && group.utf8.allSatisfy {
            switch $0 {
            case 0x30...0x39, 0x41...0x46, 0x61...0x66: true
            default: false
            }
        }
}
