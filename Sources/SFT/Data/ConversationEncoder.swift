// From conversations to rows of token ids and labels: render, find the trained characters, tokenise once.

public import ChatTemplate
public import OrderedJSON
public import Tokenizer

/// Which assistant turns of a conversation are trained.
public enum TrainedTurns: String, Sendable, Hashable, CaseIterable {
  /// Every one.
  case all
  /// The last one.
  case last
}

/// Renders and encodes conversations with the template and the tokenizer of one model.
///
/// Labels: for a template with `{% generation %}` exactly what transformers' `return_assistant_tokens_mask`
/// gives; else every assistant turn from the first character after its header up to and including
/// `<|im_end|>` and the newline after it. Markers count only where the template wrote them.
public struct ConversationEncoder: Sendable {
  /// The tokenizer.
  public let tokenizer: Tokenizer
  /// The turns that are trained.
  public var trainedTurns = TrainedTurns.all
  /// The templates of rows without and with tools, or why there is none.
  private let plainTemplate: Result<ChatTemplate, DataError>
  private let toolTemplate: Result<ChatTemplate, DataError>
  private var variables: JSONObject

  /// A conversation rendered and encoded, and how its labels came about.
  public struct Encoded: Sendable, Hashable {
    /// Ids and labels, uncut.
    public let row: EncodedRow
    /// Whether the template left the last assistant turn open, so that `<|im_end|>` was appended.
    public let isLastTurnOpen: Bool
    /// Whether the template marked the trained parts itself.
    public let hasGenerationBlocks: Bool
    /// The end of a plain prompt whose tokens merged with the completion and are trained with it; nil where
    /// the prompt ends where the completion begins.
    public let mergedBoundary: String?

    init(
      row: EncodedRow, isLastTurnOpen: Bool = false, hasGenerationBlocks: Bool = false,
      mergedBoundary: String? = nil
    ) {
      (self.row, self.mergedBoundary) = (row, mergedBoundary)
      (self.isLastTurnOpen, self.hasGenerationBlocks) = (isLastTurnOpen, hasGenerationBlocks)
    }
  }

  /// An encoder for the templates of `source`.
  ///
  /// `variables` are further variables for the template, such as `enable_thinking`; they win over the tokenizer's special
  /// tokens. They must not be named as in `ChatTemplate.reservedNames`.
  ///
  /// - Throws: ``DataError/templateSource(path:problem:)`` where a template is missing,
  ///   ``DataError/template(_:)`` where it does not parse.
  public init(
    tokenizer: Tokenizer, templates source: ChatTemplateSource, variables: JSONObject = [:]
  )
    throws(DataError)
  {
    self.init(tokenizer, .success(source), variables)
    try requireTemplate()
  }

  /// An encoder whose templates are missed by the first row that needs one.
  private init(
    _ tokenizer: Tokenizer, _ source: Result<ChatTemplateSource, DataError>, _ variables: JSONObject
  ) {
    self.tokenizer = tokenizer
    var all = JSONObject()
    for (role, token) in tokenizer.roleTokens.sorted(by: { $0.key < $1.key }) {
      all[role] = .string(token)
    }
    for (name, value) in variables { all[name] = value }
    self.variables = all
    plainTemplate = Result { () throws(DataError) in
      try Self.parse(source.get().template(withTools: false))
    }
    toolTemplate = Result { () throws(DataError) in
      try Self.parse(source.get().template(withTools: true))
    }
  }

  /// Asks for a template of rows with tools, which serves other rows too unless there is another for them.
  ///
  /// - Throws: ``DataError/templateSource(path:problem:)`` where it is missing, ``DataError/template(_:)`` where
  ///   it does not parse.
  public func requireTemplate() throws(DataError) { _ = try toolTemplate.get() }

  /// An encoder for the model in `folder`. Its templates may be missing or damaged: rows of plain text need
  /// none, and others are refused then.
  public init(folder: String, variables: JSONObject = [:]) throws(DataError) {
    let tokenizer: Tokenizer
    do throws(TokenizerError) { tokenizer = try Tokenizer(directory: folder) } catch {
      throw .tokenizer(error)
    }
    let source = Result { () throws(DataError) in try ChatTemplateSource(folder: folder) }
    self.init(tokenizer, source, variables)
  }

  private static func parse(_ template: ChatTemplateSource.Template) throws(DataError)
    -> ChatTemplate
  {
    do throws(TemplateError) {
      return try ChatTemplate(source: template.text, name: template.label)
    } catch {
      guard case .syntax(_, let line, let near, let message) = error else { throw .template(error) }
      // No row's fault: the folder counts.
      throw .template(
        .syntax(template: template.fullLabel, line: line, near: near, message: message))
    }
  }

  private func template(for conversation: Conversation) throws(DataError) -> ChatTemplate {
    try (conversation.tools == nil ? plainTemplate : toolTemplate).get()
  }

  /// The same encoder with further variables for the template; they must not be named as in
  /// `ChatTemplate.reservedNames`.
  public func adding(_ variables: JSONObject) -> ConversationEncoder {
    var copy = self
    for (name, value) in variables { copy.variables[name] = value }
    return copy
  }

  // MARK: One conversation

