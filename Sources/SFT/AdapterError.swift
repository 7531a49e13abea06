// What can be wrong with an adapter on disk.

public import Files
public import Safetensors

/// An adapter that cannot be used.
public enum AdapterError: Error, Sendable, CustomStringConvertible {
  /// adapter_config.json makes no sense, or asks for what is not computed.
  case config(path: String, problem: String)
  /// adapter_model.safetensors does not fit the settings or the model.
  case tensors(path: String, problem: String)
  /// A file could not be read or written.
  case file(FileError)
  /// adapter_model.safetensors is damaged.
  case checkpoint(SafetensorsError)

  /// What is wrong, in one line beginning with the path.
  public var description: String {
    switch self {
    case .config(let path, let problem), .tensors(let path, let problem): "\(path): \(problem)"
    case .file(let error): error.description
    case .checkpoint(let error): error.description
    }
  }
}
