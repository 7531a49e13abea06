// A download on standard error: one row that moves where it is a terminal, else a line before and a line after.

import Hub
import Synchronization

/// Shows the events of a download.
final class HubDisplay: Sendable {
  private struct State {
    var start = ContinuousClock.now
    var lastRedraw: ContinuousClock.Instant?
    var progress = DownloadProgress()
  }

  private let repository: String
  private let endpoint: String
  private let folder: String
  private let isTerminal: Bool
  private let state = Mutex(State())

  /// A display on standard error for a download from `endpoint` into `folder`.
  init(
    repository: String, endpoint: String, folder: String,
    isTerminal: Bool = Diagnostics.isTerminal
  ) {
    (self.repository, self.endpoint, self.folder) = (repository, endpoint, folder)
    self.isTerminal = isTerminal
  }

  /// Takes one event.
  func observe(_ event: HubEvent) {
    switch event {
    case .planned(let fileCount, let byteCount, let presentByteCount):
      state.withLock { state in
        state.start = .now
        state.progress = DownloadProgress(
          fileCount: fileCount, byteCount: byteCount, presentByteCount: presentByteCount)
      }
      guard presentByteCount < byteCount else { return }
      let present = presentByteCount > 0 ? " (\(byteText(presentByteCount)) of it is here)" : ""
      Diagnostics.notice(
        "\(repository): downloading \(files(fileCount)), \(byteText(byteCount))\(present), "
          + "from \(endpoint) to \(folder)")
    case .progressed(let byteCount, _, let filesDone):
      guard isTerminal else { return }
      let row = state.withLock { state -> String? in
        let now = ContinuousClock.now
        state.progress.update(
          byteCount: byteCount, filesDone: filesDone, seconds: (now - state.start) / .seconds(1))
        if let last = state.lastRedraw, now - last < .milliseconds(100) { return nil }
        state.lastRedraw = now
        return state.progress.row(columnCount: Diagnostics.terminalSize.columns)
      }
      if let row { Diagnostics.showStatus([row]) }
    case .retrying(let subject, let problem, let seconds):
      Diagnostics.notice("\(subject): \(problem); trying again in \(fixed(seconds, digits: 1)) s")
    case .waiting(let file):
      Diagnostics.notice("\(file): another program is downloading it, waiting")
    case .unverified(let file):
      Diagnostics.notice("warning: \(file): the server gives no digest, only the length is checked")
    }
  }

  /// Says what was done.
  func finish(_ summary: Downloader.Summary) {
    end()
    guard summary.fetchedFileCount > 0 else { return }
    let seconds = state.withLock { (ContinuousClock.now - $0.start) / .seconds(1) }
    Diagnostics.notice(
      "\(repository): \(files(summary.fetchedFileCount)), \(byteText(summary.fetchedByteCount)) in "
        + "\(duration(seconds)): \(summary.folder)")
  }

  private func files(_ count: Int) -> String { count == 1 ? "1 file" : "\(count) files" }

  /// Takes the moving row away.
  func end() { if isTerminal { Diagnostics.showStatus([]) } }
}