  /// The text of a conversation, byte for byte that of `apply_chat_template(tokenize=False)`.
  public func render(_ conversation: Conversation, addGenerationPrompt: Bool = false)
    throws(DataError) -> RenderedChat
  {
    let template = try template(for: conversation)
    do throws(TemplateError) {
      return try template.render(
        messages: conversation.messages.map { .object($0) },
        tools: conversation.tools?.arrayValue, addGenerationPrompt: addGenerationPrompt,
        variables: variables)
    } catch {
      throw .rendering(
        file: conversation.file, line: conversation.line,
        problem: RowProblem.shortened(error.description, to: 1000))
    }
  }

  /// The text of a row: a conversation rendered, or plain text with the end-of-text token after it.
  public func text(of conversation: Conversation, addGenerationPrompt: Bool = false)
    throws(DataError) -> String
  {
    guard let plainText = conversation.plainText else {
      return try render(conversation, addGenerationPrompt: addGenerationPrompt).text
    }
    return plainText.prompt + (try completion(of: plainText, in: conversation))
  }

  /// Ids and labels of a row, uncut.
  public func encode(_ conversation: Conversation) throws(DataError) -> Encoded {
    if let plainText = conversation.plainText { return try encode(plainText, of: conversation) }
    let template = try template(for: conversation)
    let rendered = try render(conversation)
    var text = rendered.utf8
    let mask: [Bool]
    let ids: [Int32]
    var isLastTurnOpen = false
    if template.hasGenerationBlocks {
      let blocks = try trained(rendered.generationSpans, of: rendered, in: conversation)
      let encoding = tokenizer.encodeWithOffsets(utf8: text)
      ids = encoding.ids
      mask = LossMask.mask(blocks: blocks, offsets: encoding.offsets, text: text)
    } else {
      var turns = LossMask.turns(in: text, skeleton: rendered.skeleton)
      isLastTurnOpen = turns.isLastOpen
      if isLastTurnOpen, let last = turns.ranges.popLast() {
        text += LossMask.turnEnd
        turns.ranges.append(last.lowerBound..<text.count)
      }
      let ranges = try trained(turns.ranges, of: rendered, in: conversation)
      let encoding = tokenizer.encodeWithOffsets(utf8: text)
      ids = encoding.ids
      mask = LossMask.mask(ranges: ranges, offsets: encoding.offsets, byteCount: text.count)
    }
    return Encoded(
      row: EncodedRow(ids, isTrained: mask, conversation), isLastTurnOpen: isLastTurnOpen,
      hasGenerationBlocks: template.hasGenerationBlocks)
  }

  /// Those of `ranges`, one or more an assistant turn, that are to be trained.
  private func trained(
    _ ranges: [Range<Int>], of rendered: RenderedChat, in conversation: Conversation
  ) throws(DataError) -> [Range<Int>] {
    guard trainedTurns == .last || conversation.trainedMessages != nil else { return ranges }
    guard let messages = rendered.messages(of: ranges, in: conversation) else {
      guard conversation.trainedMessages == nil else {
        throw .fault(
          DataFault(file: conversation.file, line: conversation.line, problem: .turnsNotTold))
      }
      return ranges.suffix(1)
    }
    let kept = zip(ranges, messages).filter { conversation.isTrained($1) }
    let last = kept.last?.1
    return kept.filter { trainedTurns == .all || $1 == last }.map(\.0)
  }

  // MARK: Many conversations

  /// Encodes conversations on all worker threads; results are in the order of the conversations.
  ///
  /// - Throws: ``DataError`` at the first row that cannot be encoded; few rows behind it are begun.
  public func encode(_ conversations: [Conversation]) throws(DataError) -> [Encoded] {
    let (encoded, failure) = parallelPrefix(conversations) {
      (conversation: Conversation) throws(DataError) in try encode(conversation)
    }
    if let failure { throw failure }
    return encoded
  }

  /// What became of the rows of a data set.
  public struct Report: Sendable, Hashable {
    /// Rows read.
    public var rowCount = 0
    /// Rows left out since they are longer than allowed.
    public var droppedTooLong = 0
    /// Rows left out since truncation cut off all that is trained.
    public var droppedCutOff = 0
    /// Rows that were truncated and kept.
    public var truncated = 0
    /// Rows whose last turn the template left open, so that `<|im_end|>` was appended.
    public var openTurns = 0
    /// Rows whose trained parts the template marked itself.
    public var withGenerationBlocks = 0
    /// Tokens of the rows that are left.
    public var tokenCount = 0
    /// Trained tokens of the rows that are left.
    public var trainedTokenCount = 0
  }

  /// The rows to train on, in order.
  ///
  /// - Throws: ``DataError`` at the first row that cannot be rendered, that trains nothing although uncut,
  ///   or, with ``Truncation/error``, that is too long; and when no row is left.
  public func trainingRows(
    _ conversations: [Conversation], maximumLength: Int? = nil,
    truncation: Truncation = .keepStart
  ) throws(DataError) -> (rows: [EncodedRow], report: Report) {
    var collector = RowCollector(maximumLength: maximumLength, truncation: truncation)
    for encoded in try encode(conversations) { try collector.add(encoded) }
    return try collector.result()
  }
}
