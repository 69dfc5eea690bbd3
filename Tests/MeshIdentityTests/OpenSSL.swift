import Foundation
import Testing

/// Runs the command `openssl` in `folder`; gives what it says.
///
/// On a thread of its own, as waiting for a process blocks.
@discardableResult
func openssl(
    in folder: TemporaryFolder,
    _ arguments: String...
) async throws -> String {
    let result = await command(["openssl"] + arguments, in: folder.path)
    guard result.status == 0 else { throw CommandFailed(said: result.said) }
    return result.said
}

/// Puts a key with a passphrase in the place of the key `name`.
func encrypt(_ name: String, in folder: TemporaryFolder) async throws {
    try await openssl(
        in: folder,
        "pkcs8",
        "-topk8",
        "-in",
        name,
        "-passout",
        "pass:x",
        "-out",
        "encrypted"
    )
    try folder.write(name, folder.read("encrypted"))
}

struct CommandFailed: Error {
    let said: String
}

/// Runs a command to its end; gives its exit status and all it says.
func command(_ words: [String], in folder: String) async -> (status: Int32, said: String) {
    await withCheckedContinuation { done in
        Thread.detachNewThread {
            let process = Process()
            process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
            process.arguments = words
            process.currentDirectoryURL = URL(fileURLWithPath: folder)
            let output = Pipe()
            process.standardOutput = output
            process.standardError = output
            do {
                try process.run()
            } catch {
                done.resume(returning: (-1, "\(error)"))
                return
            }
            let said = output.fileHandleForReading.readDataToEndOfFile()
            process.waitUntilExit()
            done.resume(
                returning: (process.terminationStatus, String(decoding: said, as: UTF8.self))
            )
        }
    }
}

/// Whether a peer that trusts `trust` accepts the chain `chain`, as OpenSSL sees it.
func isAccepted(
    _ chain: String,
    by trust: String,
    at seconds: Int? = nil,
    in folder: TemporaryFolder
) async throws -> Bool {
    let leaf = try folder.write("leaf.pem", chain)
    let anchors = try folder.write("trust.pem", trust)
    let time = seconds.map { ["-attime", "\($0)"] } ?? []
    let words =
        ["openssl", "verify", "-partial_chain", "-x509_strict"] + time
        + ["-CAfile", anchors, "-untrusted", leaf, leaf]
    return await command(words, in: folder.path).status == 0
}
