import Testing

@testable import KubernetesAPI

/// Where the parts of a JSON document are.
@Suite struct JSONSlicesTests {
    private func text(_ slice: ArraySlice<UInt8>) -> String {
        String(decoding: slice, as: UTF8.self)
    }

    @Test func `members and elements are found, whatever is in them`() throws {
        let document = #" { "a" : [1, {"x": "]}\""}, [] ] ,"b":null, "c\"": -1.5e3, "d":{} } "#
        let members = try JSONSlices.members(of: Array(document.utf8)[...])
        #expect(
            members.mapValues(text) == [
                "a": #"[1, {"x": "]}\""}, [] ]"#, "b": "null", #"c\""#: "-1.5e3", "d": "{}",
            ]
        )
        let elements = try JSONSlices.elements(of: members["a"] ?? [])
        #expect(elements.map(text) == ["1", #"{"x": "]}\""}"#, "[]"])
        #expect(try JSONSlices.elements(of: members["b"] ?? []) == [])
        #expect(try JSONSlices.members(of: members["d"] ?? []) == [:])
    }

    @Test func `depth costs nothing`() throws {
        let deep =
            String(repeating: #"{"a":["#, count: 200_000)
            + String(repeating: "]}", count: 200_000)
        let members = try JSONSlices.members(of: Array(#"{"x": \#(deep), "y": 1}"#.utf8)[...])
        #expect(members["x"]?.count == deep.utf8.count)
        #expect(members["y"].map(text) == "1")
    }

    @Test(arguments: [
        "", "1", "[", "{", #"{"a"}"#, #"{"a":}"#, #"{"a":1"#, #"{"a":1,"#, #"{"a" 1}"#, "[1,",
        "[1 2]",
        "[]]", #"["a]"#, #"{"a":[}"#, #"{"a":"\"#, "[}", "{]", "[,]",
    ])
    func `what is cut off or none is told`(document: String) {
        let bytes = Array(document.utf8)[...]
        #expect(throws: JSONSlices.Malformed.self) {
            _ = try JSONSlices.members(of: bytes)
        }
        // What comes after the end is not looked at, and nothing has no elements.
        guard document != "[]]", !document.isEmpty else { return }
        #expect(throws: JSONSlices.Malformed.self) { _ = try JSONSlices.elements(of: bytes) }
    }
}
