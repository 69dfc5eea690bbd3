import MeshManifests
import MeshModel
import MeshPlan

/// The edits of manifests that recommendations ask for.
struct SizingEdits {
    /// Why a recommendation is not followed.
    struct Refusal: Hashable {
        var proxy: ObjectReference
        var reason: String
    }

    /// A file with its new text.
    struct Changed {
        var file: EditedFile
        var text: String
        /// The proxies whose resources it changes.
        var proxies: [ObjectReference]
        /// What changes in it.
        var diff: String { UnifiedDiff.text(path: file.path, from: file.text, to: text) }
    }

    /// What was left as it is though a recommendation says otherwise.
    private(set) var refusals: [Refusal] = []
    /// The files that change, by path.
    private(set) var changed: [Changed] = []
    private var fitting = 0
    private let report: SizingReport
    private let application: SizingCommand.Application

    /// The edits that `report` asks for.
    init(_ report: SizingReport, _ application: SizingCommand.Application) {
        self.report = report
        self.application = application
    }

    /// Makes the new texts and tells which it is at; nothing is written.
    mutating func make(progress: (ObjectReference) -> Void) {
        var files: [String: [SizingReport.Advice]] = [:]
        for advice in report.advice {
            guard advice.verdict != .fitting else {
                fitting += 1
                continue
            }
            guard !advice.isForecast || application.includesForecasts else {
                refuse(
                    advice.reference,
                    "its recommendation is a forecast; wait until it was measured, or pass "
                        + "--include-forecasts"
                )
                continue
            }
            guard let file = advice.source?.file else {
                refuse(advice.reference, "its Workload is in no file; change it where it is kept")
                continue
            }
            files[file, default: []].append(advice)
        }
        for (path, advice) in files.sorted(by: { $0.key < $1.key }) {
            change(path, advice, progress)
        }
    }

    private mutating func change(
        _ path: String,
        _ advice: [SizingReport.Advice],
        _ progress: (ObjectReference) -> Void
    ) {
        let file: EditedFile
        do throws(ClientFailure) {
            file = try EditedFile(path: path)
        } catch {
            for advice in advice { refuse(advice.reference, error.description) }
            return
        }
        var change = Changed(file: file, text: file.text, proxies: [])
        for advice in advice {
            progress(advice.reference)
            do throws(ClientFailure) {
                change.text = try edited(change.text, path, advice)
                change.proxies.append(advice.reference)
            } catch {
                refuse(advice.reference, error.description)
            }
        }
        if change.text != file.text { changed.append(change) }
    }

    /// Writes the files; those that cannot be written are refusals, and the others go on.
    mutating func write() {
        var written: [Changed] = []
        for change in changed {
            do throws(ClientFailure) {
                try change.file.replace(with: change.text)
                written.append(change)
            } catch {
                for proxy in change.proxies { refuse(proxy, error.description) }
            }
        }
        changed = written
    }

    /// What was done, in a line.
    var summary: String {
        let count = changed.reduce(0) { $0 + $1.proxies.count }
        let proxies = "\(count) \(count == 1 ? "proxy" : "proxies")"
        let files = "\(changed.count) \(changed.count == 1 ? "file" : "files")"
        guard count > 0 else {
            return refusals.isEmpty && fitting > 0
                ? "nothing to do: every proxy asks for about what it needs"
                : "nothing was changed"
        }
        return application.isDryRun
            ? "would change \(proxies) in \(files); nothing was written"
            : "changed \(proxies) in \(files); a running Heddle takes it up at once"
    }

    private mutating func refuse(_ proxy: ObjectReference, _ reason: String) {
        refusals.append(Refusal(proxy: proxy, reason: reason))
    }
}

/// The manifest `text` with what `advice` recommends; the rest of it stays as it is.
private func edited(
    _ text: String,
    _ path: String,
    _ advice: SizingReport.Advice
) throws(ClientFailure) -> String {
    do throws(ManifestEditError) {
        let bytes = try settingResources(
            advice.recommended,
            ofProxyBeside: advice.reference,
            in: Array(text.utf8),
            path: path
        )
        return String(decoding: bytes, as: UTF8.self)
    } catch {
        throw ClientFailure(.badNews, error.description)
    }
}
