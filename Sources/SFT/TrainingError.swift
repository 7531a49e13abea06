// Why a run could not start or go on. Each case is one line that says what to do.

public import Files
public import Safetensors
public import Tensor

/// A failure of training.
public enum TrainingError: Error, Sendable, CustomStringConvertible {
  /// A setting is out of range.
  case invalidSetting(name: String, value: String, expected: String)
  /// No row of the data has a trained token within the length limit.
  case nothingToTrain(rows: Int)
  /// A trained tensor got no gradient in the first step.
  case noGradient(key: String)
  /// All adapters' B got gradients of 0 in the first step.
  case noAdapterGradient
  /// The loss is not a number any more.
  case notFinite(step: Int, what: String, rows: [String])
  /// A step has made a trained number infinite or NaN; nothing of it is written.
  case parametersNotFinite(step: Int)
  /// Another run writes to the output folder.
  case outputInUse(path: String)
  /// The model's predictions for a row are not numbers.
  case predictionNotFinite(place: String)
  /// A token id that the model has no row for.
  case tokenOutOfRange(id: Int, vocabulary: Int, place: String)
  /// The run was asked to stop; a checkpoint was written unless the path is nil.
  case interrupted(step: Int, checkpoint: String?)
  /// A checkpoint cannot be resumed from.
  case checkpoint(path: String, problem: String)
  /// A setting that a resumed run must keep is another one.
  case settingChanged(checkpoint: String, name: String, saved: String, current: String)
  /// The adapter cannot be used.
  case adapter(AdapterError)
  /// A file or folder could not be read or written.
  case file(FileError)
  /// Tensors could not be written.
  case tensors(SafetensorsWriter.TensorFailure)
  /// The device failed.
  case device(DeviceError)

  /// What is wrong, in one line.
  public var description: String {
    switch self {
    case .invalidSetting(let name, let value, let expected):
      "\(name) is \(value), expected \(expected)"
    case .nothingToTrain(let rows):
      "none of the \(rows) rows has a trained token within max_seq_length: raise it, or check the data with `qwen-sft data check`"
    case .noGradient(let key):
      "\(key) got no gradient in the first step: it would never change (is it part of the model's forward pass?)"
    case .noAdapterGradient:
      "the gradients of all adapters are 0 in the first step: they would never change (is lora_alpha 0, or are the weights behind them?)"
    case .predictionNotFinite(let place):
      "\(place): the model's log-probabilities are not finite numbers (are its weights, or the adapter's, damaged?)"
    case .notFinite(let step, let what, let rows):
      "step \(step): the \(what) is not a finite number (rows: \(rows.prefix(4).joined(separator: ", "))\(rows.count > 4 ? ", …" : "")): lower learning_rate, add warm-up, or look at these rows"
    case .parametersNotFinite(let step):
      "step \(step): a trained parameter is no longer a finite number, nothing of this step is written: lower learning_rate, or add warm-up"
    case .outputInUse(let path):
      "\(path): another run is writing to this folder (choose another --output_dir, or wait)"
    case .tokenOutOfRange(let id, let vocabulary, let place):
      "\(place): token id \(id) is outside the model's vocabulary of \(vocabulary): the tokenizer belongs to another model"
    case .interrupted(let step, let checkpoint):
      checkpoint.map {
        "stopped after step \(step); continue from \($0) with --resume_from_checkpoint true"
      }
        ?? "stopped before the first step was complete; nothing was written"
    case .checkpoint(let path, let problem): "\(path): \(problem)"
    case .settingChanged(let checkpoint, let name, let saved, let current):
      "\(checkpoint): \(name) was \(saved), now it is \(current): a resumed run must keep it (give the old value, or start anew without --resume_from_checkpoint)"
    case .adapter(let error): error.description
    case .file(let error): error.description
    case .tensors(let error): error.description
    case .device(let error): error.description
    }
  }
}
