import MeshManifests
import MeshModel
import Testing

@Suite struct AccessLogFormatTests {
    private func node(_ format: String) -> String {
        manifest(
            "VirtualNode",
            "a",
            "logging: {accessLog: {file: {path: /a, format: {\(format)}}}}"
        )
    }

    @Test(arguments: [
        "plain", "", "100%%", "%%REQ%%", "%PROTOCOL%%DURATION%", "%START_TIME%",
        "%START_TIME(%Y/%m/%dT%H:%M:%S%z %s)%", "%START_TIME(a)b)%", "%START_TIME()%",
        "%REQ(X-ENVOY-ORIGINAL-PATH?:PATH)%", "%REQ(a):10%", "%RESP(a?):0%",
        "%TRAILER(grpc-status)%",
        "%DYNAMIC_METADATA(com.test:a:b):12%", "%FILTER_STATE(a:PLAIN)%", "%GRPC_STATUS%",
        "%GRPC_STATUS(NUMBER)%", "%BYTES_SENT()%", "%CEL(request.headers['a'])%",
        "%PATH(WQ:ORIG):20%", "%QUERY_PARAM(a b)%",
    ])
    func `formats that Envoy takes pass`(format: String) {
        #expect(formatProblems(format) == [])
    }

    @Test(arguments: [
        ("%", #""%" is no command operator; write "%%" for a percent sign"#),
        ("100% sure", #""% sure" is no command operator; write "%%" for a percent sign"#),
        ("%%%", #""%" is no command operator; write "%%" for a percent sign"#),
        ("%req(a)%", #""%req(a)%" is no command operator; did you mean "REQ"?"#),
        ("%Duratoin%", #""%Duratoin%" is no command operator; did you mean "DURATION"?"#),
        ("%d", #""%d" is no command operator; write "%%" for a percent sign"#),
        (
            "%REQ(a)",
            #""%REQ(a)" is a command operator without end; end it with "%", or write "%%" for a percent sign"#
        ),
        (
            "%REQ(a %PROTOCOL%",
            #""%REQ(a %PROTOCOL%" is a command operator without end; end it with "%", or write "%%" for a percent sign"#
        ),
        (
            "%REQ(a)x%",
            #""%REQ(a)x%" is a command operator without end; end it with "%", or write "%%" for a percent sign"#
        ),
        (
            "%DURATION ms%",
            #""%DURATION ms%" is a command operator without end; end it with "%", or write "%%" for a percent sign"#
        ),
        (
            "%REQ(a):x%",
            #""x" is no length for "REQ"; write a number of characters, as in %REQ(argument):20%"#
        ),
        (
            "%REQ(a):99999999999999999999%",
            #""99999999999999999999" is no length for "REQ"; write a number of characters, as in %REQ(argument):20%"#
        ),
        ("%RESPONSE_COD%", #"Envoy has no operator "RESPONSE_COD"; did you mean "RESPONSE_CODE"?"#),
        ("%COLOUR(a)%", #"Envoy has no operator "COLOUR"; use one of its command operators"#),
        ("%BYTES_SENT:3%", #""BYTES_SENT" takes no length; remove ":" and the number"#),
        (
            "%BYTES_SENT(a)%",
            #""BYTES_SENT" takes no argument, and "a" is given; write %BYTES_SENT%"#
        ),
        ("%REQ%", #""REQ" has no argument; name a header, as in %REQ(X-REQUEST-ID)%"#),
        ("%RESP()%", #""RESP" has no argument; name a header, as in %RESP(X-REQUEST-ID)%"#),
        (
            "%ENVIRONMENT%",
            #""ENVIRONMENT" has no argument; write %ENVIRONMENT(argument)%"#
        ),
        ("%REQ(a?b?c)%", #""a?b?c" names 3 headers; name one, or two with "?" between them"#),
        ("%REQ(a b)%", #""a b" is no header name; use letters, digits and "-""#),
        ("%REQ(a?:)%", #"":" is no header name; use letters, digits and "-""#),
        (
            "%START_TIME(%F%n)%",
            #"the time format "%F%n" has a line break; remove "%n""#
        ),
    ])
    func `what Envoy refuses is named`(format: String, problem: String) {
        #expect(formatProblems(format) == [problem])
    }

    @Test func `every mistake of a format is said`() {
        #expect(formatProblems("%REQ% %COLOUR% % %REQ%").count == 3)
    }

    /// What is said about `format` as a text.
    private func formatProblems(_ format: String) -> [String] {
        let escaped = format.isEmpty ? "-" : format
        let path = "VirtualNode demo/a: spec.logging.accessLog.file.format.text: "
        return decode(node("text: '\(escaped.replacing("'", with: "''"))'")).diagnostics.map {
            #expect($0.severity == .error)
            #expect($0.message.hasPrefix(path))
            return String($0.message.dropFirst(path.count))
        }
    }

    @Test func `a value of a JSON format is a format`() {
        let expected =
            "demo.yaml:5: error: VirtualNode demo/a: spec.logging.accessLog.file.format.json[1]"
            + ".value: Envoy has no operator \"PROTOCAL\"; did you mean \"PROTOCOL\"?"
        #expect(
            reports(node("json: [{key: a, value: '%PROTOCOL%'}, {key: b, value: '%PROTOCAL%'}]"))
                == [expected]
        )
    }

    @Test func `a key that a JSON format has twice is a warning`() {
        let text = node("json: [{key: a, value: b}, {key: a, value: c}]")
        let expected =
            "demo.yaml:5: warning: VirtualNode demo/a: spec.logging.accessLog.file.format.json[1]"
            + ".key: duplicate key \"a\" (first on line 5); only one is written; rename one"
        #expect(reports(text) == [expected])
        #expect(decode(text).objects.count == 1)
    }
}
