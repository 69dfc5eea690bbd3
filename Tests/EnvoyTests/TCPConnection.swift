import Foundation

/// A TCP connection from a test to a proxy.
struct TCPConnection: Sendable {
    private let descriptor: Int32

    /// Runs `body` with a connection to `port` of an IPv4 address, which ends with it.
    static func run(
        _ address: String,
        port: Int,
        _ body: (TCPConnection) async throws -> Void
    ) async throws {
        let descriptor = try await onThread { try open(address, port) }
        defer { close(descriptor) }
        try await withTaskCancellationHandler {
            try await body(TCPConnection(descriptor: descriptor))
        } onCancel: {
            shutdown(descriptor, Int32(SHUT_RDWR))
        }
    }

    private static func open(_ address: String, _ port: Int) throws -> Int32 {
        let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        var name = sockaddr_in()
        name.sin_family = sa_family_t(AF_INET)
        name.sin_port = in_port_t(port).bigEndian
        name.sin_addr.s_addr = inet_addr(address)
        let result = withUnsafePointer(to: &name) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
        guard result == 0 else {
            close(descriptor)
            throw ConnectionRefused(address: address, port: port)
        }
        return descriptor
    }

    /// Sends `line`; what is answered up to the end of a line, nil when the connection ended instead.
    func exchange(_ line: String) async throws -> String? {
        let descriptor = descriptor
        return try await onThread {
            let bytes = Array("\(line)\n".utf8)
            guard send(descriptor, bytes, bytes.count, Int32(MSG_NOSIGNAL)) > 0 else {
                return nil
            }
            var answer: [UInt8] = []
            while let byte = receive(from: descriptor) {
                if byte == UInt8(ascii: "\n") { return String(decoding: answer, as: UTF8.self) }
                answer.append(byte)
            }
            return nil
        }
    }

    /// Waits until the other side ends the connection.
    func end() async throws {
        let descriptor = descriptor
        try await onThread { while receive(from: descriptor) != nil {} }
    }
}

/// Nobody took a connection.
struct ConnectionRefused: Error {
    var address: String
    var port: Int
}

/// What `body` returns, on a thread of its own: a test has few to wait with.
private func onThread<Value: Sendable>(
    _ body: @Sendable @escaping () throws -> Value
) async throws -> Value {
    try await withCheckedThrowingContinuation { continuation in
        Thread { continuation.resume(with: Result { try body() }) }.start()
    }
}

/// The next byte, nil after the last.
private func receive(from descriptor: Int32) -> UInt8? {
    var byte: UInt8 = 0
    return recv(descriptor, &byte, 1, 0) == 1 ? byte : nil
}
