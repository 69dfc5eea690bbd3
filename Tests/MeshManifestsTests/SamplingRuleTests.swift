import MeshManifests
import MeshModel
import Testing

/// X-Ray's sampling rules: Envoy takes wrong ones without a word, and traces 5 %.
@Suite struct SamplingRuleTests {
    private func reported(_ rules: String) -> [String] {
        let text = """
            apiVersion: appmesh.k8s.aws/v1beta2
            kind: VirtualNode
            metadata:
              name: a
              namespace: demo
              annotations:
                heddle.dev/trace-sampling-rules: '\(rules)'
            """
        return reports(text).map {
            $0.replacing(
                "VirtualNode demo/a: metadata.annotations[\"heddle.dev/trace-sampling-rules\"]: ",
                with: ""
            )
        }
    }

    @Test(arguments: [
        #"{"version": 2, "rules": [], "default": {"fixed_target": 1, "rate": 0.05}}"#,
        #"{"version": 2.0, "default": {"fixed_target": 0, "rate": 1}}"#,
        // As AWS' own tools write it.
        """
        {"version": 2, "default": {"service_name": "", "host": "", "http_method": "", "url_path": "",
          "fixed_target": 1, "rate": 0.15}, "rules": [{"description": "d", "host": "*",
          "http_method": "GET", "url_path": "/a/*", "fixed_target": 4294967295, "rate": 0}]}
        """,
    ])
    func `rules as X-Ray has them`(rules: String) {
        #expect(reported(rules) == [])
    }

    private static let example =
        #"write {"version": 2, "rules": [], "default": {"fixed_target": 1, "rate": 0.05}}"#

    @Test(arguments: [
        ("", "the string is empty; use 1 to 65536 characters"),
        ("{", "it is no JSON object; \(example)"), ("[]", "it is no JSON object; \(example)"),
        ("version: 2", "it is no JSON object; \(example)"),
        (
            #"{"version": 1, "default": {"fixed_target": 1, "rate": 0}}"#,
            "version 1 is not supported by Envoy; write version 2, with host in place of service_name"
        ),
        (
            #"{"version": "2", "default": {"fixed_target": 1, "rate": 0}}"#,
            "its version is unknown; write version 2"
        ),
        (
            #"{"default": {"fixed_target": 1, "rate": 0}}"#,
            "it has no version; write version 2"
        ),
        (#"{"version": 2, "rules": []}"#, "it has no default rule; \(example)"),
        (#"{"version": 2, "default": 1}"#, "default is no object; \(example)"),
        (
            #"{"version": 2, "default": {"rate": 0}}"#,
            "default has no fixed_target; give requests per second, such as 1"
        ),
        (
            #"{"version": 2, "default": {"fixed_target": 0.5, "rate": 0}}"#,
            "default.fixed_target is no number of requests per second; give an integer, such as 1"
        ),
        (
            #"{"version": 2, "default": {"fixed_target": 1}}"#,
            "default has no rate; give a number from 0 to 1, such as 0.05"
        ),
        (
            #"{"version": 2, "default": {"fixed_target": 1, "rate": 5}}"#,
            "default.rate is out of range; use 0 to 1"
        ),
        (
            #"{"version": 2, "rules": {}, "default": {"fixed_target": 1, "rate": 0}}"#,
            "rules is no list; write [] for none"
        ),
        (
            #"{"version": 2, "rules": [1], "default": {"fixed_target": 1, "rate": 0}}"#,
            "rules[0] is no object; give it fixed_target and rate"
        ),
        (
            #"{"version": 2, "rules": [{"host": 1, "fixed_target": 1, "rate": 1}], "default": {"fixed_target": 1, "rate": 0}}"#,
            "rules[0].host is no string; quote it, or leave it out for all"
        ),
        (
            #"{"version": 2, "rules": [{"fixed_target": 1, "rate": -0.1}], "default": {"fixed_target": 1, "rate": 0}}"#,
            "rules[0].rate is out of range; use 0 to 1"
        ),
    ])
    func `a wrong rule is one error`(rules: String, report: String) {
        #expect(reported(rules) == ["demo.yaml:7: error: \(report)"])
    }

    @Test func `a member that means nothing is named`() {
        let rules =
            #"{"version": 2, "rules": [{"url": "/a", "fixed_target": 1, "rate": 1}], "defualt": 1, "default": {"fixed_target": 1, "rate": 0}}"#
        #expect(
            reported(rules) == [
                #"demo.yaml:7: warning: unknown member "defualt" is ignored; did you mean "default"?"#,
                "demo.yaml:7: warning: unknown member \"url\" of rules[0] is ignored; known are "
                    + "description, host, http_method, url_path, fixed_target and rate",
            ]
        )
    }

    @Test func `rules that nest without end are refused`() {
        let rules = String(repeating: "[", count: 5000)
        #expect(reported(rules).count == 1)
    }
}
