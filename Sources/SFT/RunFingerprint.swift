// What of a run must not change when it is resumed: everything that the bits of its result depend on.

import Autograd
import NN
package import OrderedJSON
package import QwenModel
import Tensor

/// The settings, the data and the model of a run, by name, for comparison with those of a checkpoint.
package struct RunFingerprint: Sendable {
  /// Names, which are those of the command line where there is one, and values.
  package private(set) var values: [(name: String, value: String)] = []

  /// The number of steps is none of them: a run may be made longer or shorter, and its learning rates then follow
  /// the schedule of the new length, as transformers does it.
  package init(
    config: TrainingConfig, adapter: AdapterConfig?, model: QwenModel, rows: [EncodedRow],
    evaluationRows: [EncodedRow]
  ) {
    func add(_ name: String, _ value: some CustomStringConvertible) {
      values.append((name, value.description))
    }
    add("seed", config.seed)
    add("learning_rate", config.learningRate)
    add("lr_scheduler_type", config.lrSchedulerType.rawValue)
    add("lr_scheduler_kwargs", Self.text(config.lrSchedulerKwargs))
    add("warmup_steps", config.warmupSteps)
    add("warmup_ratio", config.warmupRatio)
    add("weight_decay", config.weightDecay)
    add("optim", config.optim.rawValue)
    add("adam_beta1", config.adamBeta1)
    add("adam_beta2", config.adamBeta2)
    add("adam_epsilon", config.adamEpsilon)
    add("max_grad_norm", config.maxGradNorm)
    add("loraplus_lr_ratio", config.loraplusLrRatio.map { "\($0)" } ?? "none")
    add("neftune_noise_alpha", config.neftuneNoiseAlpha.map { "\($0)" } ?? "none")
    add("bf16", model.computeDType == .bfloat16)
    add("4-bit weights", model.namedLinears().contains { $0.linear.quantizedWeight != nil })
    add("per_device_train_batch_size", config.perDeviceTrainBatchSize)
    add("gradient_accumulation_steps", config.gradientAccumulationSteps)
    add("max_seq_length", config.maxSeqLength)
    add("truncation", config.truncation.rawValue)
    add("packing", config.packing)
    add("shuffle", config.shuffle)
    add("full", adapter == nil)
    if let adapter, case .object(var object) = adapter.json {
      // Where the base model lies may change; which it is, is told by its weights.
      for key in ["base_model_name_or_path", "inference_mode", "peft_type", "task_type"] {
        object.removeValue(forKey: key)
      }
      for (key, value) in object {
        let name = ["r": "lora_r", "target_modules": "target_modules"][key] ?? key
        add(name, value.serialized())
      }
    }
    add("the training data", Self.digest(of: rows))
    if config.evalStrategy != .no { add("the evaluation data", Self.digest(of: evaluationRows)) }
    add("the base model", Self.digest(of: model))
  }

  /// As a checkpoint keeps it.
  package var json: JSON { .object(JSONObject(values.map { ($0.name, .string($0.value)) })) }

  /// The first setting that `saved` has another value for. What only one side has is compared where it is a setting;
  /// the evaluation data may come and go with the evaluation.
  package func difference(from saved: JSON) -> (name: String, saved: String, current: String)? {
    for (name, value) in values {
      let old = saved[name]?.stringValue
      if old == nil && name == "the evaluation data" { continue }
      if old != value { return (name, old ?? "absent", value) }
    }
    let names = Set(values.map(\.name))
    for (name, value) in saved.objectValue ?? [:]
    where !names.contains(name) && name != "the evaluation data" {
      return (name, value.stringValue ?? "?", "absent")
    }
    return nil
  }

  private static func text(_ coefficients: LearningRateSchedule.Coefficients) -> String {
    let mirror = Mirror(reflecting: coefficients)
    let parts = mirror.children.compactMap { child -> String? in
      let value = Mirror(reflecting: child.value).children.first?.value
      return value.map { "\(child.label ?? ""): \($0)" }
    }
    return "{\(parts.joined(separator: ", "))}"
  }

  private static func digest(of rows: [EncodedRow]) -> String {
    var digest = Digest()
    for row in rows {
      digest.add(UInt64(row.inputIDs.count))
      for (id, label) in zip(row.inputIDs, row.labels) {
        digest.add(UInt64(UInt32(bitPattern: id)) << 32 | UInt64(UInt32(bitPattern: label)))
      }
    }
    return "\(rows.count) rows (\(digest.text))"
  }

  /// Names and shapes of all parameters, the values of the last norm and the first row of every linear map: cheap, and
  /// no two models share them, nor a model and what it became by merging an adapter.
  private static func digest(of model: QwenModel) -> String {
    var digest = Digest()
    // A compressed matrix is no parameter, and yet what the file has.
    let isCompressed = model.namedLinears().contains {
      $0.linear.packedWeight != nil && $0.linear.quantizedWeight == nil
    }
    let parameters = (isCompressed ? QwenModel(model.config) : model).namedParameters()
    let quantized = Set(
      model.namedLinears().filter { $0.linear.quantizedWeight != nil }.map { $0.path + ".weight" })
    for (key, parameter) in parameters where !key.contains("lora_") && !quantized.contains(key) {
      for byte in key.utf8 { digest.add(UInt64(byte)) }
      for size in parameter.shape.dimensions { digest.add(UInt64(size)) }
    }
    for value in (try? model.model.norm.weight.value.doubles()) ?? [] {
      digest.add(value.bitPattern)
    }
    // Matrices that stay in 16 bits in float32 arithmetic are the same as widened ones. Nothing is rounded.
    let isWidened = model.computeDType == .float32 && !model.isQuantized
    for (_, linear) in model.namedLinears() where linear.adapter?.initialFactors == nil {
      let row: [UInt8]
      if let quantized = linear.quantizedWeight {
        row = (try? quantized.codes.rows(0..<min(1024, quantized.codes.shape[0])).bytes()) ?? []
      } else {
        var first =
          linear.packedWeight?.unpacked(rows: 0..<1, dtype: .bfloat16)
          ?? linear.weight.value.rows(0..<1)
        if isWidened, first.dtype == .bfloat16 { first = first.cast(to: .float32) }
        row = (try? first.bytes()) ?? []
      }
      for byte in row { digest.add(UInt64(byte)) }
    }
    return "\(model.config.modelType.rawValue) (\(digest.text))"
  }

  /// A 64-bit digest (FNV-1a over words): it tells versions apart and protects from nobody.
  private struct Digest {
    private var value: UInt64 = 0xCBF2_9CE4_8422_2325

    mutating func add(_ word: UInt64) {
      // The high bits are brought down, so that they count too.
      value = (value ^ word) &* 0x0000_0100_0000_01B3
      value ^= value >> 29
    }

    var text: String { String(value, radix: 16) }
  }
}
