// What there is to say of a run, as plain values. Whoever has them fills them in; pages are made of nothing else.

/// A training run as a report shows it.
package struct RunReport: Sendable {
  /// How far the run has come.
  package enum Status: Sendable, Hashable {
    /// It goes on.
    case running
    /// The result is written.
    case finished
    /// It was stopped and can be continued; how, in one line.
    case interrupted(String)
    /// It failed; why, in one line.
    case failed(String)
  }

  /// A name with its value.
  package struct Fact: Sendable, Hashable {
    /// What it is.
    package var name: String
    /// What it says.
    package var value: String

    /// A name with its value.
    package init(_ name: String, _ value: String) { (self.name, self.value) = (name, value) }
  }

  /// An entry of the log.
  package struct Entry: Sendable {
    /// The step, from 1.
    package var step: Int
    /// Values by the keys of trainer_state.json.
    package var values: [String: Double]

    /// The entry of `step`.
    package init(step: Int, values: [String: Double]) { (self.step, self.values) = (step, values) }
  }

  /// What the model answered to a prompt.
  package struct Sample: Sendable, Hashable {
    /// Steps of training before the answer, and the number of the prompt.
    package var step: Int, index: Int
    /// Whether the model is the one that was written at the end.
    package var isFinal: Bool
    /// Prompt and answer.
    package var prompt: String, text: String

    /// An answer after `step` steps.
    package init(step: Int, index: Int, isFinal: Bool, prompt: String, text: String) {
      (self.step, self.index, self.isFinal, self.prompt) = (step, index, isFinal, prompt)
      self.text = text
    }
  }

  /// A training row with its loss.
  package struct Row: Sendable, Hashable {
    /// File and line.
    package var place: String
    /// Mean negative log-likelihood of its trained tokens when it was last trained on.
    package var loss: Double
    /// Its trained tokens.
    package var trainedTokenCount: Int
    /// What comes before the trained part, and the beginning of that.
    package var context: String, trained: String

    /// A row at `place`.
    package init(
      place: String, loss: Double, trainedTokenCount: Int, context: String, trained: String
    ) {
      (self.place, self.loss, self.trainedTokenCount) = (place, loss, trainedTokenCount)
      (self.context, self.trained) = (context, trained)
    }
  }

  /// What the page is called.
  package var title: String
  /// How far the run has come.
  package var status = Status.running
  /// Steps done, and steps of the whole run.
  package var step = 0, totalSteps = 0
  /// Figures that stand at the top.
  package var figures: [Fact] = []
  /// The log.
  package var entries: [Entry] = []
  /// Sampled answers, in the order in which they were given.
  package var samples: [Sample] = []
  /// Rows with the highest loss, the highest first; of how many rows.
  package var highestRows: [Row] = [], rowCount = 0
  /// Quantiles of the rows' losses by name, such as "median".
  package var rowQuantiles: [Fact] = []
  /// The data, the recipe, and where all this was.
  package var data: [Fact] = [], recipe: [Fact] = [], environment: [Fact] = []
  /// Notices of the run.
  package var notices: [String] = []
  /// When the page was written, in words.
  package var writtenAt = ""

  /// A report without content.
  package init(title: String) { self.title = title }
}
