import Glibc
import MeshModel
import MeshPlan

/// Finds out when an application takes connections on all its ports.
struct ListeningProbe: Sendable {
    private let address: String
    private let ports: [Port]

    init(_ application: ApplicationPlan) {
        address = application.address
        ports = application.ports
    }

    /// Waits until every port takes connections.
    ///
    /// - Returns: false when `stop` is set first, or the task is cancelled.
    func untilListening(stop: StopFlag) async -> Bool {
        var pause = Duration.milliseconds(10)
        while !stop.isSet, !Task.isCancelled {
            var missing = ports[...]
            while let port = missing.first, await takesConnections(port) { missing.removeFirst() }
            if missing.isEmpty { return true }
            try? await Task.sleep(for: pause)
            pause = min(pause * 2, .milliseconds(250))
        }
        return false
    }

    /// Whether a connection can be made: on one host at once, elsewhere within 50 ms.
    private func takesConnections(_ port: Port) async -> Bool {
        var hints = addrinfo()
        hints.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV
        hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
        var found: UnsafeMutablePointer<addrinfo>?
        guard getaddrinfo(address, port.description, &hints, &found) == 0, let found else {
            return false
        }
        defer { freeaddrinfo(found) }
        let flags = Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue | SOCK_NONBLOCK.rawValue)
        let file = socket(found.pointee.ai_family, flags, 0)
        guard file >= 0 else { return false }
        defer { close(file) }
        if connect(file, found.pointee.ai_addr, found.pointee.ai_addrlen) == 0 { return true }
        guard errno == EINPROGRESS else { return false }
        try? await Task.sleep(for: .milliseconds(50))
        var waiting = pollfd(fd: file, events: Int16(POLLOUT), revents: 0)
        guard poll(&waiting, 1, 0) == 1 else { return false }
        var problem: Int32 = 0
        var size = socklen_t(MemoryLayout<Int32>.size)
        return getsockopt(file, SOL_SOCKET, SO_ERROR, &problem, &size) == 0 && problem == 0
    }
}
