// Rows and files of rows: what is read, and which fault each broken row has.

import Files
import OrderedJSON
import SFT
import Testing

@Suite("Conversations")
struct ConversationTests {
  @Test("tool-call arguments given as JSON text become values, in their order")
  func arguments() throws {
    let row = try JSON.parse(
      #"""
      {"tools": [{"type": "function", "function": {"name": "f"}}], "messages": [
      {"role": "user", "content": "q"},
      {"role": "assistant", "content": null, "tool_calls": [
      {"id": "1", "function": {"name": "f", "arguments": "{\"z\": 1, \"a\": [\"é\"], \"m\": 1e2}"}},
      {"name": "g", "arguments": {"x": 1}}, {"name": "h", "arguments": "\"text\""}]},
      {"role": "tool", "content": "r", "name": "f", "tool_call_id": "1"}]}
      """#)
    let conversation = try Conversation(row: row, file: "f", line: 3).validated()
    let calls = try #require(conversation.messages[1]["tool_calls"]?.arrayValue)
    #expect(
      calls[0]["function"]?["arguments"]?.serialized() == #"{"z": 1, "a": ["é"], "m": 100.0}"#)
    #expect(calls[0].objectValue?.keys == ["id", "function"])
    #expect(calls[1]["arguments"]?["x"] == 1)
    #expect(calls[2]["arguments"] == "text")
    #expect(conversation.tools?.arrayValue?.count == 1)
    #expect(conversation.messages[2].keys == ["role", "content", "name", "tool_call_id"])
  }

  @Test("tools may be absent, null, empty or JSON text")
  func tools() throws {
    func tools(_ text: String) throws -> JSON? {
      try Conversation(
        row: JSON.parse(#"{"messages": [{"role": "user", "content": "x"}]\#(text)}"#), file: "f",
        line: 1
      ).tools
    }
    #expect(try tools("") == nil)
    #expect(try tools(#", "tools": null"#) == nil)
    #expect(try tools(#", "tools": []"#) == [])
    #expect(try tools(#", "tools": "[{\"a\": 1}]""#) == [["a": 1]])
  }

  @Test(
    "each broken row has one clear fault",
    arguments: [
      (#"{"messages": [}"#, "bad JSON: expected a value, found '}', column 15"),
      (
        #"{"messages": [{"role": "user", "content": "x"}]"#,
        "bad JSON: expected ',' or '}', found the end"
      ),
      ("[1]", "expected an object with \"messages\", found an array"), ("3", "found an integer"),
      ("{}", "messages: expected a list of messages, found nothing"),
      (#"{"prompt": "a", "answer": "b"}"#, "found only \"prompt\", \"answer\""),
      (#"{"messages": null}"#, "found null"), (#"{"messages": {}}"#, "found an object"),
      (#"{"messages": []}"#, "found an empty list"),
      (#"{"messages": ["hi"]}"#, "messages[0]: expected an object, found a string"),
      (#"{"messages": [{"content": "x"}]}"#, "messages[0]: role: expected a string, found nothing"),
      (
        #"{"messages": [{"role": 1, "content": "x"}]}"#, "role: expected a string, found an integer"
      ),
      (#"{"messages": [{"role": "bot", "content": "x"}]}"#, "unknown role \"bot\""),
      (#"{"messages": [{"role": "User", "content": "x"}]}"#, "unknown role \"User\""),
      (
        #"{"messages": [{"role": "user"}, {"role": "assistant", "content": "x"}]}"#,
        "messages[0].content: missing content in a user turn"
      ),
      (
        #"{"messages": [{"role": "user", "content": "x"}, {"role": "assistant", "content": null}]}"#,
        "messages[1].content: null content in an assistant turn without tool_calls"
      ),
      (
        #"{"messages": [{"role": "user", "content": "x"}, {"role": "assistant", "content": ""}]}"#,
        "empty content"
      ),
      (
        #"{"messages": [{"role": "user", "content": "x"}, {"role": "assistant", "content": "", "tool_calls": []}]}"#,
        "empty content"
      ),
      (#"{"messages": [{"role": "user", "content": []}]}"#, "empty content"),
      (
        #"{"messages": [{"role": "user", "content": [{"type": "text", "text": ""}]}]}"#,
        "empty content"
      ),
      (
        #"{"messages": [{"role": "user", "content": [{"type": "image", "url": "x"}]}]}"#,
        "content[0]: expected {\"type\": \"text\", \"text\": …}, found type \"image\""
      ),
      (#"{"messages": [{"role": "user", "content": ["x"]}]}"#, "content[0]: expected"),
      (
        #"{"messages": [{"role": "user", "content": 3}]}"#,
        "content: expected a string or a list of parts, found an integer"
      ),
      (#"{"messages": [{"role": "user", "content": "x"}]}"#, "no assistant turn"),
      (
        #"{"messages": [{"role": "assistant", "tool_calls": "x"}]}"#,
        "tool_calls: expected a list, found a string"
      ),
      (
        #"{"messages": [{"role": "assistant", "tool_calls": [1]}]}"#,
        "tool_calls[0]: expected an object, found an integer"
      ),
      (
        #"{"messages": [{"role": "assistant", "tool_calls": [{"function": 1}]}]}"#,
        "tool_calls[0].function: expected an object"
      ),
      (
        #"{"messages": [{"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": "{x}"}}]}]}"#,
        "messages[0]: tool_calls[0].function.arguments: expected JSON text"
      ),
      (
        #"{"messages": [{"role": "assistant", "tool_calls": [{"name": "f", "arguments": ""}]}]}"#,
        "tool_calls[0].arguments: expected JSON text"
      ),
      (
        #"{"messages": [{"role": "assistant", "content": "x"}], "tools": {}}"#,
        "tools: expected a list, found an object"
      ),
      (
        #"{"messages": [{"role": "assistant", "content": "x"}], "tools": [1]}"#,
        "tools: [0]: expected an object, found an integer"
      ),
      (
        #"{"messages": [{"role": "assistant", "content": "x"}], "tools": "x"}"#,
        "tools: expected a list or JSON text of one"
      ),
    ])
  func faults(_ row: String, _ message: String) throws {
    let folder = try DataTestFolder()
    let good = #"{"messages": [{"role": "assistant", "content": "x"}]}"#
    // The blank line keeps an array row from making the file an array.
    let path = try folder.write("\(good)\n\n\(row)\n\(good)\n", "d.jsonl")
    let reader = ConversationReader(paths: [path])
    var rows: [ConversationReader.Row] = []
    while let row = try reader.next() { rows.append(row) }
    #expect(rows.map(\.line) == [1, 3, 4])
    guard case .failure(let fault) = rows[1].conversation else {
      Issue.record("no fault in \(row)")
      return
    }
    #expect(fault.description.contains(message), "\(fault)")
    #expect(fault.description.utf8.starts(with: "\(path):3: ".utf8))
    #expect(!fault.description.utf8.contains(0x0A))
    let error = #expect(throws: DataError.self) { try ConversationReader.readAll([path]) }
    #expect(error == .fault(fault))
  }

  @Test("rows end at 0x0A only, over several files")
  func jsonLines() throws {
    let folder = try DataTestFolder()
    func row(_ text: String) -> String {
      #"{"messages": [{"role": "assistant", "content": "\#(text)"}]}"#
    }
    let first = try folder.write("\(row("a\u{2028}b\u{85}c"))\r\n \t\r\n\n\(row("two"))", "1.jsonl")
    let second = try folder.write("\(row("three"))\n", "2.jsonl")
    let empty = try folder.write("", "3.jsonl")
    let rows = try ConversationReader.readAll([first, empty, second])
    #expect(rows.map(\.line) == [1, 4, 1])
    #expect(rows.map(\.file) == [first, first, second])
    #expect(rows[0].messages[0]["content"] == "a\u{2028}b\u{85}c")
    #expect(throws: DataError.noRows(files: [empty])) { try ConversationReader.readAll([empty]) }
    #expect(throws: DataError.self) { try ConversationReader.readAll([folder.path + "/none"]) }
    #expect(throws: DataError.self) { try ConversationReader.readAll([folder.path]) }
  }

  @Test("a JSON array is a file of rows, each with its line")
  func array() throws {
    let folder = try DataTestFolder()
    let path = try folder.write(
      """

      [ {"messages": [{"role": "assistant", "content": "] , [\\" \\\\"}]},
        {
          "messages": [{"role": "assistant",
            "content": "b"}]
        }
        , 7,
        {"messages": [{"role": "assistant", "content": "c"}]}
      ]

      """, "d.json")
    let reader = ConversationReader(paths: [path, path])
    var rows: [ConversationReader.Row] = []
    while let row = try reader.next() { rows.append(row) }
    #expect(rows.map(\.line) == [2, 3, 7, 8, 2, 3, 7, 8])
    guard case .failure(let fault) = rows[2].conversation else {
      Issue.record("a number is no row")
      return
    }
    #expect(fault.problem == .notAnObject(found: "an integer"))

    for (text, line) in [("[\n{]\n", 2), ("[{}\n,\n]", 3), ("[]\n[]", 2), ("\n\n[", 3)] {
      let broken = try folder.write(text, "broken.json")
      let error = #expect(throws: DataError.self) { try ConversationReader.readAll([broken]) }
      guard case .badArray(_, _, let found, _) = error else {
        Issue.record("\(text.debugDescription): \(String(describing: error))")
        continue
      }
      #expect(found == line, "\(text.debugDescription)")
    }
    let none = try folder.write("[ ]", "none.json")
    #expect(throws: DataError.noRows(files: [none])) { try ConversationReader.readAll([none]) }
  }

  @Test("thinking is left out of assistant turns only")
  func withoutThinking() {
    let conversation = Conversation(messages: [
      ["role": "user", "content": "<think>\nx\n</think>\n\ny"],
      ["role": "assistant", "content": "<think>\nx\n</think>\n\ny", "reasoning_content": "r"],
      ["role": "assistant", "content": "plain", "thinking": "t", "reasoning": "u"],
    ])
    #expect(
      conversation.withoutThinking().messages == [
        ["role": "user", "content": "<think>\nx\n</think>\n\ny"],
        ["role": "assistant", "content": "y"], ["role": "assistant", "content": "plain"],
      ])
  }

  @Test("thinking is left out of text parts, and turns that nothing is left of are told")
  func withoutThinkingInParts() throws {
    func parts(_ texts: String...) -> JSON {
      .array(texts.map { ["type": "text", "text": .string($0)] })
    }
    let conversation = Conversation(
      messages: [
        ["role": "assistant", "content": parts("<think>x", "y</think>\n\nz", "end")],
        ["role": "assistant", "content": parts("a", "b")],
        ["role": "assistant", "content": parts("<think>x</think>")],
        ["role": "assistant", "content": "<think>x</think>\n"],
      ], trainedMessages: [true, true, true, false]
    ).withoutThinking()
    #expect(
      conversation.messages.map { $0["content"] } == [
        parts("z", "end"), parts("a", "b"), parts(""), "",
      ])
    var encoder = try DataTest.encoder(DataTest.plainTemplate)
    let place = RowProblem.emptiedTurn(place: "messages[2].content")
    #expect(encoder.emptiedTurns(of: conversation) == [place])
    encoder.trainedTurns = .last
    #expect(encoder.emptiedTurns(of: conversation) == [place])
    let other = Conversation(messages: [
      ["role": "assistant", "content": ""], ["role": "assistant", "content": "a"],
    ])
    #expect(encoder.emptiedTurns(of: other).isEmpty)
  }

  @Test("content in parts that a template leaves out is named")
  func leftOut() throws {
    func parts(_ texts: String...) -> JSON {
      .array(texts.map { ["type": "text", "text": .string($0)] })
    }
    let conversation = Conversation(messages: [
      ["role": "user", "content": parts(" a ", "b")],
      ["role": "assistant", "content": "c"],
      ["role": "assistant", "content": parts("d")],
    ])
    let stringsOnly = try DataTest.encoder(
      "{% for m in messages %}{{ m.content if m.content is string else '' }};{% endfor %}")
    #expect(
      stringsOnly.leftOutContents(of: conversation) == [
        .leftOut(place: "messages[0].content"), .leftOut(place: "messages[2].content"),
      ])
    let all = try DataTest.encoder(
      "{% for m in messages %}{% if m.content is string %}{{ m.content }}{% else %}"
        + "{% for p in m.content %}{{ p.text | trim }}{% endfor %}{% endif %}{% endfor %}")
    #expect(all.leftOutContents(of: conversation).isEmpty)
  }

  @Test("equal rows of different places are duplicates")
  func duplicates() {
    let first = Conversation(messages: [["role": "user", "content": "é"]], file: "a", line: 1)
    let second = Conversation(messages: [["role": "user", "content": "é"]], file: "b", line: 9)
    let third = Conversation(
      messages: [["role": "user", "content": "e\u{301}"]], file: "a", line: 1)
    #expect(Set([first, second, third]).count == 2)
  }
}
