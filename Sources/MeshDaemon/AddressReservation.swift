internal import Glibc
internal import MeshPlan

/// Keeps two daemons on one host from giving the same addresses to different proxies: Envoys that
/// listen on one address and port share its connections without a word.
///
/// It is a socket bound to the last address of each range, which no proxy gets.
final class AddressReservation: Sendable {
    private let sockets: [Int32]

    /// Reserves `ranges`.
    ///
    /// - Throws: `DaemonError` when another daemon has one of them.
    init(_ ranges: AddressRanges) throws {
        var sockets: [Int32] = []
        for bytes in [ranges.ingress, ranges.egress] {
            let file = socket(AF_INET, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
            sockets.append(file)
            var address = sockaddr_in()
            address.sin_family = sa_family_t(AF_INET)
            address.sin_port = in_port_t(15000).bigEndian
            let number = UInt32(bytes[0]) << 24 | UInt32(bytes[1]) << 16 | 0xffff
            address.sin_addr.s_addr = number.bigEndian
            let isBound = withUnsafePointer(to: &address) { pointer in
                pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                    bind(file, $0, socklen_t(MemoryLayout<sockaddr_in>.size)) == 0
                }
            }
            guard isBound else {
                let reason = String(cString: strerror(errno)).lowercased()
                sockets.forEach { close($0) }
                throw DaemonError(
                    "cannot use the proxy addresses \(bytes[0]).\(bytes[1]).0.0/16: \(reason); "
                        + "another heddle may have them: pass other --proxy-addresses, such as "
                        + "127.76.0.0/16,127.77.0.0/16"
                )
            }
        }
        self.sockets = sockets
    }

    deinit { sockets.forEach { close($0) } }
}
