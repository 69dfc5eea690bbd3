internal import Foundation
internal import HTTPClient

/// A TCP proxy before a server, whose connections fail as networks let them.
///
/// It is an HTTP proxy, too: a connection that begins with `CONNECT host:port` is passed on to there.
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

    /// What went through so far.
    public struct Counts: Decodable, Sendable {
        /// How many connections were accepted.
        public var connections: Int
        /// How many of them have not ended.
        public var open: Int
        /// How many bytes came from the server.
        public var received: Int
        /// The heads of `CONNECT` requests.
        public var requests: [String]
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

    /// Passes nothing on any more over the connections that are there, and never closes them, as a
    /// router does that has forgotten them; new ones are not concerned.
    public func freeze() async throws { try await ask("freeze") }

    /// What went through so far.
    public func counts() async throws -> Counts { try await ask("counts") }

    @discardableResult
    private func ask(_ command: String) async throws -> Counts {
        let response = try await client.response(to: HTTPRequest("GET", "\(control)/\(command)"))
        return try JSONDecoder().decode(Counts.self, from: Data(response.body))
    }

    private static let script = #"""
        import asyncio, json, sys
        host, port, listener = sys.argv[1], int(sys.argv[2]), None
        counts = {"connections": 0, "open": 0, "received": 0, "requests": []}
        writers, frozen = set(), set()
        async def pump(reader, writer, counted):
            try:
                while data := await reader.read(65536):
                    await gate.wait()
                    if writer in frozen: await asyncio.Event().wait()
                    if counted: counts["received"] += len(data)
                    writer.write(data)
                    await writer.drain()
                if writer in frozen: await asyncio.Event().wait()
            except OSError: pass
            finally: writer.close()
        async def connect(reader, writer):
            first, place = await reader.read(8), (host, port)
            if first == b"CONNECT ":
                head = first + await reader.readuntil(b"\r\n\r\n")
                # All names are this host.
                place, first = ("127.0.0.1", int(head.split()[1].rsplit(b":", 1)[1])), b""
                counts["requests"].append(head.decode())
            server = await asyncio.open_connection(*place)
            if not first: writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
            server[1].write(first)
            return server
        async def accept(reader, writer):
            counts["connections"] += 1
            counts["open"] += 1
            writers.add(writer)
            ends = [writer]
            try:
                await gate.wait()
                server_reader, server_writer = await connect(reader, writer)
                ends.append(server_writer)
                writers.add(server_writer)
                await asyncio.gather(
                    pump(reader, server_writer, False), pump(server_reader, writer, True))
            except (OSError, asyncio.IncompleteReadError): writer.transport.abort()
            finally:
                counts["open"] -= 1
                writers.difference_update(ends)
        async def listen(port):
            global listener
            listener = await asyncio.start_server(accept, "127.0.0.1", port)
            return listener.sockets[0].getsockname()[1]
        async def control(reader, writer):
            global listener
            command = (await reader.readline()).split()[1].decode()[1:]
            if command == "cut":
                for each in list(writers): each.transport.abort()
            if command == "freeze": frozen.update(writers)
            if command == "stall": gate.clear()
            if command in ("serve", "refuse"): gate.set()
            if command == "refuse" and listener:
                listener.close()
                listener = None
            if command in ("serve", "stall") and not listener: await listen(own_port)
            text = json.dumps(counts).encode()
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
