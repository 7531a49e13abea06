// The settings of a fresh adapter as options, with PEFT's names.

import ArgumentParser
import NN
import OrderedJSON
import SFT

/// The adapter to make.
struct LoRAOptions: ParsableArguments {
  @Option(help: ArgumentHelp("Rank of the adapter.", valueName: "n"))
  var loraR = LoRAConfig.defaults.rank

  @Option(help: ArgumentHelp("Scale of the adapter: alpha / rank.", valueName: "alpha"))
  var loraAlpha = LoRAConfig.defaults.alpha

  @Option(
    help: ArgumentHelp(
      "Dropout before the adapter (default: \(LoRAConfig.defaults.dropout), or what the starting adapter has).",
      valueName: "p"))
  var loraDropout: Double?

  @Option(
    parsing: .upToNextOption,
    help: ArgumentHelp(
      "Linear maps that get an adapter: names separated by commas or spaces, or all-linear.",
      valueName: "names"))
  var targetModules: [String] = []

  @Flag(
    name: .customLong("use-rslora"), inversion: .prefixedNo, exclusivity: .chooseLast,
    help: "Scale by alpha / √rank.")
  var useRSLoRA = LoRAConfig.defaults.useRSLoRA

  @Flag(
    name: .customLong("use-dora"), inversion: .prefixedNo, exclusivity: .chooseLast,
    help: "Train the length of every row of the adapted weights apart from its direction (DoRA).")
  var useDoRA = LoRAConfig.defaults.useDoRA

  @Option(
    help: ArgumentHelp(
      "First values of the adapter: true, gaussian, pissa, pissa_niter_16 or olora.",
      valueName: "name"))
  var initLoraWeights = LoRAConfig.defaults.initialization.name

  @Option(
    help: ArgumentHelp(
      "Ranks of single modules, such as '{\"down_proj\": 32}'; the keys are PEFT's patterns.",
      valueName: "json"))
  var rankPattern: String?

  @Option(
    help: ArgumentHelp("Alphas of single modules, as --rank_pattern.", valueName: "json"))
  var alphaPattern: String?

  @Option(
    parsing: .upToNextOption,
    help: ArgumentHelp(
      "Layers that get an adapter: numbers from 0 separated by commas or spaces (default: all).",
      valueName: "numbers"))
  var layersToTransform: [String] = []

  /// The options that describe a fresh adapter and are not at their defaults, by their names on the command line.
  ///
  /// What dropout is applies to an adapter that exists too, and is left out.
  var changedNames: [String] {
    let defaults = LoRAConfig.defaults
    return [
      ("lora_r", loraR != defaults.rank), ("lora_alpha", loraAlpha != defaults.alpha),
      ("target_modules", !targetModules.isEmpty), ("use_rslora", useRSLoRA != defaults.useRSLoRA),
      ("use_dora", useDoRA != defaults.useDoRA),
      ("init_lora_weights", initLoraWeights != defaults.initialization.name),
      ("rank_pattern", rankPattern != nil), ("alpha_pattern", alphaPattern != nil),
      ("layers_to_transform", !layersToTransform.isEmpty),
    ].filter(\.1).map(\.0)
  }

  /// What changes the base weights needs weights that can be changed.
  func validate(isQuantized: Bool) throws {
    guard let initialization = LoRAInitialization(name: initLoraWeights) else { return }
    if isQuantized && initialization.changesBase {
      throw ValidationError(
        "--init_lora_weights: expected true or gaussian with --use_qlora, found \(initLoraWeights)")
    }
  }

  /// The settings of a fresh adapter.
  func config() throws -> LoRAConfig {
    let names = targetModules.flatMap { $0.split(whereSeparator: { $0 == "," || $0 == " " }) }
      .map { String($0) }
    guard targetModules.isEmpty || !names.isEmpty else {
      throw ValidationError("--target_modules: expected names of modules, or all-linear")
    }
    let targets: LoRAConfig.Targets =
      names.isEmpty
      ? LoRAConfig.defaults.targets : names == ["all-linear"] ? .allLinear : .names(names)
    var config = LoRAConfig(
      rank: loraR, alpha: loraAlpha, dropout: loraDropout ?? LoRAConfig.defaults.dropout,
      targets: targets,
      useRSLoRA: useRSLoRA)
    config.useDoRA = useDoRA
    guard let initialization = LoRAInitialization(name: initLoraWeights) else {
      throw ValidationError(
        "--init_lora_weights: expected true, gaussian, pissa, pissa_niter_N or olora, found \(initLoraWeights)"
      )
    }
    config.initialization = initialization
    do throws(AdapterPatternError) {
      config.rankPattern = try AdapterPattern.ranks(try json(rankPattern, "rank_pattern"))
      config.alphaPattern = try AdapterPattern.alphas(try json(alphaPattern, "alpha_pattern"))
    } catch { throw ValidationError("--\(error.description)") }
    config.layersToTransform = try layers()
    return config
  }

  private func json(_ text: String?, _ name: String) throws(AdapterPatternError) -> JSON {
    guard let text else { return .null }
    guard let json = try? JSON.parse(text), !json.isNull else {
      throw AdapterPatternError(name: name, problem: "is no JSON object")
    }
    return json
  }

  private func layers() throws -> [Int]? {
    let parts = layersToTransform.flatMap { $0.split { $0 == "," || $0 == " " } }
    guard !parts.isEmpty else { return nil }
    return try parts.map { part in
      guard let number = Int(part), number >= 0 else {
        throw ValidationError("--layers_to_transform: expected numbers from 0, found \(part)")
      }
      return number
    }
  }
}
