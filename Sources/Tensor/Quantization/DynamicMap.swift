// The 8-bit dynamic data type (Dettmers 2016, 2022) in which bitsandbytes keeps the scales of blocks and the moments of
// its optimizers: the number of leading zeros is the exponent, the rest a linear fraction.

/// The 256 numbers of a dynamic map and the way to the nearest one.
package struct DynamicMap: Sendable {
  /// Numbers of both signs, from just above −1 to 1.
  package static let signed = DynamicMap(fractionBits: 0, isSigned: true)
  /// Numbers from 0 to 1, twice as dense.
  package static let unsigned = DynamicMap(fractionBits: 1, isSigned: false)

  /// Numbers that share a scale where tensors are kept in 8 bits.
  package static let blockSize = 256

  /// The numbers in rising order.
  package let values: [Float]
  /// The code of every point: the entry nearest to k / 32767.5 − 1, the lower one of two.
  package let codeOfPoint: [UInt8]

  /// `fractionBits` is the number of bits of the fraction at the smallest exponent.
  private init(fractionBits: Int, isSigned: Bool) {
    var values: [Float] = [0, 1]
    for (exponent, power) in DynamicMap.powersOfTen.enumerated() {
      let bounds = DynamicMap.evenlySpaced(count: (1 << (exponent + fractionBits)) + 1)
      for (low, high) in zip(bounds, bounds.dropFirst()) {
        let value = power * ((low + high) / 2)
        values += isSigned ? [value, -value] : [value]
      }
    }
    values.sort()
    var code = 0
    codeOfPoint = (0..<DynamicMap.pointCount).map { point in
      let value = Float(point) / 32_767.5 - 1
      while code < 255, values[code + 1] - value < (value - values[code]).magnitude { code += 1 }
      return UInt8(code)
    }
    self.values = values
  }

  /// 10⁻⁶ to 1.
  private static let powersOfTen: [Float] = [1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1]

  /// `count` numbers from 0.1 to 1 as torch.linspace gives them: from both ends to the middle, rounded once.
  private static func evenlySpaced(count: Int) -> [Float] {
    let (first, last) = (Float(0.1), Float(1))
    let step = (last - first) / Float(count - 1)
    return (0..<count).map { index in
      index < count / 2
        ? first.addingProduct(step, Float(index))
        : last.addingProduct(-step, Float(count - 1 - index))
    }
  }

  /// The number of points on which a value of [−1, 1] is put before its nearest map entry is looked up.
  private static let pointCount = 65_536

  /// The code of `value`, which is in [−1, 1] or just beyond; that of −1 where it is not a number.
  package func code(of value: Float) -> UInt8 {
    let point = (value + 1) * 32_767.5 + 0.5
    let last = DynamicMap.pointCount - 1
    let index = point >= Float(last) ? last : point >= 0 ? Int(point) : 0
    return codeOfPoint[index]
  }
}
