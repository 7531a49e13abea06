// What can be wrong with a model directory.

public import Files
public import Safetensors

/// A model that cannot be used, with the file and what to do.
public enum ModelError: Error, Sendable, CustomStringConvertible {
  /// A file could not be read.
  case file(FileError)
  /// config.json cannot be read or makes no sense.
  case config(path: String, problem: String)
  /// A file of the checkpoint is damaged or missing.
  case checkpoint(SafetensorsError)
  /// Tensors that the model needs and the checkpoint lacks, or holds and the model does not know.
  case keys(path: String, missing: [String], unexpected: [String])
  /// A tensor of another shape than config.json says.
  case shape(path: String, key: String, expected: [Int], found: [Int])
  /// A tensor whose elements are not floating-point numbers.
  case dtype(path: String, key: String, found: String)
  /// A model that cannot be written.
  case export(path: String, problem: String)

  /// The caller wanted no more of it.
  case stopped

  /// What is wrong, in one line beginning with the path.
  public var description: String {
    switch self {
    case .file(let error): error.description
    case .config(let path, let problem), .export(let path, let problem): "\(path): \(problem)"
    case .checkpoint(let error): error.description
    case .stopped: "stopped; nothing was written"
    case .keys(let path, let missing, let unexpected):
      "\(path): "
        + [("missing", missing), ("unexpected", unexpected)].filter { !$0.1.isEmpty }.map {
          "\($0.0) \($0.1.count) tensor\($0.1.count == 1 ? "" : "s"): "
            + $0.1.prefix(4).joined(separator: ", ") + ($0.1.count > 4 ? ", …" : "")
        }.joined(separator: "; ") + " (is config.json from another model?)"
    case .shape(let path, let key, let expected, let found):
      "\(path): tensor \(key): expected \(expected), found \(found) (is config.json from another model?)"
    case .dtype(let path, let key, let found):
      "\(path): tensor \(key): expected floating-point numbers, found \(found)"
    }
  }
}
