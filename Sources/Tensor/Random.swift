// Counter-based random numbers: a value depends on (seed, stream, offset, index) and on nothing that happened
// before, so a recomputed block draws the same numbers and every device draws the same ones.

/// Philox 4×32-10 (Salmon et al. 2011): four 32-bit words from a 128-bit counter and a 64-bit key.
package enum Philox {
  /// The four random words of a counter under a key.
  @inline(__always)
  package static func words(counter: SIMD4<UInt32>, key: UInt64) -> SIMD4<UInt32> {
    // Scalars: as lanes of one vector the words would travel between register files in every round.
    var (c0, c1, c2, c3) = (counter[0], counter[1], counter[2], counter[3])
    var k0 = UInt32(truncatingIfNeeded: key)
    var k1 = UInt32(truncatingIfNeeded: key >> 32)
    for round in 0..<10 {
      if round > 0 {
        k0 = k0 &+ 0x9E37_79B9
        k1 = k1 &+ 0xBB67_AE85
      }
      let p0 = UInt64(c0) &* 0xD251_1F53
      let p1 = UInt64(c2) &* 0xCD9E_8D57
      (c0, c1, c2, c3) = (
        UInt32(truncatingIfNeeded: p1 >> 32) ^ c1 ^ k0, UInt32(truncatingIfNeeded: p1),
        UInt32(truncatingIfNeeded: p0 >> 32) ^ c3 ^ k1, UInt32(truncatingIfNeeded: p0)
      )
    }
    return SIMD4(c0, c1, c2, c3)
  }
}

/// One sequence of random numbers. Sequences with different fields are independent.
public struct RandomStream: Sendable, Hashable {
  /// What the numbers are for. Keeps initialisation, shuffling, dropout and sampling apart.
  public enum Purpose: UInt32, Sendable {
    /// The uses there are. Their numbers are part of every stream and do not change.
    case initialization = 1, shuffle, dropout, sampling, noise, test
  }

  /// The user's seed.
  public var seed: UInt64
  /// What the numbers are for and for which module: purpose · 2²⁴ + index.
  package var stream: UInt32
  /// How often the stream has been used: the micro-batch counter in training.
  package var offset: UInt32

  /// The sequence of `purpose` for the module `index` (below 2²⁴) at use `offset`.
  public init(seed: UInt64, purpose: Purpose, index: Int = 0, offset: Int = 0) {
    self.seed = seed
    stream = purpose.rawValue << 24 | UInt32(truncatingIfNeeded: index & 0xff_ffff)
    self.offset = UInt32(truncatingIfNeeded: offset)
  }

  /// The four words of block `block` of the sequence.
  @inline(__always)
  package func words(block: Int) -> SIMD4<UInt32> {
    let counter = SIMD4<UInt32>(
      UInt32(truncatingIfNeeded: block), UInt32(truncatingIfNeeded: block >> 32), stream, offset)
    return Philox.words(counter: counter, key: seed)
  }
}

/// Draws one number after another from a `RandomStream`, for host code such as shuffling and sampling.
public struct RandomSequence: RandomNumberGenerator, Sendable {
  private let stream: RandomStream
  /// How many 64-bit numbers have been drawn: the whole state.
  public private(set) var drawn: Int

  /// Starts `stream` after `drawn` numbers.
  public init(_ stream: RandomStream, drawn: Int = 0) {
    self.stream = stream
    self.drawn = drawn
  }

  /// The next 64 random bits.
  public mutating func next() -> UInt64 {
    let words = stream.words(block: drawn >> 1)
    let pair = drawn & 1
    drawn += 1
    return UInt64(words[2 * pair]) | UInt64(words[2 * pair + 1]) << 32
  }

  /// Uniform in [0, 1) with 53 bits.
  public mutating func uniform() -> Double { Double(next() >> 11) * 0x1p-53 }
}
