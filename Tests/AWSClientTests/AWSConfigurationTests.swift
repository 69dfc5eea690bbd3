import AWSClient
import Foundation
import Testing

/// Which region and endpoints are asked.
@Suite final class AWSConfigurationTests {
    let folder = FileManager.default.temporaryDirectory
        .appendingPathComponent("aws-configuration-\(UUID().uuidString.prefix(8))")

    init() throws {
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    }

    deinit { try? FileManager.default.removeItem(at: folder) }

    @Test(
        arguments: [
            ([:], "https://xray.eu-west-1.amazonaws.com"),
            (["AWS_ENDPOINT_URL": "http://a:1/"], "http://a:1"),
            (
                ["AWS_ENDPOINT_URL": "http://a:1", "AWS_ENDPOINT_URL_XRAY": "http://b:2"],
                "http://b:2"
            ),
            (
                ["AWS_ENDPOINT_URL": "", "AWS_ENDPOINT_URL_LOGS": "http://b:2"],
                "https://xray.eu-west-1.amazonaws.com"
            ),
            (
                ["AWS_ENDPOINT_URL": "http://a:1", "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "true"],
                "https://xray.eu-west-1.amazonaws.com"
            ),
        ] as [([String: String], String)]
    )
    func `an endpoint is the service's own, the common one, or AWS'`(
        variables: [String: String],
        endpoint: String
    ) throws {
        let region = ["AWS_REGION": "eu-west-1"]
        let environment = variables.merging(region) { old, _ in old }
        let service = try AWSConfiguration(environment: environment).xRay()
        #expect(service.endpoint == endpoint)
        #expect(service.region == "eu-west-1")
    }

    @Test func `services are called by their names`() throws {
        let configuration = AWSConfiguration(environment: ["AWS_REGION": "cn-north-1"])
        let metrics = try configuration.cloudWatch()
        #expect(metrics.endpoint == "https://monitoring.cn-north-1.amazonaws.com.cn")
        #expect(metrics.permissionPrefix == "cloudwatch")
        let logs = try configuration.cloudWatchLogs()
        #expect(logs.endpoint == "https://logs.cn-north-1.amazonaws.com.cn")
        #expect(logs.targetPrefix == "Logs_20140328")
    }

    @Test(
        arguments: [
            (["AWS_REGION": "a-1", "AWS_DEFAULT_REGION": "b-1"], "a-1"),
            (["AWS_REGION": "", "AWS_DEFAULT_REGION": "b-1"], "b-1"), ([:], "c-1"),
            (["AWS_PROFILE": "work"], "d-1"), (["AWS_PROFILE": "none"], nil),
            (["AWS_PROFILE": "bare"], nil),
        ] as [([String: String], String?)]
    )
    func `the region is that of the environment, or of the profile`(
        variables: [String: String],
        region: String?
    ) throws {
        let path = folder.appendingPathComponent("config").path
        let text = """
            # region = x-1
            [default]
            output = json
            region = c-1
            [profile work]
            region=d-1
            [profile bare]
            [profile next]
            region = e-1
            """
        try Data(text.utf8).write(to: URL(fileURLWithPath: path))
        let configuration = AWSConfiguration(
            environment: variables.merging(["AWS_CONFIG_FILE": path]) { old, _ in old }
        )
        #expect((try? configuration.cloudWatch())?.region == region)
    }

    @Test func `without a region it is said how to set one`() {
        let error = #expect(throws: AWSError.self) {
            try AWSConfiguration(environment: ["HOME": folder.path]).cloudWatch()
        }
        #expect(
            error?.description
                == "CloudWatch: no AWS region is set; set AWS_REGION, or region in the profile of "
                + "~/.aws/config"
        )
    }

    @Test func `a form is encoded as AWS signs it`() {
        var form = AWSForm("PutMetricData", version: "2010-08-01")
        form.set("Namespace", "a b/ü&=+~")
        #expect(
            String(decoding: form.body, as: UTF8.self)
                == "Action=PutMetricData&Version=2010-08-01&Namespace=a%20b%2F%C3%BC%26%3D%2B~"
        )
    }
}
