import Foundation

/// `dashboard.json`, as far as Grafana and tests need it.
struct Dashboard: Decodable {
    struct Panel: Decodable {
        struct Position: Decodable {
            var x: Int
            var y: Int
            var w: Int
            var h: Int
        }
        var id: Int
        var type: String
        var title: String
        var description: String?
        var gridPos: Position
        var targets: [Target]
        var unit: String?
        var datasource: Source?

        private enum CodingKeys: CodingKey {
            case id, type, title, description, gridPos, targets, fieldConfig, datasource
        }

        private struct Field: Decodable {
            struct Defaults: Decodable { var unit: String? }
            var defaults: Defaults
        }

        init(from decoder: any Decoder) throws {
            let values = try decoder.container(keyedBy: CodingKeys.self)
            id = try values.decode(Int.self, forKey: .id)
            type = try values.decode(String.self, forKey: .type)
            title = try values.decode(String.self, forKey: .title)
            description = try values.decodeIfPresent(String.self, forKey: .description)
            gridPos = try values.decode(Position.self, forKey: .gridPos)
            targets = try values.decodeIfPresent([Target].self, forKey: .targets) ?? []
            datasource = try values.decodeIfPresent(Source.self, forKey: .datasource)
            unit = try values.decodeIfPresent(Field.self, forKey: .fieldConfig)?.defaults.unit
        }
    }

    struct Source: Decodable, Equatable {
        var type: String
        var uid: String
    }

    struct Target: Decodable {
        var expr: String
        var legendFormat: String
        var refId: String
        var datasource: Source

        /// The labels that the legend names.
        var legendLabels: Set<String> {
            Set(legendFormat.matches(of: /{{(\w+)}}/).map { String($0.1) })
        }
    }

    struct Variables: Decodable {
        struct Variable: Decodable {
            var name: String
            var type: String
            var definition: String?
        }
        var list: [Variable]
    }

    var uid: String
    var title: String
    var schemaVersion: Int
    var panels: [Panel]
    var templating: Variables

    /// Reads the file.
    init() throws {
        let data = try Data(contentsOf: MonitoringFiles.folder.appending(path: "dashboard.json"))
        self = try JSONDecoder().decode(Dashboard.self, from: data)
    }

    /// `expression` as Grafana asks for it when all is selected.
    static func filled(_ expression: String) -> String {
        expression.replacing("$__rate_interval", with: "5m")
            .replacing(/\$(mesh|namespace|node)\b/, with: ".*")
    }
}
