// What comes after a step's update: evaluation, sampled answers, a checkpoint; in transformers' order.

import QwenModel
import Tensor

extension Trainer {
  /// Does what is due after the last step. Asked to stop in between it writes a checkpoint that says what is left, so
  /// that the resumed run does that first.
  func finishStep() throws(TrainingError) {
    let step = state.globalStep - 1
    if state.pending == .evaluation {
      let isAskedFor = control.takeEvaluationRequest() && !evaluationRows.isEmpty
      if isAskedFor || isEvaluationDue(after: step) { try evaluate() }
      state.pending = .sampling
    }
    if let interval = config.sampleEvery, state.globalStep % interval == 0 { try sample() }
    state.pending = nil
    if control.takeCheckpointRequest() || isSaveDue(after: step) { try saveCheckpoint() }
    if state.isOutOfPatience, let best = state.best {
      observe(.stoppedEarly(step: state.globalStep, bestStep: best.step, bestLoss: best.loss))
    }
  }

  private func isEvaluationDue(after step: Int) -> Bool {
    switch config.evalStrategy {
    case .no: false
    case .steps: (step + 1) % (state.evalSteps ?? 1) == 0 || step + 1 == plan.totalSteps
    case .epoch: plan.isEpochEnd(step)
    }
  }

  private func isSaveDue(after step: Int) -> Bool {
    switch config.saveStrategy {
    case .no: false
    case .steps: (step + 1) % state.saveSteps == 0 || step + 1 == plan.totalSteps
    case .epoch: plan.isEpochEnd(step)
    }
  }

  private func evaluate() throws(TrainingError) {
    struct Stop: Error {}
    do {
      let result = try Evaluator(model: model, on: device).evaluate(evaluationRows) { _, _ in
        if shouldStop() { throw Stop() }
      }
      observe(.evaluated(state.add(result)))
    } catch is Stop {
      throw try stopped()
    } catch let error as TrainingError {
      throw error
    } catch let error as DeviceError {
      throw .device(error)
    } catch { preconditionFailure("evaluate: unexpected error \(error)") }
  }

  /// Takes the answers to the sample prompts, if there are any.
  func sample(isFinal: Bool = false) throws(TrainingError) {
    guard let sampler, !sampler.prompts.isEmpty else { return }
    var answers: [SampledAnswer] = []
    for index in sampler.prompts.indices {
      let answer = try sampler.answer(
        index, of: model, step: state.globalStep, isFinal: isFinal,
        // The weights may be those of another step by now: this is no moment for a checkpoint.
        shouldStop: isFinal ? { false } : shouldStop)
      guard let answer else { throw try stopped() }
      answers.append(answer)
    }
    observe(.sampled(answers))
  }

  /// Writes a checkpoint of the last step, where there is one, for a run that has been asked to stop.
  func stopped() throws(TrainingError) -> TrainingError {
    .interrupted(
      step: state.globalStep, checkpoint: state.globalStep > 0 ? try saveCheckpoint() : nil)
  }

  /// What a step made of the parameters shows in the loss of the next one, before which they may be written.
  func requireFiniteParameters() throws(TrainingError) {
    let isFinite: Bool
    do { isFinite = try optimizer.hasFiniteParameters() } catch { throw .device(error) }
    guard isFinite else { throw .parametersNotFinite(step: state.globalStep) }
  }

  @discardableResult
  func saveCheckpoint() throws(TrainingError) -> String {
    try requireFiniteParameters()
    if let summary = rowLosses.summary(of: rows) { observe(.rowLosses(summary)) }
    if state.best?.step == state.globalStep { state.bestCheckpointStep = state.globalStep }
    let path = try store.saveCheckpoint(
      model: model, optimizer: optimizer, state: state, fingerprint: fingerprint)
    observe(.saved(path: path, step: state.globalStep))
    return path
  }

  /// Takes the weights of the best checkpoint where they are to be the result; whether they are others.
  func restoreBest() throws(TrainingError) -> Bool {
    guard config.loadBestModelAtEnd else { return false }
    guard let step = state.bestCheckpointStep else {
      observe(.notice("no checkpoint of the best evaluation: the result is the last step's"))
      return false
    }
    guard step != state.globalStep else { return false }
    let path = state.checkpointPath(step: step)
    do throws(TrainingError) {
      try store.restoreWeights(path, model: model, optimizer: optimizer)
    } catch {
      observe(
        .notice(
          "the best checkpoint cannot be used, the result is the last step's: \(error.description)")
      )
      return false
    }
    observe(.restoredBest(path: path, step: step))
    return true
  }
}
