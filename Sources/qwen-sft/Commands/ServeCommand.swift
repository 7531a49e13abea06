// `qwen-sft serve`: an OpenAI-compatible server for one base model and its adapters.

import ArgumentParser
import Files
import NN
import QwenModel
import SFT
import Serve
import Tensor
import Hub

/// Serves a model over HTTP.
struct ServeCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "serve",
    abstract: "Serves a model and its adapters: OpenAI's interface and a chat page.")

  @OptionGroup var model: ModelOptions
  @Option(
    name: [
      .customLong("adapter"), .customLong("adapter-name-or-path"), .customLong("adapter-dir"),
    ],
    help: ArgumentHelp(
      "A LoRA adapter and the name of its model (repeat it); without NAME that of its folder.",
      valueName: "name=dir"))
  var adapter: [String] = []
  @OptionGroup var server: ServeArguments
  @OptionGroup var precision: PrecisionOptions
  @OptionGroup var common: CommonOptions

  mutating func run() throws {
    let device = try common.start()
    let folder = try model.folder()
    let adapters = try adapter.map { try NamedAdapter($0, isOffline: model.offline) }
    let encoder = try ConversationEncoder(folder: folder)
    try encoder.requireTemplate()
    let baseName = server.servedModelName ?? model.model.map(NamedAdapter.lastName) ?? "demo"
    let options = server.options
    let server = try Server(
      options: options, encoder: encoder, names: [baseName] + adapters.map(\.name),
      defaults: try Session.samplingDefaults(folder))
    let stopIDs = try Session.stopIDs(
      folder, config: .init(directory: folder), tokenizer: encoder.tokenizer)
    let (precision, kept) = (precision, self.server.prefixCacheTokens)
    try BlockingTask.run {
      try await server.run {
        let network = try Session.model(
          folder, adapter: nil, precision: precision, for: .generation, on: device)
        let routes = AdapterRoutes()
        for adapter in adapters {
          let config = try AdapterFile.load(adapter.folder, into: network, dropout: 0, on: device)
          guard !config.initialization.changesBase else {
            throw ServeError.unsharedBase(
              name: adapter.name, initialization: config.initialization.name)
          }
          _ = routes.take(from: network)
        }
        ServeCommand.noteMemory(network, options, kept)
        return Server.Model(
          decoder: BatchDecoder(
            model: network, routes: routes, keptPrefixTokenCount: kept,
            screensHead: Session.screensHead(of: network)),
          vocabularySize: network.config.vocabSize,
          maximumLength: network.config.maxPositionEmbeddings,
          stopIDs: stopIDs)
      } onListening: { port in
        ServeCommand.announce(options, port)
      }
    }
  }

  /// The most memory that keys and values can take.
  private static func noteMemory(_ model: QwenModel, _ options: ServerOptions, _ kept: Int) {
    let config = model.config
    let byteWidth = (model.computeDType ?? model.reference.dtype).byteWidth
    let perToken =
      2 * config.numHiddenLayers * config.numKeyValueHeads * config.headDim * byteWidth
    let length = min(options.maxModelLength, config.maxPositionEmbeddings)
    let bytes = Double(perToken) * Double(options.maxConcurrency * length + kept)
    Diagnostics.notice(
      "keys and values may take up to \(memoryText(Int(min(bytes, 1e18)))) "
        + "(\(options.maxConcurrency) answers of \(length) tokens)")
  }

  private static func announce(_ options: ServerOptions, _ port: Int) {
    let host =
      options.host.contains(":") && !options.host.hasPrefix("[")
      ? "[\(options.host)]" : options.host
    if !options.isLoopback {
      Diagnostics.notice(
        "warning: others can reach \(options.host)"
          + (options.apiKey == nil ? ", and need no key (set --api_key)" : "")
          + "; the connection is not encrypted")
    }
    // Whoever started the program may be waiting for this line; a closed pipe is no reason to stop.
    try? StandardOutput.write(line: "listening on http://\(host):\(port)")
    try? StandardOutput.flush()
  }
}

/// An adapter and the name it is served under.
struct NamedAdapter: Sendable {
  let name: String
  let folder: String

  /// NAME=DIR or DIR, which may be a name on the hub; it is downloaded where it is not here, unless `isOffline`.
  ///
  /// The text is a folder as a whole where there is such a folder, or where a path comes before "=" and no folder behind
  /// it: runs/lr=2e-4.
  ///
  /// - Throws: ``CLIError/argument(option:problem:)`` where `text` is neither.
  init(_ text: String, isOffline: Bool) throws(CLIError) {
    let parts = text.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
    func isFolder(_ path: some StringProtocol) -> Bool {
      FileSystem.kind(of: Environment.current.expanded(String(path))) == .folder
    }
    let isPath =
      parts.count < 2 || isFolder(text) || (parts[0].contains("/") && !isFolder(parts[1]))
    let path = isPath ? text : String(parts[1])
    name = isPath ? NamedAdapter.lastName(of: path) : String(parts[0])
    guard !name.isEmpty, name.utf8.count <= 200 else {
      throw .argument(option: "adapter", problem: "expected NAME=DIR, found \(text)")
    }
    folder = try ModelLocation.current.folder(of: path, need: .adapter, isOffline: isOffline)
  }

  /// The last part of a path, that of the repository for a snapshot in the Hugging Face cache; a name on the hub as it is.
  static func lastName(of path: String) -> String {
    if FileSystem.kind(of: Environment.current.expanded(path)) != .folder { return path }
    if FileSystem.name(of: FileSystem.parent(of: path)) == "snapshots" {
      return ModelName.name(ofFolder: path, adapter: nil)
    }
    return path.split(separator: "/").last.map { String($0) } ?? path
  }
}
