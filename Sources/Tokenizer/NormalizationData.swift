// Look-ups for NFC: combining classes, canonical decompositions and compositions, unrolled from the
// tables. The algorithm that uses them is in Normalization.swift.

/// The Unicode data of NFC, of the Unicode version that `tokenizers` normalises by.
struct NormalizationData: Sendable {
  /// A run of code points of one combining class.
  struct ClassRun: Sendable {
    /// The code points.
    let points: Range<UInt32>
    /// Their canonical combining class, not 0.
    let combiningClass: UInt8
  }

  /// Runs of non-zero combining class, ascending.
  let classRuns: [ClassRun]
  /// Code points that NFC replaces or that may compose with what stands before them.
  let changing: [UInt32]

  private let decomposed: [UInt32]
  private let parts: [(first: UInt32, second: UInt32)]
  private let composites: [UInt64: UInt32]

  /// The only instance, made on first use.
  static let shared = NormalizationData()

  private init() {
    var next: UInt32 = 0
    let classes = NormalizationTables.combiningClasses
    classRuns = stride(from: 0, to: classes.count - 2, by: 3).map { i in
      let start = next + classes[i]
      next = start + classes[i + 1]
      return ClassRun(
        points: start..<next, combiningClass: UInt8(truncatingIfNeeded: classes[i + 2]))
    }

    var excluded: Set<UInt32> = []
    let runs = NormalizationTables.excluded
    next = 0
    for i in stride(from: 0, to: runs.count - 1, by: 2) {
      let start = next + runs[i]
      next = start + runs[i + 1]
      excluded.formUnion(start..<next)
    }

    var decomposed: [UInt32] = []
    var parts: [(first: UInt32, second: UInt32)] = []
    var composites: [UInt64: UInt32] = [:]
    var changing: Set<UInt32> = []
    let table = NormalizationTables.decompositions
    var point: UInt32 = 0
    for i in stride(from: 0, to: table.count - 2, by: 3) {
      point += table[i]
      let (first, second) = (table[i + 1], table[i + 2])
      decomposed.append(point)
      parts.append((first, second))
      if second == 0 || excluded.contains(point) {
        changing.insert(point)
      } else {
        composites[Self.key(first, second)] = point
        changing.insert(second)
      }
    }
    changing.formUnion(Hangul.vowels)
    changing.formUnion(Hangul.trailing)
    self.decomposed = decomposed
    self.parts = parts
    self.composites = composites
    self.changing = changing.sorted()
  }

  /// The canonical combining class of a code point.
  func combiningClass(of point: UInt32) -> UInt8 {
    var (low, high) = (0, classRuns.count)
    while low < high {
      let middle = (low + high) / 2
      let run = classRuns[middle]
      if point < run.points.lowerBound {
        high = middle
      } else if point >= run.points.upperBound {
        low = middle + 1
      } else {
        return run.combiningClass
      }
    }
    return 0
  }

  /// Calls `body` with each code point of the full canonical decomposition, in order.
  func decompose(_ point: UInt32, _ body: (UInt32) -> Void) {
    if Hangul.syllables.contains(point) {
      let index = point - Hangul.syllables.lowerBound
      body(0x1100 + index / 588)
      body(0x1161 + index % 588 / 28)
      if index % 28 != 0 { body(0x11A7 + index % 28) }
      return
    }
    guard let index = decompositionIndex(of: point) else {
      body(point)
      return
    }
    let (first, second) = parts[index]
    decompose(first, body)
    if second != 0 { decompose(second, body) }
  }

  /// The primary composite of two code points, if there is one.
  func compose(_ first: UInt32, _ second: UInt32) -> UInt32? {
    if Hangul.leading.contains(first), Hangul.vowels.contains(second) {
      return 0xAC00 + (first - 0x1100) * 588 + (second - 0x1161) * 28
    }
    if Hangul.syllables.contains(first), (first - 0xAC00) % 28 == 0,
      Hangul.trailing.contains(second)
    {
      return first + (second - 0x11A7)
    }
    return composites[Self.key(first, second)]
  }

  private func decompositionIndex(of point: UInt32) -> Int? {
    var (low, high) = (0, decomposed.count)
    while low < high {
      let middle = (low + high) / 2
      if decomposed[middle] < point { low = middle + 1 } else { high = middle }
    }
    return low < decomposed.count && decomposed[low] == point ? low : nil
  }

  private static func key(_ first: UInt32, _ second: UInt32) -> UInt64 {
    UInt64(first) << 32 | UInt64(second)
  }

  /// The conjoining jamo and the syllables that are composed of them (Unicode 3.12).
  private enum Hangul {
    static let leading: Range<UInt32> = 0x1100..<0x1113
    static let vowels: Range<UInt32> = 0x1161..<0x1176
    static let trailing: Range<UInt32> = 0x11A8..<0x11C3
    static let syllables: Range<UInt32> = 0xAC00..<0xD7A4
  }
}
