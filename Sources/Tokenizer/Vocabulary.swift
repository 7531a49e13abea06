// The token strings of the model and their ids: one run of bytes and an open-addressing table.
// Added tokens are not in here unless the model's own vocabulary has them too.

/// Token strings by id and ids by token string, compared byte by byte.
struct Vocabulary: Sendable {
  /// All token strings, one after the other.
  private(set) var contents: [UInt8] = []
  /// The number of tokens.
  private(set) var count = 0

  private var starts: [UInt32] = []
  private var lengths: [Int32] = []
  private var slots: [Int32] = []
  private let seed = UInt64.random(in: .min ... .max)

  /// One past the greatest id.
  var idLimit: Int { starts.count }

  /// A list of tokens in the order of a file, from which a vocabulary is built.
  struct Builder {
    /// The strings so far, one after the other.
    var contents: [UInt8] = []
    fileprivate var entries: [(id: Int, end: Int)] = []

    /// Closes the string that was appended to `contents`.
    mutating func endToken(id: Int) { entries.append((id, contents.count)) }
  }

  /// Why a list of tokens is no vocabulary.
  enum Fault: Error {
    /// An id is negative, or so great that most ids below it have no token.
    case idOutOfRange(Int, limit: Int)
    /// Two tokens have one id.
    case repeatedID(Int)
    /// A token string is there twice.
    case repeatedToken([UInt8])
    /// The strings are too long together.
    case tooLarge(Int)
  }

  /// An empty vocabulary.
  init() {}

  /// Builds the look-ups. Memory is linear in the strings' bytes and in their number.
  init(_ builder: consuming Builder) throws(Fault) {
    contents = builder.contents
    guard contents.count < Int(UInt32.max) else { throw .tooLarge(contents.count) }
    let entries = builder.entries
    count = entries.count
    let limit = entries.count * 8 + 65_536
    var idCount = 0
    for entry in entries {
      if entry.id < 0 || entry.id >= limit { throw .idOutOfRange(entry.id, limit: limit) }
      idCount = max(idCount, entry.id + 1)
    }
    starts = [UInt32](repeating: 0, count: idCount)
    lengths = [Int32](repeating: -1, count: idCount)
    var slotCount = 16
    while slotCount < entries.count * 2 { slotCount *= 2 }
    slots = [Int32](repeating: -1, count: slotCount)
    var start = 0
    for entry in entries {
      if lengths[entry.id] >= 0 { throw .repeatedID(entry.id) }
      let slot = slot(of: contents, start..<entry.end)
      if slots[slot] >= 0 { throw .repeatedToken(Array(contents[start..<entry.end])) }
      starts[entry.id] = UInt32(start)
      lengths[entry.id] = Int32(entry.end - start)
      slots[slot] = Int32(entry.id)
      start = entry.end
    }
  }

  /// The place of a token's string in `contents`, or nil if no token has the id.
  @inline(__always)
  func range(of id: Int32) -> Range<Int>? {
    let index = Int(id)
    guard index >= 0, index < lengths.count, lengths[index] >= 0 else { return nil }
    let start = Int(starts[index])
    return start..<(start + Int(lengths[index]))
  }

  /// The id of the token whose string is a part of `bytes`, or nil.
  func id(of bytes: [UInt8], _ range: Range<Int>) -> Int32? {
    if slots.isEmpty { return nil }
    let id = slots[slot(of: bytes, range)]
    return id < 0 ? nil : id
  }

  /// The id of a token string, or nil.
  func id(of bytes: [UInt8]) -> Int32? { id(of: bytes, 0..<bytes.count) }

  /// The slot that holds the string, or the free one where it belongs.
  private func slot(of bytes: [UInt8], _ range: Range<Int>) -> Int {
    var hash = seed
    for i in range { hash = (hash ^ UInt64(bytes[i])) &* 0x0000_0100_0000_01B3 }
    hash = (hash ^ hash >> 32) &* 0x9E37_79B9_7F4A_7C15
    let mask = slots.count - 1
    var index = Int(truncatingIfNeeded: hash >> 32) & mask
    while true {
      let id = slots[index]
      if id < 0 || hasContent(id, bytes, range) { return index }
      index = (index + 1) & mask
    }
  }

  private func hasContent(_ id: Int32, _ bytes: [UInt8], _ range: Range<Int>) -> Bool {
    guard Int(lengths[Int(id)]) == range.count else { return false }
    let start = Int(starts[Int(id)])
    for i in 0..<range.count where contents[start + i] != bytes[range.lowerBound + i] {
      return false
    }
    return true
  }
}
