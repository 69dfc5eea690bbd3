import Glibc
import Testing

@testable import MeshSources

@Suite final class InotifyEventsTests {
    private var events = InotifyEvents()

    private func take(_ flags: Int32, _ name: String) -> Bool {
        events.take(InotifyEvent(watch: 1, mask: UInt32(bitPattern: flags), name: name))
    }

    @Test func `a file that grows is read when it is closed`() {
        #expect(!take(IN_MODIFY, "a.yaml"))
        #expect(events.beingWritten == [WatchedName(watch: 1, name: "a.yaml")])
        #expect(take(IN_CLOSE_WRITE, "a.yaml"))
        #expect(events.beingWritten.isEmpty)
        #expect(events.written == [WatchedName(watch: 1, name: "a.yaml")])
    }

    @Test(arguments: [IN_MOVED_TO, IN_MOVED_FROM, IN_DELETE, IN_ATTRIB, IN_CREATE])
    func `a manifest that comes or goes asks for a scan`(flag: Int32) {
        #expect(take(flag, "a.yaml"))
    }

    @Test(arguments: [".a.yaml.swp", ".#a.yaml", ".git", ".a.yaml"])
    func `hidden names ask for nothing`(name: String) {
        for flag in [IN_CREATE, IN_CLOSE_WRITE, IN_MOVED_TO, IN_DELETE, IN_CREATE | IN_ISDIR] {
            #expect(!take(flag, name))
        }
    }

    @Test func `a replaced link of Kubernetes and a folder ask for a scan`() {
        #expect(take(IN_MOVED_TO, "..data"))
        #expect(take(IN_CREATE | IN_ISDIR, "sub"))
        #expect(take(IN_MOVED_FROM | IN_ISDIR, "sub"))
        #expect(!take(IN_CLOSE_WRITE, "notes.txt"))
    }

    @Test func `lost events make every file suspect`() {
        _ = take(IN_MODIFY, "a.yaml")
        let overflow = InotifyEvent(watch: -1, mask: UInt32(IN_Q_OVERFLOW), name: "")
        let isScanNeeded = events.take(overflow)
        #expect(isScanNeeded)
        #expect(events.haveOverflowed)
        #expect(events.beingWritten.isEmpty)
        events.scanned()
        #expect(!events.haveOverflowed)
    }

    @Test func `a watch that ended is forgotten`() {
        _ = take(IN_MODIFY, "a.yaml")
        #expect(!take(IN_IGNORED, ""))
        #expect(events.beingWritten.isEmpty)
    }

    @Test(arguments: [
        ("mesh.yaml", true), ("mesh.yml", true), ("mesh.json", true), ("mesh.yaml~", false),
        (".mesh.yaml", false), ("#mesh.yaml#", false), (".#mesh.yaml", false), ("4913", false),
        ("mesh.yaml.swp", false), ("mesh.yaml.tmp", false), ("notes.txt", false),
    ])
    func `only manifests are read`(name: String, expected: Bool) {
        #expect(isManifest(name) == expected)
    }

    @Test func `a burst ends after some quiet, at the latest at its limit`() {
        var burst = Burst(quiet: .milliseconds(20), limit: .milliseconds(200))
        #expect(burst.remaining(at: .zero) == nil)
        burst.event(at: .milliseconds(100))
        burst.event(at: .milliseconds(110))
        #expect(burst.remaining(at: .milliseconds(115)) == .milliseconds(15))
        let isProlonged = burst.prolong(at: .milliseconds(130))
        #expect(isProlonged)
        #expect(burst.remaining(at: .milliseconds(130)) == .milliseconds(20))
        burst.event(at: .milliseconds(295))
        #expect(burst.remaining(at: .milliseconds(295)) == .milliseconds(5))
        let isPastLimit = !burst.prolong(at: .milliseconds(300))
        #expect(isPastLimit)
        #expect(burst.remaining(at: .milliseconds(300)) == .zero)
        burst.end()
        #expect(burst.remaining(at: .milliseconds(400)) == nil)
    }
}
