// What can be wrong with a row, in words: what is wrong, what to do about it, and whether the row can be trained
// on all the same.

public import OrderedJSON

/// A fault of one row, which leaves the other rows usable.
public enum RowProblem: Sendable, Hashable, CustomStringConvertible {
  /// The line is not JSON.
  case badJSON(JSONError)
  /// The row is JSON, but no object.
  case notAnObject(found: String)
  /// The row has none of the forms, or no list of messages.
  case noMessages(found: String)
  /// A field of the row is not what the row's form asks for.
  case badField(name: String, problem: String)
  /// A message is not what a message is.
  case badMessage(place: String, problem: String)
  /// A message has a role that is none of `expected`.
  case unknownRole(place: String, role: String, expected: String)
  /// A message says nothing and calls no tool; `found` is "missing", "null" or "empty".
  case noContent(place: String, role: String, found: String)
  /// Content that is neither text nor a list of text parts.
  case unsupportedContent(place: String, problem: String)
  /// Tool calls that are none.
  case badToolCalls(place: String, problem: String)
  /// Arguments of a tool call are text, but not JSON.
  case badArguments(place: String, problem: String)
  /// The row's tools are not a list of objects.
  case badTools(problem: String)
  /// A `weight` or `train` that is not what it may be.
  case badTrainFlag(place: String, problem: String)
  /// No message is the assistant's.
  case noAssistantTurn
  /// Every assistant turn has weight 0.
  case noTrainedTurn
  /// The rendered row has no trained token.
  case nothingTrained(tokenCount: Int)
  /// Some turns are trained and some not, but the template does not tell which is which.
  case turnsNotTold
  /// A row of plain text, and a tokenizer without an end-of-text token.
  case noEndOfText
  /// The template fails on the row.
  case notRendered(problem: String)

  /// The same row was there before.
  case duplicate(file: String, line: Int)
  /// The row is longer than allowed.
  case tooLong(tokenCount: Int, maximumLength: Int)
  /// Nothing trained is within the length allowed.
  case cutOff(tokenCount: Int, maximumLength: Int)
  /// A trained turn that was nothing but reasoning, which is left out.
  case emptiedTurn(place: String)
  /// Content in parts that the template does not render.
  case leftOut(place: String)
  /// Tokens that span the end of the prompt, which are trained with the completion.
  case mergedBoundary(text: String)
  /// The file begins with a byte order mark.
  case byteOrderMark
  /// A key stands twice in an object; the last value counts.
  case duplicateKey(key: String)
  /// Control characters in text.
  case controlCharacter(place: String, scalar: UInt32)
  /// U+FFFD in text.
  case replacementCharacter(place: String)
  /// Text that spells a special token, and becomes it.
  case specialToken(place: String, token: String)
  /// Roles that do not take turns.
  case roleOrder(place: String, problem: String)

  /// Whether the row can be trained on all the same.
  public var isUsable: Bool {
    switch self {
    case .duplicate, .tooLong, .cutOff, .emptiedTurn, .leftOut, .mergedBoundary, .byteOrderMark,
      .duplicateKey,
      .controlCharacter, .replacementCharacter, .specialToken, .roleOrder:
      true
    default: false
    }
  }

  /// The kind of the fault as a word for programs.
  public var kind: String {
    switch self {
    case .badJSON(.unexpectedEnd): "truncated_line"
    case .badJSON(.invalidUTF8): "invalid_utf8"
    case .badJSON(.controlCharacter): "raw_control_character"
    case .badJSON(.loneSurrogate): "lone_surrogate"
    case .badJSON: "bad_json"
    case .notAnObject: "not_an_object"
    case .noMessages: "no_messages"
    case .badField: "bad_field"
    case .badMessage: "bad_message"
    case .unknownRole: "unknown_role"
    case .noContent(_, _, let found): "\(found)_content"
    case .unsupportedContent: "unsupported_content"
    case .badToolCalls: "bad_tool_calls"
    case .badArguments: "bad_arguments"
    case .badTools: "bad_tools"
    case .badTrainFlag: "bad_train_flag"
    case .noAssistantTurn: "no_assistant_turn"
    case .noTrainedTurn: "no_trained_turn"
    case .nothingTrained: "nothing_trained"
    case .turnsNotTold: "turns_not_told"
    case .noEndOfText: "no_end_of_text"
    case .notRendered: "not_rendered"
    case .duplicate: "duplicate"
    case .tooLong: "too_long"
    case .cutOff: "cut_off"
    case .emptiedTurn: "emptied_turn"
    case .leftOut: "left_out_content"
    case .mergedBoundary: "merged_boundary"
    case .byteOrderMark: "byte_order_mark"
    case .duplicateKey: "duplicate_key"
    case .controlCharacter: "control_character"
    case .replacementCharacter: "replacement_character"
    case .specialToken: "special_token"
    case .roleOrder: "role_order"
    }
  }

