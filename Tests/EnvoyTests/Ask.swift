import HTTPClient

/// What a client asks for.
struct Ask: CustomStringConvertible, Sendable {
    var method = "GET"
    var path: String
    var headers: [HTTPField] = []

    static func get(_ path: String, _ headers: KeyValuePairs<String, String> = [:]) -> Ask {
        Ask(path: path, headers: headers.map { HTTPField($0.key, $0.value) })
    }

    var description: String {
        "\(method) \(path)" + headers.map { " \($0.name): \($0.value)" }.joined()
    }
}
