import CCurl

/// Where a URL leads, as libcurl reads it.
struct URLPlace {
    /// `https`.
    let scheme: String
    /// A name or an address; IPv6 in brackets.
    let host: String
    /// The port, which may be the scheme's own.
    let port: String
    /// `host:port` as written, so without a port that is not.
    let authority: String
    private let text: String

    /// Nil when libcurl can't read `text` as a URL.
    init?(_ text: String) {
        self.text = text
        guard let handle = Self.handle(text) else { return nil }
        defer { curl_url_cleanup(handle) }
        guard let scheme = Self.part(handle, CURLUPART_SCHEME),
            let host = Self.part(handle, CURLUPART_HOST),
            // 1 is CURLU_DEFAULT_PORT, which is not imported.
            let port = Self.part(handle, CURLUPART_PORT, 1)
        else { return nil }
        self.scheme = scheme
        self.host = host
        self.port = port
        authority = Self.part(handle, CURLUPART_PORT).map { "\(host):\($0)" } ?? host
    }

    /// The same URL with another host.
    func url(withHost host: String) -> String? {
        guard let handle = Self.handle(text) else { return nil }
        defer { curl_url_cleanup(handle) }
        guard curl_url_set(handle, CURLUPART_HOST, host, 0) == CURLUE_OK else { return nil }
        return Self.part(handle, CURLUPART_URL)
    }

    private static func handle(_ text: String) -> OpaquePointer? {
        guard let handle = curl_url() else { return nil }
        guard curl_url_set(handle, CURLUPART_URL, text, 0) == CURLUE_OK else {
            curl_url_cleanup(handle)
            return nil
        }
        return handle
    }

    private static func part(
        _ handle: OpaquePointer,
        _ part: CURLUPart,
        _ flags: UInt32 = 0
    ) -> String? {
        var bytes: UnsafeMutablePointer<CChar>?
        guard curl_url_get(handle, part, &bytes, flags) == CURLUE_OK, let bytes else { return nil }
        defer { curl_free(bytes) }
        return String(cString: bytes)
    }
}
