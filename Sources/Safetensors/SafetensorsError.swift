// What can be wrong with a checkpoint on disk.

public import Files
public import OrderedJSON

/// Why a safetensors file or a checkpoint folder cannot be read or written.
public enum SafetensorsError: Error, Sendable, Hashable, CustomStringConvertible {
  /// The system refused.
  case file(FileError)
  /// The length in the first 8 bytes, or the file itself, cannot be.
  case headerLength(path: String, problem: String)
  /// The header is not the JSON it should be.
  case header(path: String, error: JSONError)
  /// The header is JSON, but not a header.
  case headerContent(path: String, problem: String)
  /// The header's entry for `key` cannot be.
  case entry(path: String, key: String, problem: String)
  /// The data section is not exactly what the header lists.
  case dataLength(path: String, expected: Int, found: Int)
  /// No tensor of that name.
  case missingTensor(path: String, key: String)
  /// The tensor's type is none that can be used for what was asked.
  case unsupportedDType(path: String, key: String, dtype: SafetensorsDType, expected: String)
  /// The index of a sharded checkpoint is not JSON.
  case index(path: String, error: JSONError)
  /// The index of a sharded checkpoint cannot be.
  case indexContent(path: String, problem: String)
  /// The folder holds no checkpoint.
  case noCheckpoint(path: String, hint: String)

  /// What is wrong, in one line beginning with the path.
  public var description: String {
    switch self {
    case .file(let error): error.description
    case .headerLength(let path, let problem):
      "\(path): \(problem) (is it a safetensors file, downloaded whole?)"
    case .header(let path, let error):
      "\(path): header: \(error.message), byte \(error.position.byteOffset + 8)"
    case .headerContent(let path, let problem): "\(path): header: \(problem)"
    case .entry(let path, let key, let problem):
      "\(path): tensor \(key.debugDescription): \(problem)"
    case .dataLength(let path, let expected, let found):
      "\(path): expected \(expected) bytes by its header, found \(found)"
        + (found < expected ? " (is it downloaded whole?)" : " (something follows the data)")
    case .missingTensor(let path, let key): "\(path): no tensor \(key.debugDescription)"
    case .unsupportedDType(let path, let key, let dtype, let expected):
      "\(path): tensor \(key.debugDescription): expected \(expected), found \(dtype.rawValue)"
    case .index(let path, let error): "\(path): \(error)"
    case .indexContent(let path, let problem): "\(path): \(problem)"
    case .noCheckpoint(let path, let hint):
      "\(path): expected model.safetensors or model.safetensors.index.json, found neither\(hint)"
    }
  }
}
