// What can be wrong with a GGUF file.

package import Files

/// Why a GGUF file cannot be read or written.
package enum GGUFError: Error, Sendable, Hashable, CustomStringConvertible {
  /// The system refused.
  case file(FileError)
  /// The header is not what it should be at byte `offset`.
  case header(path: String, offset: Int, problem: String)
  /// A tensor's entry or data cannot be.
  case tensor(path: String, name: String, problem: String)
  /// A key of the metadata is missing or cannot be.
  case metadata(path: String, key: String, problem: String)

  /// What is wrong, in one line beginning with the path.
  package var description: String {
    switch self {
    case .file(let error): error.description
    case .header(let path, let offset, let problem): "\(path): header, byte \(offset): \(problem)"
    case .tensor(let path, let name, let problem):
      "\(path): tensor \(name.debugDescription): \(problem)"
    case .metadata(let path, let key, let problem): "\(path): metadata \(key): \(problem)"
    }
  }
}
