// The README.md beside an adapter: front matter as the Hub reads it and PEFT writes it, then how to use the thing, what
// it was made of, and what came out. What nobody told, the licence above all, is left out.

/// A model card.
package struct ModelCard: Sendable {
  /// The base model as it was named.
  package var baseModel: String
  /// Whether there is an adapter; else all weights were trained.
  package var isAdapter: Bool
  /// What kind of adapter: "LoRA", "DoRA".
  package var kind: String
  /// Whether the base was in 4 bits in training.
  package var isQuantized = false
  /// The folder that the card is in, for the command lines.
  package var folder: String
  /// Data, settings and results, as names and values.
  package var data: [RunReport.Fact] = [], settings: [RunReport.Fact] = []
  package var results: [RunReport.Fact] = []

  /// A card of what was made from `baseModel` and lies in `folder`.
  package init(baseModel: String, isAdapter: Bool, kind: String, folder: String) {
    (self.baseModel, self.isAdapter, self.kind, self.folder) = (baseModel, isAdapter, kind, folder)
  }

  /// A line that stands in every card of this program: a file without it is somebody else's.
  package static let signature = "<!-- This card was written by qwen-sft. -->"

  /// The card as Markdown.
  package var markdown: String {
    """
    ---
    \(frontMatter)---

    \(Self.signature)

    # \(MarkdownText.escaped(name))

    \(isAdapter ? "A \(kind) adapter for" : "A model fine-tuned from") \(MarkdownText.code(baseModel)), trained on conversations; the loss was on the assistant's tokens alone.

    ## How to use it

    With qwen-sft:

    ```sh
    \(command)
    ```

    \(isAdapter ? "With transformers and peft" : "With transformers"):

    ```python
    \(python)
    ```

    \(table("Training data", data))\(table("Settings", settings))\(table("Results", results))Every setting is in `recipe.yaml`, the log in `trainer_state.json`.

    """
  }

  private var name: String {
    let parts = folder.split(separator: "/").filter { $0 != "." && $0 != ".." }
    return parts.last.map { String($0) } ?? "Fine-tuned model"
  }

  private var frontMatter: String {
    var text = "base_model: \(MarkdownText.yaml(baseModel))\n"
    var tags = ["qwen-sft", "sft"]
    if isAdapter {
      text += "library_name: peft\n"
      tags = ["base_model:adapter:\(baseModel)", "lora"] + tags
    } else {
      text += "library_name: transformers\n"
    }
    text += "pipeline_tag: text-generation\ntags:\n"
    for tag in tags { text += "- \(MarkdownText.yaml(tag))\n" }
    return text
  }

  private var command: String {
    isAdapter
      ? "qwen-sft chat --model \(Self.shell(baseModel)) --adapter \(Self.shell(folder))"
        + (isQuantized ? " --use_qlora" : "") + " --prompt 'Who are you?'"
      : "qwen-sft chat --model \(Self.shell(folder)) --prompt 'Who are you?'"
  }

  private var python: String {
    let (base, own) = (Self.python(baseModel), Self.python(folder))
    let load =
      isAdapter
      ? """
      from peft import PeftModel
      from transformers import AutoModelForCausalLM, AutoTokenizer

      tokenizer = AutoTokenizer.from_pretrained(\(own))
      model = AutoModelForCausalLM.from_pretrained(\(base))
      model = PeftModel.from_pretrained(model, \(own))
      """
      : """
      from transformers import AutoModelForCausalLM, AutoTokenizer

      tokenizer = AutoTokenizer.from_pretrained(\(own))
      model = AutoModelForCausalLM.from_pretrained(\(own))
      """
    return load + """


      messages = [{"role": "user", "content": "Who are you?"}]
      inputs = tokenizer.apply_chat_template(
          messages, add_generation_prompt=True, return_tensors="pt", return_dict=True)
      output = model.generate(**inputs, max_new_tokens=128)
      print(tokenizer.decode(output[0, inputs["input_ids"].shape[1]:], skip_special_tokens=True))
      """
  }

  private func table(_ title: String, _ facts: [RunReport.Fact]) -> String {
    guard !facts.isEmpty else { return "" }
    let rows = facts.map {
      "| \(MarkdownText.escaped($0.name)) | \(MarkdownText.escaped($0.value)) |\n"
    }
    return "## \(title)\n\n| | |\n|---|---|\n\(rows.joined())\n"
  }

  /// A word of a shell's command line. The code block it stands in must not end within it: line ends become spaces.
  private static func shell(_ text: String) -> String {
    let line = oneLine(text)
    let isPlain =
      !line.isEmpty
      && line.utf8.allSatisfy {
        (0x30...0x39).contains($0) || (0x41...0x5A).contains($0) || (0x61...0x7A).contains($0)
          || [0x2D, 0x2E, 0x2F, 0x5F].contains($0)
      }
    if isPlain { return line }
    return "'"
      + line.utf8.split(separator: 0x27, omittingEmptySubsequences: false)
      .map { String(decoding: $0, as: UTF8.self) }.joined(separator: "'\\''") + "'"
  }

  private static func python(_ text: String) -> String {
    var result = "\""
    for scalar in oneLine(text).unicodeScalars {
      if scalar == "\"" || scalar == "\\" { result += "\\" }
      result.unicodeScalars.append(scalar)
    }
    return result + "\""
  }

  private static func oneLine(_ text: String) -> String {
    String(
      String.UnicodeScalarView(
        text.unicodeScalars.map { HTMLText.name(ofHidden: $0) == nil ? $0 : " " }))
  }
}
