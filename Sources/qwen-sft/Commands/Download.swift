// `qwen-sft download`: a model repository into the Hugging Face cache, or into a folder.

import ArgumentParser
import Hub
import OrderedJSON

/// Downloads a model.
struct Download: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Downloads a model repository into the Hugging Face cache.",
    discussion: """
      What a model needs is fetched: configuration, weights as safetensors, tokenizer and template. The folder is \
      printed. A download that was interrupted goes on where it ended. HF_ENDPOINT, HF_HOME, HF_HUB_CACHE, HF_TOKEN \
      and HF_HUB_OFFLINE mean what they mean to huggingface_hub.
      """)

  @Argument(help: ArgumentHelp("Repository, such as Qwen/Qwen3-4B.", valueName: "model"))
  var model: String

  @Option(help: ArgumentHelp("Branch, tag or commit.", valueName: "revision"))
  var revision = "main"

  @Option(
    help: ArgumentHelp(
      "Fetch files that fit this pattern, such as '*.json', instead; may be repeated.",
      valueName: "pattern"))
  var include: [String] = []

  @Option(
    help: ArgumentHelp(
      "Leave out files that fit this pattern; may be repeated.", valueName: "pattern"))
  var exclude: [String] = []

  @Option(
    help: ArgumentHelp("Put the files into this folder, not into the cache.", valueName: "dir"))
  var localDir: String?

  @Option(
    help: ArgumentHelp("Token for private repositories (better: HF_TOKEN).", valueName: "token"))
  var token: String?

  @Flag(help: "Never use the network: say whether the model is in the cache.")
  var offline = false

  @Flag(help: "Fetch files again that are there.")
  var forceDownload = false

  @Option(help: ArgumentHelp("Files to fetch at a time.", valueName: "n"))
  var maxWorkers = 4

  @Flag(help: "Print one JSON value.")
  var json = false

  @OptionGroup var common: CommonOptions

  mutating func validate() throws {
    guard (1...64).contains(maxWorkers) else {
      throw ValidationError("--max_workers: expected 1 to 64, found \(maxWorkers)")
    }
  }

  mutating func run() throws {
    try common.startWithoutDevice()
    var settings = try ModelLocation.current.hubSettings(token: token, isOffline: offline)
    settings.maxWorkers = maxWorkers
    do {
      let repository = try RepositoryName(model)
      let revision = try Revision(revision)
      if settings.offlineReason != nil, include.isEmpty, exclude.isEmpty,
        localDir == nil,
        let folder = try HubCache(settings.cacheFolder).snapshot(
          repository, revision, need: .model)
      {
        return try StandardOutput.write(
          line: json ? JSON.object(["folder": .string(folder)]).serialized() : folder)
      }
      var request = Downloader.Request(
        repository, revision: revision, selection: .init(include: include, exclude: exclude))
      request.localFolder = localDir.map(Environment.current.expanded)
      request.isForced = forceDownload
      let summary = try HubDownload(settings).run(request)
      try StandardOutput.write(line: json ? text(summary) : summary.folder)
    } catch let error as HubError { throw CLIError.hub(error) }
  }

  private func text(_ summary: Downloader.Summary) -> String {
    let files = summary.files.map { file in
      JSON.object([
        "path": .string(file.path), "size": file.byteCount.map { .integer($0) } ?? .null,
        "etag": file.content.map { .string($0.name) } ?? .null,
      ])
    }
    return JSON.object([
      "repository": .string(model), "revision": .string(revision),
      "commit": .string(summary.commit),
      "folder": .string(summary.folder), "files": .array(files),
      "fetched_files": .integer(summary.fetchedFileCount),
      "fetched_bytes": .integer(summary.fetchedByteCount),
    ]).serialized()
  }
}
