// tokenize and data, on the demo model and on rows with every kind of fault.

import Foundation
import OrderedJSON
import Testing

@Suite("Text and data commands")
struct DataCommandTests {
  let program: Program

  init() throws { program = try Program() }

  private func lines(_ text: String) throws -> [JSON] {
    try text.utf8.split(separator: 0x0A).map { try JSON.parse(Array($0)) }
  }

  @Test("tokenize and tokenize --decode are each other's reverse")
  func roundTrip() throws {
    let texts: [JSON] = [
      "", "Hello, world!", "é ü 漢字 🙂", "\u{2028}a\u{85}b\r\n\tc", "<|im_start|>user\nx<|im_end|>",
    ]
    let input = texts.map { $0.serialized() + "\n" }.joined()
    let encoded = try program.run("tokenize", input: input)
    #expect(encoded.code == 0)
    #expect(try lines(encoded.output).allSatisfy { $0.arrayValue != nil })
    let decoded = try program.run("tokenize --decode", input: encoded.output)
    #expect(decoded.output == input)
    let plain = try program.run("tokenize --decode --skip_special_tokens", input: encoded.output)
    #expect(try lines(plain.output).last == "user\nx")
  }

  @Test("a line without its end counts, and no input gives no output")
  func lastLine() throws {
    #expect(try lines(program.run("tokenize", input: "\"a\"\n\"a\"").output).count == 2)
    let outcome = try program.run("tokenize")
    #expect(outcome.code == 0 && outcome.output.isEmpty)
  }

  @Test(
    "bad lines are named by number",
    arguments: [
      (
        "tokenize", "\"a\"\n{\"a\": 1}\n",
        "standard input:2: expected a JSON string, found an object"
      ),
      ("tokenize", "\"a\"\n\n", "standard input:2: bad JSON"),
      ("tokenize", "\"a\"\n\"\u{7}", "standard input:2: bad JSON"),
      ("tokenize --decode", "[1]\n\"x\"\n", "standard input:2: expected a JSON array"),
      ("tokenize --decode", "[1, -1]\n", "standard input:1: [1]: expected a token id"),
      ("tokenize --decode", "[99999999999]\n", "standard input:1: [0]: expected a token id"),
      ("tokenize --decode", "[1.5]\n", "standard input:1: [0]: expected a token id"),
      ("tokenize --decode", "[null]\n", "standard input:1: [0]: expected a token id"),
    ])
  func badLines(_ command: String, _ input: String, _ expected: String) throws {
    let outcome = try program.run(command, input: input)
    #expect(outcome.code == 1)
    #expect(outcome.faults.count == 1)
    #expect(outcome.faults.first?.contains(expected) == true, "\(outcome.errors)")
    #expect(throws: Never.self) { try lines(outcome.output) }
  }

  @Test("an id without a token is passed over, however large")
  func unknownID() throws {
    let outcome = try program.run("tokenize --decode", input: "[2147483647]\n")
    #expect(outcome.code == 0 && outcome.output == "\"\"\n")
  }

  @Test("the demo model and the sample data are used, and said to be, where none is given")
  func demo() throws {
    let outcome = try program.run("data check --json")
    #expect(outcome.code == 0, "\(outcome.errors)")
    #expect(outcome.errors.contains("using the demo model"))
    #expect(outcome.errors.contains("using the sample data"))
    let report = try JSON.parse(outcome.output)
    let sample = try String(
      contentsOf: Program.packageRoot.appendingPathComponent("Fixtures/sample.jsonl"),
      encoding: .utf8)
    let rowCount = sample.utf8.split(separator: 0x0A).count
    #expect(report["rows"] == .integer(rowCount) && report["usable_rows"] == .integer(rowCount))
    #expect((report["trained_tokens"]?.integerValue ?? 0) > rowCount)
  }

