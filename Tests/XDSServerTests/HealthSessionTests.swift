import EnvoyAPI
import MeshModel
import MeshPlan
import SwiftProtobuf
import Testing

@testable import XDSServer

typealias HealthReport = Envoy_Service_Health_V3_EndpointHealthResponse

/// A probe of an application on `port`, for a listener of the same port.
func probe(
    _ port: Int,
    address: String = "127.0.0.1",
    path: String? = nil,
    protocol: ListenerProtocol = .http,
    interval: Duration = .milliseconds(500),
    timeout: Duration = .milliseconds(300)
) throws -> Probe {
    let port = try #require(Port(port))
    return Probe(
        port: port,
        cluster: "application-\(port)",
        address: address,
        applicationPort: port,
        check: HealthCheck(
            unhealthyThreshold: 2,
            interval: interval,
            timeout: timeout,
            path: path,
            protocol: `protocol`
        )
    )
}

/// Envoy's report of what each probe found, with the HTTP status of the last answer.
func report(
    _ results: (probe: Probe, health: Envoy_Config_Core_V3_HealthStatus, status: Int?)...
) -> HealthReport {
    var report = HealthReport()
    report.clusterEndpointsHealth = results.map { probe, health, status in
        var endpoint = Envoy_Service_Health_V3_EndpointHealth()
        endpoint.endpoint.address.socketAddress.address = probe.address
        endpoint.endpoint.address.socketAddress.portValue = UInt32(probe.applicationPort.number)
        endpoint.healthStatus = health
        if let status {
            endpoint.healthMetadata.fields["http_status_code"] = .init(
                numberValue: Double(status)
            )
        }
        var locality = Envoy_Service_Health_V3_LocalityEndpointsHealth()
        locality.endpointsHealth = [endpoint]
        var cluster = Envoy_Service_Health_V3_ClusterEndpointsHealth()
        cluster.clusterName = probe.cluster
        cluster.localityEndpointsHealth = [locality]
        return cluster
    }
    return report
}

extension HealthSession {
    /// Takes a report that comes `elapsed` after the test began, as tests see it.
    fileprivate mutating func received(_ report: HealthReport, after elapsed: Duration = .zero) {
        received(report, at: start + elapsed)
    }
}

private let start = ContinuousClock.now

/// The protocol without a socket.
@Suite struct `health discovery session` {
    private func session(_ probes: Probe...) -> HealthSession { HealthSession(probes: probes) }

    /// How often reports are wanted, and of what.
    private func wanted(_ specifier: HealthSpecifier?) -> String? {
        specifier.map { specifier in
            let clusters = specifier.clusterHealthChecks.map {
                $0.localityEndpoints.isEmpty ? "no \($0.clusterName)" : $0.clusterName
            }
            let interval =
                specifier.interval.seconds * 1000 + Int64(specifier.interval.nanos / 1_000_000)
            return "\(clusters) every \(interval) ms"
        }
    }

    @Test func `nothing is said before it is known what to check`() {
        var session = HealthSession(probes: nil)
        #expect(session.nextSpecifier() == nil)
        session.probesChanged(to: [])
        #expect(wanted(session.nextSpecifier()) == "[] every 3600000 ms")
        #expect(session.nextSpecifier() == nil)
    }

    @Test func `reports are frequent until all is known`() throws {
        let (first, second) = (try probe(8080), try probe(9090))
        var session = session(first, second)
        let both = #"["application-8080", "application-9090"]"#
        #expect(wanted(session.nextSpecifier()) == "\(both) every 100 ms")
        session.received(report((first, .healthy, 200)))
        #expect(wanted(session.nextSpecifier()) == "\(both) every 200 ms")
        session.received(report((first, .healthy, 200), (second, .timeout, nil)))
        #expect(wanted(session.nextSpecifier()) == "\(both) every 1000 ms")
        #expect(session.nextSpecifier() == nil)
        session.received(report((first, .healthy, 200), (second, .timeout, nil)))
        #expect(!session.hasSpecifier)
        #expect(session.health == [first.port: .healthy, second.port: .unhealthy(.timeout)])
    }

