// What stands behind a key of a recipe, with numbers kept as they are written.

import OrderedJSON

/// A value of a recipe.
enum RecipeValue: Sendable, Hashable {
  /// Nothing.
  case null
  /// true or false, unquoted.
  case bool(Bool)
  /// A number, as it is written but for infinity and NaN.
  case number(String)
  /// Any other text.
  case text(String)
  /// Several values.
  case list([RecipeValue])
  /// Keys with values.
  case mapping([(key: String, value: RecipeValue)])

  static func == (a: RecipeValue, b: RecipeValue) -> Bool { a.json == b.json }

  func hash(into hasher: inout Hasher) { hasher.combine(json) }

  /// The value of a word that stands unquoted in YAML.
  init(plain word: String) {
    switch word {
    case "", "~", "null", "Null", "NULL": self = .null
    case "true", "True", "TRUE": self = .bool(true)
    case "false", "False", "FALSE": self = .bool(false)
    case ".inf", ".Inf", ".INF", "+.inf": self = .number("inf")
    case "-.inf", "-.Inf", "-.INF": self = .number("-inf")
    case ".nan", ".NaN", ".NAN": self = .number("nan")
    default:
      let isNumber =
        word.utf8.allSatisfy { (0x2B...0x39).contains($0) || $0 == 0x65 || $0 == 0x45 }
        && Double(word) != nil
      self = isNumber ? .number(word) : .text(word)
    }
  }

  /// The value of a JSON document.
  init(_ json: JSON) {
    switch json {
    case .null: self = .null
    case .bool(let value): self = .bool(value)
    case .string(let text): self = .text(text)
    case .array(let values): self = .list(values.map { RecipeValue($0) })
    case .object(let object): self = .mapping(object.map { ($0.key, RecipeValue($0.value)) })
    default: self = .number(json.serialized())
    }
  }

  /// The value as JSON.
  var json: JSON {
    switch self {
    case .null: .null
    case .bool(let value): .bool(value)
    case .number(let text): (try? JSON.parse(text)) ?? Double(text).map { .number($0) } ?? .null
    case .text(let text): .string(text)
    case .list(let values): .array(values.map(\.json))
    case .mapping(let pairs): .object(JSONObject(pairs.map { ($0.key, $0.value.json) }))
    }
  }

  /// The text of a single value; nil for null, lists and mappings.
  var scalar: String? {
    switch self {
    case .bool(let value): value ? "true" : "false"
    case .number(let text), .text(let text): text
    case .null, .list, .mapping: nil
    }
  }

  /// What it is, for messages.
  var description: String {
    switch self {
    case .null: "null"
    case .bool(let value): value ? "true" : "false"
    case .number(let text): text
    case .text(let text): "'\(text.prefix(60))\(text.count > 60 ? "…" : "")'"
    case .list: "a list"
    case .mapping: "a mapping"
    }
  }
}
