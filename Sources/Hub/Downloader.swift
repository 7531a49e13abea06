// From a repository's name to a folder of files.

/// Downloads repositories.
package struct Downloader: Sendable {
  /// What to download.
  package struct Request: Sendable {
    /// The repository.
    package var repository: RepositoryName
    /// The branch, tag or commit.
    package var revision: Revision
    /// Which files.
    package var selection: FileSelection
    /// A folder of its own for the files; nil for the cache.
    package var localFolder: String?
    /// Whether files that are here are fetched again.
    package var isForced = false

    /// A request for a repository's files in the cache.
    package init(
      _ repository: RepositoryName, revision: Revision = .main, selection: FileSelection = .init()
    ) {
      (self.repository, self.revision, self.selection) = (repository, revision, selection)
    }
  }

  /// What there is after a download.
  package struct Summary: Sendable, Hashable {
    /// The folder with the files.
    package let folder: String
    /// The commit that they are from.
    package let commit: String
    /// The files, their sizes known.
    package let files: [HubFile]
    /// How many of them were fetched.
    package let fetchedFileCount: Int
    /// Bytes of those.
    package let fetchedByteCount: Int
  }

  private let settings: HubSettings
  private let isStopRequested: @Sendable () -> Bool
  private let observe: @Sendable (HubEvent) -> Void

  /// Downloads with `settings`; `isStopRequested` is asked often, `observe` hears of every step.
  package init(
    _ settings: HubSettings, isStopRequested: @escaping @Sendable () -> Bool = { false },
    observe: @escaping @Sendable (HubEvent) -> Void = { _ in }
  ) {
    self.settings = settings
    self.isStopRequested = isStopRequested
    self.observe = observe
  }

  /// Fetches what is not here. When this returns, all files of the request are in the summary's folder and whole.
  package func download(_ request: Request) throws(HubError) -> Summary {
    let context = HubContext(settings, isStopRequested: isStopRequested, observe: observe)
    return try DownloadRun(request: request, context: context).run()
  }
}
