// A running mean of a gradient as an optimizer keeps it.

/// A running mean, one number for each element of a parameter, in float32 or in 8 bits.
package struct Moment: Sendable {
  /// The numbers, or their codes (uint8) where there are scales. The shape is that of the parameter.
  package var values: Tensor
  /// The largest magnitude of each block of 256 elements, float32 [⌈count / 256⌉]; nil where `values` are the numbers.
  package var scales: Tensor?

  /// The mean of nothing, for a parameter: 0, in the parameter's accumulation type or in 8 bits.
  package init(of parameter: Tensor, in8Bits: Bool) {
    let dtype = parameter.dtype.accumulation
    guard in8Bits else {
      values = parameter.zerosLike(dtype: dtype)
      return
    }
    precondition(dtype == .float32, "moment: 8 bits for \(parameter.dtype.rawValue)")
    // Where the scale is 0, so are the numbers, whatever their codes.
    values = parameter.zerosLike(dtype: .uint8)
    scales = .zeros([Moment.blockCount(parameter.count)], like: parameter).cast(to: .float32)
  }

  /// A mean of these numbers.
  package init(_ values: Tensor) { self.values = values }

  /// Blocks of `count` elements that share a scale.
  package static func blockCount(_ count: Int) -> Int {
    (count + DynamicMap.blockSize - 1) / DynamicMap.blockSize
  }

  /// Bytes of a moment of `count` elements.
  package static func byteCount(_ count: Int, in8Bits: Bool) -> Int {
    in8Bits ? count + 4 * blockCount(count) : 4 * count
  }
}
