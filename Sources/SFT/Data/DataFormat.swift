// The forms that a row may have. Reading each of them is in Conversation+Forms.swift.

import OrderedJSON

/// The form of the rows of a file.
public enum DataFormat: String, Sendable, Hashable, CaseIterable {
  /// Recognised by the keys of each row.
  case auto
  /// OpenAI's: `messages`, and `tools`.
  case messages
  /// TRL's: `prompt` and `completion`, both text or both lists of messages.
  case promptCompletion = "prompt_completion"
  /// ShareGPT's: `conversations` of `from` and `value`; `system` and `tools` as LLaMA-Factory has them.
  case sharegpt
  /// Alpaca's: `instruction`, `input` and `output`; `system` and `history` as LLaMA-Factory has them.
  case alpaca
  /// Plain text: `text`.
  case text

  /// The form that the keys of `row` tell; nil where they tell none. Of several the first in this order wins:
  /// messages, conversations, prompt and completion, instruction and output, text.
  static func recognised(in row: JSONObject) -> DataFormat? {
    if row["messages"] != nil { return .messages }
    if row["conversations"] != nil { return .sharegpt }
    if row["prompt"] != nil, row["completion"] != nil { return .promptCompletion }
    if row["instruction"] != nil, row["output"] != nil { return .alpaca }
    if row["text"] != nil { return .text }
    return nil
  }
}
