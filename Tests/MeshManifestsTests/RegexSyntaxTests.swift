import Testing

@testable import MeshManifests

@Suite struct RegexSyntaxTests {
    @Test(arguments: [
        ".*green.*", "a|b", "(a|b)+?", "[]a]", "[^]a]", "[[:alpha:]_]*", "[a[:digit:]b]",
        #"\(\[\*"#,
        #"\Q(*\E"#, #"\Q(*"#, "(?i)x", "(?i:x)*", "(?P<name>x)", "(?<name>x)", "a{2,3}", "a{1000}",
        "a{2,}", "{2001}", "a{,2001}", "a{x", "x*y*",
        #"\pN+"#, #"\x{10FFFF}"#, #"\123"#, "^$", "", "a??",
    ])
    func `what RE2 understands`(pattern: String) {
        #expect(regexProblem(pattern) == nil)
    }

    @Test(arguments: [
        ("(", "missing \")\""), ("a)", "\")\" without \"(\""), ("[a", "missing \"]\""),
        ("[]", "missing \"]\""), ("*a", "nothing to repeat before \"*\""),
        ("a|+", "nothing to repeat before \"+\""), ("(?", "missing \")\""),
        ("a**", "nothing to repeat before \"*\""), (#"a\"#, "a backslash at the end"),
        (#"(a)\1"#, #"backreference "\1""#), ("(?=a)", "lookaround"),
        ("a{1001}", #"a repetition over 1000 in "{1001}""#),
        ("a{3,1}", #"a repetition that ends before it begins in "{3,1}""#),
        ("(?<!a)b", "lookaround"),
    ])
    func `what RE2 refuses`(pattern: String, problem: String) {
        #expect(regexProblem(pattern) == problem)
    }
}
