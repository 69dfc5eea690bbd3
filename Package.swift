// swift-tools-version: 6.2
import PackageDescription

/// Settings of every target that is written by hand.
let handWritten: [SwiftSetting] = [
    .swiftLanguageMode(.v6),
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("InternalImportsByDefault"),
    .enableUpcomingFeature("MemberImportVisibility"),
    .enableUpcomingFeature("NonisolatedNonsendingByDefault"),
    .treatAllWarnings(as: .error),
]

let argumentParser = Target.Dependency.product(
    name: "ArgumentParser",
    package: "swift-argument-parser"
)
let crypto: [Target.Dependency] = [
    .product(name: "Crypto", package: "swift-crypto"),
    .product(name: "SwiftASN1", package: "swift-asn1"),
    .product(name: "X509", package: "swift-certificates"),
]
let grpc: [Target.Dependency] = [
    .product(name: "GRPCCore", package: "grpc-swift-2"),
    .product(name: "GRPCNIOTransportHTTP2Posix", package: "grpc-swift-nio-transport"),
    .product(name: "GRPCProtobuf", package: "grpc-swift-protobuf"),
]
let grdb = Target.Dependency.product(name: "GRDB", package: "GRDB.swift")
let httpTypes = Target.Dependency.product(name: "HTTPTypes", package: "swift-http-types")
let hummingbird = Target.Dependency.product(name: "Hummingbird", package: "hummingbird")
let hummingbirdCore = Target.Dependency.product(name: "HummingbirdCore", package: "hummingbird")
let hummingbirdTLS = Target.Dependency.product(name: "HummingbirdTLS", package: "hummingbird")
let lifecycle = Target.Dependency.product(
    name: "ServiceLifecycle",
    package: "swift-service-lifecycle"
)
let logging = Target.Dependency.product(name: "Logging", package: "swift-log")
let nio = Target.Dependency.product(name: "NIOCore", package: "swift-nio")
let nioHTTP2 = Target.Dependency.product(name: "NIOHTTP2", package: "swift-nio-http2")
let nioSSL = Target.Dependency.product(name: "NIOSSL", package: "swift-nio-ssl")
let nioPosix = Target.Dependency.product(name: "NIOPosix", package: "swift-nio")
let nioTLS = Target.Dependency.product(name: "NIOTLS", package: "swift-nio")
let protobuf = Target.Dependency.product(name: "SwiftProtobuf", package: "swift-protobuf")
let unixSignals = Target.Dependency.product(
    name: "UnixSignals",
    package: "swift-service-lifecycle"
)
let yams = Target.Dependency.product(name: "Yams", package: "Yams")

/// A target that is written by hand.
func target(_ name: String, _ dependencies: [Target.Dependency] = []) -> Target {
    .target(name: name, dependencies: dependencies, swiftSettings: handWritten)
}

/// The tests of a target, or of several.
func tests(
    _ name: String,
    _ dependencies: [Target.Dependency] = [],
    exclude: [String] = []
) -> Target {
    .testTarget(
        name: name,
        dependencies: dependencies,
        exclude: exclude,
        swiftSettings: handWritten
    )
}

