import KubernetesAPI
import Logging
import MeshModel
import Testing

@testable import MeshSources

/// A server that has what a test says.
private struct Server: LiveObjects {
    var objects: [ObjectID: LiveObject] = [:]
    var memberCounts: [ObjectID: [MemberCount]] = [:]
    var denials: [Diagnostic] = []

    func live(_ id: ObjectID) -> LiveObject? { objects[id] }
    func members(of id: ObjectID) -> [MemberCount] { memberCounts[id] ?? [] }
}

@Suite struct KubernetesWriteQueueTests {
    private var queue = WriteQueue(writesPerSecond: 100, concurrency: 4)
    private var server = Server()
    private var now = Duration.zero
    private let blue = ObjectID(.virtualNode, ObjectReference(namespace: "demo", name: "blue"))
    private let mesh = ObjectID(.mesh, ObjectReference(name: "demo"))

    private var moment: Moment {
        Moment(steady: now, wallSeconds: 1_800_000_000 + now / .seconds(1))
    }

    private func status(
        _ kind: Kind = .virtualNode,
        _ value: Condition.Status = .true,
        reason: String? = nil,
        message: String = "It is.",
        observedGeneration: Int = 1,
        fields: [String: JSONValue] = [:]
    ) -> ObjectStatus {
        ObjectStatus(
            conditions: [
                Condition(
                    type: "\(kind.rawValue)Active",
                    status: value,
                    reason: reason ?? (value == .true ? "Active" : "Invalid"),
                    message: message
                )
            ],
            observedGeneration: observedGeneration,
            fields: fields
        )
    }

    /// Puts an object on the server.
    private mutating func put(
        _ id: ObjectID,
        version: Int = 1,
        uid: String = "u",
        metadata: String = "",
        spec: String? = nil,
        status: JSONValue = .null
    ) throws {
        let document = try document(
            id.kind,
            id.name,
            spec ?? (id.kind == .virtualNode ? nodeSpec("a") : "{}"),
            uid: uid,
            version: "\(version)",
            metadata: metadata
        )
        var cluster = ClusterWorld()
        _ = cluster.take(.changed(document), of: id.kind)
        server.objects[id] = cluster.live[id]
        server.objects[id]?.status = status
        queue.look(at: id, server)
    }

    private mutating func next() -> ObjectWrite? { queue.next(at: moment, server).write }

    private mutating func finish(_ write: ObjectWrite, _ outcome: WriteOutcome) {
        queue.finish(write, outcome, at: moment, chance: 1, server)
    }

    @Test mutating func `a status is written once, for the version that was seen`() throws {
        try put(blue, version: 7)
        queue.want([blue: status()], server)
        let write = try #require(next())
        #expect(write.id == blue)
        #expect(write.part == .status)
        #expect(write.body["metadata"] == ["resourceVersion": "7"])
        #expect(next() == nil)
        finish(write, .written(resourceVersion: "8"))
        #expect(next() == nil)
        try put(blue, version: 8, status: status().document)
        #expect(next() == nil)
        // As a new leader sees it.
        var other = WriteQueue(writesPerSecond: 100, concurrency: 4)
        other.want([blue: status()], server)
        #expect(other.next(at: moment, server).write == nil)
    }

