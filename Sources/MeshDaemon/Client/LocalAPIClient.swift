import FoundationEssentials
import MeshModel
import MeshTelemetry

/// Asks the local API.
struct LocalAPIClient: Sendable {
    /// Carries the requests.
    var transport: any LocalAPITransport

    /// What kubectl asks for when it prints a table.
    static let table = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"
    /// Objects as they are.
    static let json = "application/json"

    /// The document at `target`.
    func document(_ target: String, accept: String = json) async throws -> JSONValue {
        let response = try await transport.response(target, accept: accept)
        guard response.status == 200 else { throw failure(response) }
        return try decode(response.body[...])
    }

    /// The value at `target`.
    func value<Value: Decodable>(_ type: Value.Type, _ target: String) async throws -> Value {
        let response = try await transport.response(target, accept: Self.json)
        guard response.status == 200 else { throw failure(response) }
        return try decode(type, response.body[...])
    }

    /// Calls `onMap` with the present map and with each that is made, until the daemon ends.
    func maps(onMap: (ServiceMap) async throws -> Void) async throws {
        var lines = LineBuffer()
        let prefix = Array("data: ".utf8)
        let response = try await transport.stream("/map?watch", accept: "text/event-stream") {
            part in
            for line in lines.append(part) where line.starts(with: prefix) {
                try await onMap(decode(ServiceMap.self, line.dropFirst(prefix.count)))
            }
        }
        guard response.status == 200 else { throw failure(response) }
    }

    /// Calls `onLines` with the lines of `target` as they come, until it ends.
    func lines(
        _ target: String,
        onLines: ([ArraySlice<UInt8>]) async throws -> Void
    ) async throws {
        var lines = LineBuffer()
        let response = try await transport.stream(target, accept: "*/*") { part in
            let complete = lines.append(part)
            if !complete.isEmpty { try await onLines(complete) }
        }
        guard response.status == 200 else { throw failure(response) }
        let rest = lines.append([UInt8(ascii: "\n")])
        if rest != [[]] { try await onLines(rest) }
    }

    /// What `POST target` is answered with.
    func post(_ target: String) async throws -> JSONValue {
        let response = try await transport.post(target)
        guard response.status == 200 else { throw failure(response) }
        return try decode(response.body[...])
    }

    /// Calls `onLine` with each document of what `POST target` is answered with, one a line.
    func postLines(_ target: String, onLine: (JSONValue) throws -> Void) async throws {
        var lines = LineBuffer()
        let response = try await transport.post(target) { part in
            for line in lines.append(part) { try onLine(decode(line)) }
        }
        guard response.status == 200 else { throw failure(response) }
    }

    /// The objects of `kind` in `namespace`, or in all.
    func objects(
        _ kind: Kind,
        namespace: String? = nil
    ) async throws -> (items: [JSONValue], version: String) {
        let list = try await document(Self.path(kind, namespace: namespace))
        let version = list["metadata"]?["resourceVersion"]?.string ?? "0"
        return (list["items"]?.array ?? [], version)
    }

    /// Calls `onEvent` with the type and object of each event of a watch, until it ends.
    func watch(
        _ target: String,
        accept: String = json,
        onEvent: (_ type: String, _ object: JSONValue) async throws -> Void
    ) async throws {
        var lines = LineBuffer()
        let response = try await transport.stream(target, accept: accept) { part in
            for line in lines.append(part) {
                let event = try decode(line)
                let object = event["object"] ?? .null
                guard event["type"] != "ERROR" else {
                    throw ClientFailure(.badNews, object["message"]?.string ?? "watch failed")
                }
                try await onEvent(event["type"]?.string ?? "", object)
            }
        }
        guard response.status == 200 else { throw failure(response) }
    }

    /// Calls `onPart` with each piece of the text at `target`.
    func text(_ target: String, onPart: ([UInt8]) async throws -> Void) async throws {
        let response = try await transport.stream(target, accept: "*/*", onPart: onPart)
        guard response.status == 200 else { throw failure(response) }
    }

    /// The path of the objects of `kind`, or of the one named `name`.
    static func path(_ kind: Kind, namespace: String? = nil, name: String? = nil) -> String {
        var path = kind.group.isEmpty ? "/api/v1" : "/apis/\(kind.apiVersion)"
        if kind.isNamespaced, let namespace { path += "/namespaces/\(namespace)" }
        path += "/\(kind.plural)"
        if let name { path += "/\(name)" }
        return path
    }

    /// `text` as the value of a query's parameter.
    static func queryValue(_ text: String) -> String {
        var value = ""
        for byte in text.utf8 {
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "."),
                UInt8(ascii: "_"):
                value.unicodeScalars.append(Unicode.Scalar(byte))
            default:
                let digits = String(byte, radix: 16, uppercase: true)
                value += digits.utf8.count == 1 ? "%0\(digits)" : "%\(digits)"
            }
        }
        return value
    }

    private func decode(_ bytes: ArraySlice<UInt8>) throws -> JSONValue {
        try decode(JSONValue.self, bytes)
    }

    /// Reads a part of an answer.
    func decode<Value: Decodable>(
        _ type: Value.Type,
        _ bytes: ArraySlice<UInt8>
    ) throws -> Value {
        do {
            return try JSONDecoder().decode(type, from: Data(bytes))
        } catch {
            throw ClientFailure(.badNews, "the daemon's answer is not JSON: \(error)")
        }
    }

    private func failure(_ response: LocalAPIResponse) -> ClientFailure {
        let status = try? JSONDecoder().decode(JSONValue.self, from: Data(response.body))
        let message = status?["message"]?.string ?? "the daemon answered \(response.status)"
        return ClientFailure(.badNews, message)
    }
}

/// Text that arrives piece by piece, as lines.
private struct LineBuffer {
    private var pending: [UInt8] = []

    /// The lines that `part` completes, without their ends.
    mutating func append(_ part: [UInt8]) -> [ArraySlice<UInt8>] {
        pending += part
        guard let end = pending.lastIndex(of: UInt8(ascii: "\n")) else { return [] }
        let lines = pending[..<end].split(
            separator: UInt8(ascii: "\n"),
            omittingEmptySubsequences: false
        )
        pending.removeSubrange(...end)
        return lines
    }
}
