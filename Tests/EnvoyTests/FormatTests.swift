import Foundation
import MeshModel
import MeshTesting
import Testing

@testable import MeshManifests

/// What is said about formats is what Envoy says.
@Suite(.enabled(if: envoyIsExpected), .serialized) struct FormatTests {
    @Test func `Envoy has every operator and takes what it is said to take`() async throws {
        let formats = OperatorSyntax.all.sorted { $0.key < $1.key }.flatMap { name, syntax in
            let argument = Self.arguments[name] ?? "a"
            let length = syntax.takesLength ? ":3" : ""
            switch syntax.argument {
            case .none: return ["%\(name)%"]
            case .required, .header:
                return ["%\(name)(\(argument))%", "%\(name)(\(argument))\(length)%"]
            case .optional, .timeFormat: return ["%\(name)%", "%\(name)(\(argument))\(length)%"]
            }
        }
        #expect(formats.count > 150)
        #expect(formats.flatMap(formatMistakes).isEmpty)
        #expect(try await refusal(of: formats) == nil)
    }

    /// Arguments of operators that do not take just any.
    private static let arguments = [
        "COALESCE": #"{"operators": ["PROTOCOL"]}"#, "COMMON_DURATION": "DS_RX_BEG:US_TX_END:ms",
        "GRPC_STATUS": "NUMBER", "METADATA": "ROUTE:a", "PATH": "NQ", "QUERY_PARAMS": "ORIG",
        "REQUESTED_SERVER_NAME": "SNI_FIRST", "XFCC_VALUE": "uri",
    ]

    @Test(arguments: [
        "%", "%%%", "5% off", "%req(a)%", "%Duration%", "%REQ(a)", "%REQ(a)x%", "%REQ(a%",
        "%REQ(a):x%",
        "%REQ(a):99999999999999999999%", "%COLOUR%", "%BYTES_SENT:3%", "%BYTES_SENT(a)%",
        "%START_TIME:3%", "%REQ%", "%RESP():3%", "%FILTER_STATE%", "%CLUSTER_METADATA(a):3%",
        "%REQ(a?b?c)%", "%REQ(a b)%", "%REQ(a\n)%", "%REQ(:)%", "%START_TIME(%-n)%",
    ])
    func `Envoy refuses what is refused here`(format: String) async throws {
        #expect(!formatMistakes(format).isEmpty)
        #expect(try await refusal(of: [format]) != nil)
    }

    /// Why Envoy refuses access logs of these formats; nil when it takes them.
    private func refusal(of formats: [String]) async throws -> String? {
        let api = "type.googleapis.com/envoy.extensions"
        let logs = formats.map { format -> JSONValue in
            [
                "name": "log",
                "typed_config": [
                    "@type": .string("\(api).access_loggers.file.v3.FileAccessLog"),
                    "path": "/dev/null",
                    "log_format": ["text_format_source": ["inline_string": .string(format)]],
                ],
            ]
        }
        let router: JSONValue = ["@type": .string("\(api).filters.http.router.v3.Router")]
        let manager = "http_connection_manager.v3.HttpConnectionManager"
        let filter: JSONValue = [
            "name": "http",
            "typed_config": [
                "@type": .string("\(api).filters.network.\(manager)"),
                "stat_prefix": "http", "route_config": [:], "access_log": .array(logs),
                "http_filters": [["name": "router", "typed_config": router]],
            ],
        ]
        let listener: JSONValue = [
            "address": ["socket_address": ["address": "127.0.0.1", "port_value": 1]],
            "filter_chains": [["filters": [filter]]],
        ]
        let configuration: JSONValue = ["static_resources": ["listeners": [listener]]]
        let text = String(decoding: try JSONEncoder().encode(configuration), as: UTF8.self)
        return await validate(text, "formats", with: try requireEnvoy())
    }
}
