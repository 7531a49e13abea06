// The insertion-ordered object of a JSON document. It behaves as Python's dict: a repeated key keeps its
// first place and takes the last value.

import OrderedCollections

/// A JSON object: keys in the order of their first appearance, compared by UTF-8 bytes.
///
/// Two objects are equal when they hold equal values under the same keys in the same order.
public struct JSONObject: Sendable, Hashable {
  private var storage: OrderedDictionary<UTF8Key, JSON>

  /// An empty object.
  public init() { storage = [:] }

  /// An object of the given pairs; a repeated key keeps its first place and its last value.
  public init(_ pairs: some Sequence<(String, JSON)>) {
    storage = [:]
    for (key, value) in pairs { storage[UTF8Key(key)] = value }
  }

  /// The value of `key`, nil where absent. Setting appends or replaces in place; setting nil removes.
  public subscript(key: String) -> JSON? {
    get { storage[UTF8Key(key)] }
    set { storage[UTF8Key(key)] = newValue }
  }

  /// The keys in order.
  public var keys: [String] { storage.keys.map(\.text) }

  /// The values in order.
  public var values: [JSON] { Array(storage.values) }

  /// The place of `key` in the order, nil where absent.
  public func index(ofKey key: String) -> Int? { storage.index(forKey: UTF8Key(key)) }

  /// Removes `key` and returns its value, nil where it was absent; the others keep their order.
  @discardableResult
  public mutating func removeValue(forKey key: String) -> JSON? {
    storage.removeValue(forKey: UTF8Key(key))
  }

  /// Makes room for `count` keys in all.
  public mutating func reserveCapacity(_ count: Int) { storage.reserveCapacity(count) }

  /// Sets `key` to `value`, and says whether the key was already there.
  package mutating func update(_ key: String, to value: JSON) -> Bool {
    storage.updateValue(value, forKey: UTF8Key(key)) != nil
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
