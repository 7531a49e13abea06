// Renders compared with what transformers gives, byte for byte.

import ChatTemplate
import OrderedJSON
import Testing

@Suite struct GoldenTests {
  @Test("Our templates render as transformers renders them")
  func ownTemplates() throws {
    let rows = try TestData.lines(TestData.fixture("goldens.jsonl"))
    #expect(rows.count == 60)
    for row in rows {
      let name = try #require(row["template"]?.stringValue)
      let source = String(decoding: try TestData.fixture(name), as: UTF8.self)
      let prompt = row["add_generation_prompt"]?.boolValue ?? false
      let variables: JSONObject = [
        "bos_token": "<s>", "eos_token": "</s>", "enable_thinking": .bool(prompt),
      ]
      let template = try ChatTemplate(source: source, name: name)
      let label = "\(name) \(row["context"]?.stringValue ?? "") \(prompt)"
      do {
        let chat = try template.render(
          messages: row["messages"]?.arrayValue ?? [], tools: row["tools"]?.arrayValue,
          addGenerationPrompt: prompt, variables: variables)
        #expect(chat.utf8 == row["output"]?.stringValue.map { Array($0.utf8) }, "\(label)")
        let spans = row["generation_spans"]?.arrayValue?.map { span in
          (span.arrayValue?[0].integerValue ?? -1)..<(span.arrayValue?[1].integerValue ?? -1)
        }
        #expect(chat.generationSpans == spans, "\(label)")
        expectCovering(chat)
      } catch {
        #expect(row["error"] != nil, "\(label): \(error)")
      }
    }
  }

  @Test("The language does what jinja2 does")
  func language() throws {
    let rows = try TestData.lines(TestData.fixture("language.jsonl"))
    #expect(rows.count == 36)
    for row in rows {
      let source = try #require(row["template"]?.stringValue)
      do {
        let chat = try ChatTemplate(source: source).render(context: JSONObject())
        let expected = row["output"]?.stringValue.map { Array($0.utf8) }
        #expect(chat.utf8 == expected, "\(source) gives \(chat.text)")
        expectCovering(chat)
      } catch {
        #expect(row["error"] != nil, "\(source): \(error)")
      }
    }
  }

  @Test(
    "Stock Qwen templates render as transformers renders them", .enabled(if: TestData.hasShared))
  func stockTemplates() throws {
    var contexts: [String: JSON] = [:]
    for file in ["contexts", "mask_data_contexts"] {
      let parsed = try JSON.parse(TestData.sharedFile("goldens/\(file).json"))
      for context in parsed.arrayValue ?? [] {
        contexts[context["name"]?.stringValue ?? ""] = context
      }
    }
    var templates: [String: ChatTemplate] = [:]
    let rows = try TestData.lines(TestData.sharedFile("goldens/qwen_template_goldens.jsonl"))
    var same = 0
    for row in rows {
      let name = row["template"]?.stringValue ?? ""
      if templates[name] == nil {
        let source = try TestData.sharedFile("templates/\(name)")
        templates[name] = try ChatTemplate(
          source: String(decoding: source, as: UTF8.self), name: name)
      }
      let template = try #require(templates[name])
      let context = try #require(contexts[row["context"]?.stringValue ?? ""])
      let chat = try? template.render(
        messages: context["messages"]?.arrayValue ?? [], tools: context["tools"]?.arrayValue,
        addGenerationPrompt: row["add_generation_prompt"]?.boolValue ?? false,
        variables: row["kwargs"]?.objectValue ?? JSONObject())
      let expected = row["output"]?.stringValue.map { Array($0.utf8) }
      #expect(chat?.utf8 == expected, "\(name) \(row["context"]?.stringValue ?? "")")
      if chat?.utf8 == expected { same += 1 }
      guard let chat, let spans = row["generation_spans"]?.arrayValue else { continue }
      let scalars = Array(chat.text.unicodeScalars)
      let bytes = spans.map { span in
        let bounds = (span.arrayValue ?? []).map { bound in
          scalars[..<(bound.integerValue ?? 0)].reduce(0) { $0 + UTF8.width($1) }
        }
        return bounds[0]..<bounds[1]
      }
      #expect(chat.generationSpans == bytes, "\(name) \(row["context"]?.stringValue ?? "")")
      expectCovering(chat)
    }
    #expect(same == rows.count && rows.count == 1150)
  }

  @Test("Public Jinja suites give what jinja2 gives", .enabled(if: TestData.hasShared))
  func publicSuites() throws {
    // These three print a Python object's memory address.
    let unmatched: Set<String> = ["syntax-144", "syntax-145", "syntax-146"]
    for file in ["llama_cpp_test_jinja", "minja_test_syntax"] {
      let suite = try JSON.parse(TestData.sharedFile("jinja/\(file).json"))
      for test in suite["cases"]?.arrayValue ?? [] {
        let name = test["name"]?.stringValue ?? ""
        if unmatched.contains(name) { continue }
        var options = LexerOptions()
        options.trimBlocks = test["options"]?["trim_blocks"]?.boolValue ?? true
        options.lstripBlocks = test["options"]?["lstrip_blocks"]?.boolValue ?? true
        options.keepTrailingNewline = test["options"]?["keep_trailing_newline"]?.boolValue ?? false
        let output = try? ChatTemplate(
          source: test["template"]?.stringValue ?? "", name: name, options: options
        ).render(context: test["context"]?.objectValue ?? JSONObject()).utf8
        #expect(output == test["jinja2"]?["output"]?.stringValue.map { Array($0.utf8) }, "\(name)")
      }
    }
  }

  /// Spans cover the text in order without gaps, neighbours differing.
  private func expectCovering(_ chat: RenderedChat) {
    var end = 0
    for (i, span) in chat.spans.enumerated() {
      #expect(span.range.lowerBound == end && !span.range.isEmpty)
      if i > 0 { #expect(chat.spans[i - 1].origin != span.origin) }
      end = span.range.upperBound
    }
    #expect(end == chat.utf8.count)
  }
}
