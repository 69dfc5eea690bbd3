import MeshTelemetry
import MeshTesting
import Testing

@Suite struct XRaySegmentTests {
    private static let header = #"{"format":"json","version":1}"# + "\n"

    /// What Envoy 1.40 sent for a request on its egress listener.
    static let egress =
        header + """
            {"name":"demo/front","id":"b5339446d423a517","trace_id":"1-6b043c72-c70f3188547540638f6ccc31",\
            "start_time":1795439730.8401749,"end_time":1795439730.843127,"http":{"request":{"url":\
            "http://localhost:8001/a?x=1","user_agent":"curl/7.88.1","x_forwarded_for":false,"method":"GET",\
            "client_ip":"127.0.0.1"},"response":{"content_length":2,"status":200}},"annotations":{\
            "guid:x-request-id":"99f07e34-15e1-923e-8875-41b8788e2ec9","upstream_cluster.name":"blue",\
            "downstream_cluster":"-","component":"proxy","response_flags":"-","upstream_cluster":"blue",\
            "node_id":"t","request_size":"0","direction":"egress","http.protocol":"HTTP/1.1"},\
            "origin":"AWS::AppMesh::Proxy","aws":{}}
            """

    private func spans(_ document: String) throws -> [Span] {
        try XRaySegment.received(Array((XRaySegmentTests.header + document).utf8)).spans
    }

    private func span(
        _ fields: String,
        id: String = "1",
        begin: String = "1700000000.5"
    ) throws -> Span {
        let spans = try spans(
            """
            {"name":"demo/blue","id":"000000000000000\(id)","start_time":\(begin),
            "trace_id":"1-58406520-a006649127e371903a2de979"\(fields.isEmpty ? "" : ",")\(fields)}
            """
        )
        return try #require(spans.first)
    }

