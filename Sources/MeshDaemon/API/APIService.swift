import FoundationEssentials
import Glibc
import HTTPTypes
import Hummingbird
public import Logging
import NIOCore
public import ServiceLifecycle
internal import XDSServer

/// Serves the local API on a Unix socket and, if asked to, on a TCP port of this host.
public struct APIService: Service {
    private let handler: APIHandler
    private let socketPath: String
    private let address: HostAndPort?
    private let isForThisHost: Bool
    private let logger: Logger
    private let onListening: @Sendable (_ port: Int?) async -> Void

    /// Makes the service.
    ///
    /// - Parameters:
    ///   - state: What to show.
    ///   - socketPath: Where the Unix socket goes; only this user may connect. A stale one is
    ///     replaced.
    ///   - address: Where to listen for TCP too; nil is nowhere.
    ///   - isForThisHost: Whether other hosts that reach `address` get health and metrics only.
    ///   - logs: Where logs come from.
    ///   - rotation: Replaces certificates when asked to on the Unix socket; nil refuses.
    ///   - accessCounts: What access control has done so far, for `/metrics`.
    ///   - usage: What each proxy uses at the moment.
    ///   - upgrade: Upgrades proxies when asked to on the Unix socket; nil refuses.
    ///   - monitoring: What `/metrics` tells beside all that.
    ///   - telemetry: What happens in the mesh.
    ///   - waiting: What readiness waits for beside the first plan, or what that waits for, one line each.
    ///   - logger: Where to report to.
    ///   - onListening: Called each time a listener is ready: nil for the Unix socket, else the
    ///     TCP port.
    public init(
        state: APIState,
        socketPath: String,
        address: HostAndPort? = nil,
        isForThisHost: Bool = false,
        logs: @escaping LogSource,
        rotation: RotationHandler? = nil,
        accessCounts: @escaping @Sendable () -> [AccessCount] = { [] },
        usage: @escaping UsageSource = { [:] },
        upgrade: UpgradeHandler? = nil,
        monitoring: MonitoringSources = MonitoringSources(),
        telemetry: TelemetrySources = TelemetrySources(),
        waiting: @escaping @Sendable () -> [String] = { [] },
        logger: Logger,
        onListening: @escaping @Sendable (_ port: Int?) async -> Void = { _ in }
    ) {
        handler = APIHandler(
            state: state,
            logs: logs,
            nowSeconds: { Int(Date.now.timeIntervalSince1970) },
            rotation: rotation,
            accessCounts: accessCounts,
            usage: usage,
            upgrade: upgrade,
            monitoring: monitoring,
            telemetry: telemetry,
            waiting: waiting
        )
        self.socketPath = socketPath
        self.address = address
        self.isForThisHost = isForThisHost
        self.logger = logger
        self.onListening = onListening
    }

    /// Serves until a graceful shutdown, then removes the socket.
    public func run() async throws {
        let socket = try PrivateSocket(path: socketPath)
        defer { socket.remove() }
        var listeners: [any Service] = [ClosureService { try await serveSocket(socket) }]
        if let address { listeners.append(ClosureService { try await serveTCP(address) }) }
        // If one fails the other shall not go on alone. It is shut down, not cancelled: NIO's
        // servers trap when they are cancelled while a connection comes in.
        let group = ServiceGroupConfiguration(
            services: listeners.map {
                ServiceGroupConfiguration.ServiceConfiguration(
                    service: $0,
                    failureTerminationBehavior: .gracefullyShutdownGroup
                )
            },
            logger: quietLogger
        )
        try await ServiceGroup(configuration: group).run()
    }

    private func serveSocket(_ socket: PrivateSocket) async throws {
        let application = Application(
            responder: responder(isSocket: true),
            configuration: ApplicationConfiguration(
                address: .unixDomainSocket(path: socket.bindPath)
            ),
            onServerRunning: { channel in
                do {
                    try await pauseWithoutDescriptors(channel).get()
                    try socket.publish()
                    await onListening(nil)
                } catch {
                    logger.error("cannot publish the API socket", metadata: ["error": "\(error)"])
                    channel.close(promise: nil)
                }
            },
            logger: quietLogger
        )
        try await application.run()
    }

    /// Serves on `address`, once it can be had: until then the Unix socket serves alone, as clients of
    /// this host and all proxies go on without a port that another program has.
    private func serveTCP(_ address: HostAndPort) async throws {
        var told: String?
        while true {
            do {
                return try await listenTCP(address)
            } catch let error as IOError {
                let problem = APIServiceError.bindFailed(address, error.errnoCode).description
                if told != problem { logger.warning("\(problem)") }
                told = problem
            }
            do {
                try await cancelWhenGracefulShutdown { try await Task.sleep(for: .seconds(2)) }
            } catch { return }
        }
    }

    private func listenTCP(_ address: HostAndPort) async throws {
        let application = Application(
            responder: responder(isSocket: false),
            configuration: ApplicationConfiguration(
                address: .hostname(address.host, port: address.port)
            ),
            onServerRunning: { channel in
                try? await pauseWithoutDescriptors(channel).get()
                await onListening(channel.localAddress?.port)
            },
            logger: quietLogger
        )
        try await application.run()
    }

