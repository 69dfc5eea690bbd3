import Foundation
import MeshModel
import MeshTelemetry
import MeshTesting
import Testing

@testable import MeshDaemon

/// The page in a real browser, before an API of the test's own.
@Suite(.enabled(if: chromiumIsExpected), .serialized, .timeLimit(.minutes(2)))
struct PageTests {
    /// Runs `body` with a browser that shows the page of `mesh`, and expects that the page complains of
    /// nothing and asks no other host.
    private func showing(
        _ mesh: ShownMesh = ShownMesh(),
        at address: String = "#/map",
        _ body: (Browser) async throws -> Void
    ) async throws {
        try await mesh.serving { port in
            try await Browser.run { browser in
                try await browser.resize(width: 1280, height: 800)
                try await browser.open("http://127.0.0.1:\(port)/\(address)")
                try await browser.wait(until: "document.querySelector('.connection.live')")
                try await body(browser)
                #expect(browser.complaints == [])
                let strangers = browser.requests.filter {
                    !$0.hasPrefix("http://127.0.0.1:\(port)/") && !$0.hasPrefix("data:")
                }
                #expect(strangers == [])
                #expect(browser.requests.contains("http://127.0.0.1:\(port)/page/main.js"))
            }
        }
    }

    private static let cards = "[...document.querySelectorAll('.card')]"

    @Test func `the map shows nodes, calls and their numbers, at every size and in the dark`()
        async throws
    {
        try await showing { browser in
            try await browser.wait(until: "\(Self.cards).length === 3")
            let text = try await browser.evaluate("document.querySelector('.map-view').innerText")
            for part in ["front", "blue", "green", "100 %", "90/s", "10/s", "5.0 ms"] {
                #expect(text.string?.contains(part) == true, "\(part): \(text)")
            }
            let labels = try await browser.evaluate(
                "\(Self.cards).map((card) => card.getAttribute('aria-label')).join('; ')"
            )
            #expect(labels.string?.contains("green, Virtual node in demo, Healthy") == true)
            let left = "document.querySelector('[data-id=\"\(ShownMesh.id("front"))\"]')"
            let right = "document.querySelector('[data-id=\"\(ShownMesh.id("blue"))\"]')"
            try await browser.wait(
                until:
                    "\(left).getBoundingClientRect().right < \(right).getBoundingClientRect().left"
            )
            for (width, height, isDark) in [
                (1280, 800, false), (1280, 800, true), (390, 844, false), (360, 640, true),
                (3840, 2160, false),
            ] {
                try await browser.resize(
                    width: width,
                    height: height,
                    isDark: isDark,
                    isMobile: width < 640
                )
                let isInside =
                    "\(Self.cards).every((card) => { const box = card.getBoundingClientRect(); "
                    + "return box.left >= 0 && box.top >= 0 && box.right <= innerWidth "
                    + "&& box.bottom <= innerHeight; })"
                try await browser.wait(until: isInside)
                try await browser.wait(
                    until: "document.documentElement.scrollWidth <= innerWidth"
                )
                let name = "map-\(width)x\(height)-\(isDark ? "dark" : "light")"
                #expect(try await browser.screenshot(name).count > 5000)
            }
        }
    }

    @Test func `a canary's shift moves the numbers, and no node`() async throws {
        let mesh = ShownMesh()
        try await showing(mesh) { browser in
            let splits = "document.querySelector('.splits')?.innerText.replaceAll('\\n', ' ')"
            try await browser.wait(for: splits) { $0.contains("11 % of 10 %") }
            let places = "\(Self.cards).map((card) => card.style.transform).join()"
            let before = try await browser.evaluate(places)
            mesh.show(ShownMesh.map(green: 0.5))
            try await browser.wait(for: splits) {
                $0.contains("49 % of 50 %") && $0.contains("51 % of 50 %")
            }
            try await browser.wait(
                until: "document.querySelector('.edges + .edge-label')?.innerText.includes('50/s')"
            )
            #expect(try await browser.evaluate(places) == before)
        }
    }

