// The files of a run: the result, and checkpoints that are whole or not there.

import Autograd
package import Files
import NN
import OrderedJSON
package import QwenModel
import Safetensors
import Tensor

/// Writes and reads the folders of one run.
package struct RunStore {
  private let config: TrainingConfig
  private let artifacts: RunArtifacts
  /// Tells this run's checkpoints from those that an earlier run left in the same folder.
  private var run: String

  /// A store for a run that has not begun.
  package init(config: TrainingConfig, artifacts: RunArtifacts) {
    self.config = config
    self.artifacts = artifacts
    run = String(UInt64.random(in: 0...UInt64.max), radix: 16)
  }

  /// Takes the output folder, which is made where it is missing: no other run may write to it meanwhile.
  package func takeFolder() throws(TrainingError) -> FolderLock {
    try files { () throws(FileError) in try FileSystem.makeFolder(config.outputDir) }
    guard let lock = FolderLock(config.outputDir) else {
      throw .outputInUse(path: config.outputDir)
    }
    return lock
  }

  /// Marks the output folder as this run's, which has not finished.
  package func begin(totalSteps: Int) throws(TrainingError) {
    try files { () throws(FileError) in
      try FolderPublication.removeLeftovers(in: config.outputDir)
      try writeRunState(isFinished: false, totalSteps: totalSteps)
    }
  }

  private func writeRunState(isFinished: Bool, totalSteps: Int) throws(FileError) {
    try write(
      .object(
        JSONObject([
          ("run", .string(run)), ("finished", .bool(isFinished)),
          ("total_steps", .integer(totalSteps)),
        ])), RunStore.runStateName, in: config.outputDir)
  }

  private static let runStateName = "run_state.json"

  /// What an output folder holds of an earlier run.
  package enum Earlier: Sendable, Equatable {
    /// Nothing to go on from.
    case none
    /// It has ended.
    case finished
    /// Checkpoint folders, the newest first.
    case checkpoints([String])
  }

  /// What there is to resume in `directory`: checkpoints of the last run that began there. A run that has ended goes
  /// on where it is now to have more steps.
  package static func earlierRun(in directory: String, totalSteps: Int) -> Earlier {
    let state = readableJSON(FileSystem.join(directory, runStateName))
    if state?["finished"]?.boolValue == true,
      (state?["total_steps"]?.integerValue ?? totalSteps) >= totalSteps
    {
      return .finished
    }
    let folders = checkpoints(
      in: directory, of: state?["run"]?.stringValue, orUnreadable: true)
    return folders.isEmpty ? .none : .checkpoints(folders)
  }

  private static func readableJSON(_ path: String) -> JSON? {
    (try? FileSystem.readFile(path)).flatMap { try? JSON.parse($0) }
  }

  /// Name of a checkpoint's folder.
  package static let checkpointPrefix = "checkpoint-"

  /// Checkpoint folders in `directory`, the newest first.
  package static func checkpoints(in directory: String) -> [(step: Int, path: String)] {
    let entries = (try? FileSystem.list(directory)) ?? []
    return entries.compactMap { entry in
      guard entry.kind == .folder, entry.name.hasPrefix(checkpointPrefix),
        let step = Int(entry.name.dropFirst(checkpointPrefix.count)), step > 0
      else { return nil }
      return (step, FileSystem.join(directory, entry.name))
    }.sorted { $0.step > $1.step }
  }

  /// Checkpoint folders that the run `run` (nil: any) has written, the newest first; with `orUnreadable` also those
  /// that do not say whose they are, so that whoever resumes is told of them.
  private static func checkpoints(
    in directory: String, of run: String?, orUnreadable: Bool = false
  ) -> [String] {
    checkpoints(in: directory).map(\.path).filter { path in
      guard let run else { return true }
      let progress = readableJSON(FileSystem.join(path, "training_progress.json"))
      return progress.map { $0["run"]?.stringValue == run } ?? orUnreadable
    }
  }

  /// Writes `checkpoint-STEP`, removes this run's oldest beyond the limit, and returns the folder.
  package func saveCheckpoint(
    model: QwenModel, optimizer: AdamW, state: TrainerState, fingerprint: RunFingerprint
  ) throws(TrainingError) -> String {
    let path = state.checkpointPath(step: state.globalStep)
    let folder = try files { () throws(FileError) in try FolderPublication(path: path) }
    try writeWeights(model, to: folder.temporaryPath, fullPrecision: true)
    try writeOptimizer(optimizer, to: folder.temporaryPath)
    var progress = JSONObject([
      ("run", .string(run)), ("optimizer_steps", .integer(optimizer.stepCount)),
      ("settings", fingerprint.json),
    ])
    if case .object(let object) = state.progress {
      for (key, value) in object { progress[key] = value }
    }
    try files { () throws(FileError) in
      try copyCompanions(of: model, to: folder.temporaryPath)
      try write(state.json, "trainer_state.json", in: folder.temporaryPath)
      try write(.object(progress), "training_progress.json", in: folder.temporaryPath)
      try CheckpointSeal.write(in: folder.temporaryPath)
      try folder.publish(replacing: true)
      var kept: Set = [path]
      if let best = state.bestCheckpointStep { kept.insert(state.checkpointPath(step: best)) }
      try removeOldCheckpoints(keeping: kept)
    }
    return path
  }

  /// Removes the oldest checkpoints beyond the limit, but none of `kept`, as transformers does.
  private func removeOldCheckpoints(keeping kept: Set<String>) throws(FileError) {
    guard let limit = config.saveTotalLimit else { return }
    // Those of another run in the same folder are not ours to count or to remove.
    let folders = RunStore.checkpoints(in: config.outputDir, of: run)
    let surplus = folders.count - max(limit, kept.intersection(folders).count)
    for old in folders.reversed().filter({ !kept.contains($0) }).prefix(max(0, surplus)) {
      try FileSystem.remove(old)
    }
  }

  private func files<Result>(_ body: () throws(FileError) -> Result) throws(TrainingError) -> Result
  {
    do { return try body() } catch { throw .file(error) }
  }

  /// Writes the final weights and the log into the output folder.
  package func writeResult(model: QwenModel, state: TrainerState, totalSteps: Int)
    throws(TrainingError)
  {
    try files { () throws(FileError) in try FileSystem.makeFolder(config.outputDir) }
    try writeWeights(model, to: config.outputDir, fullPrecision: false)
    try files { () throws(FileError) in
      try copyCompanions(of: model, to: config.outputDir)
      try write(state.json, "trainer_state.json", in: config.outputDir)
      try writeRunState(isFinished: true, totalSteps: totalSteps)
    }
  }

  private func writeWeights(_ model: QwenModel, to directory: String, fullPrecision: Bool)
    throws(TrainingError)
  {
    if let adapter = artifacts.adapter {
      try AdapterFile.write(model, config: adapter, to: directory)
      return
    }
    let dtype: DType =
      !fullPrecision && model.config.dtypeName == "bfloat16" ? .bfloat16 : .float32
    let tensors = model.namedParameters().map { ($0.key, $0.parameter.value) }
    do {
      try SafetensorsWriter.write(
        tensors, as: dtype, to: FileSystem.join(directory, Checkpoint.fileName))
    } catch { throw .tensors(error) }
  }

  private func writeOptimizer(_ optimizer: AdamW, to directory: String) throws(TrainingError) {
    var tensors: [(key: String, tensor: Tensor)] = []
    for slot in optimizer.slots {
      for (name, moment) in [("first.", slot.firstMoment), ("second.", slot.secondMoment)] {
        tensors.append((name + slot.key, moment.values))
        if let scales = moment.scales {
          tensors.append((name + slot.key + RunStore.scalesSuffix, scales))
        }
      }
    }
    do {
      try SafetensorsWriter.write(tensors, to: FileSystem.join(directory, "optimizer.safetensors"))
    } catch { throw .tensors(error) }
  }

  /// What follows the key of a moment in 8 bits to make that of its scales.
  private static let scalesSuffix = ".absmax"

  private func moment(_ key: String, of file: Checkpoint, like expected: Moment, _ path: String)
    throws(TrainingError) -> Moment
  {
    var moment = expected
    moment.values = try tensor(key, of: file, like: expected.values, path)
    if let scales = expected.scales {
      moment.scales = try tensor(key + RunStore.scalesSuffix, of: file, like: scales, path)
    }
    return moment
  }

  private func write(_ json: JSON, _ name: String, in directory: String) throws(FileError) {
    try AtomicFile.write(
      json.serialized(style: .indented(2)) + "\n", to: FileSystem.join(directory, name))
  }

  private func copyCompanions(of model: QwenModel, to directory: String) throws(FileError) {
    var names = RunArtifacts.tokenizerFiles
    if artifacts.adapter == nil { names += ["config.json", "generation_config.json"] }
    for name in names {
      let source = FileSystem.join(artifacts.modelDirectory, name)
      let target = FileSystem.join(directory, name)
      if FileSystem.kind(of: source) == .file { try FileSystem.copyFile(source, to: target) }
    }
    if artifacts.adapter == nil { try stateTie(of: model, in: directory) }
  }

  /// Corrects a config.json that ties a head of its own.
  private func stateTie(of model: QwenModel, in directory: String) throws(FileError) {
    let name = "config.json"
    guard
      let bytes = try? FileSystem.readFile(
        FileSystem.join(directory, name), maximumByteCount: 1 << 24),
      case .object(var fields)? = try? JSON.parse(bytes), model.config.stateTie(in: &fields)
    else { return }
    try write(.object(fields), name, in: directory)
  }

  /// Loads a checkpoint's weights and moments, and returns the state to go on from.
  package mutating func restore(
    _ path: String, model: QwenModel, optimizer: AdamW, expecting fresh: TrainerState,
    fingerprint: RunFingerprint, totalSteps: Int
  ) throws(TrainingError) -> TrainerState {
    try CheckpointSeal.verify(path)
    let progress = try json("training_progress.json", in: path)
    var state = fresh
    if let problem = state.restore(
      progress: progress, state: try json("trainer_state.json", in: path))
    {
      throw .checkpoint(path: path, problem: problem)
    }
    guard let steps = progress["optimizer_steps"]?.integerValue,
      (0...state.globalStep).contains(steps), let savedRun = progress["run"]?.stringValue,
      let settings = progress["settings"], settings.objectValue != nil
    else {
      throw .checkpoint(path: path, problem: "training_progress.json is damaged")
    }
    if let (name, saved, current) = fingerprint.difference(from: settings) {
      throw .settingChanged(checkpoint: path, name: name, saved: saved, current: current)
    }
    guard state.globalStep <= totalSteps else {
      throw .settingChanged(
        checkpoint: path, name: "the number of steps",
        saved:
          "\(progress["total_steps"]?.integerValue ?? 0), of which \(state.globalStep) are done",
        current: "\(totalSteps)")
    }
    // Everything is read and checked before anything is changed.
    let weights = try self.weights(in: path)
    let moments = try checkpoint(FileSystem.join(path, "optimizer.safetensors"))
    let read = try read(weights, model: model, optimizer: optimizer, path)
    var values: [(first: Moment, second: Moment)] = []
    for slot in optimizer.slots {
      values.append(
        (
          try moment("first." + slot.key, of: moments, like: slot.firstMoment, path),
          try moment("second." + slot.key, of: moments, like: slot.secondMoment, path)
        ))
    }
    try apply(read, to: model, optimizer)
    for (slot, value) in zip(optimizer.slots, values) {
      (slot.firstMoment, slot.secondMoment) = value
    }
    optimizer.restore(stepCount: steps)
    run = savedRun
    return state
  }

  /// Loads the weights of a checkpoint, and nothing else of it.
  package func restoreWeights(_ path: String, model: QwenModel, optimizer: AdamW)
    throws(TrainingError)
  {
    let read = try read(weights(in: path), model: model, optimizer: optimizer, path)
    try apply(read, to: model, optimizer)
  }

  private func weights(in path: String) throws(TrainingError) -> Checkpoint {
    let name = artifacts.adapter != nil ? "adapter_model.safetensors" : Checkpoint.fileName
    return try checkpoint(FileSystem.join(path, name))
  }

  /// What a checkpoint has for the parameters of an optimizer, in its order, and the first factors of the adapters that
  /// began at a decomposition of their weight, by path.
  private struct StoredWeights {
    var values: [Tensor] = []
    var initial: [String: (a: Tensor?, b: Tensor?)] = [:]
  }

  private func read(
    _ weights: Checkpoint, model: QwenModel, optimizer: AdamW, _ path: String
  ) throws(TrainingError) -> StoredWeights {
    let prefix = artifacts.adapter != nil ? AdapterFile.keyPrefix : ""
    let adapters = adaptersByKey(model)
    var read = StoredWeights()
    for slot in optimizer.slots {
      let place = adapters[slot.key]
      let shape = place?.adapter.convertedShape(of: slot.parameter) ?? slot.parameter.shape
      var value = try tensor(
        prefix + slot.key, of: weights, like: slot.parameter.value, shape: shape, path)
      if let place {
        let parts = place.adapter.parts(of: slot.parameter, from: value)
        value = parts.value
        if slot.parameter === place.adapter.loraA {
          read.initial[place.path, default: (nil, nil)].a = parts.initial
        } else if slot.parameter === place.adapter.loraB {
          read.initial[place.path, default: (nil, nil)].b = parts.initial
        }
      }
      read.values.append(value)
    }
    return read
  }

  private func apply(_ read: StoredWeights, to model: QwenModel, _ optimizer: AdamW)
    throws(TrainingError)
  {
    do {
      try model.replaceInitialFactors(
        read.initial.compactMapValues { pair in
          guard let a = pair.a, let b = pair.b else { return nil }
          return (a, b)
        })
    } catch { throw .device(error) }
    for (slot, value) in zip(optimizer.slots, read.values) { slot.parameter.value = value }
  }

  /// The adapters by the keys of their parameters.
  private func adaptersByKey(_ model: QwenModel) -> [String: (path: String, adapter: LoRAAdapter)] {
    var result: [String: (path: String, adapter: LoRAAdapter)] = [:]
    for (path, adapter) in model.namedAdapters() {
      for (name, _) in adapter.children { result[path + "." + name] = (path, adapter) }
    }
    return result
  }

  private func tensor(
    _ key: String, of file: Checkpoint, like expected: Tensor, shape: Shape? = nil, _ path: String
  ) throws(TrainingError) -> Tensor {
    let shape = shape ?? expected.shape
    let device = Device(backend: expected.backend, preferredComputeDType: .float32)
    do {
      let found = try file.shape(of: key)
      guard found == shape.dimensions else {
        throw TrainingError.checkpoint(
          path: path, problem: "tensor \(key): expected \(shape), found \(found)")
      }
      return try file.tensor(key, dtype: expected.dtype, on: device)
    } catch let error as SafetensorsError {
      throw .checkpoint(path: path, problem: error.description)
    } catch let error as TrainingError {
      throw error
    } catch { preconditionFailure("tensor: unexpected error \(error)") }
  }

  private func checkpoint(_ path: String) throws(TrainingError) -> Checkpoint {
    do { return try Checkpoint(file: path) } catch {
      throw .checkpoint(path: path, problem: error.description)
    }
  }

  private func json(_ name: String, in directory: String) throws(TrainingError) -> JSON {
    let path = FileSystem.join(directory, name)
    let bytes: [UInt8]
    do { bytes = try FileSystem.readFile(path) } catch { throw .file(error) }
    do { return try JSON.parse(bytes) } catch {
      throw .checkpoint(path: path, problem: "is not JSON: \(error)")
    }
  }
}
