import Foundation
import MeshAdmission
import Testing

@Suite struct InjectionSettingsTests {
    private func decode(_ text: String) throws -> InjectionSettings {
        try JSONDecoder().decode(InjectionSettings.self, from: Data(text.utf8))
    }

    @Test func `what is left out has its default`() throws {
        #expect(try decode("{}") == InjectionSettings())
        let given = try decode(
            #"{"sidecar": {"resources": {"requests": {"cpu": "1"}}}, "tracing": {"enabled": true, "provider": "jaeger"}, "init": {"image": {"repository": "r", "tag": "t"}}}"#
        )
        var expected = InjectionSettings()
        expected.sidecar.resources.requests.cpu = "1"
        expected.tracing.enabled = true
        expected.tracing.provider = .jaeger
        expected.initContainer.image = .init(repository: "r", tag: "t")
        #expect(given == expected)
        #expect(given.sidecar.resources.requests.memory == "256Mi")
    }

    @Test func `settings are the same after they were written and read`() throws {
        var settings = InjectionSettings(proxyImage: "a.b:5000/envoy@sha256:12", heddleImage: "c:1")
        settings.ipFamily = .ipv6
        settings.xRay.image.tag = "3"
        settings.imagePullSecrets = ["a"]
        let text = String(decoding: try JSONEncoder().encode(settings), as: UTF8.self)
        #expect(try decode(text) == settings)
        #expect(settings.proxyImage == "a.b:5000/envoy@sha256:12")
        #expect(settings.heddleImage == "c:1")
    }

    @Test(arguments: [
        (#"{"sidcar": {}}"#, #"sidcar: unknown setting; did you mean "sidecar"?"#),
        (
            #"{"sidecar": {"resources": {"requests": {"gpu": "1"}}}}"#,
            "sidecar.resources.requests.gpu: unknown setting; did you mean \"cpu\"?"
        ),
        (#"{"stats": {"colour": 1}}"#, "stats.colour: unknown setting; known are statsdAddress"),
    ])
    func `a setting that there is not is an error`(text: String, message: String) throws {
        do {
            _ = try decode(text)
            Issue.record("accepted")
        } catch DecodingError.dataCorrupted(let context) {
            #expect(context.debugDescription.hasPrefix(message), "\(context.debugDescription)")
        }
    }

    @Test func `the defaults are without a problem`() {
        #expect(InjectionSettings().problems == [])
    }

    @Test func `settings that no Pod could have are named`() {
        var settings = InjectionSettings()
        settings.sidecar.image.repository = ""
        settings.sidecar.readinessPort = 15001
        settings.sidecar.logLevel = "loud"
        settings.sidecar.resources.limits.cpu = "lots"
        settings.sidecar.lifecycleHooks.preStopDelay = -1
        settings.tracing.enabled = true
        settings.tracing.samplingRate = 2
        settings.tracing.logLevel = "loud"
        settings.tracing.role = "me"
        settings.sds.enabled = true
        settings.sds.udsPath = "socket"
        settings.token.expirationSeconds = 1
        settings.stats.statsdEnabled = true
        settings.stats.statsdAddress = "collector"
        settings.egressIgnoredIPs = "nowhere"
        let fields = [
            "sidecar.image.repository", "sidecar.readinessPort", "sidecar.logLevel",
            "sidecar.resources.limits.cpu", "sidecar.lifecycleHooks.preStopDelay", "region",
            "tracing.samplingRate", "tracing.logLevel", "tracing.role", "sds.udsPath",
            "token.expirationSeconds", "stats.statsdAddress", "egressIgnoredIPs",
        ]
        let problems = settings.problems
        #expect(problems.count == fields.count)
        for (field, problem) in zip(fields, problems) {
            #expect(problem.hasPrefix(field))
            #expect(problem.contains("; "), "it says what to do: \(problem)")
        }
    }
}
