// What all parts of a download share: settings, an ear, and the question whether to stop.

import Files
import Synchronization

/// The surroundings of one download.
final class HubContext: Sendable {
  let settings: HubSettings
  private let isStopRequested: @Sendable () -> Bool
  private let observe: @Sendable (HubEvent) -> Void
  private let hasFailed = Atomic(false)
  private let lock = Mutex(())

  init(
    _ settings: HubSettings, isStopRequested: @escaping @Sendable () -> Bool,
    observe: @escaping @Sendable (HubEvent) -> Void
  ) {
    self.settings = settings
    self.isStopRequested = isStopRequested
    self.observe = observe
  }

  /// Whether work should end: somebody asks for it, or a part of it has failed.
  var isStopped: Bool { hasFailed.load(ordering: .relaxed) || isStopRequested() }

  /// Ends the work of all.
  func fail() { hasFailed.store(true, ordering: .relaxed) }

  /// Tells whoever watches, one event at a time.
  func report(_ event: HubEvent) { lock.withLock { _ in observe(event) } }

  /// Waits, ready to stop.
  func sleep(_ seconds: Double) throws(HubError) {
    let clock = ContinuousClock()
    let end = clock.now + .seconds(seconds)
    while true {
      if isStopped { throw .stopped }
      let left = (end - clock.now) / .seconds(1)
      if left <= 0 { return }
      FileSystem.sleep(seconds: min(left, settings.pollSeconds))
    }
  }

  /// Takes the lock on the file at `path`, waiting for whoever has it. `file` is what the wait is reported as.
  func lock(_ path: String, for file: String) throws(HubError) -> FileLock {
    var waits = 0
    while true {
      do throws(FileError) {
        if let lock = try FileLock.attempt(path) { return lock }
      } catch { throw .file(error) }
      waits += 1
      if waits == 40 { report(.waiting(file: file)) }
      try sleep(settings.pollSeconds)
    }
  }
}
