/// The version that `heddle version` prints.
public let heddleVersion = "0.1.0"
