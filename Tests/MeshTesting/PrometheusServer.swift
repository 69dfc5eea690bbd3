public import Foundation
internal import HTTPClient

/// A Prometheus that scrapes and evaluates rules.
public final class PrometheusServer: Sendable {
    /// One series of an answer.
    public struct Sample: Hashable, Sendable {
        /// Its labels, the metric's name among them.
        public var labels: [String: String]
        /// Its value.
        public var value: Double
    }

    /// An alert that is pending or fires.
    public struct Alert: Decodable, Hashable, Sendable {
        /// Its labels, `alertname` and `severity` among them.
        public var labels: [String: String]
        /// `summary` and `description`.
        public var annotations: [String: String]
        /// `pending` or `firing`.
        public var state: String
    }

    /// A query was refused.
    public struct Refused: Error, Hashable, CustomStringConvertible {
        /// The query and the reason.
        public var description: String
    }

    private let address: String
    private let process: ServerProcess
    private let client = HTTPClient()

    /// Starts a server.
    ///
    /// - Parameters:
    ///   - configuration: The configuration file.
    ///   - folder: Where data goes.
    /// - Throws: When there is none, or it does not start.
    public init(configuration: URL, folder: URL) async throws {
        guard let prometheusPath else { throw PrometheusMissing() }
        process = try await .start(
            [
                prometheusPath, "--config.file", configuration.path, "--storage.tsdb.path",
                folder.path, "--web.listen-address", "127.0.0.1:0", "--log.format", "logfmt",
            ],
            until: "\"Listening on\""
        )
        let fields = process.line.split(separator: " ")
        let prefix = "address="
        guard let field = fields.last(where: { $0.hasPrefix(prefix) }) else {
            throw ServerFailed(output: process.line)
        }
        address = String(field.dropFirst(prefix.count))
        try await poll {
            try await client.response(to: HTTPRequest("GET", "http://\(address)/-/ready")).status
        } until: { status in
            status == 200
        }
    }

    /// What `expression` is now: a vector's series, or a scalar as one series without labels.
    ///
    /// - Throws: `Refused` when it cannot be parsed or evaluated.
    public func query(_ expression: String) async throws -> [Sample] {
        struct Data: Decodable {
            enum Value: Decodable {
                case number
                case text(String)

                init(from decoder: any Decoder) throws {
                    let container = try decoder.singleValueContainer()
                    self = (try? container.decode(String.self)).map(Value.text) ?? .number
                }
            }
            struct Series: Decodable {
                var metric: [String: String]
                var value: [Value]
            }
            var result: [Series]
        }
        let data: Data = try await get("query", ["query": expression])
        return data.result.map { series in
            guard case .text(let text)? = series.value.last else {
                return Sample(labels: series.metric, value: .nan)
            }
            // Go writes +Inf and NaN, which Swift reads.
            return Sample(labels: series.metric, value: Double(text) ?? .nan)
        }
    }

    /// The alerts that are pending or fire.
    public func alerts() async throws -> [Alert] {
        struct Data: Decodable { var alerts: [Alert] }
        let data: Data = try await get("alerts", [:])
        return data.alerts
    }

    private func get<Value: Decodable>(
        _ path: String,
        _ query: [String: String]
    ) async throws -> Value {
        let parameters = query.map { name, value in
            "\(name)=\(value.addingPercentEncoding(withAllowedCharacters: .alphanumerics) ?? "")"
        }
        let url = "http://\(address)/api/v1/\(path)?\(parameters.joined(separator: "&"))"
        let response = try await client.response(to: HTTPRequest("GET", url))
        let answer = try JSONDecoder().decode(Answer<Value>.self, from: Data(response.body))
        guard let data = answer.data else {
            throw Refused(description: "\(query): \(answer.error ?? response.text)")
        }
        return data
    }
}

/// What every answer of the API is in.
private struct Answer<Data: Decodable>: Decodable {
    var data: Data?
    var error: String?
}
