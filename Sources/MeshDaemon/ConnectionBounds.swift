import NIOCore
import Synchronization

/// Bounds what those can take of a server who prove nothing: how many connections are open, and for how
/// long one may be without a request.
///
/// Guarantee: another connection is always taken. When there are too many, the address that has most gives
/// up the one whose last request is the longest ago, so who holds many holds nobody else's.
final class ConnectionBounds: Sendable {
    fileprivate struct Connection {
        var channel: any Channel
        /// As the channel forgets it when it closes.
        var address: String
        /// Whether the head of a request has come.
        var hasAsked = false
    }

    fileprivate struct State {
        /// Those of each address, the one whose last request is the longest ago first.
        var ofAddress: [String: [Connection]] = [:]
        var count = 0
    }

    private let limit: Int
    private let firstRequest: TimeAmount
    private let state = Mutex(State())

    /// Makes bounds.
    ///
    /// - Parameters:
    ///   - limit: How many connections may be open.
    ///   - firstRequest: For how long one may be open before the head of a request has come.
    init(limit: Int, firstRequest: Duration) {
        self.limit = limit
        self.firstRequest = TimeAmount(firstRequest)
    }

    /// How many connections are open.
    var count: Int { state.withLock { $0.count } }

    /// What each connection is to have in its pipeline.
    func handler() -> any RemovableChannelHandler { Counted(self) }

    /// Notes that the head of a request came on a connection.
    func requestBegan(on channel: any Channel) {
        state.withLock { state in
            guard var connection = state.remove(channel, channel.peerAddress) else { return }
            connection.hasAsked = true
            state.append(connection)
        }
    }

    fileprivate func opened(_ channel: any Channel, _ address: String) {
        let excess: (any Channel)? = state.withLock { state in
            let excess = state.count < limit ? nil : state.removeExcess()
            state.append(Connection(channel: channel, address: address))
            return excess
        }
        excess?.close(promise: nil)
        channel.eventLoop.scheduleTask(in: firstRequest) { [self] in
            if isSilent(channel, address) { channel.close(promise: nil) }
        }
    }

    fileprivate func closed(_ channel: any Channel, _ address: String) {
        state.withLock { _ = $0.remove(channel, address) }
    }

    private func isSilent(_ channel: any Channel, _ address: String) -> Bool {
        state.withLock { state in
            let connections = state.ofAddress[address] ?? []
            return connections.contains { $0.channel === channel && !$0.hasAsked }
        }
    }
}

extension ConnectionBounds.State {
    fileprivate mutating func append(_ connection: ConnectionBounds.Connection) {
        ofAddress[connection.address, default: []].append(connection)
        count += 1
    }

    fileprivate mutating func remove(
        _ channel: any Channel,
        _ address: String
    ) -> ConnectionBounds.Connection? {
        guard let index = ofAddress[address]?.firstIndex(where: { $0.channel === channel }) else {
            return nil
        }
        return remove(address, index)
    }

    /// The oldest connection of the address that has most.
    fileprivate mutating func removeExcess() -> (any Channel)? {
        guard let most = ofAddress.max(by: { $0.value.count < $1.value.count }) else { return nil }
        return remove(most.key, 0)?.channel
    }

    private mutating func remove(_ address: String, _ index: Int) -> ConnectionBounds.Connection? {
        let connection = ofAddress[address]?.remove(at: index)
        if ofAddress[address]?.isEmpty == true { ofAddress[address] = nil }
        count -= 1
        return connection
    }
}

/// Counts a connection while it is open.
private final class Counted: ChannelInboundHandler, RemovableChannelHandler {
    typealias InboundIn = Any

    private let bounds: ConnectionBounds
    private var address = ""

    init(_ bounds: ConnectionBounds) { self.bounds = bounds }

    func handlerAdded(context: ChannelHandlerContext) {
        address = context.channel.peerAddress
        bounds.opened(context.channel, address)
    }

    func channelInactive(context: ChannelHandlerContext) {
        bounds.closed(context.channel, address)
        context.fireChannelInactive()
    }

    func handlerRemoved(context: ChannelHandlerContext) {
        bounds.closed(context.channel, address)
    }
}

extension Channel {
    /// The address of the client, without the port; that of all clients of a Unix socket is empty.
    var peerAddress: String { remoteAddress?.ipAddress ?? "" }
}
