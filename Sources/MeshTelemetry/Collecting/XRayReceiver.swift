internal import Glibc
public import Logging
public import MeshModel
internal import NIOCore
internal import NIOPosix
public import ServiceLifecycle
internal import Synchronization

/// Takes segments as AWS X-Ray's daemon does, over UDP.
///
/// Datagrams wait in a bounded queue; what comes when it is full is dropped and counted.
public final class XRayReceiver: Service, Sendable {
    private let listening: Listening
    private let address: TelemetryEndpoint
    private let logger: Logger
    private let take: @Sendable (ReceivedSpans) -> Void
    private let counter = ReceiverCounter()
    private let isListening = Atomic(false)

    /// Makes a receiver, which listens once it runs.
    ///
    /// - Parameters:
    ///   - address: Where it listens; anyone who reaches that can send spans.
    ///   - clock: For pauses.
    ///   - logger: Where trouble is told.
    ///   - take: Takes what came; it must not wait.
    public init(
        address: TelemetryEndpoint = .xRay,
        clock: some Clock<Duration> = ContinuousClock(),
        logger: Logger,
        take: @escaping @Sendable (ReceivedSpans) -> Void
    ) {
        self.address = address
        self.logger = logger
        self.take = take
        listening = Listening(
            purpose: "X-Ray segments over UDP",
            address: address,
            flag: "--xray-address",
            logger: logger,
            sleep: { try await clock.sleep(for: $0) }
        )
    }

    /// What became of what was sent, what the kernel dropped while this listens included.
    public var counts: ReceiverCounts {
        var counts = counter.current
        if isListening.load(ordering: .relaxed) { counts.dropped += KernelDrops.count(at: address) }
        return counts
    }

    /// Receives until graceful shutdown; an address that is taken is tried again.
    public func run() async throws { try await listening.run(serve) }

    private func serve(_ listens: @escaping @Sendable () -> Void) async throws {
        let queue = DatagramQueue(counter: counter)
        let bootstrap = DatagramBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            // A burst waits in the kernel as far as that allows.
            .channelOption(.socketOption(.so_rcvbuf), value: 4 << 20)
            .channelOption(
                .recvAllocator,
                value: FixedSizeRecvByteBufferAllocator(capacity: 1 << 16)
            )
            .channelInitializer { channel in
                channel.pipeline.addHandler(DatagramHandler(queue: queue))
            }
        let channel = try await bootstrap.bind(host: address.host, port: Int(address.port.number))
            .get()
        // More than the system's bound on what waits in the kernel, where this process may do that.
        let force = ChannelOptions.Types.SocketOption(
            level: .socket,
            name: .init(rawValue: SO_RCVBUFFORCE)
        )
        try? await channel.setOption(force, value: 4 << 20).get()
        isListening.store(true, ordering: .relaxed)
        listens()
        try await withGracefulShutdownHandler {
            for await datagram in queue.datagrams {
                queue.didTake(datagram)
                receive(datagram)
            }
            // What was dropped stays counted when the socket goes.
            counter.add(dropped: KernelDrops.count(at: address))
            isListening.store(false, ordering: .relaxed)
            try await channel.close().get()
        } onGracefulShutdown: {
            queue.finish()
        }
    }

    private func receive(_ datagram: [UInt8]) {
        do {
            let received = try XRaySegment.received(datagram)
            counter.add(received: received.spans.count)
            take(received)
        } catch {
            counter.add(malformed: 1)
            logger.debug("a segment is malformed", metadata: ["error": "\(error)"])
        }
    }
}

/// Datagrams that wait, with a bound on their number and on their bytes.
final class DatagramQueue: Sendable {
    static let countLimit = 8192
    static let byteLimit = 16 << 20

    let datagrams: AsyncStream<[UInt8]>
    private let added: AsyncStream<[UInt8]>.Continuation
    private let bytes = Atomic(0)
    private let counter: ReceiverCounter

    init(counter: ReceiverCounter) {
        (datagrams, added) = AsyncStream.makeStream(
            bufferingPolicy: .bufferingOldest(DatagramQueue.countLimit)
        )
        self.counter = counter
    }

    func add(_ datagram: [UInt8]) {
        let size = datagram.count
        let waiting = bytes.add(size, ordering: .relaxed).newValue
        if waiting <= DatagramQueue.byteLimit {
            switch added.yield(datagram) {
            case .enqueued, .terminated: return
            case .dropped: break
            @unknown default: break
            }
        }
        bytes.subtract(size, ordering: .relaxed)
        counter.add(dropped: 1)
    }

    func didTake(_ datagram: [UInt8]) { bytes.subtract(datagram.count, ordering: .relaxed) }

    func finish() { added.finish() }
}

private final class DatagramHandler: ChannelInboundHandler, Sendable {
    typealias InboundIn = AddressedEnvelope<ByteBuffer>

    private let queue: DatagramQueue

    init(queue: DatagramQueue) { self.queue = queue }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        // A copy, as the buffer has room for the longest datagram.
        queue.add(Array(unwrapInboundIn(data).data.readableBytesView))
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        // What one datagram met does not concern the next.
    }

    func channelInactive(context: ChannelHandlerContext) { queue.finish() }
}
