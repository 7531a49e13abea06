// The 4-bit NormalFloat data type (Dettmers et al. 2023), with the numbers of bitsandbytes.

/// Constants of NF4: sixteen levels in [−1, 1], and blocks that share a scale.
package enum NF4 {
  /// The level of each code.
  package static let codeBook: [Float] = [
    -1, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453, -0.28444138169288635,
    -0.18477343022823334, -0.09105003625154495, 0, 0.07958029955625534, 0.16093020141124725,
    0.24611230194568634, 0.33791524171829224, 0.44070982933044434, 0.5626170039176941,
    0.7229568362236023, 1,
  ]

  /// Halfway between neighbouring levels; a number on such a point takes the lower code.
  package static let decisionPoints: [Float] = zip(codeBook, codeBook.dropFirst()).map {
    ($0 + $1) / 2
  }

  /// The code of 0, which also fills the last byte of an odd number of elements.
  package static let zeroCode: UInt8 = 7

  /// The smallest scale that is divided by: 10⁻³⁸, which is below the normal range.
  package static let smallestScale = Float(bitPattern: 0x006C_E3EE)

  /// Elements that may share a scale.
  package static let blockSizes = [32, 64, 128, 256, 512, 1024, 2048, 4096]

  /// Scales that share a scale of their own in double quantization.
  package static let nestedBlockSize = 256
}
