internal import MeshModel

/// The ranges from which proxies on one host take their addresses.
public struct AddressRanges: Hashable, Sendable, CustomStringConvertible {
    /// The first two bytes of ingress addresses.
    public var ingress: [UInt8]
    /// The first two bytes of egress addresses.
    public var egress: [UInt8]

    /// 127.66.0.0/16 for ingress and 127.67.0.0/16 for egress.
    public static let loopback = AddressRanges(ingress: [127, 66], egress: [127, 67])

    private init(ingress: [UInt8], egress: [UInt8]) {
        self.ingress = ingress
        self.egress = egress
    }

    /// Parses `127.66.0.0/16,127.67.0.0/16`: two different /16 ranges of the loopback network,
    /// ingress first; nil for anything
    /// else, and for 127.0.0.0/16, where applications listen.
    public init?(_ text: String) {
        let ranges = text.split(separator: ",", omittingEmptySubsequences: false).map { range in
            let suffix = ".0.0/16"
            guard range.hasSuffix(suffix) else { return [UInt8]() }
            let bytes = range.dropLast(suffix.count).split(
                separator: ".",
                omittingEmptySubsequences: false
            )
            return bytes.compactMap { UInt8($0) }
        }
        guard ranges.count == 2, ranges.allSatisfy({ $0.count == 2 && $0[0] == 127 && $0[1] != 0 }),
            ranges[0] != ranges[1]
        else { return nil }
        self.init(ingress: ranges[0], egress: ranges[1])
    }

    /// `127.66.0.0/16,127.67.0.0/16`.
    public var description: String {
        "\(ingress[0]).\(ingress[1]).0.0/16,\(egress[0]).\(egress[1]).0.0/16"
    }

    /// Whether both addresses are within the ranges.
    func contains(_ addresses: ProxyAddresses) -> Bool {
        addresses.ingress.hasPrefix("\(ingress[0]).\(ingress[1]).")
            && addresses.egress.hasPrefix("\(egress[0]).\(egress[1]).")
    }

    /// Whether `address` is in one of the ranges.
    func contain(_ address: String) -> Bool {
        [ingress, egress].contains { address.hasPrefix("\($0[0]).\($0[1]).") }
    }

    /// How many proxies the ranges hold.
    static let capacity = 256 * 254

    /// The addresses of the proxy number `slot`, from 0; never x.x.x.0 or x.x.x.255.
    func addresses(at slot: Int) -> ProxyAddresses {
        let (high, low) = (slot / 254, slot % 254 + 1)
        return ProxyAddresses(
            ingress: "\(ingress[0]).\(ingress[1]).\(high).\(low)",
            egress: "\(egress[0]).\(egress[1]).\(high).\(low)"
        )
    }
}

/// Addresses for `proxies`, those in `table` kept, and the lowest free ones given to new proxies in
/// the order of their names.
///
/// Entries of proxies that are gone stay while there are free addresses, so that a proxy which
/// comes back has the address it had, and none takes over one that is still draining. Addresses that
/// are not of `ranges`, as after these were moved, are given up.
func assignAddresses(
    to proxies: some Sequence<ProxyID>,
    keeping table: [ProxyID: ProxyAddresses],
    from ranges: AddressRanges
) -> [ProxyID: ProxyAddresses] {
    var assigned = table.filter { ranges.contains($0.value) }
    var used = Set(assigned.values.map(\.ingress))
    var slot = 0
    let proxies = proxies.sorted()
    for proxy in proxies where assigned[proxy] == nil {
        if used.count >= AddressRanges.capacity {
            let wanted = Set(proxies)
            guard let gone = assigned.keys.filter({ !wanted.contains($0) }).min() else { break }
            assigned[proxy] = assigned.removeValue(forKey: gone)
            continue
        }
        while used.contains(ranges.addresses(at: slot).ingress) { slot += 1 }
        let addresses = ranges.addresses(at: slot)
        used.insert(addresses.ingress)
        assigned[proxy] = addresses
    }
    return assigned
}
