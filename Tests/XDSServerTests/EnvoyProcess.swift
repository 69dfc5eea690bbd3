import Glibc

/// A real Envoy that takes everything from one ADS server.
final class EnvoyProcess: Sendable {
    private let pid: pid_t

    /// The binary: `HEDDLE_ENVOY`, PATH, or the one in the Python package; nil when there is none.
    static let binary: String? = {
        if let path = getenv("HEDDLE_ENVOY").map({ String(cString: $0) }) { return path }
        let paths = getenv("PATH").map { String(cString: $0) } ?? ""
        for folder in paths.split(separator: ":") {
            let path = "\(folder)/envoy"
            if isBinary(path) { return path }
        }
        guard let pipe = popen("python3 -c 'import envoy; print(envoy.__path__[0])'", "r") else {
            return nil
        }
        defer { pclose(pipe) }
        var line = [CChar](repeating: 0, count: 4096)
        guard fgets(&line, CInt(line.count), pipe) != nil else { return nil }
        let package = line.prefix { $0 != 0 && $0 != 10 }.map(UInt8.init(bitPattern:))
        let path = String(decoding: package, as: UTF8.self) + "/_bin/envoy"
        return isBinary(path) ? path : nil
    }()

    /// Whether `path` is a program and not a script that starts it, as the Python package has.
    private static func isBinary(_ path: String) -> Bool {
        guard access(path, X_OK) == 0, let file = fopen(path, "r") else { return false }
        defer { fclose(file) }
        return fgetc(file) == 0x7f
    }

    static var isRequired: Bool {
        getenv("HEDDLE_REQUIRE_ENVOY").map { String(cString: $0) } == "1"
    }

    /// Starts an Envoy whose ADS server listens on the socket `ads`.
    convenience init(ads: String, token: String, folder: String) throws {
        let bootstrap = """
            node: {id: test, cluster: test}
            admin: {address: {pipe: {path: "\(folder)/admin.sock"}}}
            layered_runtime: {layers: [{name: admin, admin_layer: {}}]}
            dynamic_resources:
              ads_config:
                api_type: DELTA_GRPC
                transport_api_version: V3
                grpc_services:
                - envoy_grpc: {cluster_name: heddle_xds}
                  initial_metadata: [{key: authorization, value: "Bearer \(token)"}]
              cds_config: {ads: {}, resource_api_version: V3}
              lds_config: {ads: {}, resource_api_version: V3}
            static_resources:
              clusters:
              - name: heddle_xds
                connect_timeout: 1s
                load_assignment:
                  cluster_name: heddle_xds
                  endpoints:
                  - lb_endpoints:
                    - endpoint: {address: {pipe: {path: "\(ads)"}}}
                typed_extension_protocol_options:
                  envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
                    "@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
                    explicit_http_config:
                      http2_protocol_options:
                        connection_keepalive: {interval: 30s, timeout: 5s}
            """
        try self.init(bootstrap: bootstrap, folder: folder)
    }

    /// Starts an Envoy with `bootstrap`, its log in `folder`.
    init(bootstrap: String, folder: String) throws {
        let configuration = folder + "/envoy.yaml"
        let file = fopen(configuration, "w")
        fputs(bootstrap, file)
        fclose(file)
        let arguments = [
            EnvoyProcess.binary ?? "", "-c", configuration, "--disable-hot-restart",
            "--concurrency", "1", "-l", "warn", "--log-path", folder + "/envoy.log",
        ]
        var pointers = arguments.map { strdup($0) } + [nil]
        defer { for pointer in pointers { free(pointer) } }
        var pid: pid_t = 0
        guard posix_spawn(&pid, arguments[0], nil, nil, &pointers, environ) == 0 else {
            throw TestClient.Ended()
        }
        self.pid = pid
    }

    deinit {
        kill(pid, SIGKILL)
        var status: CInt = 0
        waitpid(pid, &status, 0)
    }
}

/// What `GET /` at `address`:`port` answers; nil when nobody does.
func get(address numbers: String = "127.0.0.1", port: UInt16, host: String = "test") -> String? {
    let descriptor = socket(AF_INET, CInt(SOCK_STREAM.rawValue), 0)
    defer { close(descriptor) }
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_port = port.bigEndian
    address.sin_addr.s_addr = inet_addr(numbers)
    let size = socklen_t(MemoryLayout<sockaddr_in>.size)
    let result = withUnsafePointer(to: address) {
        $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { connect(descriptor, $0, size) }
    }
    return result == 0 ? ask(descriptor, "/", host: host) : nil
}

/// What the admin interface of the Envoy in `folder` answers at `path`; nil when it is not there.
func admin(_ folder: String, _ path: String, method: String = "GET") -> String? {
    let descriptor = socket(AF_UNIX, CInt(SOCK_STREAM.rawValue), 0)
    defer { close(descriptor) }
    var address = sockaddr_un()
    address.sun_family = sa_family_t(AF_UNIX)
    withUnsafeMutableBytes(of: &address.sun_path) {
        $0.copyBytes(from: (folder + "/admin.sock").utf8)
    }
    let size = socklen_t(MemoryLayout<sockaddr_un>.size)
    let result = withUnsafePointer(to: address) {
        $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { connect(descriptor, $0, size) }
    }
    return result == 0 ? ask(descriptor, path, host: "admin", method: method) : nil
}

private func ask(
    _ descriptor: CInt,
    _ path: String,
    host: String,
    method: String = "GET"
) -> String? {
    let text = "\(method) \(path) HTTP/1.1\r\nhost: \(host)\r\nconnection: close\r\n\r\n"
    let request = Array(text.utf8)
    guard send(descriptor, request, request.count, CInt(MSG_NOSIGNAL)) > 0 else { return nil }
    var answer: [UInt8] = []
    var buffer = [UInt8](repeating: 0, count: 4096)
    while true {
        let count = recv(descriptor, &buffer, buffer.count, 0)
        guard count > 0 else { break }
        answer += buffer[..<count]
    }
    return String(decoding: answer, as: UTF8.self)
}

/// A port that was free a moment ago.
func freePort() -> UInt16 {
    let descriptor = socket(AF_INET, CInt(SOCK_STREAM.rawValue), 0)
    defer { close(descriptor) }
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
    var size = socklen_t(MemoryLayout<sockaddr_in>.size)
    return withUnsafeMutablePointer(to: &address) {
        $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
            _ = bind(descriptor, $0, size)
            getsockname(descriptor, $0, &size)
        }
        return UInt16(bigEndian: $0.pointee.sin_port)
    }
}
