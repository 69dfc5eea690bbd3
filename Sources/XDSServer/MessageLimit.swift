internal import NIOCore
internal import NIOHTTP2

/// Ends a stream of gRPC with a longer message than its method has any of.
///
/// gRPC has one limit for all methods, and keeps what has come of a message until the rest is there: a proxy
/// with many streams could fill the memory. Requests of ADS can be long, as they tell all that a proxy has,
/// and only one stream of it is open.
final class MessageLimit: ChannelInboundHandler {
    typealias InboundIn = HTTP2Frame.FramePayload
    typealias InboundOut = HTTP2Frame.FramePayload

    /// Envoy sends a log at 16 KiB, with the entry that made it so long.
    static let bytes = 128 << 10

    private enum State {
        /// The method is not known yet, or has no limit.
        case open
        /// Of a message's prefix, one byte and its length, what has come.
        case prefix([UInt8])
        /// How much of the message is to come.
        case message(Int)
        case ended
    }

    private let methods: Set<String>
    private var state = State.open

    /// Limits the streams of `methods`, paths as `/package.Service/Method`.
    init(_ methods: Set<String>) { self.methods = methods }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        switch unwrapInboundIn(data) {
        case .headers(let headers):
            let path = headers.headers.first { $0.name == ":path" }
            if let path, methods.contains(path.value) { state = .prefix([]) }
        case .data(let content):
            if case .byteBuffer(let bytes) = content.data { advance(over: bytes) }
            if case .ended = state { return context.close(promise: nil) }
        default: break
        }
        context.fireChannelRead(data)
    }

    private func advance(over bytes: ByteBuffer) {
        var bytes = bytes
        while bytes.readableBytes > 0 {
            switch state {
            case .open, .ended: return
            case .message(let rest):
                let count = min(rest, bytes.readableBytes)
                bytes.moveReaderIndex(forwardBy: count)
                state = rest == count ? .prefix([]) : .message(rest - count)
            case .prefix(let begun):
                let more = bytes.readBytes(length: min(5 - begun.count, bytes.readableBytes)) ?? []
                let prefix = begun + more
                guard prefix.count == 5 else {
                    state = .prefix(prefix)
                    return
                }
                let length = prefix.dropFirst().reduce(0) { $0 << 8 | Int($1) }
                state =
                    length > MessageLimit.bytes
                    ? .ended : length == 0 ? .prefix([]) : .message(length)
            }
        }
    }
}
