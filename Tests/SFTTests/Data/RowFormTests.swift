// The forms of rows: what each becomes, and the fault of a row that does not fit its form.

import Files
import OrderedJSON
import SFT
import Testing
import Tokenizer

@Suite("Forms of rows")
struct RowFormTests {
  private func conversation(_ text: String, _ format: DataFormat = .auto) throws -> Conversation {
    try Conversation(row: JSON.parse(text), format: format, file: "f", line: 3).validated()
  }

  private func messages(_ text: String) throws -> JSON {
    .array(try conversation(text).messages.map { .object($0) })
  }

  @Test("ShareGPT rows become messages, function calls and observations with them")
  func sharegpt() throws {
    let row = try conversation(
      #"""
      {"system": "s", "tools": "[{\"name\": \"now\", \"parameters\": {}}]", "conversations": [
      {"from": "human", "value": "time?"},
      {"from": "function_call", "value": "{\"name\": \"now\", \"arguments\": {\"b\": 1, \"a\": 2}}"},
      {"from": "observation", "value": "12:00"}, {"from": "gpt", "value": "Noon.", "weight": 1},
      {"from": "user", "value": "x"}, {"from": "assistant", "value": "y", "train": false},
      {"from": "tool", "value": "z"}, {"from": "function", "value": "z"}]}
      """#)
    #expect(
      row.messages.map { $0["role"]?.stringValue } == [
        "system", "user", "assistant", "tool", "assistant", "user", "assistant", "tool", "tool",
      ])
    #expect(row.messages[2]["tool_calls"]?.arrayValue?.count == 1)
    #expect(
      row.messages[2]["tool_calls"]?.arrayValue?[0].serialized()
        == #"{"type": "function", "function": {"name": "now", "arguments": {"b": 1, "a": 2}}}"#)
    #expect(
      row.tools?.serialized()
        == #"[{"type": "function", "function": {"name": "now", "parameters": {}}}]"#)
    #expect(row.trainedMessages == [true, true, true, true, true, true, false, true, true])
    #expect(row.messages[4] == ["role": "assistant", "content": "Noon."])
    let calls = try messages(
      #"{"tools": "", "conversations": [{"from": "human", "value": "q"}, {"from": "function_call", "value": "[{\"name\": \"f\", \"arguments\": \"{}\"}, {\"name\": \"g\"}]"}]}"#
    )
    #expect(calls.arrayValue?[1]["tool_calls"]?.arrayValue?.count == 2)
    // OpenAI's keys under ShareGPT's name.
    #expect(
      try messages(#"{"conversations": [{"role": "assistant", "content": "a"}]}"#)
        == [["role": "assistant", "content": "a"]])
  }

  @Test("Alpaca rows become messages, the input on a line of its own and the history before")
  func alpaca() throws {
    #expect(
      try messages(#"{"instruction": "Add", "input": "1 2", "output": "3"}"#)
        == [["role": "user", "content": "Add\n1 2"], ["role": "assistant", "content": "3"]])
    #expect(
      try messages(
        #"{"instruction": "i", "input": "", "output": "o", "system": "s", "history": [["a", "b"]], "text": "t"}"#
      ) == [
        ["role": "system", "content": "s"], ["role": "user", "content": "a"],
        ["role": "assistant", "content": "b"], ["role": "user", "content": "i"],
        ["role": "assistant", "content": "o"],
      ])
    #expect(
      try messages(#"{"instruction": "i", "input": null, "output": "o", "history": null}"#)
        .arrayValue?.count == 2)
  }

  @Test("messages win over other keys, and a form that is asked for is taken")
  func choice() throws {
    let both = #"{"text": "t", "prompt": "p", "messages": [{"role": "assistant", "content": "m"}]}"#
    #expect(try conversation(both).messages.count == 1)
    #expect(try conversation(both, .text).plainText == .init(completion: "t"))
    let chat = try conversation(
      #"{"prompt": [{"role": "user", "content": "q"}], "completion": [{"role": "assistant", "content": "a"}]}"#
    )
    #expect(chat.messages.count == 2 && chat.trainedMessages == [false, true])
    #expect(
      try conversation(#"{"prompt": "p", "completion": "c"}"#).plainText
        == .init(prompt: "p", completion: "c"))
    for format in DataFormat.allCases where format != .auto && format != .messages {
      #expect(throws: DataFault.self) {
        try conversation(#"{"messages": [{"role": "assistant", "content": "m"}]}"#, format)
      }
    }
  }

  @Test(
    "a row that does not fit its form has one clear fault",
    arguments: [
      (#"{"text": 3}"#, "text: expected a string, found an integer"),
      (#"{"text": ""}"#, "text: empty"),
      (#"{"prompt": "p", "completion": ""}"#, "completion: empty"),
      (#"{"prompt": "p", "completion": 1}"#, "completion: expected a string, found an integer"),
      (#"{"prompt": ["p"], "completion": "c"}"#, "prompt: expected a string, found an array"),
      (
        #"{"prompt": "p", "completion": []}"#,
        "prompt: expected a list of messages as in completion"
      ),
      (#"{"prompt": [], "completion": []}"#, "completion: expected messages, found an empty list"),
      (
        #"{"prompt": [{"role": "user", "content": "q"}], "completion": [7]}"#,
        "completion[0]: expected an object"
      ),
      (
        #"{"prompt": [{"role": "user", "content": ""}], "completion": [{"role": "assistant", "content": "a"}]}"#,
        "prompt[0].content: empty content in a user turn"
      ),
      (
        #"{"prompt": [{"role": "assistant", "content": "a"}], "completion": [{"role": "user", "content": "q"}]}"#,
        "no assistant turn"
      ),
      (#"{"conversations": "x"}"#, "conversations: expected a list of turns, found a string"),
      (#"{"conversations": []}"#, "conversations: expected turns, found an empty list"),
      (#"{"conversations": [1]}"#, "conversations[0]: expected an object"),
      (#"{"conversations": [{"value": "x"}]}"#, "conversations[0]: from: expected a string"),
      (
        #"{"conversations": [{"from": "bot", "value": "x"}]}"#,
        "conversations[0].from: unknown role"
      ),
      (
        #"{"system": "s", "conversations": [{"from": "gpt"}]}"#,
        "conversations[0].value: missing content in an assistant turn"
      ),
      (
        #"{"conversations": [{"from": "function_call", "value": "f()"}]}"#,
        "conversations[0].value: expected JSON text of a call"
      ),
      (
        #"{"conversations": [{"from": "function_call", "value": "[3]"}]}"#,
        "conversations[0].value: expected {\"name\""
      ),
      (#"{"conversations": [{"from": "function_call"}]}"#, "expected a call, found nothing"),
      (#"{"instruction": 1, "output": "o"}"#, "instruction: expected a string, found an integer"),
      (#"{"instruction": "i", "output": ["o"]}"#, "output: expected a string, found an array"),
      (#"{"instruction": "i", "output": ""}"#, "output: empty content in an assistant turn"),
      (#"{"instruction": "", "output": "o"}"#, "instruction: empty content in a user turn"),
      (#"{"instruction": "i", "input": 1, "output": "o"}"#, "input: expected a string"),
      (#"{"instruction": "i", "output": "o", "history": {}}"#, "history: expected a list"),
      (
        #"{"instruction": "i", "output": "o", "history": [["a"]]}"#,
        "history[0]: expected [question"
      ),
      (
        #"{"instruction": "i", "output": "o", "history": [["a", ""]]}"#,
        "history[0][1]: empty content in an assistant turn"
      ),
      (
        #"{"messages": [{"role": "assistant", "content": "a", "weight": 2}]}"#,
        "messages[0].weight: expected 0 or 1, found 2"
      ),
      (
        #"{"messages": [{"role": "assistant", "content": "a", "weight": "0"}]}"#,
        "messages[0].weight: expected 0 or 1, found a string"
      ),
      (
        #"{"messages": [{"role": "assistant", "content": "a", "train": 1}]}"#,
        "messages[0].train: expected true or false, found 1"
      ),
      (
        #"{"messages": [{"role": "assistant", "content": "a", "train": true, "weight": 0}]}"#,
        "weight and train contradict each other"
      ),
      (
        #"{"messages": [{"role": "user", "content": "a", "weight": 1}]}"#,
        "only assistant turns can be trained, not one of \"user\""
      ),
      (
        #"{"messages": [{"role": "assistant", "content": "a", "weight": 0}]}"#,
        "no assistant turn is trained"
      ),
      (
        #"{"messages": [{"role": "assistant", "tool_calls": [{"function": {"arguments": {}}}]}]}"#,
        "tool_calls[0].function.name: expected a string, found nothing"
      ),
    ])
  func faults(_ row: String, _ message: String) throws {
    let error = #expect(throws: DataFault.self) { try conversation(row) }
    let text = try #require(error).description
    #expect(text.contains(message), "\(text)")
    #expect(text.utf8.starts(with: "f:3: ".utf8))
    #expect(!text.utf8.contains(0x0A))
  }

  @Test("a fault does not keep what a hostile row says at length")
  func long() throws {
    let long = String(repeating: "x", count: 100_000)
    for row in [
      #"{"messages": [{"role": "\#(long)", "content": "x"}]}"#, #"{"\#(long)": 1}"#,
      #"{"conversations": [{"from": "\#(long)", "value": "x"}]}"#,
      #"{"messages": [{"role": "assistant", "content": [{"type": "\#(long)"}]}]}"#,
      #"{"messages": [{"role": "assistant", "content": "x", "weight": 1\#(long.prefix(4000).replacing("x", with: "0"))}]}"#,
    ] {
      let error = #expect(throws: DataFault.self) { try conversation(row) }
      #expect((error?.description.utf8.count ?? 1000) < 500)
    }
  }

  @Test("a byte order mark is skipped and told of, and so is a key that stands twice")
  func readerWarnings() throws {
    let folder = try DataTestFolder()
    let row = #"{"messages": [], "messages": [{"role": "assistant", "content": "x"}]}"#
    for (text, count) in [("\u{FEFF}\(row)\n\(row)", 2), ("\u{FEFF}[\(row),\(row)]", 2)] {
      let reader = ConversationReader(paths: [try folder.write(text, "d.jsonl")])
      var rows: [ConversationReader.Row] = []
      while let row = try reader.next() { rows.append(row) }
      #expect(rows.count == count)
      #expect(rows[0].warnings.first == .byteOrderMark)
      #expect(!rows[1].warnings.contains(.byteOrderMark))
      if !text.contains("[\(row)") {
        #expect(rows[1].warnings == [.duplicateKey(key: "messages")])
      }
      #expect(rows.allSatisfy { (try? $0.conversation.get()) != nil })
    }
  }

  @Test("ids and labels of text, and of prompt and completion, are those of TRL")
  func peer() throws {
    let encoder = try ConversationEncoder(folder: DataTest.demoModel)
    let reader = try LineReader(
      path: FileSystem.join(DataTest.root, "Fixtures/data/trl_rows.jsonl"))
    var count = 0
    while let line = try reader.next() {
      let golden = try JSON.parse(line.bytes)
      let row = try Conversation(row: try #require(golden["row"]), file: "f", line: line.number)
      let encoded = try encoder.encode(row.validated())
      for (name, ids) in [
        ("input_ids", encoded.row.inputIDs), ("labels", encoded.row.labels),
      ] {
        #expect(
          golden[name]?.arrayValue?.map(\.integerValue) == ids.map { Int($0) },
          "line \(line.number), \(name)")
      }
      count += 1
    }
    #expect(count == 13)
    // A prompt whose end merges with the completion is told.
    let merged = Conversation(plainText: .init(prompt: "1 ", completion: " 2"))
    let apart = Conversation(plainText: .init(prompt: "1\n", completion: "2"))
    #expect(try encoder.encode(apart).mergedBoundary == nil)
    let split = try encoder.encode(merged)
    let alone = try DataTest.tokenizer.get().encode("1 ")
    #expect((split.mergedBoundary != nil) == !split.row.inputIDs.starts(with: alone))
  }
}
