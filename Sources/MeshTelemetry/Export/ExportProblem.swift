internal import AWSClient
internal import HTTPClient

/// Why an export fails.
///
/// Equal trouble has equal text, so that a condition does not change with each attempt: what servers and
/// libcurl say in their own words may hold times and numbers of requests, and is left out.
struct ExportProblem: Hashable, Sendable {
    /// Problem and remedy.
    var text: String
    /// Whether it is one of credentials or rights.
    var isDenied = false
}

extension SendOutcome {
    /// What an error of AWS means for what was sent: whether it is sent again, and how.
    init(_ error: AWSError) {
        let problem = ExportProblem(text: error.steadyText, isDenied: error.kind.isDenial)
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

extension AWSError {
    /// `description`, with what does not vary from one attempt to the next.
    var steadyText: String { "\(request): \(steadyProblem); \(remedy)" }

    private var steadyProblem: String {
        if let code { return code }
        if let status { return "it answers \(status)" }
        switch kind {
        case .unreachable: return "it does not answer"
        case .noCredentials: return problem.withoutReason
        default: return problem
        }
    }
}

extension HTTPError {
    /// What went wrong, with what does not vary from one attempt to the next.
    var steadyReason: String {
        switch kind {
        case .cannotConnect: "it cannot be connected to"
        case .timedOut: "it does not answer in time"
        case .bodyTooLarge: "its answer is too large"
        case .shutDown: "heddle ends"
        case .failed, .untrusted: reason.withoutNumbers
        }
    }
}

extension String {
    /// Without what an endpoint of credentials says, or why there is no answer: it comes last.
    fileprivate var withoutReason: String {
        guard let end = firstRange(of: " fails: ") else { return self }
        return self[..<end.lowerBound] + " fails"
    }

    /// With `…` for each number: how many bytes were missing, or which port was used.
    fileprivate var withoutNumbers: String {
        var result = ""
        for character in self {
            guard character.isASCII, character.isNumber else {
                result.append(character)
                continue
            }
            if result.last != "…" { result.append("…") }
        }
        return result
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
