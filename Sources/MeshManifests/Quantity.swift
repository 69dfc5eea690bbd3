/// The number that a Kubernetes quantity such as `250m`, `0.5` or `256Mi` stands for, in
/// thousandths when `inThousandths`; rounded up, as Kubernetes does.
///
/// - Parameters:
///   - text: The quantity.
///   - inThousandths: Whether a thousandth counts as one, as of processor time.
/// - Returns: nil when `text` is no quantity, is negative, or is too large.
public func quantity(_ text: String, inThousandths: Bool) -> Int? {
    let digits = Array(text.utf8.prefix { isDigit($0) || $0 == UInt8(ascii: ".") })
    let parts = digits.split(separator: UInt8(ascii: "."), omittingEmptySubsequences: false)
    guard parts.count <= 2, digits.contains(where: isDigit), digits.count <= 16 else { return nil }
    let fraction = parts.count == 2 ? parts[1].count : 0
    let mantissa = parts.joined().reduce(0) { $0 * 10 + Int($1 - UInt8(ascii: "0")) }
    guard let suffix = suffix(text.utf8.dropFirst(digits.count)) else { return nil }
    let (base, overflow) = mantissa.multipliedReportingOverflow(by: suffix.factor)
    guard !overflow else { return nil }
    return scaled(base, tenToThe: suffix.exponent - fraction + (inThousandths ? 3 : 0))
}

/// What follows the digits of a quantity: a factor, and a power of ten.
private func suffix(_ bytes: Substring.UTF8View.SubSequence) -> (factor: Int, exponent: Int)? {
    let text = String(Substring(bytes))
    switch text {
    case "": return (1, 0)
    case "m": return (1, -3)
    case "k": return (1, 3)
    case "M": return (1, 6)
    case "G": return (1, 9)
    case "T": return (1, 12)
    case "P": return (1, 15)
    case "Ki": return (1 << 10, 0)
    case "Mi": return (1 << 20, 0)
    case "Gi": return (1 << 30, 0)
    case "Ti": return (1 << 40, 0)
    case "Pi": return (1 << 50, 0)
    default:
        guard text.first == "e" || text.first == "E", let exponent = Int(text.dropFirst()),
            (-18...18).contains(exponent)
        else { return nil }
        return (1, exponent)
    }
}

/// `value` times ten to the power of `exponent`, rounded up; nil when that is too large.
private func scaled(_ value: Int, tenToThe exponent: Int) -> Int? {
    var result = value
    for _ in 0..<max(exponent, 0) {
        let (product, overflow) = result.multipliedReportingOverflow(by: 10)
        guard !overflow else { return nil }
        result = product
    }
    var isInexact = false
    for _ in 0..<max(-exponent, 0) {
        let (quotient, remainder) = result.quotientAndRemainder(dividingBy: 10)
        isInexact = isInexact || remainder != 0
        result = quotient
    }
    guard isInexact else { return result }
    return result == .max ? nil : result + 1
}

private func isDigit(_ byte: UInt8) -> Bool {
    (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte)
}
