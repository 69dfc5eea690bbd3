import HTTPTypes
import MeshModel
import MeshPage
import Testing

@testable import MeshDaemon

/// How the page and its files are served.
@Suite struct `Page routes` {
    private func answer(
        _ path: String,
        method: String = "GET",
        accept: String = "text/html,application/xhtml+xml,*/*;q=0.8",
        ifNoneMatch: String = ""
    ) async -> APIResponse {
        let handler = APIHandler(
            state: APIState(),
            logs: { _, _, _, _ in AsyncStream { $0.finish() } },
            nowSeconds: { testNowSeconds }
        )
        return await handler.respond(
            to: APIRequest(
                method: method,
                target: path,
                accept: accept,
                ifNoneMatch: ifNoneMatch
            )
        )
    }

    private func bytes(_ response: APIResponse) -> [UInt8] {
        guard case .bytes(let bytes) = response.body else { return [] }
        return bytes
    }

    @Test func `a browser gets the page, under a policy that lets nothing of others in`() async {
        let response = await answer("/")
        #expect(response.status == 200)
        #expect(response.contentType == "text/html; charset=utf-8")
        #expect(String(decoding: bytes(response), as: UTF8.self).contains("/page/main.js"))
        let policy = response.headers[.contentSecurityPolicy] ?? ""
        for rule in [
            "default-src 'none'", "script-src 'self'", "frame-ancestors 'none'",
            "require-trusted-types-for 'script'",
        ] {
            #expect(policy.contains(rule))
        }
        #expect(!policy.contains("unsafe"))
    }

    @Test func `a client of the API does not take the page for an answer`() async {
        #expect(await answer("/", accept: "application/json").status == 404)
        #expect(await answer("/", accept: "*/*").status == 200)
    }

    @Test func `a file that is known is not sent again`() async throws {
        let first = await answer("/page/main.js", accept: "*/*")
        let tag = try #require(first.headers[.eTag])
        for tags in [tag, "\"other\", W/\(tag)", "*"] {
            let second = await answer("/page/main.js", ifNoneMatch: tags)
            #expect(second.status == 304)
            #expect(bytes(second) == [])
            #expect(second.headers[.eTag] == tag)
        }
        #expect(await answer("/page/main.js", ifNoneMatch: "\"other\"").status == 200)
    }

    @Test func `a head has the length of what it is the head of`() async {
        let response = await answer("/page/style.css", method: "HEAD")
        #expect(bytes(response) == [])
        let whole = await answer("/page/style.css")
        #expect(response.headers[.contentLength] == String(bytes(whole).count))
    }

    @Test func `only reading is served, and only what there is`() async {
        #expect(await answer("/", method: "POST").status == 405)
        #expect(await answer("/page/main.js", method: "DELETE").status == 405)
        #expect(await answer("/page/changes", method: "HEAD").status == 405)
        for path in ["/page/", "/page/none.js", "/page/../main.js", "/page/main.js/", "/pages"] {
            #expect(await answer(path).status == 404, "\(path)")
        }
    }

    @Test func `all that a file asks for is there, and nothing is of another host`() throws {
        let files = PageFile.others.mapValues { String(decoding: $0.bytes, as: UTF8.self) }
        #expect(files.count > 10)
        let page = String(decoding: PageFile.index.bytes, as: UTF8.self)
        for match in page.matches(of: /(?:src|href)="\/page\/([^"]+)"/) {
            #expect(files[String(match.1)] != nil, "\(match.1)")
        }
        for (name, text) in files {
            for match in text.matches(of: /from '\.\/([^']+)'/) {
                #expect(files[String(match.1)] != nil, "\(name) imports \(match.1)")
            }
            let hosts = text.matches(of: /https?:\/\/([\w.]+)/).map { String($0.1) }
            #expect(Set(hosts).isSubset(of: ["www.w3.org"]), "\(name)")
            #expect(!text.contains("innerHTML"), "\(name)")
        }
        #expect(PageFile.others.count == Set(PageFile.others.values.map(\.version)).count)
        #expect(page.contains(PageFile.allVersion))
    }
}
