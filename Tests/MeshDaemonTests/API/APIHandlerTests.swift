import Foundation
import MeshModel
import Testing

@testable import MeshDaemon

private let nodes = "/apis/appmesh.k8s.aws/v1beta2/namespaces/demo/virtualnodes"
private let table = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"

@Suite struct `API handler` {
    let api = colorsHandler()

    private func get(
        _ target: String,
        accept: String = "",
        method: String = "GET"
    ) async throws -> (code: Int, document: JSONValue) {
        let request = APIRequest(method: method, target: target, accept: accept)
        let response = await api.respond(to: request)
        guard case .bytes(let bytes) = response.body else { throw APIFailure.noResource }
        let document = try? JSONDecoder().decode(JSONValue.self, from: Data(bytes))
        return (response.status, document ?? .string(String(decoding: bytes, as: UTF8.self)))
    }

    private func names(_ target: String) async throws -> [String] {
        let items = try await get(target).document["items"]?.array ?? []
        return items.compactMap { $0["metadata"]?["name"]?.string }
    }

    @Test func `an object is its manifest with the server's metadata and its status`() async throws
    {
        let (code, blue) = try await get("\(nodes)/blue")
        #expect(code == 200)
        #expect(blue["kind"] == "VirtualNode")
        #expect(blue["spec"]?["awsName"] == "blue_demo")
        #expect(blue["metadata"]?["resourceVersion"] == "103")
        #expect(blue["metadata"]?["generation"] == 1)
        #expect(blue["metadata"]?["labels"] == ["color": "blue"])
        #expect(
            blue["metadata"]?["creationTimestamp"]
                == .string(timestamp(secondsSince1970: testNowSeconds - 312))
        )
        #expect(blue["status"]?["conditions"]?.array?.first?["type"] == "VirtualNodeActive")
    }

    @Test func `a list has the version of the whole`() async throws {
        let (_, list) = try await get(nodes)
        #expect(list["kind"] == "VirtualNodeList")
        #expect(list["metadata"]?["resourceVersion"] == "107")
        #expect(list["items"]?.array?.count == 2)
    }

    @Test(arguments: [
        ("labelSelector=color%3Dblue", ["blue"]), ("labelSelector=color==red", ["red"]),
        ("labelSelector=color!=red", ["blue"]), ("labelSelector=canary", ["red"]),
        ("labelSelector=!canary", ["blue"]),
        ("labelSelector=color+in+(blue,red),canary", ["red"]),
        ("labelSelector=color%20notin%20(blue,green)", ["red"]),
        ("fieldSelector=metadata.name%3Dred", ["red"]),
        ("fieldSelector=metadata.name!=red,metadata.namespace=demo", ["blue"]),
        ("limit=1", ["blue", "red"]),
    ])
    func `selectors select`(query: String, expected: [String]) async throws {
        #expect(try await names("\(nodes)?\(query)") == expected)
    }

    @Test func `a list of all namespaces and one of another namespace`() async throws {
        #expect(
            try await names("/apis/appmesh.k8s.aws/v1beta2/virtualnodes") == ["blue", "red"]
        )
        #expect(
            try await names("/apis/appmesh.k8s.aws/v1beta2/namespaces/none/virtualnodes") == []
        )
        #expect(try await names("/api/v1/namespaces") == ["demo"])
        #expect(try await names("/apis/appmesh.k8s.aws/v1beta2/meshes") == ["colors"])
    }

    @Test(arguments: [
        (
            "GET", "\(nodes)/green", 404, "NotFound",
            "virtualnodes.appmesh.k8s.aws \"green\" not found"
        ),
        ("GET", "/api/v1/namespaces/x", 404, "NotFound", "namespaces \"x\" not found"),
        (
            "GET", "/api/v1/pods", 404, "NotFound",
            "the server could not find the requested resource"
        ),
        (
            "GET", "/openapi/v2", 404, "NotFound",
            "the server could not find the requested resource"
        ),
        (
            "POST", nodes, 405, "MethodNotAllowed",
            "the server does not allow this method on the requested resource"
        ),
        (
            "GET", "\(nodes)?fieldSelector=spec.x%3D1", 400, "BadRequest",
            "field label not supported: spec.x"
        ),
        (
            "GET", "\(nodes)?watch=true&resourceVersion=x", 400, "BadRequest",
            "invalid resource version \"x\""
        ),
    ])
    func `a failure is a Status in the words of Kubernetes`(
        method: String,
        target: String,
        code: Int,
        reason: String,
        message: String
    ) async throws {
        let (status, failure) = try await get(target, method: method)
        #expect(status == code)
        #expect(failure["kind"] == "Status")
        #expect(failure["status"] == "Failure")
        #expect(failure["code"] == .integer(code))
        #expect(failure["reason"]?.string == reason)
        #expect(failure["message"]?.string == message)
    }

    @Test(arguments: ["color in blue", "=x", "a in", "a=b=c", "!", "color blue"])
    func `a selector that cannot be read is a bad request`(selector: String) async throws {
        let encoded = selector.replacing(" ", with: "+").replacing("=", with: "%3D")
        #expect(try await get("\(nodes)?labelSelector=\(encoded)").code == 400)
    }

    @Test func `a table has columns, cells and the objects' metadata`() async throws {
        let (_, table) = try await get(nodes, accept: table)
        #expect(table["kind"] == "Table")
        let columns = table["columnDefinitions"]?.array?.compactMap { $0["name"]?.string }
        #expect(columns == ["Name", "Ports", "Ready", "Reason", "Age", "Proxies", "ARN"])
        let rows = table["rows"]?.array ?? []
        #expect(
            rows.map { $0["cells"] } == [
                [
                    "blue", "8080/http", "True", "Programmed", "5m12s", "1/2",
                    "arn:aws:appmesh:local:000000000000:mesh/colors/virtualNode/blue_demo",
                ],
                ["red", "8080/http", "False", "Refused", "5m12s", "<none>", "<none>"],
            ]
        )
        #expect(rows.first?["object"]?["kind"] == "PartialObjectMetadata")
        #expect(rows.first?["object"]?["metadata"]?["name"] == "blue")
    }

    @Test func `a table includes what is asked for`() async throws {
        let whole = try await get("\(nodes)/red?includeObject=Object", accept: table).document
        #expect(whole["rows"]?.array?.first?["object"]?["kind"] == "VirtualNode")
        let none = try await get("\(nodes)/red?includeObject=None", accept: table).document
        #expect(none["rows"]?.array?.first?["object"] == nil)
        #expect(try await get("\(nodes)?includeObject=All", accept: table).code == 400)
        #expect(try await get(nodes, accept: "application/yaml").code == 406)
    }

    @Test func `workloads show their proxies' state`() async throws {
        let (_, table) = try await get(
            "/apis/heddle.dev/v1alpha1/workloads",
            accept: table
        )
        #expect(
            (table["rows"]?.array ?? []).map { $0["cells"]?.array?.prefix(7) } == [
                ["blue-1", "blue", "Running", "127.66.0.1", "127.67.0.1", 0, "5m12s"],
                ["red-1", "red", "Refused", "127.66.0.2", "127.67.0.2", 2, "5m12s"],
                ["red-2", "red", "Starting", "<none>", "<none>", 0, "5m12s"],
            ]
        )
    }

    @Test func `discovery names every kind`() async throws {
        let groups = try await get("/apis").document["groups"]?.array ?? []
        #expect(groups.map { $0["name"] } == ["appmesh.k8s.aws", "heddle.dev"])
        for kind in Kind.allCases {
            let path = kind.group.isEmpty ? "/api/v1" : "/apis/\(kind.apiVersion)"
            let resources = try await get(path).document["resources"]?.array ?? []
            let resource = try #require(resources.first { $0["name"]?.string == kind.plural })
            #expect(resource["kind"]?.string == kind.rawValue)
            #expect(resource["namespaced"]?.bool == kind.isNamespaced)
            #expect((resource["categories"] == ["all"]) == kind.isNamespaced)
        }
        #expect(try await get("/apis/apps").code == 404)
        #expect(try await get("/apis/apps/v1").code == 404)
    }

    @Test func `it is ready once something was published`() async throws {
        #expect(try await get("/readyz").code == 200)
        let empty = await handler(APIState()).respond(to: APIRequest(target: "/readyz"))
        #expect(empty.status == 503)
    }

    @Test func `a log is streamed`() async throws {
        let path = "/apis/heddle.dev/v1alpha1/namespaces/demo/workloads/blue-1/log"
        let query = "container=application&tailLines=5&follow=true"
        let response = await api.respond(to: APIRequest(target: "\(path)?\(query)"))
        guard case .stream(let stream) = response.body else { throw APIFailure.noResource }
        var text = ""
        try await stream { text += String(decoding: $0, as: UTF8.self) }
        #expect(text == "demo/blue-1 application 5\nfollowed\n")
        #expect(try await get("\(path)?container=x").code == 400)
        #expect(try await get(path.replacing("blue-1", with: "green")).code == 404)
    }

    @Test(arguments: [
        ("127.0.0.1:18001", true), ("localhost:18001", true), ("[::1]:18001", true),
        ("LOCALHOST:18001", true), ("127.0.0.1:18001@evil.example", false), ("127.0.0.1:x", false),
        ("evil.example:18001", false), ("localhost.evil.example", false),
    ])
    func `only addresses and localhost are served by name`(authority: String, isServed: Bool) {
        #expect((hostFailure(authority) == nil) == isServed)
    }
}

@Suite struct `Human durations` {
    @Test(arguments: [
        (-2, "<invalid>"), (-1, "0s"), (0, "0s"), (119, "119s"), (120, "2m"), (312, "5m12s"),
        (600, "10m"), (10_799, "179m"), (10_800, "3h"), (12_300, "3h25m"), (28_800, "8h"),
        (172_799, "47h"), (172_800, "2d"), (180_000, "2d2h"), (691_200, "8d"),
        (63_072_000, "2y"), (70_000_000, "2y80d"), (315_360_000, "10y"),
    ])
    func `are kubectl's`(seconds: Int, expected: String) {
        #expect(humanDuration(seconds: seconds) == expected)
    }
}