    @Test func `a segment of Envoy's is a span of its proxy`() throws {
        let received = try XRaySegment.received(Array(XRaySegmentTests.egress.utf8))
        let span = try #require(received.spans.first)
        #expect(received.spans.count == 1)
        #expect(span.traceID == "6b043c72c70f3188547540638f6ccc31")
        #expect(span.spanID == "b5339446d423a517")
        #expect(span.parentID == nil)
        #expect(span.name == "GET /a")
        #expect(span.service == "demo/front")
        #expect(span.kind == .client)
        #expect(span.startMicroseconds == 1_795_439_730_840_175)
        #expect(span.durationMicroseconds == 2952)
        #expect(span.status == 200)
        #expect(!span.isError)
        #expect(
            span.attributes == [
                "http.method": "GET", "http.url": "http://localhost:8001/a",
                "user_agent": "curl/7.88.1", "peer.address": "127.0.0.1", "response_size": "2",
                "guid:x-request-id": "99f07e34-15e1-923e-8875-41b8788e2ec9",
                "upstream_cluster.name": "blue", "upstream_cluster": "blue",
                "downstream_cluster": "-", "component": "proxy", "response_flags": "-",
                "node_id": "t", "request_size": "0", "direction": "egress",
                "http.protocol": "HTTP/1.1", "origin": "AWS::AppMesh::Proxy",
            ]
        )
        let document = try #require(received.segmentDocument)
        #expect(XRaySegmentTests.header + document == XRaySegmentTests.egress)
    }

    @Test func `a subsegment that comes alone is a call whose service is not told`() throws {
        let span = try #require(
            spans(
                """
                {"name":"router app egress","id":"c1771bb8de194d00","type":"subsegment",
                "trace_id":"1-6b043c72-c70f3188547540638f6ccc31","parent_id":"477bfce5337f0833",
                "start_time":1795439730.840893,"end_time":1795439730.8423769,
                "http":{"request":{"x_forwarded_for":false,"client_ip":"127.0.0.1:9000"},
                "response":{"status":503}},"annotations":{"upstream_cluster":"app",
                "direction":"ingress"},"aws":{},"fault":true}
                """
            ).first
        )
        #expect(span.service == "")
        #expect(span.name == "router app egress")
        #expect(span.kind == .client)
        #expect(span.parentID == "477bfce5337f0833")
        #expect(span.isError)
    }

    @Test func `subsegments in a segment are parts of it`() throws {
        let spans = try spans(
            """
            {"name":"shop","id":"1111111111111111","start_time":1,"end_time":9,
            "trace_id":"5759e988bd862e3fe1be46a994272793","subsegments":[
              {"name":"sns","id":"2222222222222222","start_time":2,"end_time":4,"namespace":"aws",
               "subsegments":[{"name":"work","id":"3333333333333333","start_time":3,"end_time":3.5}]},
              {"name":"later","id":"4444444444444444","start_time":5,"in_progress":true}]}
            """
        )
        #expect(spans.map(\.name) == ["shop", "sns", "work", "later"])
        #expect(spans.map(\.service) == ["shop", "shop", "shop", "shop"])
        #expect(spans.map(\.kind) == [.other, .client, .other, .other])
        #expect(
            spans.map(\.parentID) == [
                nil, "1111111111111111", "2222222222222222", "1111111111111111",
            ]
        )
        #expect(spans.map(\.durationMicroseconds) == [8_000_000, 2_000_000, 500_000, nil])
        #expect(Set(spans.map(\.traceID)) == ["5759e988bd862e3fe1be46a994272793"])
    }

    @Test(
        arguments: [
            (#""fault":true"#, true, nil),
            (#""error":true,"http":{"response":{"status":404}}"#, false, 404),
            (#""error":true,"throttle":true,"http":{"response":{"status":429}}"#, false, 429),
            (#""error":true"#, true, nil),
            (#""fault":true,"http":{"response":{"status":500}}"#, true, 500),
            (#""http":{"response":{"status":0}}"#, false, nil),
            (#""http":{"response":{"status":99999999999999999999}}"#, false, nil),
            (#""http":{"response":{"status":"200"}}"#, false, nil),
            (#""http":[1,2]"#, false, nil),
        ] as [(String, Bool, Int?)]
    )
    func `what failed is told from what a client did wrong`(
        fields: String,
        isError: Bool,
        status: Int?
    ) throws {
        let span = try span(fields)
        #expect(span.isError == isError)
        #expect(span.status == status)
    }

    @Test(
        arguments: [
            (#""annotations":{"direction":"ingress"}"#, Span.Kind.server),
            (#""annotations":{"direction":"egress"}"#, .client),
            (#""parent_id":"2222222222222222""#, .server),
            (#""http":{"request":{"method":"GET"}}"#, .server),
            ("", .other),
        ]
    )
    func `a segment knows its side`(fields: String, kind: Span.Kind) throws {
        #expect(try span(fields).kind == kind)
    }

    @Test
    func
        `a span that is its own parent has none, and one that ends before it begins takes no time`()
        throws
    {
        let span = try span(#""parent_id":"0000000000000001","end_time":1600000000"#)
        #expect(span.parentID == nil)
        #expect(span.durationMicroseconds == 0)
    }

    @Test func `annotations, metadata and causes are attributes`() throws {
        let span = try span(
            #"""
            "annotations":{"tier":"gold","count":3,"ratio":0.5,"ok":true,"list":[1],"none":null},
            "metadata":{"default":{"deep":{"er":{"est":1}},"note":"\u00e9\ud83d\ude00\ud800"}},
            "aws":{"operation":"Publish"},"user":"anna","namespace":"remote",
            "cause":{"exceptions":[{"type":"Timeout","message":"took too long"}]}
            """#
        )
        #expect(
            span.attributes == [
                "tier": "gold", "count": "3", "ratio": "0.5", "ok": "true",
                "metadata.default.note": "é😀\u{fffd}", "aws.operation": "Publish", "user": "anna",
                "namespace": "remote", "exception.type": "Timeout",
                "exception.message": "took too long",
            ]
        )
    }

    private static let noTrace = "trace_id is missing, or not 1-8 digits-24 digits"
    private static let noHeader = #"the header is not {"format":"json","version":1}"#

    @Test(
        arguments: [
            ("", "there is no line feed between header and document"),
            ("{}\n{}", noHeader),
            ("{\"format\":\"json\",\"version\":2}\n{}", noHeader),
            ("nonsense\n{}", "the header is not JSON"),
        ] as [(String, String)]
    )
    func `what does not begin as a segment is refused with the reason`(
        datagram: String,
        reason: String
    ) {
        let error = #expect(throws: MalformedSpan.self) {
            try XRaySegment.received(Array(datagram.utf8))
        }
        #expect(error?.description == reason)
    }

    @Test(
        arguments: [
            ("", "the document is not JSON, or beyond bounds"),
            ("[1]", "the document is not an object"),
            (#"{"name":"a"}"#, noTrace),
            (#"{"trace_id":"x","id":"1111111111111111","name":"a","start_time":1}"#, noTrace),
            (#"{"trace_id":"1-00000000-000000000000000000000000","name":"a"}"#, noTrace),
            (#"{TRACE,"id":"0","name":"a","start_time":1}"#, "id is missing, or not 16 digits"),
            (#"{TRACE,"id":"1111111111111111","start_time":1}"#, "name is missing"),
            (
                #"{TRACE,"id":"1111111111111111","name":"a","type":"subsegment","start_time":1}"#,
                "parent_id of a subsegment is missing"
            ),
            (
                #"{TRACE,"id":"1111111111111111","name":"a","parent_id":"y","start_time":1}"#,
                "parent_id is not 16 digits"
            ),
        ] as [(String, String)]
    )
    func `what is no segment is refused with the reason`(document: String, reason: String) {
        let trace = #""trace_id":"1-58406520-a006649127e371903a2de979""#
        let error = #expect(throws: MalformedSpan.self) {
            try spans(document.replacing("TRACE", with: trace))
        }
        #expect(error?.description == reason)
    }

    @Test(arguments: [
        "-1", "0", "1e999", "-1e999", "1e300", "NaN", "1.8e12", "\"1700000000\"", "null", "{}",
    ])
    func `a time that is none is refused`(begin: String) {
        #expect(throws: MalformedSpan.self) { try span("", begin: begin) }
    }

    @Test func `an end that is no time is refused`() {
        #expect(throws: MalformedSpan.self) { try span(#""end_time":1e300"#) }
    }

    @Test func `attributes are bounded in number and length`() throws {
        let many = (0..<500).map { #""key\#($0)":"\#(String(repeating: "ä", count: 40))""# }
        let span = try span(#""annotations":{\#(many.joined(separator: ","))}"#)
        #expect(span.attributes.count == 64)
        let long = String(repeating: "ä", count: 20_000)
        let cut = try self.span(#""annotations":{"\#(long)":"\#(long)"},"user":"x""#)
        let (key, value) = try #require(cut.attributes.first { $0.key != "user" })
        #expect(key == String(repeating: "ä", count: 64))
        #expect(value == String(repeating: "ä", count: 512))
    }

    @Test func `a document that is too deep or has too many parts is refused`() {
        let deep = String(repeating: "[", count: 60_000)
        #expect(throws: MalformedSpan.self) { try spans(deep) }
        #expect(throws: MalformedSpan.self) { try span(#""metadata":\#(deep)"#) }
        let part = #"{"name":"a","id":"1111111111111111","start_time":1}"#
        let many = Array(repeating: part, count: 1001).joined(separator: ",")
        #expect(throws: MalformedSpan.self) { try span(#""subsegments":[\#(many)]"#) }
        let flat = Array(repeating: "1", count: 30_000).joined(separator: ",")
        #expect(throws: MalformedSpan.self) { try span(#""annotations":{"a":[\#(flat)]}"#) }
    }

    @Test(arguments: seeds(20))
    func `whatever comes, spans are right or refused`(seed: UInt64) throws {
        var generator = SeededGenerator(seed: seed)
        let whole = Array(XRaySegmentTests.egress.utf8)
        for round in 0..<300 {
            var datagram = whole
            if round.isMultiple(of: 10) {
                datagram = (0..<200).map { _ in UInt8.random(in: 0...255, using: &generator) }
            }
            for _ in 0..<Int.random(in: 1...6, using: &generator) where !datagram.isEmpty {
                let place = Int.random(in: 0..<datagram.count, using: &generator)
                switch Int.random(in: 0...3, using: &generator) {
                case 0: datagram[place] = UInt8.random(in: 0...255, using: &generator)
                case 1: datagram.remove(at: place)
                case 2: datagram.insert(generator.pick(Array("\"{}[]\\,:u9e-".utf8)), at: place)
                default: datagram.removeSubrange(place..<min(datagram.count, place + 20))
                }
            }
            guard let received = try? XRaySegment.received(datagram) else { continue }
            for span in received.spans {
                #expect(TraceID.normalized(span.traceID) == span.traceID)
                #expect(span.spanID.utf8.count == 16)
                #expect(span.startMicroseconds > 0)
                #expect(span.attributes.count <= 64)
            }
        }
    }
}

@Suite struct XRayDocumentTests {
    @Test(arguments: seeds(20))
    func `a span that goes to X-Ray as a document comes back as it was`(seed: UInt64) throws {
        var random = RandomSpans(seed: seed)
        for _ in 0..<50 {
            let traceID = random.digits(32)
            let parentID = random.generator.chance(50) ? random.digits(16) : nil
            var span = random.span(traceID: traceID, parentID: parentID)
            span.attributes = [
                "http.method": "GET", "http.url": "http://blue\(String(span.name.dropFirst(4)))",
                "component": "proxy", "downstream_cluster": "x", "upstream_cluster": "a.b_c",
                "origin": "AWS::AppMesh::Proxy", "user_agent": "\"quoted\\ \u{1}é",
                "direction": span.kind == .server ? "ingress" : "egress",
            ]
            let document = XRaySegment.document(of: span)
            let back = try XRaySegment.spans(of: Array(document.utf8)[...])
            #expect(back == [span])
        }
    }

    @Test func `a document has X-Ray's form`() {
        let span = Span(
            traceID: "58406520a006649127e371903a2de979",
            spanID: "70de5b6f19ff9a0a",
            parentID: "80de5b6f19ff9a0b",
            name: "SELECT * FROM \"x\"",
            service: "demo/blue",
            kind: .client,
            startMicroseconds: 1_478_293_361_271_000,
            durationMicroseconds: 178_000,
            status: 429,
            attributes: ["guid:x-request-id": "1", "http.url": "http://db/"]
        )
        #expect(
            XRaySegment.document(of: span) == """
                {"annotations":{"guid_x_request_id":"1"},"end_time":1478293361.449,"error":true,\
                "http":{"request":{"url":"http://db/"},"response":{"status":429}},\
                "id":"70de5b6f19ff9a0a","name":"SELECT _ FROM _x_","namespace":"remote",\
                "parent_id":"80de5b6f19ff9a0b","start_time":1478293361.271,"throttle":true,\
                "trace_id":"1-58406520-a006649127e371903a2de979","type":"subsegment"}
                """
        )
    }

    @Test func `a document is never longer than X-Ray takes`() {
        let long = String(repeating: "\u{1}", count: 1024)
        let attributes = (0..<64).map { ("key\($0)" + long.prefix(100), long) }
        let span = Span(
            traceID: "58406520a006649127e371903a2de979",
            spanID: "70de5b6f19ff9a0a",
            name: long,
            service: long,
            startMicroseconds: .max,
            durationMicroseconds: .max,
            attributes: Dictionary(uniqueKeysWithValues: attributes)
        )
        #expect(XRaySegment.document(of: span).utf8.count <= 65_536)
    }
}

@Suite struct TraceIDTests {
    @Test(
        arguments: [
            ("1-58406520-a006649127e371903a2de979", "58406520a006649127e371903a2de979"),
            ("58406520A006649127E371903A2DE979", "58406520a006649127e371903a2de979"),
            ("2-58406520-a006649127e371903a2de979", nil),
            ("1-58406520a-006649127e371903a2de979", nil),
            ("00000000000000000000000000000000", nil),
            ("58406520a006649127e371903a2de97", nil),
            ("58406520a006649127e371903a2de97g", nil),
            ("é8406520a006649127e371903a2de979", nil),
            ("", nil),
        ] as [(String, String?)]
    )
    func `ids have two forms`(text: String, id: String?) {
        #expect(TraceID.normalized(text) == id)
    }

    @Test(
        arguments: [
            ("5840", "5840"), ("1-5840", "5840"), ("1-58406520-A0", "58406520a0"), ("", nil),
            ("1-", nil), ("x", nil), ("%", nil),
        ] as [(String, String?)]
    )
    func `people type the begin of an id`(text: String, prefix: String?) {
        #expect(TraceID.prefix(text) == prefix)
    }
}
