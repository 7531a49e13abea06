// What a run tells its observers. Printing and files are their business.

/// One optimizer step.
public struct StepRecord: Sendable {
  /// From 1.
  public var step, totalSteps: Int
  /// Passes over the data so far, with its fraction.
  public var epoch: Double
  /// Summed negative log-likelihood of the step's trained tokens over their number.
  public var loss: Double
  /// Before clipping.
  public var gradientNorm: Double
  /// The one used in this step.
  public var learningRate: Double
  /// Tokens and trained tokens of this step.
  public var tokenCount, trainedTokenCount: Int
  /// Trained tokens whose most likely prediction was right.
  public var correctTokenCount: Int
  /// Tokens of the step per second.
  public var tokensPerSecond: Double
  /// Seconds that the step took.
  public var seconds: Double
}

/// One entry of the log: a training entry covers the steps since the one before.
public struct LogEntry: Sendable, Hashable {
  /// Keys and values in the order in which trainer_state.json has them.
  public var values: [(key: String, value: Double)]
  /// The step, from 1.
  public var step: Int

  /// An entry of the given values.
  package init(values: [(key: String, value: Double)], step: Int) {
    self.values = values
    self.step = step
  }

  public static func == (a: LogEntry, b: LogEntry) -> Bool {
    a.step == b.step
      && a.values.elementsEqual(b.values) { $0.key == $1.key && $0.value == $1.value }
  }

  public func hash(into hasher: inout Hasher) {
    hasher.combine(step)
    for (key, value) in values {
      hasher.combine(key)
      hasher.combine(value)
    }
  }

  /// The value of `key`, nil without it.
  public subscript(key: String) -> Double? { values.first { $0.key == key }?.value }
}

/// How a run ended.
public struct TrainingSummary: Sendable {
  /// Steps of the whole run, resumed parts included.
  public var steps: Int
  /// Mean of the steps' losses.
  public var trainLoss: Double
  /// Seconds that this process has trained, with evaluations, sampled answers and checkpoints.
  public var seconds: Double
  /// Tokens of this process's steps per second.
  public var tokensPerSecond: Double
  /// Largest resident set of the process, in bytes.
  public var peakMemoryByteCount: Int
}

/// Something that happened in a run.
public enum TrainingEvent: Sendable {
  /// Comes before ``started(totalSteps:trainedParameters:rows:)`` when an earlier run is continued: its log so far,
  /// and the steps that it has done.
  case resumed(log: [LogEntry], step: Int)
  /// The first step is about to begin.
  case started(totalSteps: Int, trainedParameters: Int, rows: Int)
  /// A step is done.
  case step(StepRecord)
  /// The log has a new entry.
  case logged(LogEntry)
  /// The held-out rows have been evaluated.
  case evaluated(LogEntry)
  /// The model has answered the sample prompts.
  case sampled([SampledAnswer])
  /// What the losses of single rows look like; comes before ``saved(path:step:)`` and ``finished(_:)``.
  case rowLosses(RowLossSummary)
  /// Evaluations have not become better for as long as they may: the run ends after this step.
  case stoppedEarly(step: Int, bestStep: Int, bestLoss: Double)
  /// The weights of the best checkpoint are the result.
  case restoredBest(path: String, step: Int)
  /// A checkpoint is whole.
  case saved(path: String, step: Int)
  /// Something that the user should know.
  case notice(String)
  /// The result is written.
  case finished(TrainingSummary)
}
