/// A file of the page that draws the mesh, as it is in the program.
public struct PageFile: Hashable, Sendable {
    /// `Content-Type`.
    public var contentType: String
    /// What it holds.
    public var bytes: [UInt8]
    /// What tells it from another version of itself.
    public var version: String

    private init(_ contentType: String, _ bytes: [UInt8]) {
        self.contentType = contentType
        self.bytes = bytes
        version = String(fingerprint(of: [bytes]), radix: 16)
    }

    /// The page itself, which asks for the others.
    public static let index: PageFile = {
        var text = String(decoding: PackageResources.index_html, as: UTF8.self)
        // It reads itself again when the daemon has another version.
        text.replace("VERSION", with: allVersion)
        return PageFile("text/html; charset=utf-8", Array(text.utf8))
    }()

    /// What tells all files from other versions of them.
    public static let allVersion: String = {
        let parts = others.sorted { $0.key < $1.key }.map(\.value.bytes)
        return String(fingerprint(of: parts + [PackageResources.index_html]), radix: 16)
    }()

    /// The files that the page asks for, by their names.
    public static let others: [String: PageFile] = {
        let scripts = [
            "accesslog.js": PackageResources.accesslog_js,
            "connection.js": PackageResources.connection_js,
            "events.js": PackageResources.events_js,
            "firststeps.js": PackageResources.firststeps_js,
            "format.js": PackageResources.format_js, "icons.js": PackageResources.icons_js,
            "layout.js": PackageResources.layout_js, "main.js": PackageResources.main_js,
            "map.js": PackageResources.map_js, "panel.js": PackageResources.panel_js,
            "proxies.js": PackageResources.proxies_js, "route.js": PackageResources.route_js,
            "search.js": PackageResources.search_js, "store.js": PackageResources.store_js,
            "tables.js": PackageResources.tables_js, "traces.js": PackageResources.traces_js,
            "types.js": PackageResources.types_js, "view.js": PackageResources.view_js,
        ]
        var files = scripts.mapValues { PageFile("text/javascript; charset=utf-8", $0) }
        files["style.css"] = PageFile("text/css; charset=utf-8", PackageResources.style_css)
        files["icon.svg"] = PageFile("image/svg+xml", PackageResources.icon_svg)
        return files
    }()
}

/// FNV-1a: equal bytes give equal hashes in every process.
private func fingerprint(of parts: [[UInt8]]) -> UInt64 {
    parts.joined().reduce(0xcbf2_9ce4_8422_2325) { ($0 ^ UInt64($1)) &* 0x100_0000_01b3 }
}
