// A plan as a table and as JSON.

import OrderedJSON
import QwenModel
import SFT

/// What `plan` prints.
struct PlanReport {
  private let run: PlannedRun
  private let time: TimeEstimate?

  /// A report on `run`, which takes `time`.
  init(_ run: PlannedRun, time: TimeEstimate?) {
    self.run = run
    self.time = time
  }

  // MARK: Numbers

  private var lengths: [Int] { run.rows.training.map(\.inputIDs.count) }
  private var tokenCount: Int { lengths.reduce(0, +) }
  private var trainedTokenCount: Int {
    run.rows.training.reduce(0) { $0 + $1.trainedTokenCount }
  }
  private var droppedCount: Int { run.rows.report.droppedTooLong + run.rows.report.droppedCutOff }

  /// Rows by length: the upper end of each power of two, and how many rows there are.
  private var histogram: [(upTo: Int, rows: Int)] {
    var bins: [(upTo: Int, rows: Int)] = []
    let longest = lengths.max() ?? 0
    var end = 16
    while bins.isEmpty || end / 2 < longest {
      let low = bins.isEmpty ? 0 : end / 2
      bins.append((end, lengths.count { $0 > low && $0 <= end }))
      end *= 2
    }
    return Array(bins.drop { $0.rows == 0 })
  }

  /// What the blocks keep, in words.
  private static func words(_ choice: Checkpointing, layers: Int) -> String {
    let whole = min(choice.wholeBlockCount, layers)
    if whole == layers { return "every block keeps everything" }
    let products = min(choice.productBlockCount, layers - whole)
    let kinds = [
      (whole, "everything"), (products, "what products gave"),
      (layers - whole - products, choice.keepsHalves ? "their input and middle" : "their input"),
    ].filter { $0.0 > 0 }
    guard kinds.count > 1 else { return "all \(layers) blocks keep \(kinds[0].1)" }
    return "of \(layers) blocks " + kinds.map { "\($0.0) keep \($0.1)" }.joined(separator: ", ")
  }

  private static func label(_ part: MemoryPlan.Part, _ plan: MemoryPlan) -> String {
    switch part {
    case .embedding: "embedding"
    case .head: "head"
    case .linear: "linear maps"
    case .norms: "norms, biases"
    case .adapter: "adapter"
    case .gradients: "gradients"
    case .optimizer: "optimizer"
    case .activations: "activations"
    case .workspace:
      plan.headByteCount > plan.backwardByteCount ? "head and loss" : "backward of a block"
    case .pool: "waiting buffers"
    case .saving: "writing a checkpoint"
    case .loading: "more while loading"
    case .program: "program, tokenizer, data"
    case .libraries: "libraries"
    }
  }

  // MARK: Table

  /// The plan as lines.
  var table: String {
    let (config, model, memory) = (run.outline.config, run.model, run.memory)
    var lines = [
      line(
        "model",
        "\(model.modelType.rawValue), \(model.numHiddenLayers) layers, hidden \(model.hiddenSize), "
          + "intermediate \(model.intermediateSize), \(model.numAttentionHeads) heads of \(model.headDim) "
          + "(\(model.numKeyValueHeads) for keys), vocabulary \(grouped(model.vocabSize))"),
      line(
        "parameters",
        "\(grouped(memory.parameterCount)), trained \(grouped(memory.trainedParameterCount))"),
      line(
        "data",
        "\(lengths.count) rows, \(grouped(tokenCount)) tokens, \(grouped(trainedTokenCount)) trained "
          + "(\(percent(trainedTokenCount, of: tokenCount)))"),
      line("", "\(droppedCount) rows dropped, \(run.rows.report.truncated) cut"),
    ]
    let most = max(1, histogram.map(\.rows).max() ?? 1)
    for (index, bin) in histogram.enumerated() {
      let bar = String(repeating: "#", count: (bin.rows * 30 + most - 1) / most)
      lines.append(
        line(
          index == 0 ? "lengths" : "",
          "to \(padded("\(bin.upTo)", 6)) \(padded("\(bin.rows)", 7)) \(bar)"))
    }
    lines.append(
      line(
        "steps",
        "\(run.outline.totalSteps) of \(config.perDeviceTrainBatchSize) × \(config.gradientAccumulationSteps) rows; "
          + "the largest micro-batch has \(grouped(memory.largestTokens)) tokens, \(grouped(memory.largestTrained)) trained"
      ))
    lines.append(
      line("checkpointing", Self.words(memory.checkpointing, layers: model.numHiddenLayers)))
    lines.append(line("memory", "\(memoryText(memory.peakByteCount)) at the peak"))
    for (part, byteCount) in memory.parts {
      lines.append(
        "  \(Self.label(part, memory).padding(to: 26))\(padded(memoryText(byteCount), 9))")
    }
    if let time {
      lines.append(
        line(
          "time",
          "about \(duration(time.totalSeconds)), \(significant(time.trainingSeconds / Double(run.outline.totalSteps))) s a step, "
            + "\(fixed(time.tokensPerSecond, digits: 0)) tokens/s (measured in \(duration(time.probeSeconds)))"
        ))
    }
    return lines.map { $0 + "\n" }.joined()
  }

