import Foundation
import Testing

@Suite struct `The dashboard` {
    private let dashboard: Dashboard

    init() throws { dashboard = try Dashboard() }

    @Test func `is one that Grafana imports`() {
        #expect(dashboard.title == "Heddle")
        #expect(!dashboard.uid.isEmpty && dashboard.uid.utf8.count <= 40)
        // Grafana 9.5's; newer ones migrate it.
        #expect(dashboard.schemaVersion == 38)
        let ids = dashboard.panels.map(\.id)
        #expect(Set(ids).count == ids.count)
        let types = Set(dashboard.panels.map(\.type))
        #expect(types == ["row", "stat", "table", "timeseries"])
    }

    @Test func `has rows for the mesh, services, edges, proxies and the daemon`() {
        let rows = dashboard.panels.filter { $0.type == "row" }.map(\.title)
        #expect(rows == ["Overview", "Services", "Edges", "Proxies", "Daemon"])
    }

    @Test func `has panels side by side that do not overlap`() {
        var taken: Set<[Int]> = []
        for panel in dashboard.panels {
            let place = panel.gridPos
            #expect(place.x >= 0 && place.w > 0 && place.x + place.w <= 24, "\(panel.title)")
            for x in place.x..<(place.x + place.w) {
                for y in place.y..<(place.y + place.h) {
                    #expect(taken.insert([x, y]).inserted, "\(panel.title) at \(x), \(y)")
                }
            }
        }
    }

    @Test func `says of each panel what it shows, in which unit, and from where`() {
        let source = Dashboard.Source(type: "prometheus", uid: "${datasource}")
        for panel in dashboard.panels where panel.type != "row" {
            #expect(panel.description?.hasSuffix(".") == true, "\(panel.title)")
            #expect(panel.datasource == source, "\(panel.title)")
            #expect(!panel.targets.isEmpty, "\(panel.title)")
            #expect(panel.targets.allSatisfy { $0.datasource == source }, "\(panel.title)")
            let references = panel.targets.map(\.refId)
            #expect(Set(references).count == references.count, "\(panel.title)")
            if panel.type != "table" { #expect(panel.unit != nil, "\(panel.title)") }
        }
    }

    @Test func `names only variables that it has`() throws {
        let names = dashboard.templating.list.map(\.name)
        #expect(names == ["datasource", "mesh", "namespace", "node"])
        let queries =
            dashboard.panels.flatMap(\.targets).map(\.expr)
            + dashboard.templating.list.compactMap(\.definition)
        let used = queries.flatMap { $0.matches(of: /\$(\w+)/).map { String($0.1) } }
        #expect(Set(used).subtracting(names) == ["__rate_interval"])
    }
}
