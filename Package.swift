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

let protobuf = Target.Dependency.product(name: "SwiftProtobuf", package: "swift-protobuf")
let logging = Target.Dependency.product(name: "Logging", package: "swift-log")
let lifecycle = Target.Dependency.product(name: "ServiceLifecycle", package: "swift-service-lifecycle")

let package = Package(
    name: "heddle",
    products: [
        .executable(name: "heddle", targets: ["heddle"])
    ],
    dependencies: [
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
        .package(url: "https://github.com/apple/swift-log", from: "1.16.2"),
        .package(url: "https://github.com/apple/swift-nio", from: "2.101.2"),
        .package(url: "https://github.com/apple/swift-protobuf", from: "1.39.0"),
        .package(url: "https://github.com/grpc/grpc-swift-2", from: "2.4.3"),
        .package(url: "https://github.com/grpc/grpc-swift-nio-transport", from: "2.9.2"),
        .package(url: "https://github.com/grpc/grpc-swift-protobuf", from: "2.4.1"),
        .package(url: "https://github.com/hummingbird-project/hummingbird", from: "2.28.1"),
        .package(url: "https://github.com/jpsim/Yams", from: "6.2.2"),
        .package(url: "https://github.com/swift-server/swift-service-lifecycle", from: "2.13.0"),
    ],
    targets: [
        .target(name: "MeshModel", swiftSettings: handWritten),
        .target(name: "EnvoyAPI", dependencies: [protobuf], exclude: ["Generate"]),
        .target(
            name: "MeshManifests",
            dependencies: ["MeshModel", .product(name: "Yams", package: "Yams")],
            swiftSettings: handWritten
        ),
        .target(
            name: "MeshPlan",
            dependencies: ["MeshModel", "EnvoyAPI", protobuf],
            swiftSettings: handWritten
        ),
        .testTarget(
            name: "MeshManifestsTests",
            dependencies: ["MeshManifests", "MeshModel"],
            swiftSettings: handWritten
        ),
    ]
)
