// From what the user calls a model to its folder: on this machine, in the Hugging Face cache, or on the hub.

import Files
package import Hub

/// Finding models.
package struct ModelLocation: Sendable {
  private let environment: Environment

  /// With the variables of `environment`.
  package init(environment: Environment) { self.environment = environment }

  /// With this process's environment.
  package static let current = ModelLocation(environment: .current)

  /// The folder of `model`: a folder, or that of a name in the Hugging Face cache, downloaded where it is not there.
  ///
  /// What of a repository is looked for and downloaded is `need`. A folder is taken as it is.
  ///
  /// - Throws: ``CLIError/model(name:problem:)`` where there is neither, ``CLIError/hub(_:)`` where it cannot be
  ///   downloaded.
  package func folder(
    of model: String, revision: String? = nil, need: ModelNeed = .model, isOffline: Bool = false
  ) throws(CLIError) -> String {
    let kind = need == .adapter ? "an adapter's folder" : "a model folder"
    let expected = "expected \(kind) or a name such as Qwen/Qwen3-4B"
    let path = environment.expanded(model)
    switch FileSystem.kind(of: path) {
    case .folder: return path
    case .file, .other: throw .model(name: model, problem: "\(expected), found a file")
    case nil: break
    }
    guard let repository = try? RepositoryName(model) else {
      throw .model(name: model, problem: "no such folder (\(expected))")
    }
    let settings = try hubSettings(isOffline: isOffline)
    do throws(HubError) {
      let revision = try revision.map { (text) throws(HubError) in try Revision(text) } ?? .main
      if let folder = try HubCache(settings.cacheFolder).snapshot(repository, revision, need: need)
      {
        return folder
      }
      return try HubDownload(settings).run(
        .init(repository, revision: revision, selection: .init(need: need))
      ).folder
    } catch { throw .hub(error) }
  }

  /// How the hub is reached, as the environment has it.
  package func hubSettings(token: String? = nil, isOffline: Bool = false) throws(CLIError)
    -> HubSettings
  {
    guard let cache = environment.huggingFaceCache() else { throw .noCacheFolder }
    do throws(HubError) {
      var settings = try HubSettings(
        cacheFolder: cache, token: token, isOffline: isOffline,
        environment: { environment[$0].map(environment.expanded) })
      settings.userAgent = "qwen-sft/\(QwenSFT.version)"
      return settings
    } catch { throw .hub(error) }
  }
}