    @Test func `a refused configuration turns its node red and shows Envoy's words`()
        async throws
    {
        let mesh = ShownMesh()
        try await showing(mesh) { browser in
            let green = "document.querySelector('[data-id=\"\(ShownMesh.id("green"))\"]')"
            let colour = "getComputedStyle(\(green)).borderTopColor"
            try await browser.wait(until: "\(green)?.classList.contains('healthy')")
            let before = try await browser.evaluate(colour)
            let words = "proxy demo/green-1 refused listener lds_ingress: invalid regex \"(\""
            mesh.publish(refusal: words)
            mesh.show(
                ShownMesh.map(
                    green: 0.1,
                    health: .failing,
                    problem: "ConfigurationRefused: \(words)"
                )
            )
            try await browser.wait(until: "\(green).classList.contains('failing')")
            try await browser.wait(
                until: "\(green).querySelector('[role=img][aria-label=Failing]')"
            )
            try await browser.wait(for: colour) { .string($0) != before }
            #expect(try await browser.evaluate("document.title") == "(1 failing) Heddle")
            try await browser.evaluate("\(green).click()")
            try await browser.wait(for: "document.querySelector('.panel')?.innerText") {
                $0.contains("ConfigAccepted") && $0.components(separatedBy: words).count > 2
            }
            try await browser.screenshot("refused-1280x800-light")
        }
    }

