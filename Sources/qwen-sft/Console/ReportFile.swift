// report.html and README.md of a run: gathered from its events, written at checkpoints and at the end, also of a run
// that was stopped or failed.

import Files
import OrderedJSON
import Report
import SFT

/// The page of a run.
final class ReportFile {
  private let run: RunDescription
  private let folder: String
  private let isPageWanted: Bool
  private var report: RunReport
  private var hasBegun = false, hasFailed = false
  private var trainedParameters = 0

  /// A page in the output folder of `run`; without `isPageWanted` there is only the model card.
  init(_ run: RunDescription, isPageWanted: Bool) {
    self.run = run
    self.isPageWanted = isPageWanted
    folder = run.outputDir
    report = RunReport(title: run.title)
    report.data = run.data
    report.recipe = run.recipe
  }

  /// Takes one event. `earlierSamples` are the answers before a resumed run.
  func observe(_ event: TrainingEvent, earlierSamples: @autoclosure () -> [JSON] = []) {
    switch event {
    case .resumed(let log, let step):
      report.step = step
      report.entries = log.map(entry)
    case .started(let totalSteps, let trainedParameters, _):
      report.totalSteps = totalSteps
      self.trainedParameters = trainedParameters
      report.samples = earlierSamples().compactMap { sample($0) }
      hasBegun = true
    case .step(let step): report.step = step.step
    case .logged(let entry), .evaluated(let entry): report.entries.append(self.entry(entry))
    case .sampled(let answers): report.samples += answers.compactMap { sample($0.json) }
    case .rowLosses(let summary): add(summary)
    case .notice(let text): report.notices = (report.notices + [text]).suffix(20)
    case .stoppedEarly(let step, let bestStep, let bestLoss):
      report.notices.append(
        "stopped early after step \(step): the lowest evaluation loss was "
          + "\(fixed(bestLoss, digits: 4)) at step \(bestStep)")
    case .restoredBest(_, let step): report.notices.append("the result is that of step \(step)")
    case .saved: write()
    case .finished(let summary):
      report.status = .finished
      report.step = summary.steps
      figures(summary)
      write()
      writeCard(summary)
    }
  }

  /// Writes the page of a run that ended before its end; `isInterruption` where it can be continued.
  func end(_ description: String, isInterruption: Bool) {
    report.status = isInterruption ? .interrupted(description) : .failed(description)
    write()
  }

  private func entry(_ entry: LogEntry) -> RunReport.Entry {
    RunReport.Entry(
      step: entry.step, values: Dictionary(entry.values.map { ($0.key, $0.value) }) { $1 })
  }

  private func sample(_ json: JSON) -> RunReport.Sample? {
    guard let step = json["step"]?.integerValue, let index = json["index"]?.integerValue,
      let prompt = json["prompt"]?.stringValue, let text = json["text"]?.stringValue
    else { return nil }
    return RunReport.Sample(
      step: step, index: index, isFinal: json["final"]?.boolValue ?? false, prompt: prompt,
      text: text)
  }

  private func add(_ summary: RowLossSummary) {
    report.rowCount = summary.rowCount
    report.rowQuantiles = [
      .init("lowest tenth below", significant(summary.lowestTenth)),
      .init("median", significant(summary.median)),
      .init("highest tenth above", significant(summary.highestTenth)),
    ]
    report.highestRows = summary.highest.map { row in
      let words = run.words(ofRow: row.index)
      return RunReport.Row(
        place: "\(row.file):\(row.line)", loss: row.loss,
        trainedTokenCount: row.trainedTokenCount, context: words.context, trained: words.trained)
    }
  }

  /// The figures at the top, from the log.
  private func figures(_ summary: TrainingSummary? = nil) {
    var facts: [RunReport.Fact] = []
    let last = report.entries.last { $0.values["loss"] != nil }?.values ?? [:]
    let evaluations = report.entries.compactMap { entry in
      entry.values["eval_loss"].map { (step: entry.step, loss: $0) }
    }
    if let loss = last["loss"] { facts.append(.init("Training loss", fixed(loss, digits: 4))) }
    if let evaluation = evaluations.last {
      facts.append(.init("Evaluation loss", fixed(evaluation.loss, digits: 4)))
    }
    if let best = evaluations.min(by: { $0.loss < $1.loss }), evaluations.count > 1 {
      facts.append(.init("Lowest, at step \(best.step)", fixed(best.loss, digits: 4)))
    }
    if let accuracy = last["mean_token_accuracy"] {
      facts.append(.init("Token accuracy", fixed(accuracy * 100, digits: 1) + " %"))
    }
    if let speed = summary?.tokensPerSecond ?? last["tokens_per_second"] {
      facts.append(.init("Tokens a second", grouped(Int(max(0, min(speed, 1e15))))))
    }
    if let bytes = summary.map({ Double($0.peakMemoryByteCount) }) ?? last["peak_memory_bytes"] {
      facts.append(.init("Peak memory", fixed(bytes / 0x1p30, digits: 2) + " GiB"))
    }
    if let seconds = summary?.seconds { facts.append(.init("Time", duration(seconds))) }
    facts.append(.init("Trained parameters", grouped(trainedParameters)))
    report.figures = facts
  }

  private func write() {
    guard isPageWanted, hasBegun, !hasFailed else { return }
    if report.status != .finished { figures() }
    report.environment =
      [.init("Base model", run.baseModel), .init("Trained", run.kind)] + run.environment
    report.writtenAt = WallClock.text("%Y-%m-%d %H:%M:%S %Z")
    write(ReportPage.html(report), to: "report.html")
  }

  /// The model card. A README.md that another program or a person wrote stays as it is.
  private func writeCard(_ summary: TrainingSummary) {
    var card = ModelCard(
      baseModel: run.baseModel, isAdapter: run.adapter != nil, kind: run.kind, folder: folder)
    card.isQuantized = run.isQuantized
    card.data = run.data
    let names: Set = [
      "num_train_epochs", "max_steps", "learning_rate", "lr_scheduler_type",
      "per_device_train_batch_size", "gradient_accumulation_steps", "max_seq_length", "lora_r",
      "lora_alpha", "lora_dropout", "target_modules", "bf16", "use_qlora", "packing", "seed",
    ]
    card.settings = run.recipe.filter { names.contains($0.name) }
    card.results =
      [
        .init("Steps", grouped(summary.steps)),
        .init("Mean training loss", fixed(summary.trainLoss, digits: 4)),
      ]
      + report.figures.filter { !["Peak memory", "Time", "Tokens a second"].contains($0.name) }
    let path = FileSystem.join(folder, "README.md")
    if FileSystem.kind(of: path) != nil {
      let text = (try? FileSystem.readText(path, maximumByteCount: 1 << 20)) ?? ""
      guard text.contains(ModelCard.signature) else {
        return Diagnostics.notice("\(path) is not this program's and stays as it is: no model card")
      }
    }
    write(card.markdown, to: "README.md")
  }

  private func write(_ text: String, to name: String) {
    let path = FileSystem.join(folder, name)
    do throws(FileError) { try AtomicFile.write(text, to: path) } catch {
      if !hasFailed {
        Diagnostics.notice("\(error.description); the run goes on without it")
      }
      hasFailed = true
    }
  }
}
