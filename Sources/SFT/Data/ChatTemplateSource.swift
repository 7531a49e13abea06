// Finding the chat template of a model folder. Which template serves a row is decided as transformers does.

import Files
import OrderedJSON

/// The chat templates of a model folder, as text.
public struct ChatTemplateSource: Sendable {
  /// A template by its name; a folder with only one calls it "default".
  public struct Template: Sendable, Hashable {
    /// The name.
    public let name: String
    /// The Jinja text.
    public let text: String
    /// The file it was found in.
    public let path: String

    /// Whether it is one of a list of named templates.
    private let isNamed: Bool

    /// A template; `isNamed` where its name tells it from others of the same file.
    public init(name: String = "default", text: String, path: String, isNamed: Bool = false) {
      (self.name, self.text, self.path, self.isNamed) = (name, text, path, isNamed)
    }

    /// What errors call it: its file, and where the file holds more than it, its place in it.
    var label: String { label(of: FileSystem.name(of: path)) }

    /// The label with the folder in front.
    var fullLabel: String { label(of: path) }

    private func label(of file: String) -> String {
      if file.utf8.suffix(6).elementsEqual(".jinja".utf8) { return file }
      return "\(file), chat_template\(isNamed ? " \(RowProblem.shortened(name))" : "")"
    }
  }

  /// The templates found.
  public let templates: [Template]
  /// The folder, for errors.
  public let folder: String

  /// Templates given directly.
  public init(templates: [Template], folder: String) {
    (self.templates, self.folder) = (templates, folder)
  }

  /// The templates of `folder`: chat_template.jinja (with additional_chat_templates/NAME.jinja beside it),
  /// else `chat_template` in tokenizer_config.json, which is a text or a list of named texts, else in
  /// chat_template.json.
  ///
  /// - Throws: ``DataError/templateSource(path:problem:)`` where there is none or it is malformed.
  public init(folder: String) throws(DataError) {
    self.folder = folder
    do throws(FileError) {
      let file = FileSystem.join(folder, "chat_template.jinja")
      if FileSystem.kind(of: file) != nil {
        var templates = [
          Template(name: "default", text: try FileSystem.readText(file), path: file)
        ]
        let more = FileSystem.join(folder, "additional_chat_templates")
        if FileSystem.kind(of: more) == .folder {
          let suffix = ".jinja"
          for entry in try FileSystem.list(more)
          where entry.kind == .file && entry.name.utf8.count > suffix.utf8.count
            && entry.name.utf8.suffix(suffix.utf8.count).elementsEqual(suffix.utf8)
          {
            let path = FileSystem.join(more, entry.name)
            let name = String(decoding: entry.name.utf8.dropLast(suffix.utf8.count), as: UTF8.self)
            templates.append(Template(name: name, text: try FileSystem.readText(path), path: path))
          }
        }
        self.templates = templates
        return
      }
    } catch { throw .file(error) }
    for name in ["tokenizer_config.json", "chat_template.json"] {
      let path = FileSystem.join(folder, name)
      guard FileSystem.kind(of: path) != nil else { continue }
      guard let value = try Self.readObject(path)["chat_template"], !value.isNull else { continue }
      templates = try Self.templates(value, path: path)
      return
    }
    throw .templateSource(
      path: folder,
      problem:
        "expected chat_template.jinja, or chat_template in tokenizer_config.json, found neither "
        + "(is it a chat model's folder?)")
  }

  /// The template for a row: `tool_use` for one with tools where there is such a template, else `default`.
  ///
  /// - Throws: ``DataError/templateSource(path:problem:)`` where neither is there.
  public func template(withTools: Bool) throws(DataError) -> Template {
    func named(_ name: String) -> Template? {
      templates.last { $0.name.utf8.elementsEqual(name.utf8) }
    }
    if withTools, let template = named("tool_use") { return template }
    if let template = named("default") { return template }
    let names = templates.map(\.name).joined(separator: ", ")
    throw .templateSource(
      path: folder,
      problem:
        "expected a chat template named default, found only \(names.isEmpty ? "none" : names)")
  }

  private static func readObject(_ path: String) throws(DataError) -> JSONObject {
    let bytes: [UInt8]
    do throws(FileError) { bytes = try FileSystem.readFile(path) } catch { throw .file(error) }
    let value: JSON
    do throws(JSONError) { value = try JSON.parse(bytes) } catch {
      throw .templateSource(path: path, problem: error.description)
    }
    guard case .object(let object) = value else {
      throw .templateSource(
        path: path, problem: "expected an object, found \(value.kindDescription)")
    }
    return object
  }

  private static func templates(_ value: JSON, path: String) throws(DataError) -> [Template] {
    switch value {
    case .string(let text): return [Template(name: "default", text: text, path: path)]
    case .array(let items):
      var templates: [Template] = []
      for (index, item) in items.enumerated() {
        guard case .string(let name)? = item["name"], case .string(let text)? = item["template"]
        else {
          throw .templateSource(
            path: path,
            problem: "chat_template[\(index)]: expected an object with name and template")
        }
        templates.append(Template(name: name, text: text, path: path, isNamed: true))
      }
      return templates
    default:
      throw .templateSource(
        path: path,
        problem: "chat_template: expected a string or a list, found \(value.kindDescription)")
    }
  }
}
