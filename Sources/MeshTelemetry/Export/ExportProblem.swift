internal import AWSClient
internal import HTTPClient

/// Why an export fails.
struct ExportProblem: Hashable, Sendable {
    /// Problem and remedy.
    var text: String
    /// Whether it is one of credentials or rights.
    var isDenied = false
}

extension SendOutcome {
    /// What an error of AWS means for what was sent: whether it is sent again, and how.
    init(_ error: AWSError) {
        let problem = ExportProblem(text: error.description, isDenied: error.kind.isDenial)
        switch error.kind {
        case .noCredentials, .wrongCredentials, .expiredCredentials, .clockSkew, .accessDenied,
            .notConfigured, .throttled, .unreachable, .serverFailed, .notFound:
            self = .later(problem, retryAfter: error.retryAfter)
        case .refused, .notAWS:
            if error.status == 413 || error.code?.contains("TooLarge") == true {
                self = .tooLarge(problem)
            } else if error.kind == .notAWS {
                self = .later(problem, retryAfter: error.retryAfter)
            } else {
                self = .refused(problem)
            }
        }
    }

    /// What any error of a call of AWS means.
    init(calling error: any Error) {
        if let error = error as? AWSError {
            self.init(error)
        } else {
            self = .later(ExportProblem(text: "\(error)"), retryAfter: nil)
        }
    }
}

extension AWSError.Kind {
    /// Whether it waits for the owner of the account, not for the network.
    fileprivate var isDenial: Bool {
        switch self {
        case .noCredentials, .wrongCredentials, .expiredCredentials, .clockSkew, .accessDenied,
            .notConfigured:
            true
        case .throttled, .notFound, .unreachable, .serverFailed, .refused, .notAWS: false
        }
    }
}
