import CCurl

/// One libcurl handle with the memory that it points to.
///
/// Assumption: after it is made, only the thread of `TransferLoop` touches it.
final class Transfer {
    let handle: OpaqueHandle
    let exchange: Exchange
    private let summary: String
    private let errorText: UnsafeMutablePointer<CChar>
    private var headerList: UnsafeMutablePointer<curl_slist>?
    private var connectTo: UnsafeMutablePointer<curl_slist>?
    /// Sent in place of libcurl's own `Host`.
    private var hostLine: String?
    private var head = HTTPResponseHead(status: 0, headers: [])
    private var hasHead = false
    /// Why the request cannot be sent; nil when it can.
    private(set) var refusal: HTTPError?
    private let noteReceipt: () -> Void

    /// Prepares `request`, whose response goes to `exchange`; whenever something of it comes,
    /// `noteReceipt` is called.
    init(_ request: HTTPRequest, exchange: Exchange, noteReceipt: @escaping () -> Void) {
        guard let handle = curl_easy_init() else {
            preconditionFailure("libcurl has no memory for a handle")
        }
        self.handle = handle
        self.exchange = exchange
        self.noteReceipt = noteReceipt
        summary = request.summary
        errorText = .allocate(capacity: Int(CURL_ERROR_SIZE))
        errorText.initialize(repeating: 0, count: Int(CURL_ERROR_SIZE))
        setConnection(request)
        setTransport(request)
        setContent(request)
        setReceivers()
        if let signature = request.signature { setSignature(signature) }
    }

    deinit {
        curl_easy_cleanup(handle)
        curl_slist_free_all(headerList)
        curl_slist_free_all(connectTo)
        errorText.deallocate()
    }

    private func setConnection(_ request: HTTPRequest) {
        ccurl_set_string(handle, CURLOPT_URL, request.url)
        ccurl_set_string(handle, CURLOPT_PROTOCOLS_STR, "http,https")
        if let path = request.unixSocketPath {
            ccurl_set_string(handle, CURLOPT_UNIX_SOCKET_PATH, path)
        }
        ccurl_set_long(handle, CURLOPT_NOSIGNAL, 1)
        ccurl_set_long(
            handle,
            CURLOPT_CONNECTTIMEOUT_MS,
            request.connectTimeout.wholeMilliseconds
        )
        if let timeout = request.timeout {
            ccurl_set_long(handle, CURLOPT_TIMEOUT_MS, timeout.wholeMilliseconds)
        }
    }

    private func setTransport(_ request: HTTPRequest) {
        let connection = request.connection
        // Most servers are on this host; HTTP_PROXY is for applications.
        ccurl_set_string(handle, CURLOPT_PROXY, connection.proxy?.url ?? "")
        ccurl_set_string(handle, CURLOPT_NOPROXY, connection.proxy?.exceptions ?? "")
        if let authorities = connection.authorities {
            set(authorities, CURLOPT_CAINFO, CURLOPT_CAINFO_BLOB)
            // The folder of the system's authorities would count beside them.
            ccurl_set_string(handle, CURLOPT_CAPATH, nil)
        }
        if let certificate = connection.certificate {
            set(certificate, CURLOPT_SSLCERT, CURLOPT_SSLCERT_BLOB)
        }
        if let key = connection.key { set(key, CURLOPT_SSLKEY, CURLOPT_SSLKEY_BLOB) }
        if let name = connection.serverName { setServerName(name, request) }
        if connection.isInsecure {
            ccurl_set_long(handle, CURLOPT_SSL_VERIFYPEER, 0)
            ccurl_set_long(handle, CURLOPT_SSL_VERIFYHOST, 0)
        }
        if connection.isShared {
            ccurl_set_long(handle, CURLOPT_HTTP_VERSION, Int(CURL_HTTP_VERSION_2TLS))
            // Waits for a connection that others open just now, in place of opening one more.
            ccurl_set_long(handle, CURLOPT_PIPEWAIT, 1)
        }
        if let limit = connection.silenceLimit {
            ccurl_set_silence_limit(handle, limit.wholeMilliseconds)
        }
        if request.acceptsCompressed { ccurl_set_string(handle, CURLOPT_ACCEPT_ENCODING, "gzip") }
    }

