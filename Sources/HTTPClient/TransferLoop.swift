import CCurl
import Glibc
import Synchronization

/// The thread on which libcurl works for all requests of a client.
///
/// Others leave commands and wake it. Idle, it sleeps in `curl_multi_poll`.
final class TransferLoop: Sendable {
    typealias ID = Int

    private enum Command: Sendable {
        case start(ID, HTTPRequest, Exchange)
        case resume(ID)
        case cancel(ID, any Error)
    }

    private struct Inbox {
        var commands: [Command] = []
        var lastID = 0
        var isStopped = false
    }

    /// libcurl allows `curl_multi_wakeup`, and nothing else, from other threads.
    private nonisolated(unsafe) let multi: OpaqueHandle
    private let inbox = Mutex(Inbox())
    private let receipt = Mutex<ContinuousClock.Instant?>(nil)

    init(maxConnectionsPerHost: Int?) {
        _ = Self.isLibraryReady
        guard let multi = curl_multi_init() else {
            preconditionFailure("libcurl has no memory for a handle")
        }
        self.multi = multi
        if let maxConnectionsPerHost {
            ccurl_multi_set_long(multi, CURLMOPT_MAX_HOST_CONNECTIONS, maxConnectionsPerHost)
        }
        // The thread owns the loop until `stop`.
        let context = Unmanaged.passRetained(self).toOpaque()
        var thread = pthread_t()
        let code = pthread_create(
            &thread,
            nil,
            { context in
                guard let context else { return nil }
                Unmanaged<TransferLoop>.fromOpaque(context).takeRetainedValue().run()
                return nil
            },
            context
        )
        precondition(code == 0, "cannot start a thread: \(String(cString: strerror(code)))")
        pthread_detach(thread)
    }

    private static let isLibraryReady: Bool =
        curl_global_init(Int(CURL_GLOBAL_DEFAULT)) == CURLE_OK

    /// When anything was received last.
    var lastReceipt: ContinuousClock.Instant? { receipt.withLock { $0 } }

    /// Starts `request`, whose response goes to `exchange`.
    func start(_ request: HTTPRequest, _ exchange: Exchange) -> ID {
        let id: ID? = inbox.withLock { inbox in
            guard !inbox.isStopped else { return nil }
            inbox.lastID += 1
            inbox.commands.append(.start(inbox.lastID, request, exchange))
            curl_multi_wakeup(multi)
            return inbox.lastID
        }
        guard let id else {
            exchange.finish(HTTPError.shutDown(request))
            return 0
        }
        return id
    }

    /// Goes on receiving after a pause.
    func resume(_ id: ID) { send(.resume(id)) }

    /// Aborts a request; its exchange ends with `error`.
    func cancel(_ id: ID, _ error: any Error) { send(.cancel(id, error)) }

    /// Ends the thread; requests under way fail.
    func stop() {
        inbox.withLock { inbox in
            guard !inbox.isStopped else { return }
            inbox.isStopped = true
            curl_multi_wakeup(multi)
        }
    }

    private func send(_ command: Command) {
        inbox.withLock { inbox in
            guard !inbox.isStopped else { return }
            inbox.commands.append(command)
            curl_multi_wakeup(multi)
        }
    }

    // MARK: On the thread

    private struct Entry {
        var transfer: Transfer
        var request: HTTPRequest
        /// When it is to be over, whatever libcurl makes of it.
        var deadline: ContinuousClock.Instant?
    }

    private struct Running {
        var transfers: [ID: Entry] = [:]
        var ids: [OpaqueHandle: ID] = [:]
    }

    /// libcurl ends a request in time by itself once it has a connection.
    private static let graceOfDeadlines = Duration.milliseconds(50)

    private func run() {
        var running = Running()
        while true {
            let (commands, isStopped) = inbox.withLock { inbox in
                defer { inbox.commands = [] }
                return (inbox.commands, inbox.isStopped)
            }
            for command in commands { perform(command, &running) }
            if isStopped { break }
            var count: Int32 = 0
            curl_multi_perform(multi, &count)
            finishDone(&running)
            let pause = finishLate(&running)
            // Returns earlier for sockets, libcurl's own timers and wake-ups.
            curl_multi_poll(multi, nil, 0, pause, nil)
        }
        for (id, entry) in running.transfers {
            end(id, &running)?.exchange.finish(HTTPError.shutDown(entry.request))
        }
        curl_multi_cleanup(multi)
    }

    private func perform(_ command: Command, _ running: inout Running) {
        switch command {
        case .start(let id, let request, let exchange):
            let transfer = Transfer(request, exchange: exchange) { [weak self] in
                self?.receipt.withLock { $0 = .now }
            }
            if let refusal = transfer.refusal { return exchange.finish(refusal) }
            running.transfers[id] = Entry(
                transfer: transfer,
                request: request,
                deadline: request.timeout.map { .now + $0 + Self.graceOfDeadlines }
            )
            running.ids[transfer.handle] = id
            curl_multi_add_handle(multi, transfer.handle)
        case .resume(let id):
            // 0 is CURLPAUSE_CONT, which is not imported.
            if let entry = running.transfers[id] { curl_easy_pause(entry.transfer.handle, 0) }
        case .cancel(let id, let error):
            end(id, &running)?.exchange.finish(error)
        }
    }

    private func finishDone(_ running: inout Running) {
        var remaining: Int32 = 0
        while let message = curl_multi_info_read(multi, &remaining) {
            var result = CURLE_OK
            guard let handle = ccurl_done(message, &result), let id = running.ids[handle] else {
                continue
            }
            end(id, &running)?.finish(result)
        }
    }

    /// Ends requests whose time is over, and gives the milliseconds until the next one's is.
    ///
    /// libcurl 7.88 has no time limit for those that wait for a connection, be it that there may be no
    /// further one or that one is about to be shared.
    private func finishLate(_ running: inout Running) -> Int32 {
        let now = ContinuousClock.now
        var next = now + .seconds(3600)
        for (id, entry) in running.transfers {
            guard let deadline = entry.deadline else { continue }
            if deadline > now {
                next = min(next, deadline)
            } else {
                end(id, &running)?.exchange.finish(HTTPError.late(entry.request))
            }
        }
        return Int32(now.duration(to: next) / .milliseconds(1)) + 1
    }

    private func end(_ id: ID, _ running: inout Running) -> Transfer? {
        guard let transfer = running.transfers.removeValue(forKey: id)?.transfer else { return nil }
        running.ids[transfer.handle] = nil
        curl_multi_remove_handle(multi, transfer.handle)
        return transfer
    }
}

extension HTTPError {
    fileprivate static func shutDown(_ request: HTTPRequest) -> HTTPError {
        HTTPError(kind: .shutDown, request: request.summary, reason: "the client was shut down")
    }

    fileprivate static func late(_ request: HTTPRequest) -> HTTPError {
        HTTPError(
            kind: .timedOut,
            request: request.summary,
            reason: "no connection was free for it in time"
        )
    }
}
