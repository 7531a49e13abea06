// The signed 8-bit dynamic data type (Dettmers 2016) in which bitsandbytes keeps the scales of blocks: the number of
// leading zeros is the exponent, the rest a linear fraction.

/// The 256 numbers of the signed dynamic map and the way to the nearest one.
package enum DynamicMap {
  /// The numbers in rising order, from just above −1 to 1.
  package static let values: [Float] = {
    var values: [Float] = [0, 1]
    for exponent in 0..<7 {
      let bounds = evenlySpaced(count: (1 << exponent) + 1)
      for (low, high) in zip(bounds, bounds.dropFirst()) {
        let value = powersOfTen[exponent] * ((low + high) / 2)
        values += [value, -value]
      }
    }
    return values.sorted()
  }()

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

  /// The code of every point: the entry nearest to k / 32767.5 − 1, the lower one of two.
  private static let codeOfPoint: [UInt8] = {
    var code = 0
    return (0..<pointCount).map { point in
      let value = Float(point) / 32_767.5 - 1
      while code < 255, values[code + 1] - value < (value - values[code]).magnitude { code += 1 }
      return UInt8(code)
    }
  }()

  /// The code of `value`, which is in [−1, 1] or just beyond; that of −1 where it is not a number.
  package static func code(of value: Float) -> UInt8 {
    let point = (value + 1) * 32_767.5 + 0.5
    let index =
      point >= Float(pointCount - 1) ? pointCount - 1 : point >= 0 ? Int(point) : 0
    return codeOfPoint[index]
  }
}
