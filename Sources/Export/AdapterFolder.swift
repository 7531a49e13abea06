// An adapter folder as it lies on disk, of whatever form, read without judging it.

import Files
package import OrderedJSON
package import Safetensors

/// The settings and the tensors of an adapter.
package struct AdapterFolder {
  /// Whose form it is.
  package enum Form: String, Sendable, Hashable, CaseIterable {
    /// PEFT's: adapter_config.json and adapter_model.safetensors.
    case peft
    /// mlx-lm's: adapter_config.json and adapters.safetensors.
    case mlx

    /// The name of the file with the tensors.
    var tensorsName: String {
      switch self {
      case .peft: "adapter_model.safetensors"
      case .mlx: "adapters.safetensors"
      }
    }
  }

  /// The folder.
  package let path: String
  /// Whose form it is: by the name of the file with the tensors.
  package let form: Form
  /// adapter_config.json.
  package let settings: JSONObject
  /// The tensors.
  package let tensors: Checkpoint

  static let settingsName = "adapter_config.json"

  /// Reads the adapter in `path`.
  package init(_ path: String) throws(ExportError) {
    self.path = path
    let forms = Form.allCases.filter {
      FileSystem.kind(of: FileSystem.join(path, $0.tensorsName)) == .file
    }
    guard let form = forms.first else {
      throw .refused(
        path: path,
        problem:
          "expected adapter_model.safetensors (PEFT) or adapters.safetensors (mlx-lm), found "
          + "neither")
    }
    self.form = form
    let file = FileSystem.join(path, Self.settingsName)
    let bytes: [UInt8]
    do { bytes = try FileSystem.readFile(file, maximumByteCount: 1 << 24) } catch {
      throw .file(error)
    }
    let json: JSON
    do { json = try JSON.parse(bytes) } catch {
      throw .refused(path: file, problem: "is not JSON: \(error)")
    }
    guard case .object(let object) = json else {
      throw .refused(path: file, problem: "is \(json.kindDescription), expected an object")
    }
    settings = object
    do { tensors = try Checkpoint(file: FileSystem.join(path, form.tensorsName)) } catch {
      throw .checkpoint(error)
    }
  }

  /// A factor or a length of a module.
  package enum Part: String, Sendable, Hashable, CaseIterable {
    case a, b, magnitude

    /// The endings that files of a form have, the one to be written first.
    func endings(in form: Form) -> [String] {
      switch (form, self) {
      case (.peft, .a): [".lora_A.weight", ".lora_A.default.weight"]
      case (.peft, .b): [".lora_B.weight", ".lora_B.default.weight"]
      case (.peft, .magnitude):
        [
          ".lora_magnitude_vector", ".lora_magnitude_vector.weight",
          ".lora_magnitude_vector.default", ".lora_magnitude_vector.default.weight",
        ]
      case (.mlx, .a): [".lora_a"]
      case (.mlx, .b): [".lora_b"]
      case (.mlx, .magnitude): [".m"]
      }
    }
  }

  static let prefix = "base_model.model."

  /// The module and the part that tensor `key` is of; nil where it is none of an adapter on a linear map.
  package func split(_ key: String) -> (module: String, part: Part)? {
    var name = key[...]
    if form == .peft {
      guard key.hasPrefix(Self.prefix) else { return nil }
      name = name.dropFirst(Self.prefix.count)
    }
    for part in Part.allCases {
      for ending in part.endings(in: form) where name.hasSuffix(ending) {
        return (String(name.dropLast(ending.count)), part)
      }
    }
    return nil
  }

  /// The tensors of each module, and the names of those that are of none.
  package var modules: (known: [String: [Part: String]], strangers: [String]) {
    var known: [String: [Part: String]] = [:]
    var strangers: [String] = []
    for key in tensors.keys {
      if let (module, part) = split(key) {
        known[module, default: [:]][part] = key
      } else {
        strangers.append(key)
      }
    }
    return (known, strangers)
  }

  /// The rank of a module by its tensors; nil where A is missing or no matrix.
  package func rank(_ parts: [Part: String]) -> Int? {
    guard let key = parts[.a], let shape = try? tensors.shape(of: key), shape.count == 2 else {
      return nil
    }
    return form == .peft ? shape[0] : shape[1]
  }
}
