internal import Glibc

/// A TCP port of 127.0.0.1 that nobody listens on, for servers that cannot choose one themselves.
///
/// It is outside the range from which the system chooses ports by itself, so that nobody gets it by
/// chance before the server does.
///
/// - Throws: When a hundred ports in a row are taken.
public func unusedPort() throws -> Int {
    for _ in 0..<100 {
        let port = UInt16.random(in: 20_000..<32_000)
        let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        defer { close(descriptor) }
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = port.bigEndian
        address.sin_addr = in_addr(s_addr: UInt32(0x7f00_0001).bigEndian)
        let size = socklen_t(MemoryLayout<sockaddr_in>.size)
        let result = withUnsafePointer(to: address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(descriptor, $0, size)
            }
        }
        if result == 0 { return Int(port) }
    }
    throw NotSeen(last: "no port of 127.0.0.1 is unused")
}
