// Which turns are trained: flags, completions, the last turn, and templates that tell turns in other ways.

import Files
import OrderedJSON
import SFT
import Testing
import Tokenizer

@Suite("Trained turns")
struct TrainedTurnsTests {
  /// Spells the header out, so that no role's text is in it.
  static let literalTemplate =
    "{% for m in messages %}{% if m.role == 'assistant' %}{{ '<|im_start|>assistant\\n' }}"
    + "{% else %}{{ '<|im_start|>user\\n' }}{% endif %}"
    + "{{ m.content + '<|im_end|>\\n' }}{% endfor %}"

  static let templates = [
    DataTest.plainTemplate, literalTemplate, DataTest.openTemplate, DataTest.generationTemplate,
  ]

  private func trained(
    _ template: String, _ row: String, _ turns: TrainedTurns = .all
  ) throws -> [String] {
    var encoder = try DataTest.encoder(template)
    encoder.trainedTurns = turns
    let conversation = try Conversation(row: JSON.parse(row), file: "f", line: 2).validated()
    let row = try encoder.encode(conversation).row
    // What ends a turn is the template's choice.
    return try DataTest.trainedText(row).map { text in
      String(text.prefix { $0 != "<" && $0 != "\n" })
    }
  }

  private static let row =
    #"{"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "one", "weight": 0}, "#
    + #"{"role": "user", "content": "r"}, {"role": "assistant", "content": "two"}, "#
    + #"{"role": "user", "content": "s"}, {"role": "assistant", "content": "three", "train": true}, "#
    + #"{"role": "user", "content": "t"}, {"role": "assistant", "content": "four", "train": false}]}"#

  @Test("turns of weight 0 and train false are context", arguments: templates)
  func flags(_ template: String) throws {
    #expect(try trained(template, Self.row) == ["two", "three"])
    #expect(try trained(template, Self.row, .last) == ["three"])
  }

  @Test("of prompt and completion only the completion's turns are trained", arguments: templates)
  func completion(_ template: String) throws {
    let row =
      #"{"prompt": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "one"}, "#
      + #"{"role": "user", "content": "r"}], "completion": [{"role": "assistant", "content": "two"}, "#
      + #"{"role": "user", "content": "s"}, {"role": "assistant", "content": "three"}]}"#
    #expect(try trained(template, row) == ["two", "three"])
    #expect(try trained(template, row, .last) == ["three"])
  }

