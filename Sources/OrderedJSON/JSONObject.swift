// The insertion-ordered object of a JSON document. It behaves as Python's dict: a repeated key keeps its
// first place and takes the last value.

import OrderedCollections

/// A JSON object: keys in the order of their first appearance, compared by UTF-8 bytes.
///
/// Two objects are equal when they hold equal values under the same keys in the same order.
public struct JSONObject: Sendable, Hashable {
  private var storage: OrderedDictionary<JSONKey, JSON>

  /// An empty object.
  public init() { storage = [:] }

  /// An object of the given pairs; a repeated key keeps its first place and its last value.
  public init(_ pairs: some Sequence<(String, JSON)>) {
    storage = [:]
    for (key, value) in pairs { storage[JSONKey(key)] = value }
  }

  /// The value of `key`, nil where absent. Setting appends or replaces in place; setting nil removes.
  public subscript(key: String) -> JSON? {
    get { storage[JSONKey(key)] }
    set { storage[JSONKey(key)] = newValue }
  }

  /// The keys in order.
  public var keys: [String] { storage.keys.map(\.text) }

  /// The values in order.
  public var values: [JSON] { Array(storage.values) }

  /// The place of `key` in the order, nil where absent.
  public func index(ofKey key: String) -> Int? { storage.index(forKey: JSONKey(key)) }

  /// Removes `key` and returns its value, nil where it was absent; the others keep their order.
  @discardableResult
  public mutating func removeValue(forKey key: String) -> JSON? {
    storage.removeValue(forKey: JSONKey(key))
  }

  /// Makes room for `count` keys in all.
  public mutating func reserveCapacity(_ count: Int) { storage.reserveCapacity(count) }

  /// Sets `key` to `value`, and says whether the key was already there.
  package mutating func update(_ key: String, to value: JSON) -> Bool {
    storage.updateValue(value, forKey: JSONKey(key)) != nil
  }
}

extension JSONObject: RandomAccessCollection {
  /// A key with its value.
  public typealias Element = (key: String, value: JSON)

  /// Zero.
  public var startIndex: Int { 0 }

  /// The number of keys.
  public var endIndex: Int { storage.count }

  /// The pair at `position` in the order.
  public subscript(position: Int) -> Element {
    let pair = storage.elements[position]
    return (key: pair.key.text, value: pair.value)
  }
}

extension JSONObject: ExpressibleByDictionaryLiteral {
  /// An object in the order written.
  public init(dictionaryLiteral elements: (String, JSON)...) { self.init(elements) }
}

/// A string that is equal and hashes by its UTF-8 bytes.
struct JSONKey: Hashable, Sendable {
  let text: String

  init(_ text: String) { self.text = text }

  static func == (left: JSONKey, right: JSONKey) -> Bool {
    let (a, b) = (left.text.utf8, right.text.utf8)
    return a.count == b.count && a.elementsEqual(b)
  }

  /// Eight bytes at a time into the seeded hasher, so that chosen keys cannot make a table slow.
  func hash(into hasher: inout Hasher) {
    var word: UInt64 = 0
    var filled = 0
    for byte in text.utf8 {
      word = word << 8 | UInt64(byte)
      filled += 1
      if filled == 8 {
        hasher.combine(word)
        (word, filled) = (0, 0)
      }
    }
    hasher.combine(word)
    hasher.combine(UInt8(filled))
  }
}
