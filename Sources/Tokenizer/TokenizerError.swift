// What can go wrong while a tokenizer is loaded. Encoding and decoding never fail: they take any
// bytes and any ids.

public import Files

/// Why a tokenizer could not be loaded.
public enum TokenizerError: Error, Sendable, Hashable, CustomStringConvertible {
  /// A file is there and cannot be read.
  case unreadable(FileError)
  /// The directory has neither form of a tokenizer.
  case missing(directory: String, expected: String, hint: String)
  /// A file breaks its own format.
  case malformed(file: String, subject: String, expected: String, actual: String, hint: String)
  /// A file asks for something that this module does not implement.
  case unsupported(file: String, subject: String, expected: String, actual: String, hint: String)

  /// The fault in one line.
  public var description: String {
    switch self {
    case .unreadable(let error): error.description
    case .missing(let directory, let expected, let hint):
      "\(directory): expected \(expected), found none of them (\(hint))"
    case .malformed(let file, let subject, let expected, let actual, let hint):
      "\(file): \(subject): expected \(expected), found \(actual) (\(hint))"
    case .unsupported(let file, let subject, let expected, let actual, let hint):
      "\(file): \(subject) is not supported: expected \(expected), found \(actual) (\(hint))"
    }
  }
}
