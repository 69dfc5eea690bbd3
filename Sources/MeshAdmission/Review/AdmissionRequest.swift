internal import MeshModel

/// `request` of an AdmissionReview, as far as it is read.
struct AdmissionRequest {
    /// What is asked for.
    enum Operation: String {
        case create = "CREATE"
        case update = "UPDATE"
        case delete = "DELETE"
        case connect = "CONNECT"
    }

    /// Why a document is no AdmissionReview that can be answered.
    struct Malformed: Error {
        /// Field, problem and remedy.
        var problem: String
    }

    /// What the answer has to repeat.
    var uid: String
    /// `kind.kind`.
    var kind: String
    var operation: Operation
    /// Empty for objects of the whole cluster.
    var namespace: String
    /// The object's name; empty while the server has yet to make one of `generateName`.
    var name: String
    /// The object, with its namespace; null when it is deleted.
    var object: JSONValue
    /// What it was before an update or a deletion; null when it is created.
    var oldObject: JSONValue

    /// Reads `review`.
    init(_ review: JSONValue) throws(Malformed) {
        let version = review["apiVersion"]?.string ?? ""
        guard version == "admission.k8s.io/v1", review["kind"]?.string == "AdmissionReview" else {
            throw Malformed(
                problem:
                    "expected an AdmissionReview of admission.k8s.io/v1, found \(quoted(version)); "
                    + "give the webhook admissionReviewVersions: [v1]"
            )
        }
        guard let request = review["request"], let uid = request["uid"]?.string,
            (1...256).contains(uid.utf8.count)
        else {
            throw Malformed(
                problem: "request.uid: missing; send what a Kubernetes API server sends"
            )
        }
        let named = request["operation"]?.string ?? ""
        guard let operation = Operation(rawValue: named) else {
            throw Malformed(
                problem: "request.operation: unknown value \(quoted(named)); "
                    + "use CREATE, UPDATE, DELETE or CONNECT"
            )
        }
        self.uid = uid
        self.operation = operation
        kind = request["kind"]?["kind"]?.string ?? ""
        object = request["object"] ?? .null
        oldObject = request["oldObject"] ?? .null
        let given = request["namespace"]?.string ?? object["metadata"]?["namespace"]?.string
        namespace = given ?? ""
        name = object["metadata"]?["name"]?.string ?? request["name"]?.string ?? ""
        if operation == .create || operation == .update {
            guard object["metadata"]?.object != nil else {
                throw Malformed(
                    problem: "request.object: missing; send the object with its metadata"
                )
            }
        }
        if operation == .update, oldObject["metadata"]?.object == nil {
            throw Malformed(problem: "request.oldObject: missing; send the object as it was")
        }
    }

    /// Whether the object is on its way out: nothing may hinder the last change of its finalizers.
    var isBeingDeleted: Bool {
        object["metadata"]?["deletionTimestamp"].map { $0 != .null } ?? false
    }
}

/// `text` in double quotes, without control characters and not too long for a message.
func quoted(_ text: String) -> String {
    let limit = 120
    var result = "\""
    for (count, scalar) in text.unicodeScalars.enumerated() {
        if count == limit { return result + "…\"" }
        switch scalar {
        case "\"", "\\": result += "\\\(scalar)"
        case _ where scalar.value < 0x20 || (0x7F...0x9F).contains(scalar.value): result += "?"
        default: result.unicodeScalars.append(scalar)
        }
    }
    return result + "\""
}
