// From tokens to what a client is sent: text up to a stop string, reasoning, tool calls.

import OrderedJSON
package import Tokenizer

/// Reads the tokens of one answer as they come.
package struct AnswerReader {
  /// A part of an answer.
  package enum Part: Sendable, Hashable {
    /// Text.
    case content(String)
    /// Text between `<think>` and `</think>`.
    case reasoning(String)
    /// A call of a tool, with its arguments as JSON text.
    case toolCall(name: String, arguments: String)
  }

  /// What is looked for.
  package struct Settings: Sendable {
    /// Strings before which the answer ends.
    package var stops: [String] = []
    /// Whether reasoning is told apart.
    package var splitsReasoning = false
    /// Whether the prompt has begun the reasoning already.
    package var beginsInReasoning = false
    /// Whether tool calls are told apart.
    package var readsToolCalls = false

    /// Nothing is looked for.
    package init() {}
  }

  private enum Section { case content, reasoning, toolCall }

  private var decoder: StreamingDecoder
  private let settings: Settings
  private let stops: [[UInt8]]
  private var stopScanner = MarkerScanner()
  private var scanner = MarkerScanner()
  private var section: Section
  private var call = ""
  private var dropsLineEnds = false
  /// Whether a stop string has been found.
  package private(set) var isStopped = false
  /// Calls of tools so far.
  package private(set) var toolCallCount = 0

  private static let markers: [[UInt8]] = [
    Array("<think>".utf8), Array("</think>".utf8), Array("<tool_call>".utf8),
    Array("</tool_call>".utf8),
  ]

  /// A reader at the start of an answer.
  package init(tokenizer: Tokenizer, settings: Settings) {
    decoder = StreamingDecoder(tokenizer: tokenizer, skipSpecialTokens: true)
    self.settings = settings
    stops = settings.stops.map { Array($0.utf8) }
    section = settings.splitsReasoning && settings.beginsInReasoning ? .reasoning : .content
  }

  /// Whether a prompt ends inside `<think>`, as templates of models that always reason do.
  package static func isInReasoning(_ prompt: [UInt8]) -> Bool {
    let end = prompt.suffix(16).reversed().drop { $0 == 0x0A || $0 == 0x20 }
    return end.starts(with: "<think>".utf8.reversed())
  }

  /// Takes the next token, unless it is one that ends the answer.
  package mutating func push(_ id: Int32) -> [Part] {
    isStopped ? [] : read(decoder.push(id), isLast: false)
  }

  /// Ends the answer and gives what was held back.
  package mutating func finish() -> [Part] {
    let text = isStopped ? "" : decoder.finish()
    var parts = read(text, isLast: true)
    if section == .toolCall {
      // A call that never ended is text.
      parts.append(.content("<tool_call>" + call))
      call = ""
    }
    return parts
  }

  private mutating func read(_ text: String, isLast: Bool) -> [Part] {
    if !isStopped {
      stopScanner.push(text)
      let result = stopScanner.next(stops)
      scanner.push(result.text)
      isStopped = result.marker != nil
      if isLast && !isStopped { scanner.push(stopScanner.rest()) }
    }
    return sections(isLast: isLast || isStopped)
  }

  /// Markers that matter in the section at hand, by their numbers.
  private var activeMarkers: [Int] {
    switch section {
    case .content: (settings.splitsReasoning ? [0] : []) + (settings.readsToolCalls ? [2] : [])
    case .reasoning: [1]
    case .toolCall: [3]
    }
  }

  private mutating func sections(isLast: Bool) -> [Part] {
    var parts: [Part] = []
    while true {
      let active = activeMarkers
      let result = scanner.next(active.map { Self.markers[$0] })
      add(result.text, to: &parts)
      guard let marker = result.marker.map({ active[$0] }) else { break }
      switch marker {
      case 0: section = .reasoning
      case 2: section = .toolCall
      case 1:
        section = .content
        dropsLineEnds = true
      default:
        section = .content
        parts.append(endOfCall())
        call = ""
        dropsLineEnds = true
      }
    }
    if isLast { add(scanner.rest(), to: &parts) }
    return parts
  }

  private mutating func add(_ text: String, to parts: inout [Part]) {
    guard !text.isEmpty else { return }
    switch section {
    case .content:
      // The line ends behind reasoning and calls belong to them.
      let rest = dropsLineEnds ? String(text.drop { $0.isNewline }) : text
      if rest.isEmpty { return }
      dropsLineEnds = false
      parts.append(.content(rest))
    case .reasoning:
      parts.append(.reasoning(text))
    case .toolCall: call += text
    }
  }

  /// The call, or its text where it is none.
  private mutating func endOfCall() -> Part {
    if let value = try? JSON.parse(call), let name = value["name"]?.stringValue {
      let arguments = value["arguments"] ?? .object([:])
      toolCallCount += 1
      // Some models write the arguments as text already.
      return .toolCall(name: name, arguments: arguments.stringValue ?? arguments.serialized())
    }
    return .content("<tool_call>" + call + "</tool_call>")
  }
}
