internal import Foundation
internal import HTTPClient

/// A TCP proxy before a server, whose connections fail as networks let them.
public final class ConnectionProxy: Sendable {
    /// How it treats connections.
    public enum Mode: String, Sendable {
        /// Passes all on.
        case serve
        /// Accepts connections and keeps those that are there, and passes nothing on.
        case stall
        /// Accepts no connections; those that are there go on.
        case refuse
    }

    /// The scheme of the server, with the address of this proxy.
    public let endpoint: String
    private let control: String
    private let process: ServerProcess
    private let client = HTTPClient()

    /// Starts a proxy before `server`, such as `https://127.0.0.1:6443`.
    public init(_ server: String) async throws {
        guard let url = URL(string: server), let host = url.host, let port = url.port else {
            throw ServerFailed(output: "\(server) has no host and port")
        }
        process = try await .start(
            ["python3", "-c", Self.script, host, "\(port)"],
            until: "listening on"
        )
        let ports = process.line.split(separator: " ").suffix(2)
        endpoint = "\(url.scheme ?? "http")://127.0.0.1:\(ports.first ?? "")"
        control = "http://127.0.0.1:\(ports.last ?? "")"
    }

    /// Treats connections so from now on; what was held up is passed on.
    public func set(_ mode: Mode) async throws { try await ask(mode.rawValue) }

    /// Breaks all connections that are there.
    public func cut() async throws { try await ask("cut") }

    /// How many connections were accepted so far.
    public func connectionCount() async throws -> Int { try await ask("count") }

    @discardableResult
    private func ask(_ command: String) async throws -> Int {
        let response = try await client.response(to: HTTPRequest("GET", "\(control)/\(command)"))
        guard let count = Int(response.text) else { throw ServerFailed(output: response.text) }
        return count
    }

    private static let script = #"""
        import asyncio, sys
        host, port, count, writers, listener = sys.argv[1], int(sys.argv[2]), 0, set(), None
        async def pump(reader, writer):
            try:
                while data := await reader.read(65536):
                    await gate.wait()
                    writer.write(data)
                    await writer.drain()
            except OSError: pass
            finally: writer.close()
        async def accept(reader, writer):
            global count
            count += 1
            writers.add(writer)
            try:
                await gate.wait()
                server_reader, server_writer = await asyncio.open_connection(host, port)
            except OSError:
                writers.discard(writer)
                return writer.transport.abort()
            writers.add(server_writer)
            await asyncio.gather(pump(reader, server_writer), pump(server_reader, writer))
            writers.difference_update((writer, server_writer))
        async def listen(port):
            global listener
            listener = await asyncio.start_server(accept, "127.0.0.1", port)
            return listener.sockets[0].getsockname()[1]
        async def control(reader, writer):
            global listener
            command = (await reader.readline()).split()[1].decode()[1:]
            if command == "cut":
                for each in list(writers): each.transport.abort()
            if command == "stall": gate.clear()
            if command in ("serve", "refuse"): gate.set()
            if command == "refuse" and listener:
                listener.close()
                listener = None
            if command in ("serve", "stall") and not listener: await listen(own_port)
            text = str(count).encode()
            while (await reader.readline()).strip(): pass
            writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s"
                % (len(text), text))
            await writer.drain()
            writer.close()
        async def main():
            global gate, own_port
            gate = asyncio.Event()
            gate.set()
            own_port = await listen(0)
            server = await asyncio.start_server(control, "127.0.0.1", 0)
            print("listening on", own_port, server.sockets[0].getsockname()[1], flush=True)
            await asyncio.Event().wait()
        asyncio.run(main())
        """#
}
