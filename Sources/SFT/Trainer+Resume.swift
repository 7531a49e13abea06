// Taking up an earlier run.

import Files

extension Trainer {
  /// Continues from a checkpoint folder instead of the beginning.
  ///
  /// - Throws: ``TrainingError/settingChanged(checkpoint:name:saved:current:)`` where the run is not the one that
  ///   the checkpoint is of. More or fewer steps than then are taken, with a notice.
  public func resume(from checkpoint: String) throws(TrainingError) {
    try CheckpointSeal.requireFolder(checkpoint)
    state = try store.restore(
      checkpoint, model: model, optimizer: optimizer, expecting: state, fingerprint: fingerprint,
      totalSteps: plan.totalSteps)
    if let saved = state.savedTotalSteps, saved != plan.totalSteps {
      observe(
        .notice(
          "the run had \(saved) steps and now has \(plan.totalSteps): "
            + "from step \(state.globalStep + 1) on the learning rate is that of the new length"))
    }
  }

  /// What `resumeFromNewestCheckpoint` found.
  public enum Resumption: Sendable, Equatable {
    /// The run has ended already: there is nothing left to do.
    case finished
    /// It goes on from this folder.
    case resumed(from: String)
    /// There is no whole checkpoint: it starts from the beginning.
    case fromBeginning
  }

  /// Continues from the newest whole checkpoint of the run in the output folder; damaged ones are passed over, each
  /// with a notice.
  ///
  /// - Throws: ``TrainingError/settingChanged(checkpoint:name:saved:current:)`` where a whole one is of other settings.
  public func resumeFromNewestCheckpoint() throws(TrainingError) -> Resumption {
    do throws(FileError) { try FolderPublication.restoreReplaced(in: config.outputDir) } catch {
      throw .file(error)
    }
    switch RunStore.earlierRun(in: config.outputDir, totalSteps: plan.totalSteps) {
    case .none:
      if let other = RunStore.checkpoints(in: config.outputDir).first {
        observe(.notice("\(other.path) is of another run and is left alone"))
      }
      return .fromBeginning
    case .finished: return .finished
    case .checkpoints(let folders):
      for folder in folders {
        do throws(TrainingError) {
          try resume(from: folder)
          return .resumed(from: folder)
        } catch {
          if case .settingChanged = error { throw error }
          observe(.notice("passing over a checkpoint that cannot be used: \(error.description)"))
        }
      }
      return .fromBeginning
    }
  }
}
