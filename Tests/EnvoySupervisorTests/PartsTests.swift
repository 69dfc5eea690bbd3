import Foundation
import MeshModel
import Testing

@testable import EnvoySupervisor

struct LastWordsTests {
    private static let refused = """
        [2026-11-23 01:08:16.852][16610][info][main] [a.cc:1] starting
        [2026-11-23 01:08:17.587][16662][critical][main] [a.cc:2] error `no` in x
        [2026-11-23 01:08:17.598][16662][info][main] [a.cc:3] exiting
        cannot bind '127.66.9.1:18080': Address already in use

        """
    private static let crashed = """
        [t][1][critical][backtrace] [b.h:1] Caught Segmentation fault
        [t][1][critical][backtrace] [b.h:2] #0: main
        """
    private static let logged = """
        [t][1][error][config] [b.h:1] first
        [t][1][info][main] [b.h:2] exiting
        """

    @Test(
        arguments: [
            (refused, "cannot bind '127.66.9.1:18080': Address already in use"),
            ("admin {\n}\n: Proto constraint failed (a)\n\n", "Proto constraint failed (a)"),
            (crashed, "Caught Segmentation fault"),
            (logged, "first"),
            ("[t][1][info][main] [b.h:2] exiting\n", nil),
            ("", nil),
        ] as [(String, String?)]
    )
    func `Envoy's reason is found`(log: String, expected: String?) {
        #expect(LastWords.line(in: log, .envoy) == expected)
    }

    @Test func `an application's last line is its reason`() {
        #expect(LastWords.line(in: "a\nb\n  \n", .application) == "b")
    }
}

struct EnvoyActivityTests {
    @Test(arguments: [
        ("http.a.downstream_rq_active: 1", false),
        ("http.a.downstream_rq_active: 0", true),
        ("http.admin.downstream_rq_active: 1\nlistener.admin.downstream_cx_active: 1", true),
        // An idle HTTP connection.
        ("http.a.downstream_cx_active: 1\nlistener.127.0.0.1_80.downstream_cx_active: 1", true),
        // A TCP connection.
        ("http.a.downstream_cx_active: 1\nlistener.127.0.0.1_80.downstream_cx_active: 2", false),
        ("listener.127.0.0.1_80.worker_0.downstream_cx_active: 1", true),
        ("", true),
    ])
    func `requests and TCP connections keep a proxy busy`(stats: String, isIdle: Bool) {
        #expect(EnvoyActivity(stats: stats).isIdle == isIdle)
    }
}

struct ProxyFolderTests {
    private let proxy = ProxyID(ObjectReference(namespace: "demo", name: "blue"))

    @Test func `a short state directory holds the sockets`() {
        let folder = ProxyFolder(of: proxy, stateDirectory: "/state")
        #expect(folder.path == "/state/proxies/demo/blue")
        #expect(folder.adminSocketPath(.first) == "/state/proxies/demo/blue/admin.sock")
    }

    @Test func `a deep state directory has its sockets elsewhere`() throws {
        let levels = String(repeating: "/deep", count: 20)
        let deep = NSTemporaryDirectory() + UUID().uuidString + levels
        defer { try? FileManager.default.removeItem(atPath: deep) }
        let folder = ProxyFolder(of: proxy, stateDirectory: deep)
        #expect(folder.adminSocketPath(.standalone).utf8.count <= 107)
        try folder.make()
        let socketFolder = (folder.adminSocketPath(.first) as NSString).deletingLastPathComponent
        defer { try? FileManager.default.removeItem(atPath: socketFolder) }
        let attributes = try FileManager.default.attributesOfItem(atPath: socketFolder)
        #expect(attributes[.posixPermissions] as? Int == 0o700)
        #expect(chmod(socketFolder, 0o777) == 0)
        #expect(throws: SystemError.self) { try folder.make() }
    }

    @Test(arguments: ["../../etc", "..", "a/b", ""])
    func `no name leaves the state directory`(name: String) {
        let proxy = ProxyID(ObjectReference(namespace: "demo", name: name))
        let path = ProxyFolder(of: proxy, stateDirectory: "/state").path
        #expect(path.hasPrefix("/state/proxies/demo/"))
        #expect(path.split(separator: "/").count == 4 && !path.contains("/.."))
    }

    @Test func `a token is random`() {
        let token = ProxyFolder.newToken()
        #expect(token.count == 64 && token.allSatisfy(\.isHexDigit))
        #expect(ProxyFolder.newToken() != token)
    }
}

struct CommandTests {
    private func error(_ command: Command) -> String? {
        do {
            let pid = try command.start(logPath: "/dev/null")
            Issue.record("\(command.arguments) was started as \(pid)")
            return nil
        } catch {
            return error.description
        }
    }

    @Test func `a missing program is named`() {
        let path = ["PATH": "/usr/bin:/bin"]
        #expect(
            error(Command(arguments: ["no-such-program"], environment: path))
                == "cannot start \"no-such-program\": no such file in PATH"
        )
        #expect(
            error(Command(arguments: ["./no-such-program"], environment: path))
                == "cannot start \"./no-such-program\": no such file"
        )
        #expect(
            error(Command(arguments: ["/dev/null"], environment: path))
                == "cannot start \"/dev/null\": permission denied"
        )
        #expect(
            error(Command(arguments: ["sh"], environment: path, directory: "/no/such"))
                == "cannot start \"sh\": no such working directory \"/no/such\""
        )
        #expect(
            error(Command(arguments: [], environment: path))
                == "cannot start \"\": the command is empty"
        )
    }

    @Test func `the command's own PATH is searched`() {
        #expect(
            error(Command(arguments: ["sh"], environment: ["PATH": "/no/such"]))
                == "cannot start \"sh\": no such file in PATH"
        )
    }
}