let package = Package(
    name: "heddle",
    products: [
        .executable(name: "heddle", targets: ["heddle"])
    ],
    dependencies: [
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
        .package(url: "https://github.com/apple/swift-asn1", from: "1.7.4"),
        .package(url: "https://github.com/apple/swift-certificates", from: "1.21.1"),
        .package(url: "https://github.com/apple/swift-crypto", from: "4.5.2"),
        .package(url: "https://github.com/apple/swift-http-types", from: "1.8.0"),
        .package(url: "https://github.com/apple/swift-log", from: "1.16.2"),
        .package(url: "https://github.com/apple/swift-nio", from: "2.101.2"),
        .package(url: "https://github.com/apple/swift-nio-http2", from: "1.44.0"),
        .package(url: "https://github.com/apple/swift-nio-ssl", from: "2.36.0"),
        .package(url: "https://github.com/apple/swift-protobuf", from: "1.39.0"),
        .package(url: "https://github.com/groue/GRDB.swift", from: "7.10.0"),
        .package(url: "https://github.com/grpc/grpc-swift-2", from: "2.4.3"),
        .package(url: "https://github.com/grpc/grpc-swift-nio-transport", from: "2.9.2"),
        .package(url: "https://github.com/grpc/grpc-swift-protobuf", from: "2.4.1"),
        .package(url: "https://github.com/hummingbird-project/hummingbird", from: "2.28.1"),
        .package(url: "https://github.com/jpsim/Yams", from: "6.2.2"),
        .package(url: "https://github.com/swift-server/swift-service-lifecycle", from: "2.13.0"),
    ],
    targets: [
        target("MeshModel"),
        .target(name: "EnvoyAPI", dependencies: [protobuf], exclude: ["Generate"]),
        .target(name: "CCurl", linkerSettings: [.linkedLibrary("curl")]),
        .target(name: "CProcess"),
        target("HTTPClient", ["CCurl"]),
        target("AWSClient", ["HTTPClient"]),
        target("KubernetesAPI", ["HTTPClient", lifecycle, logging, yams]),
        target("MeshManifests", ["MeshModel", yams]),
        target("MeshAdmission", ["MeshManifests", "MeshModel"]),
        target("MeshIdentity", ["AWSClient", "MeshModel", lifecycle, logging] + crypto),
        target("MeshPlan", ["MeshModel", "EnvoyAPI", protobuf]),
        target(
            "MeshSources",
            ["KubernetesAPI", "MeshModel", "MeshManifests", lifecycle, logging]
        ),
        target(
            "MeshTelemetry",
            [
                "AWSClient", "EnvoyAPI", "HTTPClient", "MeshModel", grdb, lifecycle, logging, nio,
                nioPosix, protobuf,
            ] + grpc
        ),
        target(
            "XDSServer",
            [
                "MeshIdentity", "MeshModel", "MeshPlan", "EnvoyAPI", protobuf, lifecycle, logging,
                nio, nioHTTP2, nioSSL, nioTLS,
            ] + grpc + crypto
        ),
        target(
            "EnvoySupervisor",
            ["CProcess", "HTTPClient", "MeshModel", "MeshPlan", lifecycle, logging]
        ),
        .target(
            name: "MeshPage",
            // In the program itself: there is nothing to install beside it.
            resources: [.embedInCode("Assets")],
            swiftSettings: handWritten
        ),
        target(
            "MeshDaemon",
            [
                "CProcess", "KubernetesAPI", "MeshAdmission", "MeshIdentity", "MeshModel",
                "MeshManifests", "MeshPage", "MeshPlan", "MeshSources", "MeshTelemetry",
                "XDSServer", "EnvoySupervisor", "HTTPClient", httpTypes, hummingbird,
                hummingbirdCore, hummingbirdTLS, lifecycle, logging, nio, nioSSL, unixSignals, yams,
            ]
        ),
        .executableTarget(
            name: "heddle",
            dependencies: [
                "MeshDaemon", "MeshModel", "MeshPlan", "MeshTelemetry", argumentParser, logging,
            ],
            swiftSettings: handWritten
        ),
        .target(
            name: "MeshTesting",
            dependencies: [
                "HTTPClient", "MeshManifests", "MeshModel", "MeshPlan", logging, yams,
            ],
            path: "Tests/MeshTesting",
            exclude: ["Kubelet"],
            swiftSettings: handWritten
        ),
        tests("MeshModelTests", ["MeshModel", "MeshTesting"]),
        tests("MeshPlanTests", ["EnvoyAPI", "MeshModel", "MeshPlan", "MeshTesting", protobuf]),
        tests("GoldenTests", ["MeshModel", "MeshPlan", "MeshTesting"], exclude: ["Cases"]),
        tests(
            "EnvoyTests",
            [
                "EnvoyAPI", "HTTPClient", "MeshManifests", "MeshModel", "MeshPlan", "MeshTelemetry",
                "MeshTesting", "heddle", protobuf,
            ] + grpc
        ),
        tests("MeshManifestsTests", ["MeshManifests", "MeshModel"]),
        tests(
            "MeshSourcesTests",
            [
                "KubernetesAPI", "MeshSources", "MeshManifests", "MeshModel", "MeshTesting",
                lifecycle, logging,
            ]
        ),
        tests("HTTPClientTests", ["HTTPClient"]),
        tests(
            "KubernetesAPITests",
            ["HTTPClient", "KubernetesAPI", "MeshTesting", lifecycle, logging]
        ),
        tests(
            "MeshAdmissionTests",
            ["MeshAdmission", "MeshManifests", "MeshModel", "MeshTesting"],
            exclude: ["Cases"]
        ),
        tests(
            "ClusterTests",
            [
                "HTTPClient", "KubernetesAPI", "MeshAdmission", "MeshDaemon", "MeshIdentity",
                "MeshManifests", "MeshModel", "MeshPlan", "MeshSources", "MeshTesting", "XDSServer",
                "heddle", lifecycle, logging, yams,
            ]
        ),
        tests("AWSClientTests", ["AWSClient", "HTTPClient", "MeshTesting"]),
        tests(
            "MeshIdentityTests",
            [
                "AWSClient", "HTTPClient", "MeshIdentity", "MeshModel", "MeshTesting", lifecycle,
                logging,
            ] + crypto
        ),
        tests(
            "MeshTelemetryTests",
            [
                "AWSClient", "EnvoyAPI", "HTTPClient", "MeshModel", "MeshTelemetry", "MeshTesting",
                lifecycle, logging, nio, nioPosix, protobuf,
            ] + grpc
        ),
        tests(
            "XDSServerTests",
            [
                "XDSServer", "EnvoyAPI", "MeshIdentity", "MeshModel", "MeshPlan", "MeshTesting",
                protobuf, lifecycle, logging, nioSSL,
            ] + grpc + crypto
        ),
        tests(
            "EnvoySupervisorTests",
            [
                "EnvoySupervisor", "HTTPClient", "MeshModel", "MeshPlan", "MeshTesting", lifecycle,
                logging,
            ]
        ),
        tests(
            "MeshDaemonTests",
            [
                "EnvoySupervisor", "MeshDaemon", "MeshIdentity", "MeshManifests", "MeshModel",
                "MeshPage", "MeshPlan", "MeshTelemetry", "MeshTesting", "XDSServer", httpTypes,
                lifecycle, logging,
            ],
            exclude: ["Migration/Dumps"]
        ),
        tests("TidyTests", ["MeshManifests", "MeshModel", "MeshPlan", "MeshTesting"]),
        .executableTarget(
            name: "manifest-fuzz",
            dependencies: ["MeshManifests", "MeshModel", "MeshPlan", argumentParser],
            path: "Tests/Benchmarks/ManifestFuzz",
            swiftSettings: handWritten
        ),
        .executableTarget(
            name: "plan-benchmark",
            dependencies: ["MeshManifests", "MeshModel", "MeshPlan", argumentParser],
            path: "Tests/Benchmarks/PlanBenchmark",
            swiftSettings: handWritten
        ),
        .executableTarget(
            name: "certificate-benchmark",
            dependencies: ["MeshIdentity", "MeshModel", argumentParser, lifecycle, logging],
            path: "Tests/Benchmarks/CertificateBenchmark",
            swiftSettings: handWritten
        ),
    ]
)