    /// Asks the URL's host under another name: libcurl has no option for the name alone.
    private func setServerName(_ name: String, _ request: HTTPRequest) {
        guard let place = URLPlace(request.url), place.scheme == "https",
            let renamed = place.url(withHost: name)
        else { return }
        ccurl_set_string(handle, CURLOPT_URL, renamed)
        connectTo = curl_slist_append(nil, "::\(place.host):\(place.port)")
        ccurl_set_list(handle, CURLOPT_CONNECT_TO, connectTo)
        if !request.headers.contains(where: { $0.name.lowercased() == "host" }) {
            hostLine = "Host: \(place.authority)"
        }
    }

    private func set(_ pem: PEM, _ file: CURLoption, _ blob: CURLoption) {
        switch pem {
        case .file(let path): ccurl_set_string(handle, file, path)
        case .text(let bytes): ccurl_set_blob(handle, blob, bytes, bytes.count)
        }
    }

    private func setContent(_ request: HTTPRequest) {
        if request.method == "HEAD" {
            ccurl_set_long(handle, CURLOPT_NOBODY, 1)
        } else if request.body != nil || ["POST", "PUT", "PATCH"].contains(request.method) {
            let body = request.body ?? []
            ccurl_set_long(handle, CURLOPT_POST, 1)
            ccurl_set_offset(handle, CURLOPT_POSTFIELDSIZE_LARGE, curl_off_t(body.count))
            body.withUnsafeBytes { bytes in
                // libcurl copies the size given just above.
                let start = UnsafeMutableRawPointer(mutating: bytes.baseAddress)
                if let start { ccurl_set_pointer(handle, CURLOPT_COPYPOSTFIELDS, start) }
            }
            if body.isEmpty { ccurl_set_string(handle, CURLOPT_COPYPOSTFIELDS, "") }
        }
        ccurl_set_string(handle, CURLOPT_CUSTOMREQUEST, request.method)
        var lines: [String] = []
        if let signature = request.signature {
            if let token = signature.sessionToken { lines.append("X-Amz-Security-Token: \(token)") }
        } else {
            // Neither waits for "100 Continue", nor calls the body a form. libcurl 7.88 would sign
            // the fields that are removed here.
            lines.append("Expect:")
            if !request.headers.contains(where: { $0.name.lowercased() == "content-type" }) {
                lines.append("Content-Type:")
            }
        }
        lines += request.headers.map { field in
            // "Name:" would remove a field of libcurl's own.
            field.value.isEmpty ? "\(field.name);" : "\(field.name): \(field.value)"
        }
        if let hostLine { lines.append(hostLine) }
        for line in lines { headerList = curl_slist_append(headerList, line) }
        ccurl_set_list(handle, CURLOPT_HTTPHEADER, headerList)
    }

    /// Has libcurl sign the request, or refuses it: it shall not go out unsigned.
    private func setSignature(_ signature: AWSSignature) {
        let results = [
            ccurl_set_string(handle, CURLOPT_AWS_SIGV4, signature.scope),
            ccurl_set_string(handle, CURLOPT_USERNAME, signature.accessKeyID),
            ccurl_set_string(handle, CURLOPT_PASSWORD, signature.secretAccessKey),
        ]
        guard let result = results.first(where: { $0 != CURLE_OK }) else { return }
        let reason = String(cString: curl_easy_strerror(result)).lowercasingFirst()
        refusal = HTTPError(
            kind: .failed,
            request: summary,
            reason: "this libcurl does not sign for AWS (\(reason)); it takes 7.75 or newer"
        )
    }