  /// What is wrong, in one line.
  public var description: String {
    switch self {
    case .badJSON(let error): "bad JSON: \(error.message), column \(error.position.column)"
    case .notAnObject(let found): "expected an object with \"messages\", found \(found)"
    case .noMessages(let found): "messages: expected a list of messages, found \(found)"
    case .badField(let name, let problem): "\(name): \(problem)"
    case .badMessage(let place, let problem), .badToolCalls(let place, let problem),
      .badArguments(let place, let problem), .unsupportedContent(let place, let problem),
      .badTrainFlag(let place, let problem), .roleOrder(let place, let problem):
      "\(place): \(problem)"
    case .unknownRole(let place, let role, let expected):
      "\(place): unknown role \(role.debugDescription), expected \(expected)"
    case .noContent(let place, let role, let found):
      "\(place): \(found) content in \(role == "assistant" ? "an" : "a") \(role) turn"
        + (role == "assistant" ? " without tool_calls" : "")
    case .badTools(let problem): "tools: \(problem)"
    case .noAssistantTurn: "no assistant turn, so there is nothing to learn from"
    case .noTrainedTurn: "no assistant turn is trained: each has weight 0 or train false"
    case .nothingTrained(let count):
      "nothing trained: none of the row's \(count) tokens belongs to an assistant turn"
    case .turnsNotTold:
      "weight, train and prompt/completion need a template that tells assistant turns apart"
    case .noEndOfText: "plain text ends with the tokenizer's eos_token, and it has none"
    case .notRendered(let problem): problem
    case .duplicate(let file, let line): "the same row as \(file):\(line)"
    case .tooLong(let count, let maximum): "\(count) tokens, more than \(maximum)"
    case .cutOff(let count, let maximum):
      "\(count) tokens, of which the first \(maximum) train nothing: the row is dropped"
    case .emptiedTurn(let place):
      "\(place): nothing is left without the reasoning, so that only the turn's end is trained"
    case .leftOut(let place):
      "\(place): the chat template leaves out this content, which is a list of parts"
    case .mergedBoundary(let text):
      "the prompt's end \(text.debugDescription) merges with the completion and is trained with it"
    case .byteOrderMark: "the file begins with a byte order mark"
    case .duplicateKey(let key):
      "the key \(key.debugDescription) stands twice, the last one counts"
    case .controlCharacter(let place, let scalar):
      "\(place): control character \(Self.name(scalar))"
    case .replacementCharacter(let place):
      "\(place): U+FFFD, the mark of text that was read in a wrong encoding"
    case .specialToken(let place, let token):
      "\(place): the text \(token) becomes the special token of that name"
    }
  }

  /// What to do about it; nil where the description says it.
  public var advice: String? {
    switch self {
    case .badJSON(.unexpectedEnd), .badJSON(.invalidUTF8): nil
    case .badJSON: "a row is one JSON object on one line"
    case .notAnObject, .noMessages:
      "a row has messages, or prompt and completion, conversations, instruction and output, or text"
    case .badField, .badMessage, .badTools: "correct it, or name the form with --data_format"
    case .unknownRole: "rename the role"
    case .noContent(_, "assistant", _): "write what the assistant should say, or remove the row"
    case .noContent: "write the text, or remove the turn"
    case .unsupportedContent: "only text can be trained: turn it into a string"
    case .badToolCalls: #"a call is {"function": {"name": …, "arguments": {…}}}"#
    case .badArguments: "write an object, {} for no arguments"
    case .badTrainFlag: "weight (0 or 1) and train (true or false) are for assistant turns"
    case .noAssistantTurn: "add the answer, or remove the row"
    case .noTrainedTurn: "remove the row, or train one of its turns"
    case .nothingTrained:
      "does the chat template mark turns by <|im_start|>assistant, or by {% generation %}?"
    case .turnsNotTold: "leave the flags out, or use another chat template"
    case .noEndOfText: "set eos_token in tokenizer_config.json"
    case .notRendered: "change the row into what the template takes"
    case .duplicate: "remove one, unless it is meant to count twice"
    case .tooLong: "it is cut to --max_seq_length"
    case .cutOff: "raise --max_seq_length, shorten the context, or use --truncation keep_end"
    case .emptiedTurn: "write an answer, or remove the row"
    case .leftOut: "write it as one string"
    case .mergedBoundary: "end the prompt with a newline, or begin the completion with a space"
    case .byteOrderMark: "it is skipped; save the file without BOM"
    case .duplicateKey: "remove the first"
    case .controlCharacter: "remove it, unless the model is to learn it"
    case .replacementCharacter: "convert the source as UTF-8 again"
    case .specialToken: "rewrite it, unless it is meant"
    case .roleOrder: "check the order of the turns"
    }
  }

  /// `text` as errors show it: of a long one the first scalars, so that a row's fault does not keep the row.
  static func shortened(_ text: String, to count: Int = 80) -> String {
    let scalars = text.unicodeScalars
    guard let end = scalars.index(scalars.startIndex, offsetBy: count, limitedBy: scalars.endIndex),
      end < scalars.endIndex
    else { return text }
    return String(String.UnicodeScalarView(scalars[..<end])) + "…"
  }

  /// The description with the advice after it.
  public var text: String { advice.map { "\(description) (\($0))" } ?? description }

  private static func name(_ scalar: UInt32) -> String {
    let digits = String(scalar, radix: 16, uppercase: true)
    return "U+" + String(repeating: "0", count: max(0, 4 - digits.utf8.count)) + digits
  }
}
