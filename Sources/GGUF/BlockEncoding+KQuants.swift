// The K types: blocks of 256 whose sub-blocks have quantized scales of their own. The sub-blocks of a block are searched
// side by side, one in each lane, which leaves the order of the sums within each as it is in ggml.

import Tensor

extension BlockEncoding {
  /// 8 sub-blocks of 32: x ≈ d·scale·q − dmin·minimum with q in 0…15 and 6-bit scales and minima.
  static func encodeQ4_K(_ x: UnsafePointer<Float>, _ y: UnsafeMutableRawPointer) {
    typealias Lanes = SIMD8<Float>
    var columns = (0..<32).map { _ in Lanes() }
    for lane in 0..<8 {
      for i in 0..<32 { columns[i][lane] = x[32 * lane + i] }
    }
    columns.withUnsafeBufferPointer { columns in
      let (scales, minima, found) = affineScales(columns)
      // 1. The scales and minima in 6 bits.
      let (largestScale, largestMinimum) = (max(0, scales.max()), max(0, minima.max()))
      let scaleFactor = largestScale > 0 ? 63 / largestScale : 0
      let minimumFactor = largestMinimum > 0 ? 63 / largestMinimum : 0
      var (scaleCodes, minimumCodes) = (SIMD8<UInt8>(), SIMD8<UInt8>())
      for j in 0..<8 {
        scaleCodes[j] = UInt8(min(63, max(0, nearest(scaleFactor * scales[j]))))
        minimumCodes[j] = UInt8(min(63, max(0, nearest(minimumFactor * minima[j]))))
      }
      let (d, dMin) = (Half(largestScale / 63).bitPattern, Half(largestMinimum / 63).bitPattern)
      store(d, to: y)
      store(dMin, to: y + 2)
      pack(scaleCodes, minimumCodes, to: y + 4)
      // 2. The numbers once more, with the scales as they can be read back.
      var scale = Lanes()
      var minimum = Lanes()
      for j in 0..<8 {
        scale[j] = Half(bitPattern: d).float * Float(scaleCodes[j])
        minimum[j] = Half(bitPattern: dMin).float * Float(minimumCodes[j])
      }
      let isZero = scale .== 0
      let divisor = scale.replacing(with: 1, where: isZero)
      withUnsafeTemporaryAllocation(of: UInt8.self, capacity: 256) { codes in
        for i in 0..<32 {
          let q = nearest((columns[i] + minimum) / divisor)
            .clamped(lowerBound: Lanes(repeating: 0), upperBound: Lanes(repeating: 15))
            .replacing(with: found[i], where: isZero)
          let bytes = SIMD8<UInt8>(truncatingIfNeeded: SIMD8<Int32>(q))
          for j in 0..<8 { codes[32 * j + i] = bytes[j] }
        }
        for pair in 0..<4 {
          for i in 0..<32 {
            store(
              codes[64 * pair + i] | codes[64 * pair + 32 + i] << 4, to: y + 16 + 32 * pair + i)
          }
        }
      }
    }
  }

  /// The 6-bit scales and minima of 8 sub-blocks in 12 bytes.
  private static func pack(
    _ scales: SIMD8<UInt8>, _ minima: SIMD8<UInt8>, to y: UnsafeMutableRawPointer
  ) {
    for j in 0..<4 {
      store(scales[j] | (scales[j + 4] >> 4) << 6, to: y + j)
      store(minima[j] | (minima[j + 4] >> 4) << 6, to: y + 4 + j)
      store((scales[j + 4] & 15) | (minima[j + 4] & 15) << 4, to: y + 8 + j)
    }
  }

