internal import Foundation

/// Why a test that needs Chromium cannot run.
public struct ChromiumMissing: Error, CustomStringConvertible {
    /// What to do about it.
    public var description: String {
        "no Chromium found; set HEDDLE_CHROMIUM to its path, or install the package chromium"
    }
}

/// The path of Chromium: `HEDDLE_CHROMIUM`, else PATH.
public let chromiumPath: String? = {
    let environment = ProcessInfo.processInfo.environment
    if let given = environment["HEDDLE_CHROMIUM"], !given.isEmpty { return given }
    let folders = environment["PATH"]?.split(separator: ":") ?? []
    let names = ["chromium", "chromium-browser", "google-chrome"]
    return folders.flatMap { folder in names.map { "\(folder)/\($0)" } }
        .first(where: FileManager.default.isExecutableFile)
}()

/// Whether tests that need Chromium run: where there is one, or `HEDDLE_REQUIRE_CHROMIUM=1` asks for
/// it.
public var chromiumIsExpected: Bool {
    chromiumPath != nil
        || ProcessInfo.processInfo.environment["HEDDLE_REQUIRE_CHROMIUM"] == "1"
}
