internal import Glibc

/// A TCP socket that listens for proxies elsewhere.
enum TCPListener {
    /// Listens on `host`, an IPv4 or IPv6 address, and `port`; 0 is one that is free.
    ///
    /// - Returns: the listening descriptor.
    /// - Throws: `ListenError`.
    static func listen(host: String, port: UInt16) throws(ListenError) -> CInt {
        let name = host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)"
        func failure(_ problem: String) -> ListenError { ListenError(path: name, problem: problem) }
        var hints = addrinfo()
        hints.ai_flags = AI_NUMERICHOST | AI_PASSIVE
        hints.ai_socktype = CInt(SOCK_STREAM.rawValue)
        var found: UnsafeMutablePointer<addrinfo>?
        guard getaddrinfo(host, String(port), &hints, &found) == 0, let address = found else {
            throw failure(
                "\"\(host)\" is no IP address; give one in --xds-address, as 0.0.0.0:18000"
            )
        }
        defer { freeaddrinfo(found) }
        let type = CInt(SOCK_STREAM.rawValue) | CInt(SOCK_CLOEXEC.rawValue)
        let descriptor = socket(address.pointee.ai_family, type, 0)
        guard descriptor >= 0 else { throw failure(UnixSocket.message(errno)) }
        var one: CInt = 1
        let size = socklen_t(MemoryLayout<CInt>.size)
        setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &one, size)
        guard bind(descriptor, address.pointee.ai_addr, address.pointee.ai_addrlen) == 0,
            Glibc.listen(descriptor, 4096) == 0
        else {
            let code = errno
            close(descriptor)
            let remedy =
                switch code {
                case EADDRINUSE: "; stop the other process or pass --xds-address"
                case EADDRNOTAVAIL: "; give an address of this host in --xds-address"
                case EACCES: "; give a port above 1023 in --xds-address"
                default: ""
                }
            throw failure(UnixSocket.message(code) + remedy)
        }
        return descriptor
    }

    /// The port on which `descriptor` listens.
    static func port(of descriptor: CInt) -> UInt16 {
        // As large as an address of either family; the port stands in one place in both.
        var address = [UInt8](repeating: 0, count: 28)
        var size = socklen_t(address.count)
        let result = address.withUnsafeMutableBytes {
            getsockname(descriptor, $0.assumingMemoryBound(to: sockaddr.self).baseAddress, &size)
        }
        return result == 0 ? UInt16(address[2]) << 8 | UInt16(address[3]) : 0
    }
}