  /// For each of 8 sub-blocks the scale s and minimum m ≥ 0 with the least Σ w·(s·q − m − x)², w = rms(x) + |x|, among the
  /// least-squares fits to 22 roundings one after the other, and the q of that fit.
  private static func affineScales(_ x: UnsafeBufferPointer<SIMD8<Float>>) -> (
    scales: SIMD8<Float>, minima: SIMD8<Float>, codes: [SIMD8<Float>]
  ) {
    typealias Lanes = SIMD8<Float>
    let (zero, top) = (Lanes(repeating: 0), Lanes(repeating: 15))
    var squares = zero
    for value in x { squares += value * value }
    let rms = (squares / 32).squareRoot()
    var (low, high) = (x[0], x[0])
    var weights = [Lanes](repeating: zero, count: 32)
    var (sumW, sumX) = (zero, zero)
    for i in 0..<32 {
      low = pointwiseMin(low, x[i])
      high = pointwiseMax(high, x[i])
      let magnitude = x[i].replacing(with: -x[i], where: x[i] .< 0)
      weights[i] = rms + magnitude
      sumW += weights[i]
      sumX += weights[i] * x[i]
    }
    low = pointwiseMin(low, zero)
    let isFlat = high .== low
    let span = (high - low).replacing(with: 1, where: isFlat)
    var scale = zero
    var bestError = zero
    var best = [Lanes](repeating: zero, count: 32)
    var trial = best
    do {
      let inverse = 15 / span
      scale = 1 / inverse
      for i in 0..<32 {
        best[i] = nearest(inverse * (x[i] - low)).clamped(lowerBound: zero, upperBound: top)
        let difference = scale * best[i] + low - x[i]
        bestError += weights[i] * (difference * difference)
      }
    }
    var minimum = low
    for step in 0...20 {
      // The minimum of the best fit so far is where the next trial begins.
      let rest = (high - minimum).replacing(with: 1, where: isFlat)
      let inverse = Lanes(repeating: -1 + 0.1 * Float(step) + 15) / rest
      var (sumL, sumL2, sumXL) = (zero, zero, zero)
      for i in 0..<32 {
        let q = nearest(inverse * (x[i] - minimum)).clamped(lowerBound: zero, upperBound: top)
        trial[i] = q
        let weighted = weights[i] * q
        sumL += weighted
        sumL2 += weighted * q
        sumXL += weighted * x[i]
      }
      let determinant = sumW * sumL2 - sumL * sumL
      let isRegular = determinant .> 0
      let divisor = determinant.replacing(with: 1, where: .!isRegular)
      var fitScale = (sumW * sumXL - sumX * sumL) / divisor
      var fitMinimum = (sumL2 * sumX - sumL * sumXL) / divisor
      let isAbove = fitMinimum .> 0
      fitMinimum = fitMinimum.replacing(with: 0, where: isAbove)
      let length = sumL2.replacing(with: 1, where: sumL2 .== 0)
      fitScale = fitScale.replacing(with: sumXL / length, where: isAbove)
      var error = zero
      for i in 0..<32 {
        let difference = fitScale * trial[i] + fitMinimum - x[i]
        error += weights[i] * (difference * difference)
      }
      let isBetter = isRegular .& (error .< bestError)
      guard any(isBetter) else { continue }
      for i in 0..<32 { best[i] = best[i].replacing(with: trial[i], where: isBetter) }
      bestError = bestError.replacing(with: error, where: isBetter)
      scale = scale.replacing(with: fitScale, where: isBetter)
      minimum = minimum.replacing(with: fitMinimum, where: isBetter)
    }
    scale = scale.replacing(with: 0, where: isFlat)
    minimum = minimum.replacing(with: low, where: isFlat)
    for i in 0..<32 { best[i] = best[i].replacing(with: 0, where: isFlat) }
    return (scale, -minimum, best)
  }

  // MARK: Q6_K

