// Reads the two big tables: a JSON object of token to id, and merges as JSON (both forms that
// `tokenizers` has written) or as the lines of merges.txt.

/// Readers of vocabularies and merges.
enum VocabularyFile {
  /// Takes an object of token strings and ids.
  static func readVocabulary(_ scanner: inout JSONByteScanner, file: String)
    throws(TokenizerError) -> Vocabulary
  {
    var builder = Vocabulary.Builder()
    try scanner.expect("{", "vocabulary")
    var isFirst = true
    while try scanner.next(isFirst: isFirst, closing: "}", "vocabulary") {
      isFirst = false
      try scanner.string(into: &builder.contents, "vocabulary")
      try scanner.expect(":", "vocabulary")
      builder.endToken(id: try scanner.integer("vocabulary"))
    }
    do {
      return try Vocabulary(builder)
    } catch {
      throw malformed(error, file: file)
    }
  }

  /// Takes an array of merges, each "left right" or ["left", "right"].
  static func readMerges(
    _ scanner: inout JSONByteScanner, _ vocabulary: Vocabulary, file: String
  ) throws(TokenizerError) -> MergeTable {
    var merges = MergeTable(capacity: vocabulary.count)
    var text: [UInt8] = []
    var rank = 0
    try scanner.expect("[", "merges")
    while try scanner.next(isFirst: rank == 0, closing: "]", "merges") {
      text.removeAll(keepingCapacity: true)
      let middle: Int
      if scanner.take(UInt8(ascii: "[")) {
        try scanner.string(into: &text, "merges")
        middle = text.count
        try scanner.expect(",", "merges")
        try scanner.string(into: &text, "merges")
        try scanner.expect("]", "merges")
      } else {
        try scanner.string(into: &text, "merges")
        middle = try removeSpace(from: &text, rank: rank, file: file)
      }
      try insert(text, middle, rank: rank, into: &merges, vocabulary, file: file)
      rank += 1
    }
    return merges
  }

  /// Reads vocab.json.
  static func readVocabulary(_ bytes: [UInt8], file: String) throws(TokenizerError) -> Vocabulary {
    guard UTF8Text.isWellFormed(bytes) else {
      throw .malformed(
        file: file, subject: "text", expected: "UTF-8", actual: "other bytes",
        hint: "is the file damaged or packed?")
    }
    var scanner = JSONByteScanner(bytes, file: file)
    let vocabulary = try readVocabulary(&scanner, file: file)
    if scanner.peek() != nil { throw scanner.fault("vocabulary", "the end of the file") }
    return vocabulary
  }

  /// Reads merges.txt: a merge a line, lines that start with "#version" left out.
  static func readMerges(_ bytes: [UInt8], _ vocabulary: Vocabulary, file: String)
    throws(TokenizerError) -> MergeTable
  {
    var merges = MergeTable(capacity: vocabulary.count)
    var rank = 0
    let version = Array("#version".utf8)
    for line in bytes.split(separator: 0x0A, omittingEmptySubsequences: false) {
      if line.starts(with: version) { continue }
      var text = Array(line)
      while let last = text.last, last == 0x0D || last == 0x20 || last == 0x09 { text.removeLast() }
      if text.isEmpty && line.endIndex == bytes.endIndex { continue }
      let middle = try removeSpace(from: &text, rank: rank, file: file)
      try insert(text, middle, rank: rank, into: &merges, vocabulary, file: file)
      rank += 1
    }
    return merges
  }

  private static func insert(
    _ text: [UInt8], _ middle: Int, rank: Int, into merges: inout MergeTable,
    _ vocabulary: Vocabulary, file: String
  ) throws(TokenizerError) {
    let ranges = [0..<middle, middle..<text.count, 0..<text.count]
    guard let left = vocabulary.id(of: text, ranges[0]),
      let right = vocabulary.id(of: text, ranges[1]),
      let merged = vocabulary.id(of: text, ranges[2])
    else {
      let missing = ranges.first { vocabulary.id(of: text, $0) == nil } ?? ranges[2]
      throw .malformed(
        file: file, subject: "merge \(rank)", expected: "tokens of the vocabulary",
        actual: String(decoding: text[missing], as: UTF8.self).debugDescription,
        hint: "do vocabulary and merges belong together?")
    }
    merges.insert(left, right, rank: UInt32(truncatingIfNeeded: rank), merged: merged)
  }

  /// Joins "left right" and returns the length of the left part.
  private static func removeSpace(from text: inout [UInt8], rank: Int, file: String)
    throws(TokenizerError) -> Int
  {
    guard let space = text.firstIndex(of: 0x20), !text[(space + 1)...].contains(0x20) else {
      throw .malformed(
        file: file, subject: "merge \(rank)", expected: "two tokens with one space between",
        actual: String(decoding: text.prefix(64), as: UTF8.self).debugDescription,
        hint: "is the file damaged?")
    }
    text.remove(at: space)
    return space
  }

  private static func malformed(_ fault: Vocabulary.Fault, file: String) -> TokenizerError {
    switch fault {
    case .idOutOfRange(let id, let limit):
      .malformed(
        file: file, subject: "vocabulary", expected: "ids below \(limit)", actual: "\(id)",
        hint: "most ids below it would have no token")
    case .repeatedID(let id):
      .malformed(
        file: file, subject: "vocabulary", expected: "one token an id",
        actual: "two tokens with id \(id)", hint: "is the file damaged?")
    case .repeatedToken(let token):
      .malformed(
        file: file, subject: "vocabulary", expected: "each token once",
        actual: "\(String(decoding: token, as: UTF8.self).debugDescription) twice",
        hint: "is the file damaged?")
    case .tooLarge(let count):
      .malformed(
        file: file, subject: "vocabulary", expected: "less than 4 GiB of text",
        actual: "\(count) bytes", hint: "is the file damaged?")
    }
  }
}
