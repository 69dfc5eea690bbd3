import CProcess
import Glibc
import Synchronization

/// One thread that waits for file descriptors to become readable, and calls their handlers.
///
/// Pidfds of all processes are here, so watching a process costs no thread and no polling.
final class DescriptorWatcher: Sendable {
    /// Names a watched descriptor.
    typealias Token = UInt64

    private struct State {
        var handlers: [Token: (descriptor: Descriptor, call: @Sendable () -> Void)] = [:]
        var lastToken: Token = 0
    }

    private static let stopToken: Token = 0

    private let state = Mutex(State())
    private let poll: Descriptor
    private let stopSignal: Descriptor

    init() {
        poll = Descriptor(epoll_create1(Int32(EPOLL_CLOEXEC)))
        stopSignal = Descriptor(eventfd(0, Int32(EFD_CLOEXEC | EFD_NONBLOCK)))
        precondition(poll.number >= 0 && stopSignal.number >= 0, "no file descriptors are left")
        add(stopSignal, Self.stopToken)
        // The thread owns the watcher until `stop`.
        let context = Unmanaged.passRetained(self).toOpaque()
        var thread = pthread_t()
        let code = pthread_create(
            &thread,
            nil,
            { context in
                guard let context else { return nil }
                Unmanaged<DescriptorWatcher>.fromOpaque(context).takeRetainedValue().run()
                return nil
            },
            context
        )
        precondition(code == 0, "cannot start a thread: \(SystemError.text(code))")
        pthread_detach(thread)
    }

    /// Calls `handler` on the thread as long as `descriptor` is readable, until `unwatch`.
    @discardableResult
    func watch(
        _ descriptor: Descriptor,
        handler: @escaping @Sendable (Token) -> Void
    ) -> Token {
        state.withLock { state in
            state.lastToken += 1
            let token = state.lastToken
            state.handlers[token] = (descriptor, { handler(token) })
            add(descriptor, token)
            return token
        }
    }

    /// Forgets a descriptor.
    func unwatch(_ token: Token) {
        state.withLock { state in
            guard let entry = state.handlers.removeValue(forKey: token) else { return }
            epoll_ctl(poll.number, EPOLL_CTL_DEL, entry.descriptor.number, nil)
        }
    }

    /// Ends the thread.
    func stop() { eventfd_write(stopSignal.number, 1) }

    private func add(_ descriptor: Descriptor, _ token: Token) {
        var event = epoll_event(events: EPOLLIN.rawValue, data: epoll_data_t(u64: token))
        epoll_ctl(poll.number, EPOLL_CTL_ADD, descriptor.number, &event)
    }

    private func run() {
        while true {
            var event = epoll_event()
            guard epoll_wait(poll.number, &event, 1, -1) == 1 else { continue }
            let token = event.data.u64
            if token == Self.stopToken { return }
            let call = state.withLock { $0.handlers[token]?.call }
            call?()
        }
    }
}
