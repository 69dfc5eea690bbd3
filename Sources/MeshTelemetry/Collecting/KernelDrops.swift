internal import FoundationEssentials
internal import Glibc
internal import MeshModel

/// Datagrams that the kernel had no room for, as the receiver did not take them in time.
enum KernelDrops {
    /// How many the socket at `address` lost since it was made; 0 where the kernel does not tell.
    static func count(at address: TelemetryEndpoint) -> Int {
        let tables = ["/proc/self/net/udp", "/proc/self/net/udp6"]
        return tables.reduce(0) { sum, path in
            // Files of the kernel have no size, and so are read to their end.
            let table = (try? Data(contentsOf: URL(fileURLWithPath: path))) ?? Data()
            return sum + count(in: String(decoding: table, as: UTF8.self), at: address)
        }
    }

    /// The last column of the lines whose second is `address`; of an IPv6 address the port decides.
    static func count(in table: String, at address: TelemetryEndpoint) -> Int {
        var number = in_addr()
        let isIPv4 = inet_pton(AF_INET, address.host, &number) == 1
        // The kernel shows the four bytes as a number of this machine.
        let host = isIPv4 ? hexadecimal(UInt32(number.s_addr), digits: 8) : ""
        let place = "\(host):\(hexadecimal(UInt32(address.port.number), digits: 4))"
        return table.split(separator: "\n").dropFirst().reduce(0) { sum, line in
            let columns = line.split(separator: " ")
            guard columns.count > 2, let drops = columns.last.flatMap({ Int($0) }) else {
                return sum
            }
            let isOurs = isIPv4 ? columns[1] == place : columns[1].hasSuffix(place)
            return isOurs ? sum + drops : sum
        }
    }

    private static func hexadecimal(_ number: UInt32, digits: Int) -> String {
        let text = String(number, radix: 16, uppercase: true)
        return String(repeating: "0", count: max(0, digits - text.count)) + text
    }
}
