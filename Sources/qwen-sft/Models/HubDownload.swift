// A download as the terminal sees it: one line before, one row while it runs, one line after.

import Files
package import Hub

/// Downloading on behalf of a command.
package struct HubDownload: Sendable {
  private let settings: HubSettings

  /// Downloads with `settings`.
  package init(_ settings: HubSettings) { self.settings = settings }

  /// Fetches what is not here, saying so; SIGINT and SIGTERM end it with ``HubError/stopped``.
  package func run(_ request: Downloader.Request) throws(HubError) -> Downloader.Summary {
    let display = HubDisplay(
      repository: request.repository.description, endpoint: settings.endpoint.description,
      folder: request.localFolder ?? settings.cacheFolder)
    defer { display.end() }
    let downloader = Downloader(
      settings, isStopRequested: { Interrupts.isStopRequested }, observe: display.observe)
    return try Interrupts.listening { () throws(HubError) in
      let summary = try downloader.download(request)
      display.finish(summary)
      return summary
    }
  }
}