  @Test("demo files that were damaged in the cache are made whole again")
  func damagedDemo() throws {
    #expect(try program.run("data check").code == 0)
    let cache = program.folder.url("cache/qwen-sft")
    let demo = try #require(
      try FileManager.default.contentsOfDirectory(atPath: cache.path).first)
    let config = cache.appendingPathComponent("\(demo)/model/tokenizer.json")
    try Data("{".utf8).write(to: config)
    #expect(try program.run("data check").code == 0)
    #expect(try Data(contentsOf: config).count > 1)
    #expect(try FileManager.default.contentsOfDirectory(atPath: cache.path) == [demo])
  }

  @Test("without a place for the demo files the error says what to set")
  func noCache() throws {
    let file = try program.folder.write("", to: "file")
    let outcome = try program.run("tokenize", environment: ["XDG_CACHE_HOME": file])
    #expect(outcome.code == 1 && outcome.faults.count == 1)
    let none = try program.run("tokenize", environment: ["XDG_CACHE_HOME": "", "HOME": ""])
    #expect(none.code == 1 && none.errors.contains("XDG_CACHE_HOME"))
  }

  @Test("every kind of faulty row is named with its line, and usable rows are counted")
  func faults() throws {
    let good =
      #"{"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}"#
    let rows = [
      good, "{", "[]", "{}", #"{"messages": []}"#,
      #"{"messages": [{"role": "robot", "content": "a"}]}"#,
      #"{"messages": [{"role": "user", "content": ""}, {"role": "assistant", "content": "b"}]}"#,
      #"{"messages": [{"role": "user", "content": null}, {"role": "assistant", "content": "b"}]}"#,
      #"{"messages": [{"role": "user"}, {"role": "assistant", "content": "b"}]}"#,
      #"{"messages": [{"role": "user", "content": "a"}]}"#, good,
      #"{"messages": [{"role": "user", "content": 5}, {"role": "assistant", "content": "b"}]}"#,
    ]
    let path = try program.folder.write(rows.joined(separator: "\n"), to: "rows.jsonl")
    let outcome = try program.run(["data", "check", "--data", path, "--json"])
    #expect(outcome.code == 1 && outcome.faults.count == 1)
    #expect(
      outcome.errors.contains("9 of 12 rows are unusable") || outcome.errors.contains("10 of 12"))
    let report = try JSON.parse(outcome.output)
    #expect(report["rows"] == 12 && report["usable_rows"] == 2 && report["duplicate_rows"] == 1)
    let places = try #require(report["faults"]?.arrayValue).map { fault in
      [fault["line"], fault["usable"]]
    }
    let expected: [[JSON?]] = (2...12).map { [.integer($0), .bool($0 == 11)] }
    #expect(Set(places) == Set(expected))
    for command in ["render", "tokenize", "preview --index 1"] {
      let words = ["data"] + command.split(separator: " ").map(String.init) + ["--data", path]
      let outcome = try program.run(words)
      #expect(outcome.code == 1 && outcome.faults.count == 1)
      #expect(outcome.errors.contains("rows.jsonl:2: "), "\(outcome.errors)")
    }
  }

  @Test("data render and data tokenize give a line a row, in order, also of several files")
  func renderAndTokenize() throws {
    let row = { (text: String) in
      #"{"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "\#(text)"}]}"#
    }
    let first = try program.folder.write(row("one") + "\n\n" + row("two") + "\n", to: "a.jsonl")
    let second = try program.folder.write("[\(row("three")),\n\(row("four"))]", to: "b.json")
    let rendered = try program.run(["data", "render", "--data", first, "--data_path", second])
    let texts = try lines(rendered.output).map { $0.stringValue ?? "" }
    #expect(texts.count == 4)
    for (text, word) in zip(texts, ["one", "two", "three", "four"]) {
      #expect(text == "<|im_start|>user\nq<|im_end|>\n<|im_start|>assistant\n\(word)<|im_end|>\n")
    }
    let tokenized = try program.run(["data", "tokenize", "--data", first, second])
    for (value, text) in zip(try lines(tokenized.output), texts) {
      let ids = try #require(value["input_ids"])
      let labels = try #require(value["labels"]?.arrayValue)
      let decoded = try program.run("tokenize --decode", input: ids.serialized() + "\n")
      #expect(try lines(decoded.output).first == .string(text))
      let trained = labels.filter { $0 != -100 }
      #expect(!trained.isEmpty && trained.count < labels.count)
      #expect(Array(labels.suffix(trained.count)) == trained)
    }
    let cut = try program.run([
      "data", "tokenize", "--data", first, "--max_seq_length", "3", "--truncation", "keep_end",
    ])
    #expect(try lines(cut.output).allSatisfy { $0["labels"]?.arrayValue?.count == 3 })
    let dropped = try program.run([
      "data", "tokenize", "--data", first, "--max_length", "3", "--truncation", "drop",
    ])
    #expect(dropped.code == 0 && dropped.output.isEmpty)
    let refused = try program.run([
      "data", "tokenize", "--data", first, "--max_length", "3", "--truncation", "error",
    ])
    #expect(refused.code == 1 && refused.errors.contains("a.jsonl:1: "))
  }

  @Test("rows without an answer can be rendered, with the header of an answer after them")
  func questions() throws {
    let path = try program.folder.write(
      #"{"messages": [{"role": "user", "content": "q"}]}"# + "\n", to: "a.jsonl")
    let plain = "<|im_start|>user\nq<|im_end|>\n"
    let rendered = try program.run(["data", "render", "--data", path])
    #expect(try lines(rendered.output) == [.string(plain)])
    let prompted = try program.run(["data", "render", "--data", path, "--add_generation_prompt"])
    #expect(try lines(prompted.output) == [.string(plain + "<|im_start|>assistant\n")])
    let tokenized = try lines(program.run(["data", "tokenize", "--data", path]).output)
    #expect(tokenized.first?["labels"]?.arrayValue?.allSatisfy { $0 == -100 } == true)
    #expect(try program.run(["data", "check", "--data", path]).code == 1)
  }

  @Test("data preview marks the trained text, and its page escapes the data")
  func preview() throws {
    let path = try program.folder.write(
      #"{"messages": [{"role": "user", "content": "<b>&"}, {"role": "assistant", "content": "yes"}]}"#,
      to: "a.jsonl")
    let shown = try program.run(["data", "preview", "--data", path])
    #expect(shown.output.contains("⟦yes<|im_end|>\n⟧"))
    #expect(!shown.output.contains("\u{1B}"))
    let page = program.folder.url("page.html")
    let outcome = try program.run(["data", "preview", "--data", path, "--html", page.path])
    #expect(outcome.code == 0 && outcome.output.isEmpty)
    let html = try String(contentsOf: page, encoding: .utf8)
    #expect(!html.contains("<b>&amp;") && html.contains("&amp;") && html.contains("trained\">y"))
    let beyond = try program.run(["data", "preview", "--data", path, "--index", "7"])
    #expect(beyond.code == 1 && beyond.faults.first?.contains("expected 0 to 0, found 7") == true)
  }

  @Test("an empty file, a missing file and a folder are errors")
  func badFiles() throws {
    let empty = try program.folder.write("\n", to: "empty.jsonl")
    for path in [empty, "/nonexistent/x.jsonl", program.folder.url.path] {
      for command in ["check", "render", "tokenize", "preview"] {
        let outcome = try program.run(["data", command, "--data", path])
        #expect(outcome.code == 1 && outcome.output.isEmpty && outcome.faults.count == 1)
        #expect(outcome.errors.contains(path))
      }
    }
  }
}
