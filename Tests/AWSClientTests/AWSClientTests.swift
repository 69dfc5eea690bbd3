@testable import AWSClient
import Testing
