extension String {
    /// The text without what a terminal would obey or print in another order: control characters, and
    /// marks and overrides of direction, each as U+FFFD.
    ///
    /// What manifests and proxies say reaches terminals.
    var printable: String {
        guard unicodeScalars.contains(where: \.isObeyed) else { return self }
        return String(
            String.UnicodeScalarView(unicodeScalars.map { $0.isObeyed ? "\u{FFFD}" : $0 })
        )
    }
}

extension String {
    /// The same, with tabs as they are.
    var printableWithTabs: String {
        split(separator: "\t", omittingEmptySubsequences: false)
            .map { String($0).printable }
            .joined(separator: "\t")
    }
}

extension Unicode.Scalar {
    fileprivate var isObeyed: Bool {
        switch value {
        case 0..<0x20, 0x7F..<0xA0: true
        case 0x061C, 0x200E...0x200F, 0x202A...0x202E, 0x2066...0x2069: true
        default: false
        }
    }
}
