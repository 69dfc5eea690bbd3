/// Something wrong or noteworthy in an input, said once for the command line, the log and the
/// object's condition alike.
public struct Diagnostic: Hashable, Sendable {
    /// How much a diagnostic matters.
    public enum Severity: String, Hashable, Sendable, Comparable {
        /// The object, or the part named, is not used.
        case error
        /// The object is used, and probably not as its author meant.
        case warning
        /// Worth knowing; nothing is wrong.
        case note

        /// Orders from error to note.
        public static func < (left: Severity, right: Severity) -> Bool {
            left.position < right.position
        }

        private var position: Int {
            switch self {
            case .error: 0
            case .warning: 1
            case .note: 2
            }
        }
    }

    /// How much it matters.
    public var severity: Severity
    /// The object that is at fault, nil when a file could not be read as objects.
    public var object: ObjectID?
    /// Path of the field within the object, as in `spec.routes[0].httpRoute.match`; empty for all of it.
    public var field: String
    /// What is wrong, with the value found; starts lowercase, no final period.
    public var problem: String
    /// What to do about it, nil where the problem says it.
    public var remedy: String?
    /// Where it stands, when the object came from a file.
    public var location: SourceLocation?
    /// Whether the object is a Workload that stands for a Pod, and is called that.
    public var isOfPod = false

    /// Makes a diagnostic.
    public init(
        _ severity: Severity,
        object: ObjectID? = nil,
        field: String = "",
        problem: String,
        remedy: String? = nil,
        location: SourceLocation? = nil
    ) {
        self.severity = severity
        self.object = object
        self.field = field
        self.problem = problem
        self.remedy = remedy
        self.location = location
    }

    /// Object, field, problem and remedy on one line, without severity and location:
    /// `VirtualRouter demo/colors: spec.routes[0].name: duplicate route "a"; rename one`.
    public var message: String {
        var parts: [String] = []
        if let object { parts.append(isOfPod ? "Pod \(object.reference)" : object.description) }
        if !field.isEmpty { parts.append(field) }
        parts.append(remedy.map { "\(problem); \($0)" } ?? problem)
        return parts.joined(separator: ": ")
    }
}

extension Diagnostic: CustomStringConvertible {
    /// The line that the command line prints: `file:line: severity: object: field: problem; remedy`.
    public var description: String {
        let place = location.map { "\($0): " } ?? ""
        return "\(place)\(severity.rawValue): \(message)"
    }
}

extension Diagnostic: Comparable {
    /// Orders by file and line, then by severity and text, so that reports are the same every time.
    public static func < (left: Diagnostic, right: Diagnostic) -> Bool {
        let leftPlace = (left.location?.file ?? "", left.location?.line ?? 0)
        let rightPlace = (right.location?.file ?? "", right.location?.line ?? 0)
        if leftPlace != rightPlace { return leftPlace < rightPlace }
        if left.severity != right.severity { return left.severity < right.severity }
        return left.message < right.message
    }
}

/// A line of a file.
public struct SourceLocation: Hashable, Sendable, CustomStringConvertible {
    /// The file's path as the user named it.
    public var file: String
    /// The line, from 1.
    public var line: Int

    /// Makes the place `file:line`.
    public init(file: String, line: Int) {
        self.file = file
        self.line = line
    }

    /// `file:line`.
    public var description: String { "\(file):\(line)" }
}
