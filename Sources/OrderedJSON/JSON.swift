// The JSON value: what a document means, with the order of its keys and the bytes of its strings kept.
// It is not a Codable bridge and knows nothing of any file's meaning.

/// A JSON value whose objects keep the order of their keys.
///
/// Equality and hashing compare strings and keys by their UTF-8 bytes, never by canonical equivalence,
/// and objects with their order; `.integer(1)` and `.number(1)` differ, as does NaN from itself.
public enum JSON: Sendable {
  /// The literal `null`.
  case null
  /// The literals `true` and `false`.
  case bool(Bool)
  /// A number without fraction or exponent that fits `Int`.
  case integer(Int)
  /// A number without fraction or exponent outside `Int`, as its digits with an optional leading minus.
  case bigInteger(String)
  /// A number with a fraction or an exponent, or `NaN`, `Infinity`, `-Infinity` (which Python writes).
  case number(Double)
  /// A string.
  case string(String)
  /// An array.
  case array([JSON])
  /// An object, in the order of its keys.
  case object(JSONObject)
}

extension JSON: Hashable {
  /// Whether both values are the same, strings compared by their bytes.
  public static func == (left: JSON, right: JSON) -> Bool {
    switch (left, right) {
    case (.null, .null): true
    case (.bool(let a), .bool(let b)): a == b
    case (.integer(let a), .integer(let b)): a == b
    case (.bigInteger(let a), .bigInteger(let b)): UTF8Key(a) == UTF8Key(b)
    case (.number(let a), .number(let b)): a == b
    case (.string(let a), .string(let b)): UTF8Key(a) == UTF8Key(b)
    case (.array(let a), .array(let b)): a == b
    case (.object(let a), .object(let b)): a == b
    default: false
    }
  }

  /// Feeds the kind and the content of the value to `hasher`.
  public func hash(into hasher: inout Hasher) {
    switch self {
    case .null: hasher.combine(0)
    case .bool(let value):
      hasher.combine(1)
      hasher.combine(value)
    case .integer(let value):
      hasher.combine(2)
      hasher.combine(value)
    case .bigInteger(let value):
      hasher.combine(3)
      hasher.combine(UTF8Key(value))
    case .number(let value):
      hasher.combine(4)
      hasher.combine(value)
    case .string(let value):
      hasher.combine(5)
      hasher.combine(UTF8Key(value))
    case .array(let value):
      hasher.combine(6)
      hasher.combine(value)
    case .object(let value):
      hasher.combine(7)
      hasher.combine(value)
    }
  }
}

extension JSON {
  /// Whether the value is `null`.
  public var isNull: Bool {
    if case .null = self { true } else { false }
  }

  /// The value of a string, else nil.
  public var stringValue: String? {
    if case .string(let value) = self { value } else { nil }
  }

  /// The value of an integer that fits `Int`, else nil; a number such as `1.0` is not an integer.
  public var integerValue: Int? {
    if case .integer(let value) = self { value } else { nil }
  }

  /// The value of any number, integers included (rounded where they exceed 2⁵³), else nil.
  public var doubleValue: Double? {
    switch self {
    case .number(let value): value
    case .integer(let value): Double(value)
    case .bigInteger(let digits): Double(digits)
    default: nil
    }
  }

  /// The value of `true` or `false`, else nil.
  public var boolValue: Bool? {
    if case .bool(let value) = self { value } else { nil }
  }

  /// The elements of an array, else nil.
  public var arrayValue: [JSON]? {
    if case .array(let value) = self { value } else { nil }
  }

  /// The object, else nil.
  public var objectValue: JSONObject? {
    if case .object(let value) = self { value } else { nil }
  }

  /// The value of `key` in an object; nil where the key is absent or the value is not an object.
  public subscript(key: String) -> JSON? {
    if case .object(let value) = self { value[key] } else { nil }
  }

  /// The kind of the value in words for error messages: "null", "a string", "an object" and so on.
  public var kindDescription: String {
    switch self {
    case .null: "null"
    case .bool: "a boolean"
    case .integer, .bigInteger: "an integer"
    case .number: "a number"
    case .string: "a string"
    case .array: "an array"
    case .object: "an object"
    }
  }
}

extension JSON: ExpressibleByStringLiteral, ExpressibleByIntegerLiteral, ExpressibleByFloatLiteral,
  ExpressibleByBooleanLiteral, ExpressibleByNilLiteral, ExpressibleByArrayLiteral,
  ExpressibleByDictionaryLiteral
{
  /// A string.
  public init(stringLiteral value: String) { self = .string(value) }
  /// An integer.
  public init(integerLiteral value: Int) { self = .integer(value) }
  /// A number.
  public init(floatLiteral value: Double) { self = .number(value) }
  /// A boolean.
  public init(booleanLiteral value: Bool) { self = .bool(value) }
  /// The null value.
  public init(nilLiteral: ()) { self = .null }
  /// An array.
  public init(arrayLiteral elements: JSON...) { self = .array(elements) }
  /// An object in the order written; a repeated key keeps its first place and its last value.
  public init(dictionaryLiteral elements: (String, JSON)...) {
    self = .object(JSONObject(elements))
  }
}
