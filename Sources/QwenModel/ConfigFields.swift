// Typed access to the fields of config.json. A null or out-of-range value is an error, never a default; a default
// stands in only for a key that is absent.

package import OrderedJSON

/// The fields of one config file.
package struct ConfigFields {
  /// The fields.
  package let object: JSONObject
  /// The file, for messages.
  package let path: String

  /// The fields of the file at `path`.
  package init(object: JSONObject, path: String) {
    self.object = object
    self.path = path
  }

  private func wrong(_ key: String, _ value: JSON, _ expected: String) -> ModelError {
    .config(path: path, problem: "\(key) is \(describe(value)), expected \(expected)")
  }

  private func describe(_ value: JSON) -> String {
    switch value {
    case .integer(let number): "\(number)"
    case .number(let number): "\(number)"
    case .string(let text): "\"\(text.prefix(40))\""
    case .bool(let flag): "\(flag)"
    default: value.kindDescription
    }
  }

  /// An integer in `range`; `value` where the key is absent, an error without it.
  package func integer(_ key: String, _ range: ClosedRange<Int>, default value: Int? = nil)
    throws(ModelError) -> Int
  {
    guard let field = object[key] else {
      guard let value else { throw .config(path: path, problem: "\(key) is missing") }
      return value
    }
    guard case .integer(let number) = field, range.contains(number) else {
      throw wrong(key, field, "an integer from \(range.lowerBound) to \(range.upperBound)")
    }
    return number
  }

  /// A number in `range`; `value` where the key is absent, an error without it.
  package func double(_ key: String, _ range: ClosedRange<Double>, default value: Double? = nil)
    throws(ModelError) -> Double
  {
    guard let field = object[key] else {
      guard let value else { throw .config(path: path, problem: "\(key) is missing") }
      return value
    }
    guard let number = field.doubleValue, range.contains(number) else {
      throw wrong(key, field, "a number from \(range.lowerBound) to \(range.upperBound)")
    }
    return number
  }

  /// A truth value; `value` where the key is absent.
  package func bool(_ key: String, default value: Bool) throws(ModelError) -> Bool {
    guard let field = object[key] else { return value }
    guard case .bool(let flag) = field else { throw wrong(key, field, "true or false") }
    return flag
  }

  /// A string; `value` where the key is absent, an error without it.
  package func string(_ key: String, default value: String?) throws(ModelError) -> String {
    guard let field = object[key] else {
      guard let value else { throw .config(path: path, problem: "\(key) is missing") }
      return value
    }
    guard case .string(let text) = field else { throw wrong(key, field, "a string") }
    return text
  }

  /// A string, or nil where the key is absent or null (keys that transformers writes as null).
  package func optionalString(_ key: String) throws(ModelError) -> String? {
    guard let field = object[key], !field.isNull else { return nil }
    guard case .string(let text) = field else { throw wrong(key, field, "a string") }
    return text
  }

  /// An id, a list of ids, or nothing.
  package func tokenIDs(_ key: String) throws(ModelError) -> [Int] {
    guard let field = object[key], !field.isNull else { return [] }
    let list = field.arrayValue ?? [field]
    var ids: [Int] = []
    for element in list {
      guard case .integer(let id) = element, id >= 0, id < 1 << 31 else {
        throw wrong(key, element, "a token id")
      }
      ids.append(id)
    }
    return ids
  }

  /// The base of the rotary angles, from `rope_parameters` (new form) or `rope_theta` (old form).
  package func ropeTheta() throws(ModelError) -> Double {
    let range = 1.0...1e12
    for key in ["rope_parameters", "rope_scaling"] {
      guard let field = object[key], !field.isNull else { continue }
      guard case .object(let nested) = field else { throw wrong(key, field, "an object") }
      let inner = ConfigFields(object: nested, path: path)
      if let (name, _) = nested.first(where: { $0.1.objectValue != nil }) {
        throw .config(
          path: path,
          problem: "\(key).\(name) is an object: angles for kinds of layers are not supported")
      }
      let (new, old) = try (inner.optionalString("rope_type"), inner.optionalString("type"))
      let kind = new ?? old ?? "default"
      guard kind == "default" else {
        throw .config(
          path: path,
          problem: "\(key) has rope_type \"\(kind)\", which is not supported (expected \"default\")"
        )
      }
      let share = try inner.double("partial_rotary_factor", 0...1, default: 1)
      guard share == 1 else {
        throw .config(
          path: path, problem: "\(key).partial_rotary_factor is \(share), expected 1")
      }
      if nested["rope_theta"] != nil { return try inner.double("rope_theta", range) }
    }
    return try double("rope_theta", range, default: 10_000)
  }

  /// Refuses what this code does not compute: another activation, sliding windows.
  package func requirePlainArchitecture(layers: Int) throws(ModelError) {
    let activation = try string("hidden_act", default: "silu")
    guard activation == "silu" else {
      throw .config(path: path, problem: "hidden_act is \"\(activation)\", expected \"silu\"")
    }
    guard let field = object["layer_types"], !field.isNull else {
      if try bool("use_sliding_window", default: false), let window = object["sliding_window"],
        !window.isNull, try integer("max_window_layers", 0...65_536, default: 28) < layers
      {
        throw .config(path: path, problem: "use_sliding_window is true, which is not supported")
      }
      return
    }
    guard let types = field.arrayValue, types.count == layers else {
      throw wrong("layer_types", field, "a list of \(layers) names")
    }
    for type in types where type.stringValue != "full_attention" {
      throw .config(
        path: path, problem: "layer_types has \(describe(type)), expected \"full_attention\"")
    }
  }

  /// Whether `quantization_config` says that weights are in bitsandbytes' NF4; any other quantization is refused.
  package func isQuantizedToNF4() throws(ModelError) -> Bool {
    guard let field = object["quantization_config"], !field.isNull else { return false }
    guard case .object(let nested) = field else {
      throw wrong("quantization_config", field, "an object")
    }
    let settings = ConfigFields(object: nested, path: path)
    let method = try settings.string("quant_method", default: "bitsandbytes")
    let type = try settings.string("bnb_4bit_quant_type", default: "fp4")
    guard method == "bitsandbytes", try settings.bool("load_in_4bit", default: false), type == "nf4"
    else {
      let found = method == "bitsandbytes" ? "other than 4-bit NF4" : "by \"\(method)\""
      throw .config(
        path: path,
        problem: "the weights are quantized \(found) (quantization_config), which cannot be loaded "
          + "(expected bitsandbytes with load_in_4bit and bnb_4bit_quant_type \"nf4\")")
    }
    return true
  }
}