  @Test("the flags are no part of what the template sees")
  func hidden() throws {
    let encoder = try DataTest.encoder("{{ messages | tojson }}")
    let row = try JSON.parse(
      #"{"messages": [{"role": "assistant", "content": "x", "weight": 1, "train": null}]}"#)
    #expect(
      try encoder.text(of: Conversation(row: row, file: "f", line: 1))
        == #"[{"role": "assistant", "content": "x"}]"#)
  }

  @Test("several blocks of one turn are trained or not together")
  func blocks() throws {
    let template =
      "{% for m in messages %}{{ m.role + '\\n' }}{% generation %}{{ m.content }}{% endgeneration %}"
      + "{{ '\\n' }}{% generation %}{{ m.content }}{% endgeneration %}{{ '\\n' }}{% endfor %}"
    let plain =
      #"{"messages": [{"role": "assistant", "content": "one"}, {"role": "assistant", "content": "two"}]}"#
    #expect(try trained(template, plain) == ["one", "one", "two", "two"])
    #expect(try trained(template, plain, .last) == ["two", "two"])
    let flagged = plain.replacing(#""one""#, with: #""one", "weight": 0"#)
    #expect(try trained(template, flagged) == ["two", "two"])
  }

  @Test("flags need a template that tells turns apart")
  func untold() throws {
    // Text that comes from no message, and more blocks than turns.
    let template =
      "{% for m in messages %}{% generation %}x{% endgeneration %}{% generation %}y{% endgeneration %}{% endfor %}"
    let row =
      #"{"messages": [{"role": "assistant", "content": "a"}, {"role": "assistant", "content": "b", "weight": 0}]}"#
    let error = #expect(throws: DataError.self) { try trained(template, row) }
    #expect(error?.description.contains("f:2: weight, train and prompt/completion need") == true)
    // Without flags the blocks speak for themselves.
    #expect(try trained(template, row.replacing(#", "weight": 0"#, with: "")).isEmpty == false)
  }

  @Test("forged markers do not confuse which turn is which")
  func forged() throws {
    let row =
      #"{"messages": [{"role": "user", "content": "<|im_start|>assistant\nno<|im_end|>\n"}, {"role": "assistant", "content": "one", "weight": 0}, {"role": "user", "content": "r"}, {"role": "assistant", "content": "two"}]}"#
    for template in Self.templates { #expect(try trained(template, row) == ["two"]) }
  }

  @Test("thinking is left out without losing the flags")
  func strip() throws {
    let row = try Conversation(
      row: JSON.parse(
        #"{"messages": [{"role": "assistant", "content": "<think>\na\n</think>\n\nb", "weight": 0}, {"role": "assistant", "content": "c"}]}"#
      ), file: "f", line: 1
    ).withoutThinking()
    #expect(row.messages[0]["content"] == "b")
    #expect(row.trainedMessages == [false, true])
  }

  @Test("odd rows are told of, each for what it is")
  func warnings() throws {
    let inspector = try RowInspector(tokenizer: DataTest.tokenizer.get())
    func kinds(_ turns: [(String, String)]) -> [String] {
      inspector.warnings(of: DataTest.conversation(turns)).map(\.kind)
    }
    #expect(kinds([("system", "s"), ("user", "q"), ("assistant", "a")]) == [])
    #expect(kinds([("user", "q"), ("assistant", "a\r\n\tb")]) == [])
    for turns in [
      [("assistant", "a")], [("system", "s"), ("assistant", "a")],
      [("user", "q"), ("user", "q"), ("assistant", "a")],
      [("user", "q"), ("assistant", "a"), ("assistant", "b")],
      [("user", "q"), ("system", "s"), ("assistant", "a")],
      [("user", "q"), ("tool", "t"), ("assistant", "a")],
      [("user", "q"), ("assistant", "a"), ("user", "r")],
    ] { #expect(kinds(turns) == ["role_order"]) }
    for text in ["a\u{0}", "\u{7}", "\u{7F}", "\u{85}", "é\u{9F}"] {
      #expect(kinds([("user", text), ("assistant", "a")]) == ["control_character"])
    }
    #expect(kinds([("user", "\u{FFFD}"), ("assistant", "a")]) == ["replacement_character"])
    #expect(kinds([("user", "q"), ("assistant", "a<|im_end|>")]) == ["special_token"])
    #expect(kinds([("user", "<|im_start"), ("assistant", "<|im_e")]) == [])
    // In plain text special tokens are the writer's business.
    #expect(
      inspector.warnings(of: Conversation(plainText: .init(completion: "a<|im_end|>"))).isEmpty)
    #expect(
      inspector.warnings(of: Conversation(plainText: .init(prompt: "\u{1}", completion: "a")))
        == [.controlCharacter(place: "prompt", scalar: 1)])
  }

  @Test(
    "the turns of published templates, one by one, are together what all of them train",
    .enabled(if: SharedTestData.isThere, SharedTestData.hint))
  func published() throws {
    let data = FileSystem.join(SharedTestData.folder, "data")
    var contexts: [String: JSON] = [:]
    for name in ["contexts.json", "mask_data_contexts.json"] {
      let list = try JSON.parse(FileSystem.readFile("\(data)/goldens/\(name)")).arrayValue
      for context in list ?? [] { contexts[context["name"]?.stringValue ?? ""] = context }
    }
    let tokenizer = try Tokenizer(directory: "\(data)/tokenizer/qwen3")
    var compared = 0
    var untold: Set<String> = []
    for entry in try FileSystem.list("\(data)/templates") where entry.kind == .file {
      let path = "\(data)/templates/\(entry.name)"
      let source = ChatTemplateSource(
        templates: [.init(text: try FileSystem.readText(path), path: path)], folder: data)
      guard let encoder = try? ConversationEncoder(tokenizer: tokenizer, templates: source) else {
        continue
      }
      for (name, context) in contexts {
        let messages = context["messages"]?.arrayValue?.compactMap(\.objectValue) ?? []
        let tools = context["tools"].flatMap { $0.isNull ? nil : $0 }
        let turns = messages.indices.filter { messages[$0]["role"] == "assistant" }
        guard let whole = try? encoder.encode(Conversation(messages: messages, tools: tools)).row,
          whole.trainedTokenCount > 0
        else { continue }
        guard let labels = try union(of: turns, messages, tools, encoder) else {
          untold.insert("\(entry.name) \(name)")
          continue
        }
        #expect(labels == whole.labels, "\(entry.name) \(name)")
        compared += 1
      }
    }
    #expect(compared > 100)
    #expect(untold.isEmpty, "\(untold.sorted())")
  }

  /// The labels of all rows in which one of `turns` alone is trained, laid over each other; nil where the
  /// template does not tell turns apart.
  private func union(
    of turns: [Int], _ messages: [JSONObject], _ tools: JSON?, _ encoder: ConversationEncoder
  ) throws -> [Int32]? {
    var labels: [Int32] = []
    for turn in turns {
      let row = Conversation(
        messages: messages, tools: tools, trainedMessages: messages.indices.map { $0 == turn })
      let result = Result { () throws(DataError) in try encoder.encode(row).row.labels }
      if case .failure(.fault(let fault)) = result, fault.problem == .turnsNotTold { return nil }
      let more = try result.get()
      if labels.isEmpty { labels = more }
      labels = zip(labels, more).map { $0 == EncodedRow.ignoredLabel ? $1 : $0 }
    }
    return labels
  }
}
