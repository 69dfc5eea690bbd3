import Foundation
import MeshModel
import MeshPlan
import Synchronization
import Testing

@testable import MeshDaemon

private let path = "/apis/heddle.dev/v1alpha1"
private let table = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"

@Suite(.timeLimit(.minutes(1))) struct `Certificates of the API` {
    private func answer(
        _ api: APIHandler,
        _ request: APIRequest
    ) async throws -> (code: Int, document: JSONValue) {
        let response = await api.respond(to: request)
        guard case .bytes(let bytes) = response.body else { throw APIFailure.noResource }
        return (response.status, try JSONDecoder().decode(JSONValue.self, from: Data(bytes)))
    }

    private func names(_ target: String) async throws -> [String] {
        let (_, list) = try await answer(APIRequest(target: "\(path)/\(target)"))
        return (list["items"]?.array ?? []).compactMap { $0["metadata"]?["name"]?.string }
            .filter { !$0.hasPrefix("red.") }
    }

    @Test(arguments: [
        ("certificates", ["root", "mesh.colors", "mesh.colors.c0ffee", "blue", "red"]),
        ("namespaces/demo/certificates", ["blue", "red"]), ("namespaces/x/certificates", []),
        ("certificates?fieldSelector=metadata.name%3Dblue", ["blue"]),
        ("certificates?labelSelector=app%3Dx", []),
    ])
    func `are listed`(target: String, expected: [String]) async throws {
        #expect(try await names(target) == expected)
    }

    @Test func `have their state`() async throws {
        let (code, blue) = try await answer(
            APIRequest(target: "\(path)/namespaces/demo/certificates/blue")
        )
        #expect(code == 200)
        #expect(blue["kind"] == "Certificate")
        #expect(blue["spec"]?["identity"] == "spiffe://colors/demo/blue")
        #expect(blue["spec"]?["owner"] == ["kind": "VirtualNode", "name": "blue"])
        #expect(blue["status"]?["state"] == "Valid")
        #expect(blue["status"]?["serial"] == "1A2B3C4D5E6F")
        #expect(blue["status"]?["proxies"] == ["demo/blue-1", "demo/blue-2"])
        let (_, root) = try await answer(APIRequest(target: "\(path)/certificates/root"))
        #expect(root["status"]?["state"] == "Signing")
        #expect(root["metadata"]?["namespace"] == nil)
        let (missing, failure) = try await answer(APIRequest(target: "\(path)/certificates/blue"))
        #expect(missing == 404)
        #expect(failure["message"] == "certificates.heddle.dev \"blue\" not found")
    }

    @Test func `are a table`() async throws {
        let (_, table) = try await answer(
            APIRequest(target: "\(path)/namespaces/demo/certificates/blue", accept: table)
        )
        let columns = (table["columnDefinitions"]?.array ?? []).filter { $0["priority"] == 0 }
        #expect(
            columns.compactMap { $0["name"]?.string } == [
                "Name", "Source", "State", "Serial", "Age", "Expires-In", "Proxies",
                "Last-Rotation", "Problem",
            ]
        )
        #expect(
            table["rows"]?.array?.first?["cells"] == [
                "blue", "issued", "spiffe://colors/demo/blue", "Valid", "3C4D5E6F", "1A2B3C4D5E6F",
                "22m", "38m", "2", "demo/blue-1,demo/blue-2", "20m", "",
            ]
        )
    }

    @Test func `are found by discovery`() async throws {
        let (_, list) = try await answer(APIRequest(target: path))
        let names = (list["resources"]?.array ?? []).compactMap { $0["name"]?.string }
        #expect(names.contains("certificates"))
        #expect(names.contains("certificates/rotate"))
    }

    @Test func `are watched from the version of a list`() async throws {
        let api = certificatesHandler()
        let target = "\(path)/certificates"
        let (_, list) = try await answer(api, APIRequest(target: target))
        let version = list["metadata"]?["resourceVersion"]?.string ?? ""
        let query = "?watch=true&resourceVersion=\(version)"
        let response = await api.respond(to: APIRequest(target: target + query))
        guard case .stream(let stream) = response.body else { throw APIFailure.noResource }
        var events: [String] = []
        struct Ended: Error {}
        await #expect(throws: Ended.self) {
            try await stream { bytes in
                if bytes.isEmpty {
                    var (plan, identity) = colorCertificates()
                    identity.secrets[issued("blue")]?.serial = "2"
                    plan.proxies[ProxyID(ObjectReference(namespace: "demo", name: "red-1"))] = nil
                    api.state.publish(
                        objects: [],
                        statuses: [:],
                        certificates: CertificateReport(plan, identity)
                    )
                }
                for line in bytes.split(separator: UInt8(ascii: "\n")) {
                    let event = try JSONDecoder().decode(JSONValue.self, from: Data(line))
                    let name = event["object"]?["metadata"]?["name"]?.string ?? ""
                    events.append("\(event["type"]?.string ?? "") \(name.prefix(4))")
                }
                if events.count == 3 { throw Ended() }
            }
        }
        #expect(events == ["MODIFIED blue", "DELETED red", "DELETED red."])
    }

    @Test func `a watch of an unknown version begins with what is there`() async throws {
        let target = "\(path)/namespaces/demo/certificates?watch=true&resourceVersion=7"
        let response = await certificatesHandler().respond(to: APIRequest(target: target))
        guard case .stream(let stream) = response.body else { throw APIFailure.noResource }
        var text = ""
        struct Ended: Error {}
        await #expect(throws: Ended.self) {
            try await stream { bytes in
                text += String(decoding: bytes, as: UTF8.self)
                if !bytes.isEmpty { throw Ended() }
            }
        }
        #expect(text.split(separator: "\n").count == 3)
        #expect(text.contains("\"type\":\"ADDED\""))
    }

    @Test(arguments: [
        ("certificates/rotate", "certificates(of: nil)"),
        ("certificates/root/rotate", "root"),
        ("certificates/mesh.colors/rotate", "meshAuthority(\"colors\")"),
    ])
    func `are rotated on the socket`(target: String, expected: String) async throws {
        let api = certificatesHandler(rotation: { request in "did \(request)" })
        let (code, document) = try await answer(
            api,
            APIRequest(method: "POST", target: "\(path)/\(target)", isFromSocket: true)
        )
        #expect(code == 200)
        #expect(document["status"] == "Success")
        #expect(document["message"]?.string?.hasSuffix(expected) == true)
    }

    @Test func `are not rotated on the port, nor by reading`() async throws {
        let asked = Mutex(0)
        let api = certificatesHandler(rotation: { _ in
            asked.withLock { $0 += 1 }
            return ""
        })
        let target = "\(path)/namespaces/demo/certificates/blue/rotate"
        let (forbidden, failure) = try await answer(api, APIRequest(method: "POST", target: target))
        #expect(forbidden == 403)
        #expect(failure["reason"] == "Forbidden")
        #expect(
            failure["message"]
                == "certificates are rotated through the Unix socket alone, which is its owner's; use \"heddle certificates rotate\""
        )
        let read = try await answer(api, APIRequest(target: target, isFromSocket: true))
        #expect(read.code == 405)
        #expect(asked.withLock { $0 } == 0)
    }

    @Test func `are not rotated where there is nobody to do it`() async throws {
        let request = APIRequest(
            method: "POST",
            target: "\(path)/certificates/rotate",
            isFromSocket: true
        )
        #expect(try await answer(request).code == 501)
    }

    private func answer(_ request: APIRequest) async throws -> (code: Int, document: JSONValue) {
        try await answer(certificatesHandler(), request)
    }
}
