// Random numbers: the generator against published vectors, streams, fills and dropout.

import Tensor
import TensorTestSupport
import Testing

@Suite("Random numbers")
struct RandomTests {
  /// Random123 1.14, `kat_vectors`, philox4x32 10 rounds: counter, key, expected words.
  static let knownAnswers: [(counter: SIMD4<UInt32>, key: UInt64, words: SIMD4<UInt32>)] = [
    (SIMD4(0, 0, 0, 0), 0, SIMD4(0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8)),
    (
      SIMD4(repeating: .max), .max, SIMD4(0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd)
    ),
    (
      SIMD4(0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344), 0x299f_31d0_a409_3822,
      SIMD4(0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1)
    ),
  ]

  @Test("Philox gives the published words", arguments: knownAnswers)
  func philox(counter: SIMD4<UInt32>, key: UInt64, words: SIMD4<UInt32>) {
    #expect(Philox.words(counter: counter, key: key) == words)
    let reference = ReferenceOps.philox(
      counter: (0..<4).map { counter[$0] },
      key: [UInt32(truncatingIfNeeded: key), UInt32(truncatingIfNeeded: key >> 32)])
    #expect(reference == (0..<4).map { words[$0] })
  }

  @Test("streams that differ in one field give different numbers")
  func streams() throws {
    let base = RandomStream(seed: 1, purpose: .test, index: 1, offset: 1)
    let others = [
      RandomStream(seed: 2, purpose: .test, index: 1, offset: 1),
      RandomStream(seed: 1, purpose: .dropout, index: 1, offset: 1),
      RandomStream(seed: 1, purpose: .test, index: 2, offset: 1),
      RandomStream(seed: 1, purpose: .test, index: 1, offset: 2),
      RandomStream(seed: 1 << 32 | 1, purpose: .test, index: 1, offset: 1),
    ]
    let first = try Tensor.uniform([64], stream: base).array(of: Float.self)
    #expect(try Tensor.uniform([64], stream: base).array(of: Float.self) == first)
    for other in others {
      let values = try Tensor.uniform([64], stream: other).array(of: Float.self)
      #expect(zip(first, values).filter { $0 == $1 }.isEmpty)
    }
  }

  @Test("a longer fill begins like a shorter one")
  func prefixes() throws {
    let stream = RandomStream(seed: 9, purpose: .noise)
    let long = try Tensor.normal([40_003], stream: stream).array(of: Float.self)
    for count in [1, 2, 3, 5, 4097] {
      #expect(
        try Tensor.normal([count], stream: stream).array(of: Float.self) == Array(long[..<count]))
    }
  }

  @Test("uniform and normal numbers have their moments")
  func moments() throws {
    let count = 400_000
    let uniform = try Tensor.uniform(
      [count], low: -1, high: 3, stream: RandomStream(seed: 4, purpose: .test)
    ).doubles()
    #expect(uniform.allSatisfy { $0 >= -1 && $0 < 3 })
    let mean = uniform.reduce(0, +) / Double(count)
    #expect((mean - 1).magnitude < 5 * (16.0 / 12 / Double(count)).squareRoot())
    let normal = try Tensor.normal([count], stream: RandomStream(seed: 5, purpose: .test)).doubles()
    let (m1, m2, m4) = normal.reduce(into: (0.0, 0.0, 0.0)) {
      $0.0 += $1
      $0.1 += $1 * $1
      $0.2 += $1 * $1 * $1 * $1
    }
    let n = Double(count)
    #expect((m1 / n).magnitude < 5 / n.squareRoot())
    #expect((m2 / n - 1).magnitude < 5 * (2 / n).squareRoot())
    #expect((m4 / n - 3).magnitude < 5 * (96 / n).squareRoot())
    #expect(normal.allSatisfy { $0.isFinite })
  }

  @Test("a sequence resumes where it was left")
  func sequence() {
    let stream = RandomStream(seed: 6, purpose: .shuffle, index: 2)
    var whole = RandomSequence(stream)
    let numbers = (0..<11).map { _ in whole.next() }
    #expect(whole.drawn == 11 && Set(numbers).count == 11)
    var resumed = RandomSequence(stream, drawn: 5)
    #expect((5..<11).map { _ in resumed.next() } == Array(numbers[5...]))
    let words = ReferenceOps.words(stream, count: 4)
    #expect(numbers[0] == UInt64(words[0]) | UInt64(words[1]) << 32)
    #expect(numbers[1] == UInt64(words[2]) | UInt64(words[3]) << 32)
  }

  @Test(
    "dropout keeps 1 − p of the elements, scaled, and repeats its mask",
    arguments: [0.0, 0.05, 0.1, 0.5, 0.9])
  func dropout(probability: Double) throws {
    let count = 300_001
    let stream = RandomStream(seed: 8, purpose: .dropout, index: 4, offset: 1)
    let ones = Tensor.ones([count])
    let dropped = try ones.droppedOut(probability: probability, stream: stream).doubles()
    let kept = dropped.filter { $0 != 0 }
    let factor = Double(Float(1 / (1 - probability)))
    #expect(kept.allSatisfy { $0 == factor })
    let rate = Double(kept.count) / Double(count)
    // Five standard deviations, and half a step of the 16 bits that decide.
    let spread = (probability * (1 - probability) / Double(count)).squareRoot()
    #expect((rate - (1 - probability)).magnitude <= 5 * spread + 0x1p-17)
    let dy = Tensor.normal([count], stream: RandomStream(seed: 1, purpose: .test))
    let dx = try dy.droppedOut(probability: probability, stream: stream).doubles()
    #expect(zip(dropped, dx).allSatisfy { ($0 == 0) == ($1 == 0) })
    let later = RandomStream(seed: 8, purpose: .dropout, index: 4, offset: 2)
    let other = try ones.droppedOut(probability: probability, stream: later).doubles()
    #expect(probability == 0 || other != dropped)
  }
}
