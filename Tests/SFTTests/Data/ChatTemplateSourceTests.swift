// Which template a model folder gives, and which one serves a row.

import ChatTemplate
import OrderedJSON
import SFT
import Testing

@Suite("Finding chat templates")
struct ChatTemplateSourceTests {
  @Test("chat_template.jinja wins over tokenizer_config.json")
  func files() throws {
    let folder = try DataTestFolder()
    #expect(throws: DataError.self) { try ChatTemplateSource(folder: folder.path) }
    try folder.write(#"{"eos_token": "x", "chat_template": null}"#, "tokenizer_config.json")
    let error = #expect(throws: DataError.self) { try ChatTemplateSource(folder: folder.path) }
    #expect(error?.description.contains("found neither") == true)
    try folder.write(#"{"chat_template": "old"}"#, "chat_template.json")
    #expect(try ChatTemplateSource(folder: folder.path).template(withTools: true).text == "old")
    try folder.write(#"{"chat_template": "config"}"#, "tokenizer_config.json")
    #expect(try ChatTemplateSource(folder: folder.path).template(withTools: false).text == "config")
    try folder.write("jinja", "chat_template.jinja")
    #expect(try ChatTemplateSource(folder: folder.path).template(withTools: true).text == "jinja")
    try folder.write("tools", "additional_chat_templates/tool_use.jinja")
    #expect(try ChatTemplateSource(folder: folder.path).template(withTools: true).text == "tools")
    #expect(try ChatTemplateSource(folder: folder.path).template(withTools: false).text == "jinja")
  }

  @Test("in a list tool_use serves rows with tools, else default")
  func list() throws {
    let folder = try DataTestFolder()
    try folder.write(
      #"{"chat_template": [{"name": "default", "template": "d"}, {"name": "tool_use", "template": "t"}]}"#,
      "tokenizer_config.json")
    let both = try ChatTemplateSource(folder: folder.path)
    #expect(try both.template(withTools: true).text == "t")
    #expect(try both.template(withTools: false).text == "d")
    try folder.write(
      #"{"chat_template": [{"name": "rag", "template": "r"}, {"name": "default", "template": "d"}]}"#,
      "tokenizer_config.json")
    #expect(try ChatTemplateSource(folder: folder.path).template(withTools: true).text == "d")
    try folder.write(
      #"{"chat_template": [{"name": "rag", "template": "r"}]}"#, "tokenizer_config.json")
    let rag = try ChatTemplateSource(folder: folder.path)
    let error = #expect(throws: DataError.self) { try rag.template(withTools: false) }
    #expect(error?.description.contains("found only rag") == true)
  }

  @Test(
    "a malformed file is one clear error",
    arguments: [
      ("{", "expected a key"), ("[]", "expected an object, found an array"),
      (#"{"chat_template": 3}"#, "chat_template: expected a string or a list, found an integer"),
      (#"{"chat_template": {}}"#, "found an object"),
      (#"{"chat_template": ["x"]}"#, "chat_template[0]: expected an object with name and template"),
    ])
  func malformed(_ text: String, _ message: String) throws {
    let folder = try DataTestFolder()
    try folder.write(text, "tokenizer_config.json")
    let error = #expect(throws: DataError.self) { try ChatTemplateSource(folder: folder.path) }
    #expect(error?.description.contains(message) == true, "\(String(describing: error))")
  }

  @Test("rows with tools are rendered with tool_use, and a template that does not parse is named")
  func choice() throws {
    let source = ChatTemplateSource(
      templates: [
        .init(name: "default", text: "plain {{ eos_token }} {{ extra }}", path: "p"),
        .init(name: "tool_use", text: "tools {{ tools | length }}", path: "p"),
      ], folder: "f")
    let encoder = try ConversationEncoder(
      tokenizer: DataTest.tokenizer.get(), templates: source, variables: ["extra": "x"])
    let row = Conversation(messages: [["role": "user", "content": "x"]])
    #expect(try encoder.render(row).text == "plain <|im_end|> x")
    #expect(try encoder.render(Conversation(messages: row.messages, tools: [])).text == "tools 0")
    // Without a default template rows without tools are refused, and no others.
    let toolsOnly = try ConversationEncoder(
      tokenizer: DataTest.tokenizer.get(),
      templates: ChatTemplateSource(templates: Array(source.templates.suffix(1)), folder: "f"))
    #expect(throws: DataError.self) { try toolsOnly.render(row) }
    #expect(
      try toolsOnly.render(Conversation(messages: row.messages, tools: [])).text == "tools 0")
    let error = #expect(throws: DataError.self) { try DataTest.encoder("{% if %}") }
    #expect(error?.description.contains("test.jinja") == true)
  }
}
