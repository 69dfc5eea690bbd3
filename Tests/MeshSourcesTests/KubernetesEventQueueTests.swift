import KubernetesAPI
import MeshModel
import Testing

@testable import MeshSources

@Suite struct KubernetesEventQueueTests {
    private var queue = EventQueue(perSecond: 100, concurrency: 2)
    private let blue = ObjectID(.virtualNode, ObjectReference(namespace: "demo", name: "blue"))

    private func event(
        _ object: ObjectID? = nil,
        _ message: String = "It is.",
        reason: String = "RefusedByProxy",
        at seconds: Double = 1_800_000_000
    ) -> MeshEvent {
        MeshEvent(
            timeSeconds: seconds,
            severity: .warning,
            reason: reason,
            message: message,
            object: object ?? blue
        )
    }

    private mutating func create(at now: Duration = .zero) throws -> ClusterEvent {
        let (key, write) = try #require(queue.next(at: now).write)
        guard case .create(let event) = write else { throw Unexpected() }
        queue.finish(key, write, nil, at: now)
        return event
    }

    private struct Unexpected: Error {}

    @Test mutating func `an Event is of its object, where kubectl describe looks for it`() throws {
        queue.add(event(), uid: "u", at: .zero)
        let written = try create()
        #expect(written.metadata.namespace == "demo")
        #expect(written.metadata.name.hasPrefix("blue."))
        #expect(
            written.involvedObject
                == ClusterEvent.Reference(
                    apiVersion: "appmesh.k8s.aws/v1beta2",
                    kind: "VirtualNode",
                    name: "blue",
                    namespace: "demo",
                    uid: "u"
                )
        )
        #expect(written.type == "Warning")
        #expect(written.firstTimestamp == "2027-01-15T08:00:00Z")
        #expect(queue.next(at: .zero).write == nil)
    }

    @Test mutating func `of a Mesh it is in the namespace default, of a Workload its Pod's`() throws
    {
        queue.add(event(ObjectID(.mesh, ObjectReference(name: "m"))), uid: "u", at: .zero)
        let mesh = try create()
        #expect(mesh.metadata.namespace == "default")
        #expect(mesh.involvedObject.namespace == nil)
        let workload = ObjectID(.workload, ObjectReference(namespace: "demo", name: "blue-1"))
        queue.add(event(workload), uid: "u", at: .zero)
        let pod = try create()
        #expect(pod.involvedObject.kind == "Pod")
        #expect(pod.involvedObject.apiVersion == "v1")
    }

    @Test mutating func `a mistake has the reason that App Mesh's users know`() throws {
        queue.add(event(reason: "Invalid"), uid: "u", at: .zero)
        #expect(try create().reason == "ReconcileError")
    }

    @Test mutating func `what repeats within ten minutes is counted`() throws {
        queue.add(event(), uid: "u", at: .zero)
        queue.add(event(), uid: "u", at: .zero)
        let first = try create()
        #expect(first.count == 2)
        queue.add(event(at: 1_800_000_300), uid: "u", at: .seconds(300))
        let (key, write) = try #require(queue.next(at: .seconds(300)).write)
        guard case .repeated(let name, let change) = write else { throw Unexpected() }
        #expect(name == first.metadata.key)
        #expect(change.count == 3)
        #expect(change.lastTimestamp == "2027-01-15T08:05:00Z")
        // What happens meanwhile comes next.
        queue.add(event(at: 1_800_000_301), uid: "u", at: .seconds(301))
        queue.finish(key, write, nil, at: .seconds(301))
        let (again, second) = try #require(queue.next(at: .seconds(301)).write)
        guard case .repeated(_, let last) = second else { throw Unexpected() }
        #expect(last.count == 4)
        queue.finish(again, second, nil, at: .seconds(301))
        #expect(queue.next(at: .seconds(301)).write == nil)
        queue.add(event(at: 1_800_002_000), uid: "u", at: .seconds(2000))
        let anew = try create(at: .seconds(2000))
        #expect(anew.count == 1)
        #expect(anew.metadata.name != first.metadata.name)
    }

    @Test mutating func `an Event that is gone is created again`() throws {
        queue.add(event(), uid: "u", at: .zero)
        _ = try create()
        queue.add(event(), uid: "u", at: .seconds(1))
        let (key, write) = try #require(queue.next(at: .seconds(1)).write)
        queue.finish(key, write, failure(404), at: .seconds(1))
        #expect(try create(at: .seconds(1)).count == 1)
    }

    @Test mutating func `one object can't fill the cluster`() {
        let taken = (0..<40).count { index in
            queue.add(event(nil, "It is \(index)."), uid: "u", at: .zero)
        }
        #expect(taken == 25)
        let other = ObjectID(.virtualNode, ObjectReference(namespace: "demo", name: "red"))
        let others = queue.add(event(other), uid: "v", at: .zero)
        #expect(others)
    }

    @Test mutating func `a failure is tried again, a refusal is not`() throws {
        queue.add(event(), uid: "u", at: .zero)
        let (key, write) = try #require(queue.next(at: .zero).write)
        queue.finish(key, write, failure(500), at: .zero)
        let (none, until) = queue.next(at: .zero)
        #expect(none == nil)
        #expect(until == .seconds(2))
        let (again, second) = try #require(queue.next(at: .seconds(2)).write)
        queue.finish(again, second, forbidden("create events"), at: .seconds(2))
        #expect(queue.next(at: .seconds(1000)).write == nil)
    }

    @Test mutating func `who leads no more forgets`() {
        queue.add(event(), uid: "u", at: .zero)
        queue.clear()
        #expect(queue.next(at: .zero).write == nil)
    }
}
