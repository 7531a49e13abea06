// One added token as the files describe it. Finding added tokens in text is AddedTokenMatcher's
// work.

/// A token that is cut out of the text before it is split into words.
public struct AddedToken: Sendable, Hashable {
  /// Its text.
  public let content: String
  /// Whether decoding can leave it out.
  public internal(set) var isSpecial: Bool
  /// Whether it is looked for in the normalised text.
  public let isNormalized: Bool
  /// Whether it takes the whitespace before it with it.
  public let lstrip: Bool
  /// Whether it takes the whitespace after it with it.
  public let rstrip: Bool
  /// Whether it is found only where it does not touch other word characters.
  public let isSingleWord: Bool

  /// A token that is found wherever its text stands, unless the flags say otherwise.
  public init(
    content: String, isSpecial: Bool, isNormalized: Bool = false, lstrip: Bool = false,
    rstrip: Bool = false, isSingleWord: Bool = false
  ) {
    self.content = content
    self.isSpecial = isSpecial
    self.isNormalized = isNormalized
    self.lstrip = lstrip
    self.rstrip = rstrip
    self.isSingleWord = isSingleWord
  }

  /// Equality by bytes, not by canonical equivalence.
  public static func == (left: AddedToken, right: AddedToken) -> Bool {
    left.content.utf8.elementsEqual(right.content.utf8) && left.flags == right.flags
  }

  /// Hashes what `==` compares.
  public func hash(into hasher: inout Hasher) {
    hasher.combine(Array(content.utf8))
    hasher.combine(flags)
  }

  private var flags: [Bool] { [isSpecial, isNormalized, lstrip, rstrip, isSingleWord] }
}
