// AdamW with moments in 8 bits. The moments of a block of 256 are numbers only while the block is updated. Every rounding
// is where bitsandbytes' CPU code has it, so that codes and scales have its bits.

extension CPUBackend {
  func adamW8Bit(_ update: AdamWUpdate, _ first: MomentDestination, _ second: MomentDestination) {
    let (parameter, gradient, step) = (update.parameter, update.gradient, update.step)
    switch (parameter.dtype, gradient.dtype) {
    case (.float32, .float32):
      self.update(parameter.pointer(Float.self), gradient, first, second, step)
    case (.bfloat16, .float32):
      self.update(parameter.pointer(BFloat16.self), gradient, first, second, step)
    default:
      preconditionFailure(
        "adamW in 8 bits: no kernel for \(gradient.dtype.rawValue) into \(parameter.dtype.rawValue)"
      )
    }
  }

  private func update<P: KernelElement>(
    _ parameter: UnsafeMutablePointer<P>, _ gradient: Operand, _ firstMoment: MomentDestination,
    _ secondMoment: MomentDestination, _ step: AdamWStep
  ) where P.Compute == Float {
    let (count, blockSize) = (gradient.count, DynamicMap.blockSize)
    let gradient = gradient.pointer(Float.self)
    let factors = AdamWFactors<Float>(step)
    parallelFor(Moment.blockCount(count), grain: 8192 / blockSize) { blocks in
      withUnsafeTemporaryAllocation(of: Float.self, capacity: 2 * blockSize) { scratch in
        guard let first = scratch.baseAddress else { return }
        let second = first + blockSize
        let firstBlocks = MomentBlocks(firstMoment, .signed)
        let secondBlocks = MomentBlocks(secondMoment, .unsigned)
        for block in blocks {
          let start = block * blockSize
          let length = min(blockSize, count - start)
          firstBlocks.read(block, length, into: first)
          secondBlocks.read(block, length, into: second)
          factors.update(parameter + start, gradient + start, first, second, length)
          firstBlocks.write(block, length, from: first)
          secondBlocks.write(block, length, from: second)
        }
      }
    }
  }
}

extension AdamWFactors<Float> {
  /// Updates `count` parameters and the numbers of their moments.
  @inline(__always)
  fileprivate func update<P: KernelElement>(
    _ parameter: UnsafeMutablePointer<P>, _ gradient: UnsafePointer<Float>,
    _ first: UnsafeMutablePointer<Float>, _ second: UnsafeMutablePointer<Float>, _ count: Int
  ) where P.Compute == Float {
    for i in 0..<count {
      let g = gradient[i]
      // torch multiplies and adds with one rounding. The product of two Floats is exact in Double.
      let m = Float(Double(g) * Double(rest1) + Double(first[i] * beta1))
      let v = Float(Double(rest2 * g) * Double(g) + Double(second[i] * beta2))
      first[i] = m
      second[i] = v
      let change = stepSize * m / (v.squareRoot() / correction + epsilon)
      parameter[i] = P(compute: parameter[i].compute * decay - change)
    }
  }
}

/// Reads and writes the blocks of a moment.
private struct MomentBlocks {
  private let codes: UnsafeMutablePointer<UInt8>
  private let scales: UnsafeMutablePointer<Float>
  private let map: DynamicMap

  init(_ moment: MomentDestination, _ map: DynamicMap) {
    codes = moment.codes.pointer(UInt8.self)
    scales = moment.scales.pointer(Float.self)
    self.map = map
  }

  @inline(__always)
  func read(_ block: Int, _ count: Int, into values: UnsafeMutablePointer<Float>) {
    let (codes, scale) = (codes + block * DynamicMap.blockSize, scales[block])
    map.values.withUnsafeBufferPointer { map in
      for i in 0..<count { values[i] = map[Int(codes[i])] * scale }
    }
  }

  @inline(__always)
  func write(_ block: Int, _ count: Int, from values: UnsafePointer<Float>) {
    let codes = codes + block * DynamicMap.blockSize
    var largest: Float = 0
    for i in 0..<count { largest = max(largest, values[i].magnitude) }
    scales[block] = largest
    // Below 2⁻¹²⁶ the reciprocal may be infinite: times 0 that is not a number, whose code is 0, as in the original.
    let factor = 1 / largest
    for i in 0..<count { codes[i] = largest == 0 ? 0 : map.code(of: values[i] * factor) }
  }
}
