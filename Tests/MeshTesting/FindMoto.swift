internal import Foundation

/// Why a test that needs moto cannot run.
public struct MotoMissing: Error, CustomStringConvertible {
    /// What to do about it.
    public var description: String {
        "no moto found; set HEDDLE_MOTO to the path of moto_server, or run .ci/install-moto"
    }
}

/// The path of `moto_server`: `HEDDLE_MOTO`, else PATH.
public let motoPath: String? = {
    let environment = ProcessInfo.processInfo.environment
    if let given = environment["HEDDLE_MOTO"], !given.isEmpty { return given }
    let folders = environment["PATH"]?.split(separator: ":") ?? []
    return folders.map { "\($0)/moto_server" }.first(where: FileManager.default.isExecutableFile)
}()

/// Whether tests that need moto run: where there is one, or `HEDDLE_REQUIRE_MOTO=1` asks for it.
public var motoIsExpected: Bool {
    motoPath != nil || ProcessInfo.processInfo.environment["HEDDLE_REQUIRE_MOTO"] == "1"
}