  /// 16 sub-blocks of 16: x ≈ d·scale·q with q in −32…31 and 8-bit scales.
  static func encodeQ6_K(_ x: UnsafePointer<Float>, _ y: UnsafeMutableRawPointer) {
    typealias Lanes = SIMD16<Float>
    var columns = (0..<16).map { _ in Lanes() }
    for lane in 0..<16 {
      for i in 0..<16 { columns[i][lane] = x[16 * lane + i] }
    }
    columns.withUnsafeBufferPointer { columns in
      let (scales, found) = symmetricScales(columns)
      var extreme: Float = 0
      for j in 0..<16 where scales[j].magnitude > extreme.magnitude { extreme = scales[j] }
      guard extreme.magnitude >= smallestScale else {
        y.initializeMemory(as: UInt8.self, repeating: 0, count: 210)
        return
      }
      let inverse = -128 / extreme
      let d = Half(1 / inverse).bitPattern
      store(d, to: y + 208)
      var scale = Lanes()
      for j in 0..<16 {
        let code = min(127, nearest(inverse * scales[j]))
        store(Int8(max(-128, code)), to: y + 192 + j)
        scale[j] = Half(bitPattern: d).float * code
      }
      let isZero = scale .== 0
      let divisor = scale.replacing(with: 1, where: isZero)
      withUnsafeTemporaryAllocation(of: UInt8.self, capacity: 256) { codes in
        for i in 0..<16 {
          let q = nearest(columns[i] / divisor)
            .clamped(lowerBound: Lanes(repeating: -32), upperBound: Lanes(repeating: 31))
            .replacing(with: found[i], where: isZero)
          let bytes = SIMD16<UInt8>(truncatingIfNeeded: SIMD16<Int32>(q + 32))
          for j in 0..<16 { codes[16 * j + i] = bytes[j] }
        }
        for half in 0..<2 {
          let (low, high) = (y + 64 * half, y + 128 + 32 * half)
          for i in 0..<32 {
            let (a, b, c, d) = (
              codes[128 * half + i], codes[128 * half + 32 + i], codes[128 * half + 64 + i],
              codes[128 * half + 96 + i]
            )
            store((a & 15) | (c & 15) << 4, to: low + i)
            store((b & 15) | (d & 15) << 4, to: low + 32 + i)
            store(a >> 4 | (b >> 4) << 2 | (c >> 4) << 4 | (d >> 4) << 6, to: high + i)
          }
        }
      }
    }
  }

  /// What ggml takes for zero.
  private static let smallestScale: Float = 1e-15

  /// For each of 16 sub-blocks the scale s with the greatest (Σ w·x·q)² / Σ w·q², w = x², among 19 roundings q, and
  /// those q.
  private static func symmetricScales(_ x: UnsafeBufferPointer<SIMD16<Float>>) -> (
    scales: SIMD16<Float>, codes: [SIMD16<Float>]
  ) {
    typealias Lanes = SIMD16<Float>
    let (zero, low, top) = (Lanes(repeating: 0), Lanes(repeating: -32), Lanes(repeating: 31))
    var (extreme, largest) = (zero, zero)
    for value in x {
      let magnitude = value.replacing(with: -value, where: value .< 0)
      let isLarger = magnitude .> largest
      largest = largest.replacing(with: magnitude, where: isLarger)
      extreme = extreme.replacing(with: value, where: isLarger)
    }
    let isZero = largest .< smallestScale
    let divisor = extreme.replacing(with: 1, where: isZero)
    var (scale, bestGain) = (zero, zero)
    var best = [Lanes](repeating: zero, count: 16)
    var trial = best
    // The plain rounding comes first, then those around it.
    for step in [0] + Array(-9 ... -1) + Array(1...9) {
      let inverse =
        step == 0
        ? Lanes(repeating: -32) / divisor : Lanes(repeating: -(32 + 0.1 * Float(step))) / divisor
      var (sumXL, sumL2) = (zero, zero)
      for i in 0..<16 {
        let q = nearest(inverse * x[i]).clamped(lowerBound: low, upperBound: top)
        trial[i] = q
        let weight = x[i] * x[i]
        sumXL += weight * x[i] * q
        sumL2 += weight * q * q
      }
      let isUsable = sumL2 .> 0
      let fit = sumXL / sumL2.replacing(with: 1, where: .!isUsable)
      let isBetter =
        step == 0
        ? SIMDMask(repeating: true) : isUsable .& (sumXL * sumXL .> bestGain * sumL2)
      guard any(isBetter) else { continue }
      for i in 0..<16 { best[i] = best[i].replacing(with: trial[i], where: isBetter) }
      scale = scale.replacing(with: fit.replacing(with: 0, where: .!isUsable), where: isBetter)
      bestGain = bestGain.replacing(with: scale * sumXL, where: isBetter)
    }
    scale = scale.replacing(with: 0, where: isZero)
    for i in 0..<16 { best[i] = best[i].replacing(with: low, where: isZero) }
    return (scale, best)
  }
}