    @Test(arguments: [(1, 1000), (5, 1000), (15, 3000), (25, 5000), (300, 5000)])
    func `reports come a few times in each interval of checks`(
        intervalSeconds: Int,
        milliseconds: Int
    ) throws {
        let often = try probe(8080, interval: .seconds(intervalSeconds))
        let seldom = try probe(9090, interval: .seconds(300))
        var session = session(often, seldom)
        session.received(report((often, .healthy, 200), (seldom, .healthy, 200)))
        #expect(wanted(session.nextSpecifier())?.hasSuffix("every \(milliseconds) ms") == true)
    }

    @Test func `reports of an application that does not start become seldom`() throws {
        let probe = try probe(8080, interval: .seconds(30), timeout: .seconds(60))
        var session = session(probe)
        var intervals: [String?] = []
        for _ in 0..<9 {
            let wanted = wanted(session.nextSpecifier())
            intervals.append(wanted?.split(separator: " ").dropLast().last.map(String.init))
            session.received(report((probe, .unhealthy, nil)))
        }
        #expect(
            intervals == ["100", "200", "400", "800", "1600", "3200", "5000", nil, nil]
        )
        // Another application is news.
        session.probesChanged(to: [probe, try XDSServerTests.probe(9090)])
        #expect(wanted(session.nextSpecifier())?.hasSuffix("every 100 ms") == true)
    }

    @Test func `changed probes are sent, and off means idle`() throws {
        var session = session(try probe(8080))
        let probe = try probe(8080, path: "/ping")
        _ = session.nextSpecifier()
        session.probesChanged(to: [probe])
        let specifier = session.nextSpecifier()
        let check = specifier?.clusterHealthChecks.first?.healthChecks.first
        #expect(check?.httpHealthCheck.path == "/ping")
        session.received(report((probe, .healthy, 200)))
        session.probesChanged(to: [])
        #expect(wanted(session.nextSpecifier()) == #"["no application-8080"] every 3600000 ms"#)
        #expect(session.health.isEmpty)
    }

    @Test func `a cluster that Envoy has stays, without endpoints`() throws {
        let (first, second) = (try probe(8080), try probe(9090))
        var session = session(first)
        func clusters() -> [String]? {
            session.nextSpecifier()?.clusterHealthChecks.map {
                #expect($0.healthChecks.count == 1)
                return $0.localityEndpoints.isEmpty ? "no \($0.clusterName)" : $0.clusterName
            }
        }
        #expect(clusters() == ["application-8080"])
        session.probesChanged(to: [second])
        #expect(clusters() == ["application-9090", "no application-8080"])
        session.probesChanged(to: [])
        #expect(clusters() == ["no application-8080", "no application-9090"])
        session.restart()
        #expect(clusters() == ["no application-8080", "no application-9090"])
        session.probesChanged(to: [first])
        #expect(clusters() == ["application-8080", "no application-9090"])
        session.received(report((second, .healthy, 200)))
        #expect(session.health.isEmpty)
    }

    @Test func `failures tell how the last check failed`() throws {
        let probe = try probe(8080)
        var session = session(probe)
        func health(_ status: Envoy_Config_Core_V3_HealthStatus, _ code: Int?) -> ApplicationHealth?
        {
            session.received(report((probe, status, code)))
            return session.health[probe.port]
        }
        #expect(health(.healthy, 200) == .healthy)
        #expect(health(.unhealthy, 503) == .unhealthy(.status(503)))
        #expect(health(.timeout, 503) == .unhealthy(.timeout))
        #expect(health(.unhealthy, nil) == .unhealthy(.unknown))
        #expect(health(.unhealthy, 500) == .unhealthy(.status(500)))
        // It recovers: one answer of 200 is not yet enough.
        #expect(health(.unhealthy, 200) == .unhealthy(.status(500)))
        #expect(health(.healthy, 200) == .healthy)
    }

    @Test func `an endpoint that was not yet checked is not unhealthy`() throws {
        let probe = try probe(8080, timeout: .milliseconds(200))
        var session = session(probe)
        for milliseconds in [5000, 5100, 5199] {
            session.received(report((probe, .unhealthy, nil)), after: .milliseconds(milliseconds))
            #expect(session.health.isEmpty)
        }
        session.received(report((probe, .unhealthy, nil)), after: .milliseconds(5200))
        #expect(session.health == [probe.port: .unhealthy(.unknown)])
    }

    @Test func `an answer is no doubt`() throws {
        let probe = try probe(8080, timeout: .seconds(60))
        var session = session(probe)
        session.received(report((probe, .unhealthy, 500)))
        #expect(session.health == [probe.port: .unhealthy(.status(500))])
    }

    @Test func `a result outlives a change of the check but not of the endpoint`() throws {
        let probe = try probe(8080, timeout: .seconds(60))
        var session = session(probe)
        session.received(report((probe, .healthy, 200)))
        session.probesChanged(to: [changed(probe) { $0.check.path = "/ping" }])
        #expect(session.health == [probe.port: .healthy])
        let moved = changed(probe) { $0.address = "127.0.0.2" }
        session.probesChanged(to: [moved])
        #expect(session.health.isEmpty)
        // A report on its way is about the endpoint before.
        session.received(report((probe, .unhealthy, 500)))
        #expect(session.health.isEmpty)
        session.received(report((moved, .unhealthy, nil)))
        #expect(session.health.isEmpty)
    }

    @Test func `a result outlives its stream, until the next one tells`() throws {
        let probe = try probe(8080, timeout: .milliseconds(200))
        var session = session(probe)
        session.received(report((probe, .unhealthy, 500)))
        session.restart()
        #expect(session.health == [probe.port: .unhealthy(.status(500))])
        // It is asked again, and soon.
        #expect(wanted(session.nextSpecifier()) == "[\"application-8080\"] every 100 ms")
        session.received(report((probe, .healthy, 200)))
        #expect(session.health == [probe.port: .healthy])
        #expect(wanted(session.nextSpecifier()) == "[\"application-8080\"] every 1000 ms")
        session.restart()
        // An Envoy that was just started has not checked yet.
        session.received(report((probe, .unhealthy, nil)))
        #expect(session.health == [probe.port: .healthy])
        session.received(report((probe, .unhealthy, nil)), after: .milliseconds(200))
        #expect(session.health == [probe.port: .unhealthy(.unknown)])
        session.probesChanged(to: [])
        #expect(session.health.isEmpty)
    }

    @Test func `what was not asked for is not kept`() throws {
        let probe = try probe(8080)
        var session = session(probe)
        let stranger = try XDSServerTests.probe(9090)
        session.received(report((stranger, .healthy, 200)))
        session.received(report((changed(probe) { $0.address = "10.0.0.1" }, .healthy, 200)))
        var strange = HealthReport()
        strange.clusterEndpointsHealth = (0..<1000).map { index in
            var cluster = Envoy_Service_Health_V3_ClusterEndpointsHealth()
            cluster.clusterName = index == 0 ? probe.cluster : "strange-\(index)"
            return cluster
        }
        session.received(strange)
        #expect(session.health.isEmpty)
    }

    @Test(arguments: [Double.nan, .infinity, 1e300, -1, 200.5])
    func `a status that is no number of its kind is none`(status: Double) throws {
        let probe = try probe(8080)
        var session = session(probe)
        session.received(report((probe, .healthy, 200)))
        var report = report((probe, .unhealthy, 500))
        report.clusterEndpointsHealth[0].localityEndpointsHealth[0].endpointsHealth[0]
            .healthMetadata.fields["http_status_code"] = .init(numberValue: status)
        session.received(report)
        #expect(session.health[probe.port] == .unhealthy(.unknown))
    }

    @Test func `an IPv6 address may be spelled in several ways`() throws {
        let probe = try probe(8080, address: "0::1")
        var session = session(probe)
        session.received(report((changed(probe) { $0.address = "::1" }, .healthy, 200)))
        #expect(session.health == [probe.port: .healthy])
    }

    private func changed(_ probe: Probe, _ change: (inout Probe) -> Void) -> Probe {
        var probe = probe
        change(&probe)
        return probe
    }
}