    @Test mutating func `what the server does not keep is not written again`() throws {
        try put(blue)
        queue.want([blue: status(fields: ["sidecarCount": 1])], server)
        finish(try #require(next()), .written(resourceVersion: "2"))
        try put(blue, version: 2, status: status().document)
        #expect(next() == nil)
        // Nor when the server has nothing to write at all.
        now += .seconds(60)
        queue.want([blue: status(fields: ["sidecarCount": 2])], server)
        finish(try #require(next()), .written(resourceVersion: "2"))
        #expect(next() == nil)
    }

    @Test mutating func `a conflict waits for the informer`() throws {
        try put(blue)
        queue.want([blue: status()], server)
        finish(try #require(next()), .conflict)
        #expect(next() == nil)
        try put(blue, version: 2)
        #expect(try #require(next()).body["metadata"] == ["resourceVersion": "2"])
    }

    @Test mutating func `an object that is gone is not written`() throws {
        try put(blue)
        queue.want([blue: status()], server)
        server.objects = [:]
        #expect(next() == nil)
    }

    @Test mutating func `conditions that turn False go first`() throws {
        let red = ObjectID(.virtualNode, ObjectReference(namespace: "demo", name: "red"))
        for id in [blue, red] { try put(id) }
        queue.want([blue: status()], server)
        queue.want([blue: status(), red: status(.virtualNode, .false)], server)
        #expect(next()?.id == red)
        #expect(next()?.id == blue)
    }

    @Test mutating func `so many are written in a second, and so many at once`() throws {
        queue = WriteQueue(writesPerSecond: 2, concurrency: 3)
        let ids = (0..<5).map {
            ObjectID(.virtualNode, ObjectReference(namespace: "demo", name: "n\($0)"))
        }
        for id in ids { try put(id) }
        queue.want(Dictionary(uniqueKeysWithValues: ids.map { ($0, status()) }), server)
        let writes = [next(), next()].compactMap(\.self)
        #expect(writes.count == 2)
        let again = queue.next(at: moment, server)
        #expect(again.write == nil)
        #expect(again.until == .milliseconds(500))
        now = .milliseconds(500)
        #expect(next() != nil)
        now = .seconds(10)
        #expect(next() == nil)
        finish(writes[0], .written(resourceVersion: "2"))
        #expect(next() != nil)
    }

    @Test mutating func `fields alone are written now and then`() throws {
        try put(blue)
        queue.want([blue: status()], server)
        finish(try #require(next()), .written(resourceVersion: "2"))
        try put(blue, version: 2, status: status().document)
        queue.want([blue: status(fields: ["sidecarCount": 1])], server)
        let (write, until) = queue.next(at: moment, server)
        #expect(write == nil)
        #expect(until == .seconds(10))
        // Conditions do not wait.
        queue.want([blue: status(.virtualNode, .false, fields: ["sidecarCount": 1])], server)
        #expect(next() != nil)
    }

    @Test mutating func `a message alone is written now and then, and its last state in the end`()
        throws
    {
        try put(blue)
        queue.want([blue: status(message: "0 of 500 Pods are ready.")], server)
        finish(try #require(next()), .written(resourceVersion: "2"))
        try put(blue, version: 2, status: status(message: "0 of 500 Pods are ready.").document)
        for count in 1...500 {
            queue.want([blue: status(message: "\(count) of 500 Pods are ready.")], server)
            #expect(next() == nil)
        }
        now += .seconds(10)
        let write = try #require(next())
        let message = write.body["status"]?["conditions"]?.array?.first?["message"]
        #expect(message == "500 of 500 Pods are ready.")
    }

    @Test(arguments: [
        (Condition.Status.false, "Invalid", 1), (.true, "Other", 1), (.true, "Active", 2),
    ])
    mutating func `what somebody waits for is written at once`(
        value: Condition.Status,
        reason: String,
        generation: Int
    ) throws {
        try put(blue)
        queue.want([blue: status()], server)
        finish(try #require(next()), .written(resourceVersion: "2"))
        try put(blue, version: 2, status: status().document)
        let changed = status(
            .virtualNode,
            value,
            reason: reason,
            message: "It is another.",
            observedGeneration: generation
        )
        queue.want([blue: changed], server)
        #expect(next() != nil)
    }

    @Test mutating func `two who write one status take turns ever more slowly`() throws {
        try put(blue)
        queue.want([blue: status()], server)
        var pauses: [Duration] = []
        for turn in 1...6 {
            let asked = now
            while true {
                let (write, until) = queue.next(at: moment, server)
                if let write {
                    pauses.append(now - asked)
                    finish(write, .written(resourceVersion: "\(turn * 2)"))
                    break
                }
                now = try #require(until)
            }
            try put(blue, version: turn * 2, status: status().document)
            #expect(next() == nil)
            try put(blue, version: turn * 2 + 1, status: ["virtualNodeARN": "arn:aws"])
        }
        #expect(pauses.prefix(2) == [.zero, .zero])
        #expect(pauses.dropFirst(2) == [.seconds(4), .seconds(8), .seconds(16), .seconds(32)])
        #expect(queue.takeNotes().lines.count == 1)
    }

    @Test mutating func `a failure backs off, one object by itself`() throws {
        let red = ObjectID(.virtualNode, ObjectReference(namespace: "demo", name: "red"))
        try put(blue)
        queue.want([blue: status()], server)
        finish(try #require(next()), .failed(failure(500)))
        let (write, until) = queue.next(at: moment, server)
        #expect(write == nil)
        #expect(until == .seconds(1))
        try put(red)
        queue.want([blue: status(), red: status()], server)
        #expect(next()?.id == red)
        now = .seconds(1)
        finish(try #require(next()), .failed(failure(500)))
        #expect(queue.next(at: moment, server).until == .seconds(3))
        #expect(queue.takeNotes().lines.count == 1)
    }

    @Test mutating func `a missing right names the verb, and is tried again later`() throws {
        try put(blue)
        try put(mesh)
        queue.want([blue: status()], server)
        let write = try #require(next())
        finish(write, .failed(forbidden("patch virtualnodes.appmesh.k8s.aws/status demo/blue")))
        #expect(
            queue.troubles.diagnostics.map(\.description) == [
                """
                error: the service account heddle-system/heddle may not patch \
                virtualnodes.appmesh.k8s.aws/status, so that the status of each VirtualNode stays as \
                it is; grant verb patch in a ClusterRole
                """
            ]
        )
        #expect(queue.takeNotes().lines.count == 1)
        // The Mesh says so.
        server.denials = queue.troubles.diagnostics
        queue.want([blue: status(), mesh: status(.mesh)], server)
        let told = try #require(next())
        #expect(told.id == mesh)
        let condition = told.body["status"]?["conditions"]?.array?.last
        #expect(condition?["type"] == "KubernetesAccess")
        #expect(condition?["status"] == "False")
        #expect(
            condition?["message"]?.string?.hasPrefix(
                "The service account heddle-system/heddle may not patch virtualnodes"
            ) == true
        )
        #expect(next() == nil)
        now = .seconds(10)
        finish(try #require(next()), .written(resourceVersion: "2"))
        #expect(queue.troubles.diagnostics.isEmpty)
        #expect(queue.takeNotes().lines.map(\.level) == [.notice])
    }

    @Test(arguments: [
        (
            500,
            #"Internal error occurred: failed calling webhook "vn.appmesh.k8s.aws": no endpoints"#
        ),
        (403, #"admission webhook "vn.appmesh.k8s.aws" denied the request: no"#),
    ])
    mutating func
        `a webhook that refuses finalizers does not hold back the status, and is asked again soon`(
            code: Int,
            problem: String
        ) throws
    {
        let red = ObjectID(.virtualNode, ObjectReference(namespace: "demo", name: "red"))
        try put(blue, metadata: finalizers(Self.resources))
        queue.want([blue: status(), red: status()], server)
        finish(try #require(next()), .failed(failure(code, "patch", problem)))
        let write = try #require(next())
        #expect(write.part == .status)
        finish(write, .written(resourceVersion: "2"))
        try put(blue, version: 2, metadata: finalizers(Self.resources), status: status().document)
        #expect(next() == nil)
        #expect(queue.troubles.diagnostics.isEmpty, "no right is missing")
        // However often it was refused, one object asks again every five seconds, and not each.
        try put(red, metadata: finalizers(Self.resources), status: status().document)
        for _ in 1...12 {
            #expect(next() == nil)
            now += .seconds(5)
            let trial = try #require(next())
            #expect(trial.part == .finalizers)
            #expect(next() == nil, "the other waits for what becomes of it")
            finish(trial, .failed(failure(code, "patch", problem)))
        }
        now += .seconds(5)
        finish(try #require(next()), .written(resourceVersion: "3"))
        now += .seconds(5)
        #expect(next()?.part == .finalizers)
    }

    @Test mutating func `an object that was wrong before this replica led has an event`() throws {
        try put(blue, status: status().document)
        queue.want([blue: status(.virtualNode, .false)], server)
        finish(try #require(next()), .written(resourceVersion: "2"))
        #expect(queue.takeNotes().events.map(\.reason) == ["Invalid"])
        // As another leader sees it, and one that told of it when it happened.
        var others = [WriteQueue](
            repeating: WriteQueue(writesPerSecond: 100, concurrency: 4),
            count: 2
        )
        others[0].want([blue: status(.virtualNode, .false)], server)
        others[0].didTell(of: blue)
        let write = try #require(others[0].next(at: moment, server).write)
        others[0].finish(
            write,
            .written(resourceVersion: "2"),
            at: moment,
            chance: 1,
            server
        )
        #expect(others[0].takeNotes().events.isEmpty)
        try put(blue, version: 2, status: status(.virtualNode, .false).document)
        others[1].want([blue: status(.virtualNode, .false)], server)
        #expect(others[1].next(at: moment, server).write == nil)
        #expect(others[1].takeNotes().events.isEmpty)
    }

    @Test mutating func `a write that was given up is made later`() throws {
        try put(blue)
        queue.want([blue: status()], server)
        finish(try #require(next()), .abandoned)
        #expect(next() != nil)
    }

    @Test mutating func `an object that never was right has a status and an event`() throws {
        try put(blue, spec: nodeSpec("blue", port: 0))
        let write = try #require(next())
        let condition = write.body["status"]?["conditions"]?.array?.first
        #expect(condition?["type"] == "VirtualNodeActive")
        #expect(condition?["status"] == "False")
        #expect(condition?["reason"] == "Invalid")
        #expect(
            condition?["message"]?.string?.contains("spec.listeners[0].portMapping.port") == true
        )
        #expect(condition?["lastTransitionTime"] == "2027-01-15T08:00:00Z")
        finish(write, .written(resourceVersion: "2"))
        let events = queue.takeNotes().events
        #expect(events.map(\.reason) == ["Invalid"])
        #expect(events.map(\.object) == [blue])
        now = .seconds(100)
        try put(
            blue,
            version: 2,
            spec: nodeSpec("blue", port: 0),
            status: try #require(write.body["status"])
        )
        #expect(next() == nil)
    }

    // MARK: Finalizers

    private static let resources = "finalizers.appmesh.k8s.aws/aws-appmesh-resources"
    private static let cloudMap = "finalizers.appmesh.k8s.aws/aws-cloudmap-resources"
    private static let meshMembers = "finalizers.appmesh.k8s.aws/mesh-members"
    private static let deletion = #""deletionTimestamp": "2026-11-23T10:00:00Z","#

    private func finalizers(_ names: String...) -> String {
        #""finalizers": [\#(names.map { "\"\($0)\"" }.joined(separator: ","))],"#
    }

    @Test(arguments: [false, true])
    mutating func `App Mesh's finalizers go, and others' stay`(isDeleted: Bool) throws {
        let metadata =
            finalizers(Self.resources, "foreign.io/keep", Self.cloudMap)
            + (isDeleted ? Self.deletion : "")
        try put(blue, metadata: metadata)
        let write = try #require(next())
        #expect(write.part == .finalizers)
        #expect(
            write.body == [
                "metadata": ["resourceVersion": "1", "finalizers": ["foreign.io/keep"]]
            ]
        )
        finish(write, .written(resourceVersion: "2"))
        try put(blue, version: 2, metadata: finalizers("foreign.io/keep"))
        #expect(next() == nil)
    }

    @Test mutating func `a Mesh that is deleted waits for its members, and says so`() throws {
        try put(mesh, metadata: finalizers(Self.meshMembers, Self.resources) + Self.deletion)
        server.memberCounts[mesh] = [
            MemberCount(kind: "virtualService", count: 2),
            MemberCount(kind: "virtualNode", count: 1),
        ]
        let write = try #require(next())
        #expect(
            write.body["metadata"]?["finalizers"] == .array([.string(Self.meshMembers)])
        )
        let events = queue.takeNotes().events
        #expect(events.map(\.reason) == ["PendingMembersDeletion"])
        #expect(events.map(\.severity) == [.warning])
        #expect(
            events.map(\.message) == [
                """
                objects belonging to this mesh exist, please delete them to proceed. \
                virtualService: 2, virtualNode: 1
                """
            ]
        )
        finish(write, .written(resourceVersion: "2"))
        try put(mesh, version: 2, metadata: finalizers(Self.meshMembers) + Self.deletion)
        let (none, until) = queue.next(at: moment, server)
        #expect(none == nil)
        #expect(until == .seconds(60))
        #expect(queue.takeNotes().events.isEmpty)
        now = .seconds(60)
        #expect(next() == nil)
        #expect(queue.takeNotes().events.count == 1)
        server.memberCounts = [:]
        queue.lookAtBlocked()
        #expect(next()?.body["metadata"]?["finalizers"] == .null)
    }

    @Test mutating func `a Mesh that stays has no finalizer on which it could hang`() throws {
        try put(mesh, metadata: finalizers(Self.meshMembers))
        server.memberCounts[mesh] = [MemberCount(kind: "virtualNode", count: 1)]
        #expect(next()?.body["metadata"]?["finalizers"] == .null)
    }

    @Test mutating func `finalizers that come back are left alone, but for deleted objects`() throws
    {
        try put(blue, metadata: finalizers(Self.resources))
        finish(try #require(next()), .written(resourceVersion: "2"))
        try put(blue, version: 2)
        #expect(next() == nil)
        now = .seconds(30)
        try put(blue, version: 3, metadata: finalizers(Self.resources))
        #expect(next() == nil)
        #expect(queue.takeNotes().lines.map(\.level) == [.warning])
        try put(mesh, metadata: finalizers(Self.resources))
        #expect(next() == nil)
        try put(mesh, version: 2, metadata: finalizers(Self.resources) + Self.deletion)
        #expect(next()?.id == mesh)
        now = .seconds(631)
        #expect(next()?.id == blue)
    }
}
