import Glibc
import MeshModel
import Testing

@testable import MeshTelemetry

@Suite struct KernelDropsTests {
    @Test func `the table of sockets is understood`() throws {
        let table = """
              sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops
            14722: 0100007F:07D0 00000000:0000 07 00000000:00000000 00:00000000 00000000 0 0 71 2 0 17
            14723: 0200007F:07D0 00000000:0000 07 00000000:00000000 00:00000000 00000000 0 0 72 2 0 5
            14724: 0100007F:07D1 00000000:0000 07 00000000:00000000 00:00000000 00000000 0 0 73 2 0 3
            14725: 0100007F:07D0
            """
        #expect(KernelDrops.count(in: table, at: .xRay) == 17)
        #expect(KernelDrops.count(in: "", at: .xRay) == 0)
        let other = TelemetryEndpoint(host: "::1", port: .xRay)
        #expect(KernelDrops.count(in: table, at: other) == 22)
    }

    @Test func `what nobody takes is counted`() throws {
        let address = try freeEndpoint(SOCK_DGRAM)
        let idle = try LoopbackSocket(SOCK_DGRAM, port: address.port.number)
        let sender = try LoopbackSocket(SOCK_DGRAM, port: 0)
        let datagram = [UInt8](repeating: 0, count: 60_000)
        for _ in 0..<2000 { sender.send(datagram, to: address.port) }
        #expect(KernelDrops.count(at: address) > 0)
        withExtendedLifetime(idle) {}
    }
}
