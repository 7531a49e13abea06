// Why a model or an adapter cannot be merged, exported or converted.

package import Files
package import GGUF
package import QwenModel
package import SFT
package import Safetensors
package import Tensor
package import Tokenizer

/// A failure of an export.
package enum ExportError: Error, Sendable, CustomStringConvertible {
  /// The model cannot be used.
  case model(ModelError)
  /// The adapter cannot be used.
  case adapter(AdapterError)
  /// A file of a checkpoint is damaged, or cannot be written.
  case checkpoint(SafetensorsError)
  /// A GGUF file is damaged, or cannot be written.
  case gguf(GGUFError)
  /// A file or folder could not be read or written.
  case file(FileError)
  /// The model has no usable tokenizer.
  case tokenizer(TokenizerError)
  /// The device failed.
  case device(DeviceError)
  /// What was asked for cannot be done with what is at the path.
  case refused(path: String, problem: String)
  /// Numbers of a tensor that the form asked for cannot hold.
  case value(path: String, key: String, problem: String)
  /// The exported file answers too differently from what was exported.
  case threshold(path: String, problem: String)

  /// The caller wanted no more of it; nothing was left behind.
  case stopped

  /// What is wrong, in one line beginning with the path.
  package var description: String {
    switch self {
    case .model(let error): error.description
    case .adapter(let error): error.description
    case .checkpoint(let error): error.description
    case .gguf(let error): error.description
    case .file(let error): error.description
    case .tokenizer(let error): error.description
    case .device(let error): error.description
    case .refused(let path, let problem), .threshold(let path, let problem): "\(path): \(problem)"
    case .stopped: "stopped; nothing was written"
    case .value(let path, let key, let problem):
      "\(path): tensor \(key): \(problem)"
    }
  }
}