  /// Proposals as lines.
  static func table(of proposals: [FitSearch.Proposal], limit: Int) -> String {
    guard !proposals.isEmpty else { return "" }
    var text = "\nfits \(memoryText(limit))\n"
    for proposal in proposals {
      let time = proposal.time.map { ", about \(duration($0.totalSeconds))" } ?? ""
      text += "  \(memoryText(proposal.memory.peakByteCount))\(time)\n    \(proposal.commandLine)\n"
    }
    return text
  }

  private func line(_ name: String, _ text: String) -> String { name.padding(to: 15) + text }

  private func padded(_ text: String, _ width: Int) -> String {
    String(repeating: " ", count: max(0, width - text.count)) + text
  }

  private func percent(_ count: Int, of all: Int) -> String {
    fixed(100 * Double(count) / Double(max(1, all)), digits: 1) + " %"
  }

  // MARK: JSON

  /// The plan, with proposals where they were asked for, as one JSON value.
  func json(proposals: [FitSearch.Proposal]?) -> JSON {
    var object = JSONObject([
      ("model", modelJSON), ("data", dataJSON), ("steps", stepsJSON),
      ("memory", Self.json(run.memory, layers: run.model.numHiddenLayers)),
      ("time", Self.json(time, steps: run.outline.totalSteps)),
    ])
    if let proposals { object["fit"] = .array(proposals.map { Self.json($0) }) }
    return .object(object)
  }

  private var modelJSON: JSON {
    let (model, memory) = (run.model, run.memory)
    let sizes: [(String, Int)] = [
      ("num_hidden_layers", model.numHiddenLayers), ("hidden_size", model.hiddenSize),
      ("intermediate_size", model.intermediateSize),
      ("num_attention_heads", model.numAttentionHeads),
      ("num_key_value_heads", model.numKeyValueHeads), ("head_dim", model.headDim),
      ("vocab_size", model.vocabSize), ("parameters", memory.parameterCount),
      ("trained_parameters", memory.trainedParameterCount),
    ]
    let type: (String, JSON) = ("model_type", .string(model.modelType.rawValue))
    return .object(JSONObject([type] + Self.integers(sizes)))
  }

  private var dataJSON: JSON {
    let counts: [(String, Int)] = [
      ("rows", lengths.count), ("rows_dropped", droppedCount),
      ("rows_truncated", run.rows.report.truncated),
      ("evaluation_rows", run.rows.evaluation.count), ("tokens", tokenCount),
      ("trained_tokens", trainedTokenCount),
    ]
    let bins: [JSON] = histogram.map { bin in
      .object(JSONObject(Self.integers([("up_to", bin.upTo), ("rows", bin.rows)])))
    }
    return .object(JSONObject(Self.integers(counts) + [("lengths", .array(bins))]))
  }

  private var stepsJSON: JSON {
    let (config, memory) = (run.outline.config, run.memory)
    let counts: [(String, Int)] = [
      ("total", run.outline.totalSteps),
      ("per_device_train_batch_size", config.perDeviceTrainBatchSize),
      ("gradient_accumulation_steps", config.gradientAccumulationSteps),
      ("largest_micro_batch_tokens", memory.largestTokens),
      ("largest_micro_batch_trained_tokens", memory.largestTrained),
    ]
    return .object(JSONObject(Self.integers(counts)))
  }

  private static func integers(_ values: [(String, Int)]) -> [(String, JSON)] {
    values.map { ($0, .integer($1)) }
  }

  private static func json(_ proposal: FitSearch.Proposal) -> JSON {
    let seconds: JSON = proposal.time.map { .number($0.totalSeconds) } ?? .null
    return [
      "command_line": .string(proposal.commandLine),
      "peak_bytes": .integer(proposal.memory.peakByteCount), "time_seconds": seconds,
    ]
  }

  private static func json(_ memory: MemoryPlan, layers: Int) -> JSON {
    let parts = JSONObject(
      memory.parts.map { ("\($0.part.rawValue)_bytes", .integer($0.byteCount)) })
    return [
      "peak_bytes": .integer(memory.peakByteCount), "parts": .object(parts),
      "head_and_loss_bytes": .integer(memory.headByteCount),
      "block_backward_bytes": .integer(memory.backwardByteCount),
      "whole_blocks": .integer(min(layers, memory.checkpointing.wholeBlockCount)),
      "product_blocks": .integer(
        min(
          memory.checkpointing.productBlockCount,
          layers - min(layers, memory.checkpointing.wholeBlockCount))),
      "keeps_halves": .bool(memory.checkpointing.keepsHalves),
    ]
  }

  private static func json(_ time: TimeEstimate?, steps: Int) -> JSON {
    guard let time else { return .null }
    return [
      "total_seconds": .number(time.totalSeconds),
      "training_seconds": .number(time.trainingSeconds),
      "evaluation_seconds": .number(time.evaluationSeconds),
      "step_seconds": .number(time.trainingSeconds / Double(max(1, steps))),
      "tokens_per_second": .number(time.tokensPerSecond),
      "probe_seconds": .number(time.probeSeconds),
    ]
  }
}

extension String {
  /// The text with spaces behind it, `width` characters in all.
  fileprivate func padding(to width: Int) -> String {
    self + String(repeating: " ", count: Swift.max(0, width - count))
  }
}
