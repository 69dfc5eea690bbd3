internal import EnvoyAPI
internal import MeshModel
internal import SwiftProtobuf

/// The access log that `logging` asks for; without it there is none.
///
/// `/dev/stdout` and `/dev/stderr` are the proxy's own log. `text` becomes `text_format_source`, in
/// which a newline that is missing stays missing; `json` becomes `json_format`; without a format Envoy's
/// default text holds.
func accessLogs(for log: AccessLog?) throws -> [Envoy_Config_Accesslog_V3_AccessLog] {
    guard let log else { return [] }
    var result = Envoy_Config_Accesslog_V3_AccessLog()
    let format = log.format.map(substitutionFormat)
    switch log.path {
    case "/dev/stdout":
        var stream = Envoy_Extensions_AccessLoggers_Stream_V3_StdoutAccessLog()
        if let format { stream.logFormat = format }
        result.name = "envoy.access_loggers.stdout"
        result.typedConfig = try packed(stream)
    case "/dev/stderr":
        var stream = Envoy_Extensions_AccessLoggers_Stream_V3_StderrAccessLog()
        if let format { stream.logFormat = format }
        result.name = "envoy.access_loggers.stderr"
        result.typedConfig = try packed(stream)
    default:
        var file = Envoy_Extensions_AccessLoggers_File_V3_FileAccessLog()
        file.path = log.path
        if let format { file.logFormat = format }
        result.name = "envoy.access_loggers.file"
        result.typedConfig = try packed(file)
    }
    return [result]
}

private func substitutionFormat(
    for format: AccessLog.Format
) -> Envoy_Config_Core_V3_SubstitutionFormatString {
    var result = Envoy_Config_Core_V3_SubstitutionFormatString()
    switch format {
    case .text(let text): result.textFormatSource.inlineString = text
    case .json(let fields):
        for field in fields {
            result.jsonFormat.fields[field.key] = .init(stringValue: field.value)
        }
    }
    return result
}
