import MeshModel
import Testing

@testable import MeshDaemon

@Suite struct `Formatting` {
    @Test func `columns align and lines have no trailing blanks`() {
        var table = TextTable(headings: ["NAME", "STATE", "ERROR"])
        table.rows = [
            ["a", TextTable.Cell("Running", .green), ""],
            ["longer", TextTable.Cell("Refused", .red), "two\nlines"],
        ]
        #expect(
            table.text() == """
                NAME     STATE     ERROR
                a        Running
                longer   Refused   two lines

                """
        )
        #expect(
            table.text(isColoured: true) == """
                NAME     STATE     ERROR
                a        \u{1B}[32mRunning\u{1B}[0m
                longer   \u{1B}[31mRefused\u{1B}[0m   two lines

                """
        )
    }

    @Test func `YAML has an object's parts first and quotes what would read as something else`()
        throws
    {
        let object: JSONValue = [
            "status": ["z": 1, "a": .number(2.5)], "kind": "VirtualNode", "apiVersion": "v1",
            "spec": [
                "version": "1.10", "enabled": "true", "off": "off", "null": "null", "empty": "",
                "time": "2026-11-23T00:41:19Z", "plain": "some text", "colon": "a: b", "flag": true,
                "list": [["status": "x", "name": "n"]], "nothing": .null, "none": [],
                "script": "one\ntwo\n",
            ], "metadata": ["name": "x"],
        ]
        #expect(
            try yamlText(object) == """
                apiVersion: v1
                kind: VirtualNode
                metadata:
                  name: x
                spec:
                  colon: 'a: b'
                  empty: ""
                  enabled: "true"
                  flag: true
                  list:
                  - name: n
                    status: x
                  none: []
                  nothing: null
                  "null": "null"
                  "off": "off"
                  plain: some text
                  script: |
                    one
                    two
                  time: "2026-11-23T00:41:19Z"
                  version: "1.10"
                status:
                  a: 2.5
                  z: 1

                """
        )
    }

    @Test func `JSON is sorted, indented by four and escaped`() {
        let value: JSONValue = [
            "b": [1, .number(2.5), .null], "a": "q\"\\\n\u{1}é/", "c": [], "d": [:],
        ]
        #expect(
            JSONText.pretty(value) == """
                {
                    "a": "q\\"\\\\\\n\\u0001é/",
                    "b": [
                        1,
                        2.5,
                        null
                    ],
                    "c": [],
                    "d": {}
                }
                """
        )
        #expect(
            String(decoding: JSONText.compact(["b": 1, "a": [true]]), as: UTF8.self)
                == #"{"a":[true],"b":1}"#
        )
    }

    @Test(arguments: [
        ("vn", Kind.virtualNode), ("virtualnodes", .virtualNode), ("VirtualNode", .virtualNode),
        ("virtualnodes.appmesh.k8s.aws", .virtualNode), ("meshes", .mesh), ("gr", .gatewayRoute),
        ("vs", .virtualService), ("vr", .virtualRouter), ("vg", .virtualGateway),
        ("ns", .namespace), ("tp", .trafficPolicy), ("trafficpolicies", .trafficPolicy),
        ("trafficpolicy", .trafficPolicy),
    ])
    func `kinds go by many names`(text: String, kind: Kind) throws {
        #expect(try KindName.kind(text) == kind)
    }

    @Test func `all is every kind of a namespace`() throws {
        #expect(try KindName.kinds("all").count == 8)
        #expect(try KindName.kinds("vn,mesh") == [.virtualNode, .mesh])
    }

    @Test(arguments: [
        (["HEDDLE_STATE_DIR": "/x"], true, "/x"), (["HOME": "/root"], true, "/var/lib/heddle"),
        (["HOME": "/home/u", "XDG_STATE_HOME": "/s"], false, "/s/heddle"),
        (["HOME": "/home/u", "HEDDLE_STATE_DIR": ""], false, "/home/u/.local/state/heddle"),
    ])
    func `the state directory`(environment: [String: String], isRoot: Bool, expected: String) {
        #expect(defaultStateDirectory(environment: environment, isRoot: isRoot) == expected)
    }

    @Test(arguments: [
        ("64Ki", 65_536), ("10Mi", 10_485_760), ("1Gi", 1 << 30), ("5k", 5000), ("2M", 2_000_000),
        ("123", 123), ("", nil), ("Mi", nil), ("-1", nil), ("1.5Mi", nil), ("10MB", nil),
        ("9999999999Gi", nil),
    ])
    func `sizes are read`(text: String, bytes: Int?) { #expect(byteCount(text) == bytes) }

    @Test func `no colour where it is not wanted`() {
        #expect(Console.allowsColour(["TERM": "xterm"]))
        #expect(!Console.allowsColour(["NO_COLOR": "1"]))
        #expect(!Console.allowsColour(["TERM": "dumb"]))
    }

    @Test(arguments: [
        ("20s", Duration.seconds(20)), ("500ms", .milliseconds(500)), ("2m", .seconds(120)),
        ("1h", .seconds(3600)), ("7d", .seconds(7 * 86_400)), ("20", nil), ("s", nil),
        ("-1s", nil), ("1w", nil),
    ])
    func `times`(text: String, expected: Duration?) {
        #expect(duration(text) == expected)
    }

    @Test(arguments: [
        ("127.0.0.1:18001", "127.0.0.1", 18001), ("[::1]:80", "::1", 80),
        ("localhost:0", "localhost", 0),
    ])
    func `addresses`(text: String, host: String, port: Int) {
        #expect(HostAndPort(text) == HostAndPort(host: host, port: port))
        #expect(HostAndPort(text)?.description == text)
    }

    @Test(arguments: ["127.0.0.1", ":80", "host:port", "host:70000", "[::1]", ""])
    func `what is no address`(text: String) {
        #expect(HostAndPort(text) == nil)
    }

    @Test(
        arguments: [
            ([:], "Pending", ProxyState.Verdict.changing),
            (notReady("ProxyBackingOff"), "ProxyBackingOff", .bad),
            (notReady("ConfigurationRefused"), "ConfigurationRefused", .bad),
            (notReady("Disconnected"), "Disconnected", .changing),
            (notReady("Syncing"), "Syncing", .changing),
            (notReady("ApplicationStarting"), "ApplicationStarting", .changing),
            (["conditions": [["type": "WorkloadReady", "status": "True"]]], "Running", .good),
        ] as [(JSONValue, String, ProxyState.Verdict)]
    )
    func `a proxy's state in a word`(
        status: JSONValue,
        word: String,
        verdict: ProxyState.Verdict
    ) {
        let state = ProxyState(status: status)
        #expect(state.word == word)
        #expect(state.verdict == verdict)
    }
}

/// The status of a Workload that is not ready for `reason`.
private func notReady(_ reason: String) -> JSONValue {
    ["conditions": [["type": "WorkloadReady", "status": "False", "reason": .string(reason)]]]
}
