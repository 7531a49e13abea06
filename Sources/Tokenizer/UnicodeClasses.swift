// One byte of classes for every code point, unrolled from the tables. It answers what kind a code
// point is and knows neither patterns nor composition.

/// What the split patterns, the added tokens and the NFC quick check ask of a code point.
struct UnicodeClasses: Sendable {
  /// `\p{L}`
  static let letter: UInt8 = 1
  /// `\p{N}`
  static let number: UInt8 = 2
  /// `\p{M}`
  static let mark: UInt8 = 4
  /// `\s`
  static let space: UInt8 = 8
  /// `\w` beside added tokens
  static let word: UInt8 = 16
  /// Not inert under NFC: it is reordered, replaced, or may compose with what stands before it.
  static let active: UInt8 = 32
  /// Replaced under NFC or may compose with what stands before it (a part of `active`).
  static let mayChange: UInt8 = 64

  /// The classes by code point: 0x110000 entries.
  let flags: [UInt8]

  /// The only table, made on first use.
  static let shared = UnicodeClasses()

  private init() {
    var flags = [UInt8](repeating: 0, count: 0x110000)
    func mark(_ runs: [UInt32], _ flag: UInt8) {
      var next = 0
      for i in stride(from: 0, to: runs.count - 1, by: 2) {
        let start = next + Int(runs[i])
        next = start + Int(runs[i + 1])
        for point in start..<next { flags[point] |= flag }
      }
    }
    mark(UnicodeTables.letters, Self.letter)
    mark(UnicodeTables.numbers, Self.number)
    mark(UnicodeTables.marks, Self.mark)
    mark(UnicodeTables.whitespace, Self.space)
    mark(UnicodeTables.words, Self.word)
    let data = NormalizationData.shared
    for run in data.classRuns {
      for point in run.points { flags[Int(point)] |= Self.active }
    }
    for point in data.changing { flags[Int(point)] |= Self.active | Self.mayChange }
    self.flags = flags
  }
}