    private func setReceivers() {
        let context = Unmanaged.passUnretained(self).toOpaque()
        ccurl_set_pointer(handle, CURLOPT_ERRORBUFFER, errorText)
        ccurl_set_header_receiver(
            handle,
            { bytes, size, count, context in
                guard let bytes, let context else { return 0 }
                let line = UnsafeRawBufferPointer(start: bytes, count: size * count)
                Unmanaged<Transfer>.fromOpaque(context).takeUnretainedValue().receive(header: line)
                return size * count
            },
            context
        )
        ccurl_set_body_receiver(
            handle,
            { bytes, size, count, context in
                guard let bytes, let context else { return 0 }
                let chunk = UnsafeRawBufferPointer(start: bytes, count: size * count)
                let transfer = Unmanaged<Transfer>.fromOpaque(context).takeUnretainedValue()
                transfer.noteReceipt()
                switch transfer.exchange.receive(chunk) {
                case .taken: return size * count
                case .paused: return ccurl_write_pause()
                // Any other number than that of the bytes ends the transfer.
                case .refused: return 0
                }
            },
            context
        )
    }

    /// Takes one line of the head; the empty line ends it.
    ///
    /// Heads of 1xx responses are passed over, and trailers, which come after the head, ignored.
    private func receive(header bytes: UnsafeRawBufferPointer) {
        noteReceipt()
        guard !hasHead else { return }
        var line = Substring(String(decoding: bytes, as: UTF8.self))
        while line.last?.isNewline == true { line.removeLast() }
        if line.hasPrefix("HTTP/") {
            let status = line.split(separator: " ").dropFirst().first.flatMap { Int($0) }
            head = HTTPResponseHead(status: status ?? 0, headers: [])
        } else if let colon = line.firstIndex(of: ":") {
            let value = line[line.index(after: colon)...].trimmingSpaces()
            head.headers.append(HTTPField(String(line[..<colon]), value))
        } else if line.isEmpty, head.status >= 200 {
            hasHead = true
            exchange.receive(head: head)
        }
    }

    /// Ends the exchange with libcurl's result.
    func finish(_ result: CURLcode) {
        exchange.finish(result == CURLE_OK ? nil : error(result))
    }

    private func error(_ result: CURLcode) -> HTTPError {
        let kind: HTTPError.Kind =
            switch result {
            case CURLE_COULDNT_CONNECT, CURLE_COULDNT_RESOLVE_HOST: .cannotConnect
            case CURLE_OPERATION_TIMEDOUT: .timedOut
            case CURLE_PEER_FAILED_VERIFICATION, CURLE_SSL_CACERT_BADFILE, CURLE_SSL_CERTPROBLEM:
                .untrusted
            default: .failed
            }
        let detail = String(cString: errorText)
        let reason = detail.isEmpty ? String(cString: curl_easy_strerror(result)) : detail
        return HTTPError(kind: kind, request: summary, reason: reason.lowercasingFirst())
    }
}

/// A `CURL *`, which is `void *`.
typealias OpaqueHandle = UnsafeMutableRawPointer

extension Duration {
    /// At least 1, as 0 means no limit to libcurl.
    fileprivate var wholeMilliseconds: Int {
        let (seconds, attoseconds) = components
        return max(1, Int(seconds) * 1000 + Int(attoseconds / 1_000_000_000_000_000))
    }
}

extension Substring {
    fileprivate func trimmingSpaces() -> String {
        var text = drop { $0 == " " || $0 == "\t" }
        while text.last == " " || text.last == "\t" { text.removeLast() }
        return String(text)
    }
}

extension String {
    /// Words in capitals stay: `SSL`.
    fileprivate func lowercasingFirst() -> String {
        guard dropFirst().first?.isUppercase != true else { return self }
        return prefix(1).lowercased() + dropFirst()
    }
}
