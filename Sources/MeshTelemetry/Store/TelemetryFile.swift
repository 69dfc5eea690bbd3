internal import GRDB
internal import Glibc

/// Why a file is not used.
struct TelemetryFileTrouble: Error, CustomStringConvertible {
    let description: String
}

/// The file of a store, or a database in memory in its place.
enum TelemetryFile {
    /// The version of `schema`; a file with a greater one is of a newer Heddle.
    static let version = 1

    /// Opens the database at `path`, and makes it if it is not there.
    ///
    /// - Throws: `TelemetryFileTrouble`, and `DatabaseError`: `isBroken` of what is no database.
    static func open(_ path: String) throws -> any DatabaseWriter {
        // Only the owner reads what requests were; SQLite gives its other files the same mode.
        let descriptor = Glibc.open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0o600)
        guard descriptor >= 0 else {
            throw TelemetryFileTrouble(description: String(cString: strerror(errno)))
        }
        fchmod(descriptor, 0o600)
        let version = headerVersion(descriptor)
        close(descriptor)
        // Before SQLite opens it, as that writes to it.
        try check(version)
        var configuration = configuration
        configuration.maximumReaderCount = 2
        configuration.busyMode = .timeout(2)
        configuration.prepareDatabase { database in
            try database.execute(sql: "PRAGMA journal_size_limit = 16777216")
        }
        let pool = try DatabasePool(path: path, configuration: configuration)
        try pool.write(migrate)
        return pool
    }

    /// A database that is gone with the process.
    static func inMemory() -> any DatabaseWriter {
        do {
            let queue = try DatabaseQueue(configuration: configuration)
            try queue.write(migrate)
            return queue
        } catch {
            preconditionFailure("a database in memory needs nothing that may be missing: \(error)")
        }
    }

    /// Renames the file at `path` to `<path>.broken`, so that a new one can be made.
    static func setAside(_ path: String) {
        rename(path, path + ".broken")
        for suffix in ["-wal", "-shm"] { unlink(path + suffix) }
    }

    /// Whether a file is no database any more, or has values where they cannot be.
    static func isBroken(_ error: any Error) -> Bool {
        if error is RowDecodingError || error is DecodingError { return true }
        guard let error = error as? DatabaseError else { return false }
        return [.SQLITE_CORRUPT, .SQLITE_NOTADB].contains(error.resultCode)
    }

    private static var configuration: Configuration {
        var configuration = Configuration()
        configuration.label = "telemetry"
        return configuration
    }

    private static func migrate(_ database: Database) throws {
        let version = try Int.fetchOne(database, sql: "PRAGMA user_version") ?? 0
        try check(version)
        if version == 0 {
            try database.execute(sql: schema)
            try database.execute(sql: "PRAGMA user_version = \(TelemetryFile.version)")
        }
    }

    /// The version in the header of an SQLite file; 0 of another.
    private static func headerVersion(_ descriptor: CInt) -> Int {
        var header = [UInt8](repeating: 0, count: 64)
        guard pread(descriptor, &header, header.count, 0) == header.count,
            header.starts(with: "SQLite format 3\0".utf8)
        else { return 0 }
        return header[60...].reduce(0) { $0 << 8 | Int($1) }
    }

    private static func check(_ version: Int) throws {
        guard version > TelemetryFile.version else { return }
        throw TelemetryFileTrouble(
            description: "it is of a newer Heddle (version \(version), this one knows "
                + "\(TelemetryFile.version))"
        )
    }

    /// Ids of rows of `trace` grow in the order in which traces came, which is the order in which they go.
    ///
    /// Participants have the begin of their traces, so that those of a service are found newest first.
    private static let schema = """
        CREATE TABLE trace(
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            traceID TEXT NOT NULL UNIQUE,
            receivedSeconds REAL NOT NULL,
            begin INTEGER NOT NULL,
            end INTEGER NOT NULL,
            spans INTEGER NOT NULL,
            isError INTEGER NOT NULL,
            services TEXT NOT NULL,
            rootID TEXT NOT NULL,
            rootHasParent INTEGER NOT NULL,
            rootBegin INTEGER NOT NULL,
            name TEXT NOT NULL,
            service TEXT NOT NULL,
            status INTEGER
        );
        CREATE INDEX trace_begin ON trace(begin);
        CREATE INDEX trace_error ON trace(begin) WHERE isError;
        CREATE TABLE participant(
            service TEXT NOT NULL,
            begin INTEGER NOT NULL,
            trace INTEGER NOT NULL,
            PRIMARY KEY(service, begin, trace)
        ) WITHOUT ROWID;
        CREATE TABLE span(
            trace INTEGER NOT NULL,
            spanID TEXT NOT NULL,
            parentID TEXT,
            name TEXT NOT NULL,
            service TEXT NOT NULL,
            kind TEXT NOT NULL,
            begin INTEGER NOT NULL,
            duration INTEGER,
            status INTEGER,
            isError INTEGER NOT NULL,
            attributes TEXT NOT NULL,
            UNIQUE(trace, spanID)
        );
        CREATE TABLE audit(
            caller TEXT NOT NULL,
            target TEXT NOT NULL,
            verdict TEXT NOT NULL,
            firstSeconds REAL NOT NULL,
            lastSeconds REAL NOT NULL,
            count INTEGER NOT NULL,
            detail TEXT,
            PRIMARY KEY(caller, target, verdict)
        ) WITHOUT ROWID;
        CREATE INDEX audit_last ON audit(lastSeconds);
        """
}
