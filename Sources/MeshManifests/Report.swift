import MeshModel

/// What is found wrong while one object is decoded.
final class Report {
    /// The object, once its name is known.
    var object: ObjectID?
    /// The file, nil when the object did not come from one.
    let file: String?
    /// The absolute path of the folder from which relative paths count.
    let folder: String
    private(set) var diagnostics: [Diagnostic] = []
    /// Whether a mistake was found that keeps the object from being used.
    private(set) var hasErrors = false
    /// Paths of the fields that the object's kind does not have.
    private(set) var unknownFields: Set<String> = []
    /// The fields that decoders asked for; nil but in a survey.
    private(set) var survey: Set<String>?

    init(file: String?, folder: String = "/", isSurvey: Bool = false) {
        self.file = file
        self.folder = folder
        survey = isSurvey ? [] : nil
    }

    func error(_ field: String, line: Int, _ problem: String, _ remedy: String) {
        hasErrors = true
        add(.error, field, line, problem, remedy)
    }

    func warning(_ field: String, line: Int, _ problem: String, _ remedy: String) {
        add(.warning, field, line, problem, remedy)
    }

    /// Marks `field` as one that the object's kind does not have.
    func prune(_ field: String) { unknownFields.insert(field) }

    /// Takes down in a survey that a decoder asked for `field`, whose path is not made otherwise.
    func note(_ field: @autoclosure () -> String) { survey?.insert(field()) }

    private func add(
        _ severity: Diagnostic.Severity,
        _ field: String,
        _ line: Int,
        _ problem: String,
        _ remedy: String
    ) {
        diagnostics.append(
            Diagnostic(
                severity,
                object: object,
                field: field,
                problem: problem,
                remedy: remedy,
                location: file.map { SourceLocation(file: $0, line: max(line, 1)) }
            )
        )
    }
}