    @Test func `the keyboard reaches all`() async throws {
        try await showing { browser in
            try await browser.wait(until: "\(Self.cards).length === 3")
            let focused = "document.activeElement.dataset.id ?? document.activeElement.tagName"
            // Cards are reached in the order of calls.
            try await browser.evaluate("document.querySelector('.connection').focus(); 1")
            for _ in 0..<20 {
                if try await browser.evaluate(focused) == .string(ShownMesh.id("front")) { break }
                try await browser.press("Tab")
            }
            #expect(try await browser.evaluate(focused) == .string(ShownMesh.id("front")))
            try await browser.press("ArrowRight")
            let next = try await browser.evaluate(focused)
            #expect(
                [ShownMesh.id("blue"), ShownMesh.id("green")].map(JSONValue.string).contains(next)
            )
            try await browser.press("ArrowLeft")
            #expect(try await browser.evaluate(focused) == .string(ShownMesh.id("front")))
            try await browser.press("Enter")
            try await browser.wait(until: "document.activeElement.closest('.panel')")
            #expect(try await browser.evaluate("document.activeElement.innerText") == "front")
            try await browser.press("Escape")
            try await browser.wait(until: "!document.querySelector('.panel')")
            try await browser.wait(for: focused) { $0 == ShownMesh.id("front") }
            try await browser.press("/")
            try await browser.wait(until: "document.querySelector('dialog[open] input')")
            try await browser.type("gree")
            try await browser.wait(for: "document.querySelector('[role=option]')?.innerText") {
                $0.contains("green")
            }
            try await browser.press("Enter")
            try await browser.wait(for: "document.querySelector('.panel h2')?.innerText") {
                $0 == "green"
            }
            #expect(try await browser.evaluate("document.querySelector('dialog')") == .null)
        }
    }

    @Test func `the list says in tables what the map says`() async throws {
        try await showing(at: "#/list") { browser in
            try await browser.wait(for: "document.querySelectorAll('tbody tr').length") {
                $0 == "5"
            }
            let text = try await browser.evaluate("document.querySelector('main').innerText")
            for part in ["front", "green", "color.demo", "90", "5.0 ms"] {
                #expect(text.string?.contains(part) == true, "\(part)")
            }
            #expect(
                try await browser.evaluate("document.querySelectorAll('th[scope]').length > 5")
                    == true
            )
        }
    }

    @Test func `a trace is a waterfall, and what it says is never markup`() async throws {
        let mesh = ShownMesh()
        let hostile = "<img src=x onerror=\"document.title='taken'\"><script>alert(1)</script>"
        let trace = String(repeating: "ab", count: 16)
        mesh.trace([
            Span(
                traceID: trace,
                spanID: "0000000000000001",
                name: hostile,
                service: "colors/front",
                kind: .server,
                startMicroseconds: 1_795_400_000_000_000,
                durationMicroseconds: 8000,
                status: 200
            ),
            Span(
                traceID: trace,
                spanID: "0000000000000002",
                parentID: "0000000000000001",
                name: "color.demo",
                service: "colors/blue",
                kind: .client,
                startMicroseconds: 1_795_400_000_002_000,
                durationMicroseconds: 4000,
                status: 503,
                isError: true,
                attributes: ["http.url": "javascript:alert(1)"]
            ),
        ])
        mesh.show(ShownMesh.map(green: 0.1, health: .failing, problem: hostile))
        try await showing(mesh, at: "#/traces") { browser in
            try await browser.wait(for: "document.querySelector('.trace b')?.innerText") {
                $0 == hostile
            }
            try await browser.evaluate("document.querySelector('.trace').click()")
            try await browser.wait(until: "document.querySelectorAll('.span').length === 2")
            let bar = "document.querySelectorAll('.span-bar')[1]"
            #expect(try await browser.evaluate("\(bar).style.left") == "25%")
            try await browser.evaluate("document.querySelectorAll('.span-row')[1].click()")
            try await browser.wait(for: "document.querySelector('.attributes')?.innerText") {
                $0.contains("javascript:alert(1)")
            }
            try await browser.screenshot("trace-1280x800-light")
            let log = "#/map?open=\(ShownMesh.id("blue"))&tab=log"
            try await browser.evaluate("location.hash = '\(log)'; 1")
            try await browser.wait(for: "document.querySelector('.log-line')?.innerText") {
                $0.contains("<b>bold</b>")
            }
            #expect(try await browser.evaluate("document.querySelectorAll('img, b b').length") == 0)
            #expect(try await browser.evaluate("document.title") == "(1 failing) Heddle")
            // What is served as text is text, whatever it holds.
            let type = "fetch('/healthz').then((one) => one.headers.get('x-content-type-options'))"
            #expect(try await browser.evaluate(type) == "nosniff")
        }
    }

    @Test func `a daemon that goes away is missed, and met again`() async throws {
        let mesh = ShownMesh()
        try await Browser.run { browser in
            var taken = 0
            try await mesh.serving { port in
                taken = port
                try await browser.open("http://127.0.0.1:\(port)/")
                try await browser.wait(until: "\(Self.cards).length === 3")
            }
            try await browser.wait(for: "document.querySelector('.banner.lost')?.innerText") {
                $0.contains("does not answer")
            }
            #expect(try await browser.evaluate("\(Self.cards).length") == 3)
            mesh.show(ShownMesh.map(green: 0.7))
            try await mesh.serving(port: taken) { _ in
                try await browser.wait(until: "document.querySelector('.connection.live')")
                try await browser.wait(for: "document.querySelector('.splits')?.innerText") {
                    $0.contains("70 %")
                }
                #expect(try await browser.evaluate("document.querySelector('.banner')") == .null)
            }
        }
    }

    @Test func `without a mesh the page says what to do`() async throws {
        let mesh = ShownMesh()
        mesh.state.publish(objects: [], statuses: [:])
        mesh.show(ServiceMap(timeSeconds: 1))
        try await showing(mesh) { browser in
            try await browser.wait(for: "document.querySelector('.empty')?.innerText") {
                $0.contains("No mesh yet") && $0.contains("heddle run")
            }
        }
    }

    @Test(arguments: [1, 12, 100])
    func `no node lies on another`(count: Int) async throws {
        let mesh = ShownMesh()
        mesh.show(ShownMesh.map(nodes: count))
        try await showing(mesh) { browser in
            try await browser.wait(until: "\(Self.cards).length === \(count)")
            let overlaps = """
                (() => {
                  const boxes = \(Self.cards).map((card) => card.getBoundingClientRect());
                  return boxes.filter((a, i) => boxes.some((b, j) => i < j && a.left < b.right - 1
                    && b.left < a.right - 1 && a.top < b.bottom - 1 && b.top < a.bottom - 1)).length;
                })()
                """
            #expect(try await browser.evaluate(overlaps) == 0)
            try await browser.screenshot("map-of-\(count)")
        }
    }
}
