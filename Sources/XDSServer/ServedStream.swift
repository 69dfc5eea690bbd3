internal import GRPCCore
internal import Logging
internal import MeshModel

/// One stream of a proxy, as its handler sees it.
protocol ServedStream: Sendable {
    associatedtype Response: Sendable

    /// The proxy at the other end.
    var proxy: ProxyID { get }
    /// What the handler waits for.
    var signals: StreamSlot.Signals { get }

    /// The response to send now; nil when there is none, or when the stream ended.
    func nextResponse() -> Response?
    /// Ends the stream, unless it has ended.
    func end(_ ending: StreamSlot.Ending)
}

extension ServedStream {
    /// Tells that the handler is done.
    func close() { end(.closed) }

    /// Serves the stream until either side ends it.
    func serve<Request: Sendable>(
        _ requests: RPCAsyncSequence<Request, any Error>,
        _ writer: RPCWriter<Response>,
        logger: Logger,
        receive: @escaping @Sendable (Request) -> Void
    ) async throws {
        logger.debug("xDS stream opened")
        defer {
            close()
            logger.debug("xDS stream ended")
        }
        // gRPC does not cancel this task when the client goes away, and a write to a client that
        // does not read never returns: so both children are cancelled as soon as `ending` tells.
        let ending = await withRPCCancellationHandler {
            await withTaskGroup { group in
                group.addTask { await self.receive(requests, receive, logger) }
                group.addTask { await send(to: writer, logger) }
                var endings = signals.ending.makeAsyncIterator()
                let ending = await endings.next()
                group.cancelAll()
                return ending
            }
        } onCancelRPC: {
            close()
        }
        if let error = ending?.error { throw error }
    }

    private func receive<Request: Sendable>(
        _ requests: RPCAsyncSequence<Request, any Error>,
        _ receive: (Request) -> Void,
        _ logger: Logger
    ) async {
        do {
            for try await request in requests { receive(request) }
        } catch {
            logEnd(error, logger)
        }
        close()
    }

    private func send(to writer: RPCWriter<Response>, _ logger: Logger) async {
        do {
            for await _ in signals.changes {
                while let response = nextResponse() { try await writer.write(response) }
            }
        } catch {
            logEnd(error, logger)
        }
        close()
    }

    private func logEnd(_ error: any Error, _ logger: Logger) {
        guard !(error is CancellationError) else { return }
        logger.debug("xDS stream broke", metadata: ["error": "\(error)"])
    }
}

extension StreamSlot.Ending {
    /// What the client hears; nil when it closed the stream itself.
    fileprivate var error: RPCError? {
        switch self {
        case .closed: nil
        case .replaced:
            RPCError(code: .aborted, message: "a newer stream of the same proxy took over")
        case .removed: RPCError(code: .notFound, message: "the proxy was removed")
        case .revoked: RPCError(code: .unauthenticated, message: "the proxy's token was revoked")
        case .refused(let code, let problem): RPCError(code: code, message: problem)
        case .shutdown: RPCError(code: .unavailable, message: "the control plane is stopping")
        }
    }
}
