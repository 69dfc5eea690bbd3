internal import Glibc
public import NIOCore

/// Has a server's listening channel rest for a second when it cannot accept for want of descriptors.
///
/// NIO's own back-off does not take the socket out of its loop, so that the loop turns without rest
/// while a client waits.
public func pauseWithoutDescriptors(_ listener: any Channel) -> EventLoopFuture<Void> {
    listener.pipeline.addHandler(AcceptPause(), position: .first)
}

private final class AcceptPause: ChannelInboundHandler, Sendable {
    typealias InboundIn = any Channel

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        context.fireErrorCaught(error)
        guard let code = (error as? IOError)?.errnoCode,
            [EMFILE, ENFILE, ENOBUFS, ENOMEM].contains(code)
        else { return }
        let listener = context.channel
        listener.setOption(.autoRead, value: false).whenSuccess {
            listener.eventLoop.scheduleTask(in: .seconds(1)) {
                listener.setOption(.autoRead, value: true)
            }
        }
    }
}
