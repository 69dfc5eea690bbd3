/// Asks HTTP and HTTPS servers over TCP and Unix sockets.
///
/// libcurl works on a thread of its own, one for each client, and sleeps there when nothing is
/// asked. Connections are kept and used again. Redirects are not followed; statuses of 400 and
/// above are responses like others. Proxies that the environment names are not used. Each request
/// says by which settings its connection comes about.
///
/// Errors: `HTTPError`, or `CancellationError` when the task is cancelled, which aborts the
/// request.
public final class HTTPClient: Sendable {
    private let loop: TransferLoop

    /// Makes a client and starts its thread.
    ///
    /// With `maxConnectionsPerHost`, further requests wait until one of the connections is free.
    public init(maxConnectionsPerHost: Int? = nil) {
        loop = TransferLoop(maxConnectionsPerHost: maxConnectionsPerHost)
    }

    deinit { loop.stop() }

    /// Ends the thread; requests under way fail.
    public func shutDown() { loop.stop() }

    /// When anything was received last, for whatever request; nil when nothing ever was.
    public var lastReceipt: ContinuousClock.Instant? { loop.lastReceipt }

    /// The response to `request` with its whole body, which may have `bodyLimit` bytes, counted as they
    /// are read: decompressed.
    public func response(
        to request: HTTPRequest,
        bodyLimit: Int = 16 * 1024 * 1024
    ) async throws -> HTTPResponse {
        let stream = try await stream(request)
        return HTTPResponse(head: stream.head, body: try await stream.body.whole(limit: bodyLimit))
    }

    /// The response to `request` as soon as its head is there; its body arrives meanwhile.
    ///
    /// When the body is read slowly the server is slowed down too. Giving up the body aborts the
    /// request.
    public func stream(_ request: HTTPRequest) async throws -> HTTPResponseStream {
        if let problem = request.signatureProblem {
            throw HTTPError(
                kind: .failed,
                request: request.summary,
                reason: "cannot be signed for AWS: the request \(problem)"
            )
        }
        let exchange = Exchange(request)
        let transfer = RunningTransfer(
            id: loop.start(request, exchange),
            loop: loop,
            exchange: exchange,
            client: self,
            summary: request.summary
        )
        let head = try await transfer.abortingWhenCancelled { try await exchange.head() }
        return HTTPResponseStream(head: head, body: HTTPBody(transfer: transfer))
    }
}

/// A response whose body arrives while it is read.
public struct HTTPResponseStream: Sendable {
    /// Status and header fields.
    public var head: HTTPResponseHead
    /// The body.
    public var body: HTTPBody
}

/// The body of a response in chunks as they arrive; it can be read once.
public struct HTTPBody: AsyncSequence, Sendable {
    /// Bytes received.
    public typealias Element = [UInt8]

    fileprivate let transfer: RunningTransfer

    /// All of it, which may be `limit` bytes.
    ///
    /// - Throws: `HTTPError` when it is more, or when it does not come whole.
    public func whole(limit: Int) async throws -> [UInt8] {
        var body: [UInt8] = []
        for try await bytes in self {
            guard body.count + bytes.count <= limit else {
                throw HTTPError(
                    kind: .bodyTooLarge,
                    request: transfer.summary,
                    reason: "the response is larger than \(limit) bytes"
                )
            }
            body += bytes
        }
        return body
    }

    /// Starts reading.
    public func makeAsyncIterator() -> Iterator { Iterator(transfer: transfer) }

    /// Reads the chunks of a body.
    public struct Iterator: AsyncIteratorProtocol {
        fileprivate let transfer: RunningTransfer

        /// The next chunk; nil after the last.
        public mutating func next() async throws -> [UInt8]? {
            let transfer = transfer
            return try await transfer.abortingWhenCancelled {
                try await transfer.exchange.bytes { transfer.loop.resume(transfer.id) }
            }
        }
    }
}

/// A transfer that ends when nobody reads it any more.
private final class RunningTransfer: Sendable {
    let id: TransferLoop.ID
    let loop: TransferLoop
    let exchange: Exchange
    /// Keeps the client, and so its thread, while a response is read.
    private let client: HTTPClient
    let summary: String

    init(
        id: TransferLoop.ID,
        loop: TransferLoop,
        exchange: Exchange,
        client: HTTPClient,
        summary: String
    ) {
        self.id = id
        self.loop = loop
        self.exchange = exchange
        self.client = client
        self.summary = summary
    }

    deinit {
        if !exchange.isOver { loop.cancel(id, CancellationError()) }
    }

    func abortingWhenCancelled<Value: Sendable>(
        _ operation: () async throws -> Value
    ) async throws -> Value {
        try await withTaskCancellationHandler {
            try await operation()
        } onCancel: {
            exchange.finish(CancellationError())
            loop.cancel(id, CancellationError())
        }
    }
}
