// Adapters between PEFT's form and mlx-lm's. The factors are each other's transposes; their elements are moved as they are, in
// whatever type they have, so that a conversion and its reverse give the same bytes.
//
//   PEFT    base_model.model.P.lora_A.weight [R, in], .lora_B.weight [out, R], .lora_magnitude_vector [out]; s = α / R
//   mlx-lm  P.lora_a [in, R], .lora_b [R, out], .m [out]; lora_parameters {rank, scale, dropout, keys}, num_layers

import Files
import NN
import OrderedJSON
import SFT
import Safetensors

/// Converts adapters.
package struct AdapterConversion {
  private let source: AdapterFolder
  private let path: String

  /// A conversion of `source`.
  package init(_ source: AdapterFolder) throws(ExportError) {
    self.source = source
    path = FileSystem.join(source.path, source.form.tensorsName)
    let (known, strangers) = source.modules
    if let stranger = strangers.first {
      throw .refused(path: path, problem: "tensor \(stranger) is no LoRA factor of a linear map")
    }
    guard !known.isEmpty else {
      throw .refused(path: path, problem: "there is no LoRA tensor in it")
    }
    var modules: [Module] = []
    for (name, parts) in known.sorted(by: {
      $0.key.utf8.lexicographicallyPrecedes($1.key.utf8)
    }) {
      guard let a = parts[.a], let b = parts[.b] else {
        throw .refused(path: path, problem: "\(name): expected two factors")
      }
      modules.append(try Self.module(name, a, b, parts[.magnitude], source, path))
    }
    self.modules = modules
  }

  private let modules: [Module]

  /// The tensors of one module.
  private struct Module {
    let name: String
    let rank, inputSize, outputSize: Int
    let a, b: String
    let magnitude: String?
    let dtype: SafetensorsDType
  }

  private static func module(
    _ name: String, _ a: String, _ b: String, _ magnitude: String?, _ source: AdapterFolder,
    _ path: String
  ) throws(ExportError) -> Module {
    do throws(SafetensorsError) {
      let (first, second) = (try source.tensors.info(of: a), try source.tensors.info(of: b))
      let isPEFT = source.form == .peft
      guard first.shape.count == 2, second.shape.count == 2, first.dtype == second.dtype,
        first.dtype.isFloatingPoint
      else {
        throw .entry(path: path, key: name, problem: "expected two matrices of one floating type")
      }
      let (rank, inputSize) =
        isPEFT ? (first.shape[0], first.shape[1]) : (first.shape[1], first.shape[0])
      let (other, outputSize) =
        isPEFT ? (second.shape[1], second.shape[0]) : (second.shape[0], second.shape[1])
      guard rank == other, rank > 0 else {
        throw .entry(path: path, key: name, problem: "its factors have ranks \(rank) and \(other)")
      }
      guard inputSize > 0, outputSize > 0 else {
        throw .entry(path: path, key: name, problem: "its factors have no elements")
      }
      if let magnitude {
        let info = try source.tensors.info(of: magnitude)
        guard info.shape == [outputSize] else {
          throw .entry(path: path, key: magnitude, problem: "expected \([outputSize])")
        }
      }
      return Module(
        name: name, rank: rank, inputSize: inputSize, outputSize: outputSize, a: a, b: b,
        magnitude: magnitude, dtype: first.dtype)
    } catch { throw .checkpoint(error) }
  }

  /// Writes the other form into the folder `output`, which is made where it is not there; the second value is what the user
  /// should know.
  package func write(to output: String) throws(ExportError) -> [String] {
    guard
      FileSystem.canonicalPath(output) != FileSystem.canonicalPath(source.path)
        || FileSystem.canonicalPath(output) == nil
    else { throw .refused(path: output, problem: "is the adapter's own folder (choose another)") }
    let plan = source.form == .peft ? try toMLX() : try toPEFT()
    do throws(FileError) { try FileSystem.makeFolder(output) } catch { throw .file(error) }
    let target: AdapterFolder.Form = source.form == .peft ? .mlx : .peft
    do throws(SafetensorsError) {
      let tensors = plan.tensors.sorted { $0.key.utf8.lexicographicallyPrecedes($1.key.utf8) }
      let writer = try SafetensorsWriter(
        path: FileSystem.join(output, target.tensorsName),
        entries: tensors.map { .init(key: $0.key, dtype: $0.dtype, shape: $0.shape) })
      for tensor in tensors { try writer.write(tensor.bytes, of: tensor.key) }
      try writer.commit()
    } catch { throw .checkpoint(error) }
    do throws(FileError) {
      try AtomicFile.write(
        plan.settings.serialized(style: .indented(target == .mlx ? 4 : 2)),
        to: FileSystem.join(output, AdapterFolder.settingsName))
    } catch { throw .file(error) }
    return plan.notes
  }

  private struct Plan {
    var tensors: [(key: String, dtype: SafetensorsDType, shape: [Int], bytes: [UInt8])] = []
    var settings = JSON.null
    var notes: [String] = []
  }

  /// The key under which PEFT's settings travel in mlx-lm's, which ignores it.
  private static let peftKey = "peft_config"

  /// Elements that filled up factors may have all together, whatever those of the file are.
  private static let fillableElements = 1 << 26
  /// How many times the elements of the file they may have beyond that.
  private static let maximumFilling = 64

  // MARK: To mlx-lm

  private func toMLX() throws(ExportError) -> Plan {
    let config: AdapterConfig
    do { config = try AdapterConfig(directory: source.path) } catch { throw .adapter(error) }
    guard !config.initialization.changesBase else {
      throw .refused(
        path: source.path,
        problem: "init_lora_weights is \(config.initialization.name): it belongs to a changed base")
    }
    for module in modules where config.rank(of: module.name) != module.rank {
      throw .refused(
        path: path,
        problem: "\(module.name) has rank \(module.rank), adapter_config.json says "
          + "\(config.rank(of: module.name))")
    }
    var plan = Plan()
    let rank = modules.map(\.rank).max() ?? 1
    try checkFilling(to: rank)
    let scale = config.scale(of: modules[0].name)
    if modules.contains(where: { $0.rank != rank }) {
      plan.notes.append("ranks differ: the smaller ones are filled up with zeros to \(rank)")
    }
    if modules.contains(where: { config.scale(of: $0.name) != scale }) {
      plan.notes.append("factors differ: they are multiplied into lora_b, in float32")
    }
    let isDoRA = modules.contains { $0.magnitude != nil }
    for module in modules {
      guard (module.magnitude != nil) == isDoRA else {
        throw .refused(
          path: path, problem: "\(module.name): expected a magnitude in all modules or none")
      }
      var a = transposed(try bytes(module.a), rows: module.rank, of: module)
      var b = transposed(try bytes(module.b), rows: module.outputSize, of: module)
      var dtype = module.dtype
      let factor = config.scale(of: module.name) / scale
      if factor != 1 {
        guard scale != 0 else { throw .refused(path: source.path, problem: "lora_alpha is 0") }
        // Both are widened, so that they stay of one type.
        (a, b) = (floats(a, dtype, times: 1), floats(b, dtype, times: factor))
        dtype = .f32
      }
      let width = dtype.bitCount / 8
      a = padded(a, rows: module.inputSize, from: module.rank * width, to: rank * width)
      b += [UInt8](repeating: 0, count: (rank - module.rank) * module.outputSize * width)
      plan.tensors.append((module.name + ".lora_a", dtype, [module.inputSize, rank], a))
      plan.tensors.append((module.name + ".lora_b", dtype, [rank, module.outputSize], b))
      if let key = module.magnitude { try addMagnitude(key, as: module.name + ".m", to: &plan) }
    }
    var keys: [String] = []
    for module in modules {
      let parts = module.name.split(separator: ".")
      // Names inside a block are those of every block; others are whole.
      let isInBlock = parts.count > 3 && parts[1] == "layers"
      let key = isInBlock ? parts[3...].joined(separator: ".") : module.name
      if !keys.contains(key) { keys.append(key) }
    }
    plan.settings = .object(
      JSONObject([
        ("fine_tune_type", .string(isDoRA ? "dora" : "lora")),
        (
          "lora_parameters",
          .object(
            JSONObject([
              ("dropout", .number(config.dropout)),
              ("keys", .array(keys.sorted().map { .string($0) })), ("rank", .integer(rank)),
              ("scale", .number(scale)),
            ]))
        ), ("model", config.baseModel.map { .string($0) } ?? .null),
        // All blocks: those without tensors in the file change nothing.
        ("num_layers", .integer(-1)), (Self.peftKey, .object(source.settings)),
      ]))
    return plan
  }

  /// Refuses a rank that makes much memory out of a small file: one module of a high rank among many of a low one.
  private func checkFilling(to rank: Int) throws(ExportError) {
    var (present, filled) = (0, 0)
    for module in modules {
      // Both factors are in a file, so that neither a side nor the product with the module's own rank overflows.
      let sides = module.inputSize + module.outputSize
      present += sides * module.rank
      let (elements, isTooLarge) = sides.multipliedReportingOverflow(by: rank)
      let (sum, isTooMuch) = filled.addingReportingOverflow(elements)
      filled = isTooLarge || isTooMuch ? .max : sum
    }
    guard filled / Self.maximumFilling <= max(present, Self.fillableElements / Self.maximumFilling)
    else {
      throw .refused(
        path: path,
        problem: "its ranks differ too much to be filled up to \(rank) (merge it instead)")
    }
  }

  // MARK: To PEFT

  private func toPEFT() throws(ExportError) -> Plan {
    let settings = FileSystem.join(source.path, AdapterFolder.settingsName)
    let type = source.settings["fine_tune_type"]?.stringValue ?? "lora"
    guard type == "lora" || type == "dora" else {
      throw .refused(path: settings, problem: "fine_tune_type is \(type), expected lora or dora")
    }
    let parameters = source.settings["lora_parameters"]
    guard let scale = parameters?["scale"]?.doubleValue, scale.isFinite else {
      throw .refused(path: settings, problem: "lora_parameters.scale is missing or no number")
    }
    var plan = Plan()
    for module in modules {
      let stem = AdapterFolder.prefix + module.name
      plan.tensors.append(
        (
          stem + ".lora_A.weight", module.dtype, [module.rank, module.inputSize],
          transposed(try bytes(module.a), rows: module.inputSize, of: module)
        ))
      plan.tensors.append(
        (
          stem + ".lora_B.weight", module.dtype, [module.outputSize, module.rank],
          transposed(try bytes(module.b), rows: module.rank, of: module)
        ))
      if let key = module.magnitude {
        try addMagnitude(key, as: stem + ".lora_magnitude_vector", to: &plan)
      }
    }
    if let original = source.settings[Self.peftKey], case .object(let object) = original,
      isFor(object, scale)
    {
      plan.settings = original
      return plan
    }
    plan.settings = try peftSettings(scale, parameters, settings)
    return plan
  }

  /// Whether PEFT's settings, which travelled along, still say what the tensors and the scale do.
  private func isFor(_ object: JSONObject, _ scale: Double) -> Bool {
    guard let rank = object["r"]?.integerValue, let alpha = object["lora_alpha"]?.doubleValue else {
      return false
    }
    let isRSLoRA = object["use_rslora"]?.boolValue == true
    let patterns = ["rank_pattern", "alpha_pattern"].contains {
      object[$0]?.objectValue?.isEmpty == false
    }
    let own = alpha / (isRSLoRA ? Double(rank).squareRoot() : Double(rank))
    return !patterns && own == scale && modules.allSatisfy { $0.rank == rank }
  }

  private func peftSettings(_ scale: Double, _ parameters: JSON?, _ path: String)
    throws(ExportError) -> JSON
  {
    let ranks = modules.map(\.rank)
    guard let rank = ranks.first, ranks.allSatisfy({ $0 == rank }) else {
      throw .refused(
        path: self.path, problem: "its ranks differ, and mlx-lm has one for all modules")
    }
    let names = Set(modules.map { String($0.name.split(separator: ".").last ?? "") }).sorted()
    let layers = Set(
      modules.compactMap { module -> Int? in
        let parts = module.name.split(separator: ".")
        return parts.count > 3 && parts[1] == "layers" ? Int(parts[2]) : nil
      }
    ).sorted()
    // Blocks from the first one on may be all; others are a choice.
    let isPartial = layers != Array(0..<layers.count)
    let alpha = scale * Double(rank)
    let dropout = parameters?["dropout"]?.doubleValue ?? 0
    var object = JSONObject([
      ("alpha_pattern", .object(JSONObject())), ("auto_mapping", .null),
      ("base_model_name_or_path", source.settings["model"] ?? .null), ("bias", .string("none")),
      ("fan_in_fan_out", .bool(false)), ("inference_mode", .bool(true)),
      ("init_lora_weights", .bool(true)), ("layers_pattern", .null),
      ("layers_to_transform", isPartial ? .array(layers.map { .integer($0) }) : .null),
      (
        "lora_alpha",
        alpha == alpha.rounded() && alpha.magnitude < 1e15 ? .integer(Int(alpha)) : .number(alpha)
      ),
      ("lora_dropout", .number((0..<1).contains(dropout) ? dropout : 0)),
      ("modules_to_save", .null),
      ("peft_type", .string("LORA")), ("r", .integer(rank)),
      ("rank_pattern", .object(JSONObject())), ("revision", .null),
      ("target_modules", .array(names.map { .string($0) })), ("task_type", .string("CAUSAL_LM")),
    ])
    if modules.contains(where: { $0.magnitude != nil }) { object["use_dora"] = .bool(true) }
    return .object(object)
  }

  // MARK: Bytes

  private func bytes(_ key: String) throws(ExportError) -> [UInt8] {
    do { return try source.tensors.bytes(of: key) } catch { throw .checkpoint(error) }
  }

  private func addMagnitude(_ key: String, as name: String, to plan: inout Plan)
    throws(ExportError)
  {
    do throws(SafetensorsError) {
      let info = try source.tensors.info(of: key)
      plan.tensors.append((name, info.dtype, info.shape, try source.tensors.bytes(of: key)))
    } catch { throw .checkpoint(error) }
  }

  /// The transpose of a matrix of `rows` rows, element by element as they are.
  private func transposed(_ bytes: [UInt8], rows: Int, of module: Module) -> [UInt8] {
    let width = module.dtype.bitCount / 8
    let columns = bytes.count / width / max(1, rows)
    var result = [UInt8](repeating: 0, count: bytes.count)
    for row in 0..<rows {
      for column in 0..<columns {
        let (from, to) = ((row * columns + column) * width, (column * rows + row) * width)
        for i in 0..<width { result[to + i] = bytes[from + i] }
      }
    }
    return result
  }

  /// Rows of `from` bytes made rows of `to` bytes, with zeros behind.
  private func padded(_ bytes: [UInt8], rows: Int, from: Int, to: Int) -> [UInt8] {
    if from == to { return bytes }
    var result = [UInt8](repeating: 0, count: rows * to)
    for row in 0..<rows {
      result.replaceSubrange(
        row * to..<row * to + from, with: bytes[row * from..<(row + 1) * from])
    }
    return result
  }

  /// The elements in float32, multiplied.
  private func floats(_ bytes: [UInt8], _ dtype: SafetensorsDType, times factor: Double) -> [UInt8]
  {
    let count = bytes.count / (dtype.bitCount / 8)
    let values = [Float](unsafeUninitializedCapacity: count) { buffer, initialized in
      initialized = count
      bytes.withUnsafeBytes {
        FloatConversion.convert(
          $0, dtype, into: UnsafeMutableBufferPointer(rebasing: buffer[..<count]))
      }
    }
    var result: [UInt8] = []
    result.reserveCapacity(4 * count)
    for value in values {
      let bits = (factor == 1 ? value : Float(Double(value) * factor)).bitPattern
      for shift in [0, 8, 16, 24] as [UInt32] {
        result.append(UInt8(truncatingIfNeeded: bits >> shift))
      }
    }
    return result
  }
}
