internal import FoundationEssentials
internal import HTTPClient
internal import Logging

/// What one request proves by who asks, and whom it trusts.
struct Credentials: Sendable {
    /// `Authorization` and whom to impersonate.
    var headers: [HTTPField] = []
    var authorities: PEM?
    var certificate: PEM?
    var key: PEM?
    /// Which run of the plugin they are from.
    fileprivate var run: Int?

    fileprivate func isSame(as other: Credentials) -> Bool {
        headers == other.headers && certificate == other.certificate && key == other.key
    }
}

/// Has the credentials of a user at hand, as they are at present.
final class CredentialKeeper: Sendable {
    private let user: KubernetesUser
    private let authorities: Source
    private let certificate: Source
    private let key: Source
    private let tokenFile: WatchedFile?
    private let plugin: ExecRunner?

    /// PEM that is there, or a file that may be replaced.
    private enum Source: Sendable {
        case none
        case text([UInt8])
        case file(WatchedFile)

        init(_ pem: PEM?) {
            self =
                switch pem {
                case nil: .none
                case .text(let bytes): .text(bytes)
                case .file(let path): .file(WatchedFile(path))
                }
        }

        func forget() {
            if case .file(let file) = self { file.forget() }
        }
    }

    init(_ configuration: KubernetesConfiguration, timeLimit: Duration, _ logger: Logger) {
        user = configuration.user
        authorities = Source(configuration.authorities)
        certificate = Source(user.certificate)
        key = Source(user.key)
        tokenFile = user.tokenFile.map(WatchedFile.init)
        plugin = user.plugin.map { ExecRunner($0, timeLimit: timeLimit, logger) }
    }

    /// The credentials for `request`, which messages name.
    ///
    /// - Throws: `KubernetesError` of kind `credentials`, or `CancellationError`.
    func current(for request: String) async throws -> Credentials {
        var credentials = Credentials(headers: user.impersonation)
        credentials.authorities = try read(authorities, request)
        credentials.certificate = try read(certificate, request)
        credentials.key = try read(key, request)
        if let token = try token(request) {
            credentials.headers.append(HTTPField("Authorization", "Bearer \(token)"))
        } else if let (name, password) = user.basic {
            let pair = Data("\(name):\(password)".utf8).base64EncodedString()
            credentials.headers.append(HTTPField("Authorization", "Basic \(pair)"))
        } else if let plugin {
            let (answer, run) = try await plugin.credential(for: request)
            credentials.run = run
            if let token = answer.token {
                credentials.headers.append(HTTPField("Authorization", "Bearer \(token)"))
            }
            if let certificate = answer.certificate, let key = answer.key {
                credentials.certificate = .text(certificate)
                credentials.key = .text(key)
            }
        }
        return credentials
    }

    /// Takes note that the server refused `credentials` (401); whether others may be had now.
    func refuse(_ credentials: Credentials) -> Bool {
        if let run = credentials.run, let plugin {
            plugin.forget(run)
            return true
        }
        guard tokenFile != nil || user.certificate != nil else { return false }
        tokenFile?.forget()
        certificate.forget()
        key.forget()
        var now = credentials
        do {
            now.certificate = try read(certificate, "")
            now.key = try read(key, "")
            if let token = try token("") {
                now.headers = user.impersonation + [HTTPField("Authorization", "Bearer \(token)")]
            }
        } catch {
            return false
        }
        return !now.isSame(as: credentials)
    }

    private func token(_ request: String) throws(KubernetesError) -> String? {
        guard let tokenFile else { return user.token }
        do throws(FileProblem) {
            let text = String(decoding: try tokenFile.contents(), as: UTF8.self)
            let token = text.split(whereSeparator: \.isWhitespace).joined()
            if !token.isEmpty { return token }
            throw FileProblem(reason: "it has no token")
        } catch {
            if let token = user.token { return token }
            throw unreadable(tokenFile, error, request)
        }
    }

    private func read(_ source: Source, _ request: String) throws(KubernetesError) -> PEM? {
        switch source {
        case .none: return nil
        case .text(let bytes): return .text(bytes)
        case .file(let file):
            do {
                return .text(try file.contents())
            } catch {
                throw unreadable(file, error, request)
            }
        }
    }

    private func unreadable(
        _ file: WatchedFile,
        _ problem: FileProblem,
        _ request: String
    ) -> KubernetesError {
        KubernetesError(
            .credentials,
            request: request,
            problem: "cannot read \(file.path): \(problem.reason)"
        )
    }
}
