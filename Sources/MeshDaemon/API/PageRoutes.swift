import HTTPTypes
import MeshModel
import MeshPage
import ServiceLifecycle

/// What a path names of the page that draws the mesh.
enum PageRoute: Hashable {
    /// `/`, for browsers.
    case index
    /// `/page/<file>`.
    case file(String)
    /// `/page/changes`, which tells the page what to read again.
    case changes

    /// Reads a request's path; nil when it is none of these.
    init?(_ request: APIRequest) {
        let prefix = "/page/"
        switch request.path {
        case "/": self = .index
        case "/page/changes": self = .changes
        case let path where path.hasPrefix(prefix):
            self = .file(String(path.dropFirst(prefix.count)))
        default: return nil
        }
    }
}

extension APIHandler {
    /// Answers a request for the page or for a part of it.
    func page(_ route: PageRoute, _ request: APIRequest) throws(APIFailure) -> APIResponse {
        switch route {
        case .index:
            guard request.acceptsHTML else { throw .noResource }
            return try answer(request, with: .index)
        case .file(let name):
            guard let file = PageFile.others[name] else { throw .noResource }
            return try answer(request, with: file)
        case .changes:
            guard request.method == "GET" else { throw .methodNotAllowed }
            return APIResponse(
                contentType: "text/event-stream",
                body: .stream { write in try await writeVersions(write) }
            )
        }
    }

    private func answer(
        _ request: APIRequest,
        with file: PageFile
    ) throws(APIFailure) -> APIResponse {
        guard ["GET", "HEAD"].contains(request.method) else { throw .methodNotAllowed }
        let tag = "\"\(file.version)\""
        var response = APIResponse(contentType: file.contentType, body: .bytes(file.bytes))
        response.headers = PagePolicy.headers
        response.headers[.eTag] = tag
        let known = request.ifNoneMatch.split(separator: ",").map { String($0).trimmingSpaces }
        if known.contains(where: { $0 == tag || $0 == "W/\(tag)" || $0 == "*" }) {
            response.status = 304
            response.body = .bytes([])
        } else if request.method == "HEAD" {
            response.headers[.contentLength] = String(file.bytes.count)
            response.body = .bytes([])
        }
        return response
    }

    /// Sends the versions of all lists, at first, after changes and every few seconds, so that the page
    /// needs one connection for all of them: a browser has six to a host, whatever its tabs show.
    private func writeVersions(_ write: BodyWrite) async throws {
        let objects = state.subscribe()
        let events = state.events.subscribe()
        defer {
            state.unsubscribe(objects)
            state.events.unsubscribe(events)
        }
        let (signals, wake) = AsyncStream.makeStream(
            of: Void.self,
            bufferingPolicy: .bufferingNewest(1)
        )
        wake.yield()
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { for await _ in objects.signals { wake.yield() } }
            group.addTask { for await _ in events.signals { wake.yield() } }
            // Shows the page that the daemon is there, and problems, which wake nobody.
            group.addTask {
                while true {
                    try await Task.sleep(for: .seconds(5))
                    wake.yield()
                }
            }
            defer { group.cancelAll() }
            for await _ in signals.cancelOnGracefulShutdown() {
                try await write(Array("data: ".utf8) + JSONText.compact(versions))
                try await write(Array("\n\n".utf8))
            }
        }
    }

    private var versions: JSONValue {
        [
            "objects": .integer(state.list(Selection(kind: .mesh)).version),
            "proxies": .integer(state.proxies.version),
            "certificates": .integer(state.certificates.version),
            "events": .integer(state.events.all.version),
            // Text, as a script's numbers have 53 bits.
            "problems": .string(String(state.problems.hashValue)),
            "page": .string(PageFile.allVersion),
        ]
    }
}

extension APIRequest {
    /// Whether a browser asks, or someone to whom all is one.
    fileprivate var acceptsHTML: Bool {
        let ranges = accept.split(separator: ",").compactMap { $0.split(separator: ";").first }
            .map { String($0).trimmingSpaces }
        return ranges.isEmpty || ranges.contains { ["text/html", "text/*", "*/*"].contains($0) }
    }
}

/// What browsers may do with the page, and with all that the API answers.
enum PagePolicy {
    /// For the page: its own scripts and styles, no others and none inline; nothing of another host;
    /// no text becomes markup, as scripts cannot make `TrustedHTML`.
    static let headers: HTTPFields = {
        var headers: HTTPFields = [:]
        headers[.contentSecurityPolicy] = [
            "default-src 'none'", "script-src 'self'", "style-src 'self'", "connect-src 'self'",
            "img-src 'self' data:", "base-uri 'none'", "form-action 'none'",
            "frame-ancestors 'none'", "require-trusted-types-for 'script'",
            "trusted-types 'none'",
        ].joined(separator: "; ")
        headers["Referrer-Policy"] = "no-referrer"
        headers["X-Frame-Options"] = "DENY"
        headers["Cross-Origin-Opener-Policy"] = "same-origin"
        return headers
    }()

    /// For every answer: its type is as it says, and a page of another host cannot include it.
    static let allHeaders: HTTPFields = {
        var headers: HTTPFields = [.xContentTypeOptions: "nosniff"]
        headers["Cross-Origin-Resource-Policy"] = "same-origin"
        return headers
    }()
}

extension HTTPFields {
    /// The field of a name that is none of `HTTPTypes`' own.
    fileprivate subscript(_ name: String) -> String? {
        get { HTTPField.Name(name).flatMap { self[$0] } }
        set {
            if let name = HTTPField.Name(name) { self[name] = newValue }
        }
    }
}
