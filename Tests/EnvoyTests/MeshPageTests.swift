import Foundation
import HTTPClient
import MeshModel
import MeshTesting
import Testing

/// What people see of a mesh with real proxies and requests, in a real browser.
@Suite(.enabled(if: envoyIsExpected && chromiumIsExpected), .serialized, .timeLimit(.minutes(2)))
struct MeshPageTests {
    /// Front calls color, which a router splits between blue and green; every request is traced.
    private static let nodes =
        Manifests.mesh(
            annotations: "heddle.dev/tracing: x-ray, heddle.dev/trace-sampling: \"1\""
        ) + Manifests.running("front", backends: ["color"])
        + Manifests.served("blue", appPort: "APP1") + Manifests.served("green", appPort: "APP2")

    private static func color(blue: Int, green: Int, match: String = "{prefix: /}") -> String {
        Manifests.routed(
            "color",
            routes: Manifests.route(["blue": blue, "green": green], match: match)
        )
    }

    /// A port that nobody has.
    private func freePort() throws -> Int {
        let (descriptor, port) = try #require(occupy("127.0.0.1", 0))
        close(descriptor)
        return port
    }

    /// The share of color's requests that the page shows for a target, seen and declared, in percent.
    private func share(of node: String, in browser: Browser) async throws -> [Int] {
        let rows = "[...document.querySelectorAll('.splits .split-row')]"
        let text = try await browser.evaluate(
            "\(rows).find((row) => row.innerText.includes('\(node)'))?.innerText ?? ''"
        )
        return (text.string ?? "").matches(of: /(\d+) %/).compactMap { Int($0.1) }
    }

    @Test func `people see who calls whom, a canary's shift, requests and a refusal`()
        async throws
    {
        let port = try freePort()
        let files = ["mesh.yaml": Self.nodes, "router.yaml": Self.color(blue: 9, green: 1)]
        let options = [
            "--http-address", "127.0.0.1:\(port)", "--xray-address", "127.0.0.1:\(port)",
            "--otlp-address", "none",
        ]
        try await RunningMesh.run(files, options: options) { mesh in
            let egress = try await mesh.egressAddress(of: "front")
            let host = [HTTPField("Host", "color.demo:8080")]
            let outcome = try await Load.run(
                { try await mesh.request("http://\(egress):8080/", headers: host) },
                { _ in
                    try await Browser.run { browser in
                        try await browser.resize(width: 1440, height: 900)
                        try await browser.open("http://127.0.0.1:\(port)/")
                        try await expectCanary(mesh, browser)
                        try await expectTraces(browser)
                        try await expectRefusal(mesh, browser)
                        #expect(browser.complaints == [])
                        let own = "http://127.0.0.1:\(port)/"
                        #expect(
                            browser.requests.filter {
                                !$0.hasPrefix(own) && !$0.hasPrefix("data:")
                            } == []
                        )
                    }
                }
            )
            #expect(outcome.failures == [])
        }
    }

    private func expectCanary(_ mesh: RunningMesh, _ browser: Browser) async throws {
        for node in ["front", "blue", "green"] {
            try await browser.wait(
                until: "document.querySelector('[data-id=\"virtualnode/demo/\(node)\"]')"
            )
        }
        try await browser.wait(
            until: "document.querySelectorAll('.edge:not(.idle)').length === 2"
        )
        try await poll {
            try await share(of: "green", in: browser)
        } until: {
            $0.count == 2 && (5...15).contains($0[0]) && $0[1] == 10
        }
        try await browser.screenshot("mesh-1440x900-light")
        try mesh.save("router.yaml", Self.color(blue: 1, green: 1))
        try await poll {
            try await share(of: "green", in: browser)
        } until: {
            $0.count == 2 && (40...60).contains($0[0]) && $0[1] == 50
        }
        try await browser.resize(width: 390, height: 844, isDark: true, isMobile: true)
        try await browser.wait(until: "document.querySelectorAll('.card').length >= 3")
        try await browser.screenshot("mesh-390x844-dark")
        try await browser.resize(width: 1440, height: 900)
    }

    private func expectTraces(_ browser: Browser) async throws {
        try await browser.evaluate("location.hash = '#/traces'; 1")
        try await browser.wait(until: "document.querySelector('.trace')")
        try await browser.evaluate("document.querySelector('.trace').click()")
        try await browser.wait(until: "document.querySelectorAll('.span').length >= 2")
        try await browser.screenshot("trace-1440x900-light")
    }

    private func expectRefusal(_ mesh: RunningMesh, _ browser: Browser) async throws {
        try await browser.evaluate("location.hash = '#/map?open=virtualnode/demo/front'; 1")
        let match = "{prefix: /, headers: [{name: x, match: {regex: \"[z-a]\"}}]}"
        try mesh.save("router.yaml", Self.color(blue: 1, green: 1, match: match))
        try await browser.wait(
            until: "document.querySelector('[data-id=\"virtualnode/demo/front\"].failing')"
        )
        try await browser.wait(for: "document.querySelector('.panel')?.innerText") {
            $0.contains("invalid character class range")
        }
        try await browser.screenshot("refusal-1440x900-light")
    }
}