    /// Hummingbird reports each listener at level info; the composition reports ours.
    private var quietLogger: Logger {
        var logger = logger
        logger.logLevel = max(logger.logLevel, .notice)
        return logger
    }

    private func responder(isSocket: Bool) -> CallbackResponder<APIRequestContext> {
        CallbackResponder { request, context in
            var response: APIResponse
            if !isSocket, let failure = failure(of: request, context) {
                response = .document(failure.document, status: failure.code)
            } else {
                response = await handler.respond(
                    to: APIRequest(
                        method: request.method.rawValue,
                        target: request.uri.string,
                        accept: request.headers[.accept] ?? "",
                        ifNoneMatch: request.headers[.ifNoneMatch] ?? "",
                        isFromSocket: isSocket
                    )
                )
            }
            handler.state.countResponse(response.status)
            return httpResponse(response, to: request)
        }
    }

    /// Why a request over TCP is refused; nil when it is not.
    private func failure(of request: Request, _ context: APIRequestContext) -> APIFailure? {
        guard isForThisHost, !context.isFromThisHost else {
            return hostFailure(request.head.authority)
        }
        return isPublic(path: request.uri.string) ? nil : .forbiddenPeer
    }

    private func httpResponse(_ response: APIResponse, to request: Request) -> Response {
        let body =
            switch response.body {
            case .bytes(let bytes): ResponseBody(byteBuffer: ByteBuffer(bytes: bytes))
            case .stream(let stream):
                ResponseBody { writer in
                    // Unsafe only to the compiler: one task after the other uses it.
                    nonisolated(unsafe) var output = writer
                    // Ends the stream when the client goes, even if nothing is to be written.
                    do {
                        try await request.body.consumeWithCancellationOnInboundClose { _ in
                            try await stream { try await output.write(ByteBuffer(bytes: $0)) }
                        }
                    } catch is CancellationError {}
                    try await output.finish(nil)
                }
            }
        var headers: HTTPFields = [
            .contentType: response.contentType, .cacheControl: "no-cache, private",
        ]
        for field in PagePolicy.allHeaders + response.headers { headers[field.name] = field.value }
        return Response(
            status: HTTPResponse.Status(code: response.status),
            headers: headers,
            body: body
        )
    }
}

/// Refuses requests whose `Host` is a name other than localhost: a page on the web that points its
/// own name at 127.0.0.1 could otherwise read the API through the user's browser (DNS rebinding).
func hostFailure(_ authority: String?) -> APIFailure? {
    guard let authority else { return nil }
    guard let host = HostAndPort(authority, defaultPort: 80)?.host.lowercased() else {
        return .forbiddenHost(authority)
    }
    let digits = host.contains(":") ? "0123456789abcdef:." : "0123456789."
    let isAddress = host.allSatisfy { digits.contains($0) }
    return isAddress || host == "localhost" || host == "localhost." ? nil : .forbiddenHost(host)
}

/// A host and a port, such as `127.0.0.1:18001` or `[::1]:18001`.
public struct HostAndPort: Hashable, Sendable, CustomStringConvertible {
    /// The host, without brackets.
    public var host: String
    /// The port; 0 lets the system choose.
    public var port: Int

    /// Makes the address `host:port`.
    public init(host: String, port: Int) {
        self.host = host
        self.port = port
    }

    /// Reads `host:port`; without `:port` it is `defaultPort`, and nil if there is no default.
    public init?(_ text: String, defaultPort: Int? = nil) {
        var host = text[...]
        var port = defaultPort
        let end = text.hasPrefix("[") ? text.firstIndex(of: "]") : nil
        if let colon = text.lastIndex(of: ":"), colon > end ?? text.startIndex {
            guard let number = Int(text[text.index(after: colon)...]) else { return nil }
            port = number
            host = text[..<colon]
        }
        if host.hasPrefix("["), host.hasSuffix("]") { host = host.dropFirst().dropLast() }
        guard let port, (0...65535).contains(port), !host.isEmpty else { return nil }
        self.init(host: String(host), port: port)
    }

    /// `host:port`.
    public var description: String { host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)" }
}

/// Why the API cannot be served.
public enum APIServiceError: Error, Hashable, CustomStringConvertible {
    /// The TCP address cannot be had at present, for the system's reason.
    case bindFailed(HostAndPort, Int32)
    /// Another daemon answers on the Unix socket.
    case socketInUse(String)
    /// A system call on the Unix socket failed.
    case socket(path: String, problem: String)

    /// The problem and its remedy.
    public var description: String {
        switch self {
        case .bindFailed(let address, let code):
            code == EADDRINUSE
                ? "cannot listen on \(address) for the API: address in use; only the Unix socket "
                    + "serves it until the other process is stopped; else pass --http-address"
                : "cannot listen on \(address) for the API: "
                    + "\(String(cString: strerror(code)).lowercased()); only the Unix socket serves "
                    + "it until that is mended; else pass --http-address"
        case .socketInUse(let path):
            "another heddle is running on \(path); stop it or pass another --state-dir"
        case .socket(let path, let problem): "cannot listen on \(path): \(problem)"
        }
    }
}
