import Glibc
import MeshModel
import MeshTesting
import Testing

@testable import MeshTelemetry

@Suite(.timeLimit(.minutes(1))) struct XRayReceiverTests {
    private let board = ReceivedBoard()
    private let warnings = TelemetryWarnings()

    private func receiver(_ address: TelemetryEndpoint) -> XRayReceiver {
        XRayReceiver(
            address: address,
            clock: QuickClock(),
            logger: warnings.logger,
            take: board.take
        )
    }

    @Test func `segments that come over UDP are handed on, the malformed counted`() async throws {
        let address = try freeEndpoint(SOCK_DGRAM)
        let receiver = receiver(address)
        let segment = Array(XRaySegmentTests.egress.utf8)
        try await running([receiver]) {
            let socket = try LoopbackSocket(SOCK_DGRAM, port: 0)
            // Until it listens.
            try await poll({ socket.send(segment, to: address.port) }) { _ in
                receiver.counts.received > 0
            }
            for length in [0, 1, 1000, 65_507] {
                socket.send([UInt8](repeating: 0x7b, count: length), to: address.port)
            }
            try await poll({ receiver.counts.malformed }, until: { $0 == 4 })
            let last = XRaySegmentTests.egress.replacing("demo/front", with: "demo/last")
            socket.send(Array(last.utf8), to: address.port)
            try await poll({ board.spans.last?.service }, until: { $0 == "demo/last" })
        }
        #expect(board.spans.first?.service == "demo/front")
        #expect(receiver.counts.received == board.spans.count)
        #expect(board.all.allSatisfy { $0.segmentDocument?.hasPrefix("{\"name\"") == true })
        #expect(receiver.counts.dropped == 0)
        #expect(warnings.lines == [])
    }

    @Test func `the longest segment is received whole`() async throws {
        let address = try freeEndpoint(SOCK_DGRAM)
        let receiver = receiver(address)
        let start = XRaySegmentTests.egress.dropLast()
        let filler = String(repeating: "x", count: 65_507 - start.utf8.count - 15)
        let segment = Array("\(start),\"service\":\"\(filler)\"}".utf8)
        #expect((65_500...65_507).contains(segment.count))
        try await running([receiver]) {
            let socket = try LoopbackSocket(SOCK_DGRAM, port: 0)
            try await poll({ socket.send(segment, to: address.port) }) { _ in
                receiver.counts.received > 0
            }
        }
        #expect(board.spans.first?.attributes["service"]?.utf8.count == 1024)
        #expect(receiver.counts.malformed == 0)
    }

    @Test func `where the address is taken there is one warning, and it listens once it is free`()
        async throws
    {
        let address = try freeEndpoint(SOCK_DGRAM)
        let (first, second) = (receiver(address), receiver(address))
        let socket = try LoopbackSocket(SOCK_DGRAM, port: 0)
        let segment = Array(XRaySegmentTests.egress.utf8)
        try await running([first]) {
            try await poll({ socket.send(segment, to: address.port) }) { _ in
                first.counts.received > 0
            }
            try await running([second]) {
                try await poll({ warnings.lines.count }, until: { $0 == 1 })
                // The first goes on as it did.
                let before = first.counts.received
                try await poll({ socket.send(segment, to: address.port) }) { _ in
                    first.counts.received > before
                }
            }
        }
        #expect(second.counts == ReceiverCounts())
        try await running([receiver(address)]) {
            let before = board.spans.count
            try await poll({ socket.send(segment, to: address.port) }) { _ in
                board.spans.count > before
            }
        }
        #expect(
            warnings.lines == [
                """
                cannot listen for X-Ray segments over UDP, and tries again; stop the other process or \
                pass --xray-address
                """
            ]
        )
    }

    @Test func `an address that becomes free is listened at`() async throws {
        let address = try freeEndpoint(SOCK_DGRAM)
        let taken = try LoopbackSocket(SOCK_DGRAM, port: address.port.number)
        let receiver = receiver(address)
        let segment = Array(XRaySegmentTests.egress.utf8)
        try await running([receiver]) {
            try await poll({ warnings.lines.count }, until: { $0 == 1 })
            taken.free()
            let socket = try LoopbackSocket(SOCK_DGRAM, port: 0)
            try await poll({ socket.send(segment, to: address.port) }) { _ in
                receiver.counts.received > 0
            }
        }
        #expect(warnings.lines.count == 1)
    }

    @Test func `what waits is bounded in number and bytes`() async {
        let counter = ReceiverCounter()
        let few = DatagramQueue(counter: counter)
        for _ in 0..<(DatagramQueue.countLimit + 10) { few.add([1]) }
        #expect(counter.current.dropped == 10)
        let long = [UInt8](repeating: 0, count: 65_000)
        let fitting = DatagramQueue.byteLimit / long.count
        let large = DatagramQueue(counter: counter)
        for _ in 0..<(fitting + 5) { large.add(long) }
        #expect(counter.current.dropped == 15)
        // Once one is taken there is room again.
        var datagrams = large.datagrams.makeAsyncIterator()
        if let datagram = await datagrams.next() { large.didTake(datagram) }
        large.add(long)
        large.add(long)
        #expect(counter.current.dropped == 16)
    }
}
