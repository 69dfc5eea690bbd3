internal import Foundation
public import MeshModel
internal import Synchronization

/// A Chromium without a window that shows one page, steered through its DevTools protocol.
///
/// https://chromedevtools.github.io/devtools-protocol/
public final class Browser: Sendable {
    private let process: Process
    /// The browser ends when this is closed.
    private let input: FileHandle
    private let state = Mutex(State())

    private struct State {
        var lastID = 0
        var session: String?
        var pending: [Int: CheckedContinuation<JSONValue, any Error>] = [:]
        var isOver = false
        var requests: [String] = []
        var complaints: [String] = []
    }

    /// Runs `body` with a new browser, and ends it after.
    public static func run(_ body: (Browser) async throws -> Void) async throws {
        guard let chromiumPath else { throw ChromiumMissing() }
        let profile = FileManager.default.temporaryDirectory
            .appendingPathComponent("heddle-browser-\(UUID().uuidString)")
        defer { try? FileManager.default.removeItem(at: profile) }
        let browser = try Browser(chromiumPath, profile: profile.path)
        do {
            try await browser.begin()
            try await body(browser)
        } catch {
            try await browser.end()
            throw error
        }
        try await browser.end()
    }

    private init(_ path: String, profile: String) throws {
        let (input, output) = (Pipe(), Pipe())
        process = Process()
        process.executableURL = URL(fileURLWithPath: "/bin/sh")
        var arguments = [
            path, "--headless=new", "--remote-debugging-pipe", "--user-data-dir=\(profile)",
            "--no-first-run", "--disable-background-networking", "--disable-component-update",
            "--disable-gpu", "--hide-scrollbars", "about:blank",
        ]
        // Its sandbox does not run as root.
        if getuid() == 0 { arguments.insert("--no-sandbox", at: 1) }
        // It speaks on the descriptors 3 and 4, and ends when 3 does.
        process.arguments =
            ["-c", #"exec 3<&0 4>&1 </dev/null >/dev/null 2>&1; exec "$@""#, "sh"] + arguments
        process.standardInput = input
        process.standardOutput = output
        self.input = input.fileHandleForWriting
        // A browser that ended is told of by its output.
        signal(SIGPIPE, SIG_IGN)
        try process.run()
        let reader = output.fileHandleForReading
        Thread { [weak self] in
            var rest = Data()
            while true {
                let part = reader.availableData
                guard !part.isEmpty else { break }
                rest += part
                while let end = rest.firstIndex(of: 0) {
                    self?.take(rest[rest.startIndex..<end])
                    rest = rest[rest.index(after: end)...]
                }
            }
            self?.fail()
        }.start()
    }

    /// Opens the page that the tests see, and listens to what it does.
    private func begin() async throws {
        let target = try await call("Target.createTarget", ["url": "about:blank"])["targetId"]
        let attached = try await call(
            "Target.attachToTarget",
            ["targetId": target ?? .null, "flatten": true]
        )
        state.withLock { $0.session = attached["sessionId"]?.string }
        for domain in ["Page", "Runtime", "Network", "Log"] { try await call("\(domain).enable") }
    }

    private func end() async throws {
        try? input.close()
        let process = process
        try await onThread { process.waitUntilExit() }
    }

    // MARK: What a test does

    /// Goes to `url`.
    public func open(_ url: String) async throws {
        try await call("Page.navigate", ["url": .string(url)])
    }

    /// The value of a script's expression, which may be a promise.
    @discardableResult
    public func evaluate(_ expression: String) async throws -> JSONValue {
        let answer = try await call(
            "Runtime.evaluate",
            [
                "expression": .string(expression), "awaitPromise": true, "returnByValue": true,
            ]
        )
        if let exception = answer["exceptionDetails"] { throw BrowserFailed("\(exception)") }
        return answer["result"]?["value"] ?? .null
    }

    /// Waits until an expression is true.
    public func wait(until expression: String) async throws {
        try await poll {
            try await evaluate("Boolean(\(expression))")
        } until: {
            $0 == true
        }
    }

    /// Waits until an expression's text is as `isExpected` says, and returns it.
    @discardableResult
    public func wait(
        for expression: String,
        until isExpected: (String) -> Bool
    ) async throws -> String {
        try await poll {
            try await evaluate("String(\(expression))").string ?? ""
        } until: {
            isExpected($0)
        }
    }

    /// Presses a key, such as `Enter`, `ArrowRight` or `/`.
    public func press(_ key: String, modifiers: Int = 0) async throws {
        let codes = [
            "Enter": 13, "Escape": 27, "Tab": 9, "ArrowLeft": 37, "ArrowUp": 38, "ArrowRight": 39,
            "ArrowDown": 40,
        ]
        var event: JSONValue = [
            "key": .string(key), "code": .string(key), "modifiers": .integer(modifiers),
        ]
        event["windowsVirtualKeyCode"] = codes[key].map(JSONValue.integer)
        var down = event
        down["type"] = "keyDown"
        if key == "Enter" { down["text"] = "\r" }
        if key.utf8.count == 1 { down["text"] = .string(key) }
        try await call("Input.dispatchKeyEvent", down)
        event["type"] = "keyUp"
        try await call("Input.dispatchKeyEvent", event)
    }

    /// Writes text where the focus is.
    public func type(_ text: String) async throws {
        try await call("Input.insertText", ["text": .string(text)])
    }

    /// Makes the page so large, and light or dark, and as still as users may ask for.
    public func resize(
        width: Int,
        height: Int,
        isDark: Bool = false,
        isMobile: Bool = false
    ) async throws {
        try await call(
            "Emulation.setDeviceMetricsOverride",
            [
                "width": .integer(width), "height": .integer(height), "deviceScaleFactor": 1,
                "mobile": .bool(isMobile),
            ]
        )
        try await call(
            "Emulation.setEmulatedMedia",
            [
                "features": [
                    ["name": "prefers-color-scheme", "value": isDark ? "dark" : "light"],
                    ["name": "prefers-reduced-motion", "value": "reduce"],
                ]
            ]
        )
    }

    /// Saves a picture of the page in the folder `HEDDLE_SCREENSHOTS`, else a temporary one.
    ///
    /// - Returns: The picture, a PNG.
    @discardableResult
    public func screenshot(_ name: String) async throws -> [UInt8] {
        let text = try await call("Page.captureScreenshot")["data"]?.string ?? ""
        guard let data = Data(base64Encoded: text) else { throw BrowserFailed("no screenshot") }
        let given = ProcessInfo.processInfo.environment["HEDDLE_SCREENSHOTS"] ?? ""
        let folder =
            given.isEmpty
            ? FileManager.default.temporaryDirectory.appendingPathComponent("heddle-screenshots")
            : URL(fileURLWithPath: given)
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        try data.write(to: folder.appendingPathComponent("\(name).png"))
        return Array(data)
    }

    /// The addresses that the page asked for.
    public var requests: [String] { state.withLock { $0.requests } }

    /// Errors and warnings of the page's console, and exceptions.
    public var complaints: [String] { state.withLock { $0.complaints } }

    // MARK: The protocol

    /// Calls a method, and waits for its answer.
    @discardableResult
    public func call(_ method: String, _ parameters: JSONValue = [:]) async throws -> JSONValue {
        try await withCheckedThrowingContinuation { continuation in
            let message: JSONValue? = state.withLock { state in
                guard !state.isOver else { return nil }
                state.lastID += 1
                state.pending[state.lastID] = continuation
                var message: JSONValue = [
                    "id": .integer(state.lastID), "method": .string(method), "params": parameters,
                ]
                message["sessionId"] = state.session.map(JSONValue.string)
                return message
            }
            guard let message, let data = try? JSONEncoder().encode(message) else {
                return continuation.resume(throwing: BrowserFailed("the browser is gone"))
            }
            // The browser reads at once; the answer, or its end, comes to the reader.
            try? input.write(contentsOf: data + [0])
        }
    }

    private func take(_ data: Data) {
        guard let message = try? JSONDecoder().decode(JSONValue.self, from: data) else { return }
        if let id = message["id"]?.integer {
            let continuation = state.withLock { $0.pending.removeValue(forKey: id) }
            if let error = message["error"] {
                continuation?.resume(throwing: BrowserFailed("\(error)"))
            } else {
                continuation?.resume(returning: message["result"] ?? .null)
            }
            return
        }
        let parameters = message["params"] ?? .null
        state.withLock { state in
            switch message["method"]?.string {
            case "Network.requestWillBeSent":
                state.requests.append(parameters["request"]?["url"]?.string ?? "")
            case "Runtime.exceptionThrown": state.complaints.append("\(parameters)")
            case "Runtime.consoleAPICalled" where parameters["type"] != "log":
                state.complaints.append("\(parameters)")
            case "Log.entryAdded": state.complaints.append("\(parameters)")
            default: break
            }
        }
    }

    private func fail() {
        let pending = state.withLock { state in
            state.isOver = true
            defer { state.pending = [:] }
            return state.pending.values
        }
        for continuation in pending {
            continuation.resume(throwing: BrowserFailed("the browser ended"))
        }
    }
}

/// The browser did not do what it was told.
public struct BrowserFailed: Error, CustomStringConvertible {
    /// What it said.
    public let description: String

    init(_ description: String) { self.description = description }
}
