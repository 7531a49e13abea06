// Oracles of the loss, the optimizer and random numbers.

import Glibc

package import Tensor

extension ReferenceOps {
  /// Results of `linearCrossEntropy`.
  package struct CrossEntropy {
    package let nll, isCorrect, dHidden, dWeight: HostArray
  }

  /// Cross-entropy of logits: nll, whether the target is the (first) argmax, and (softmax − onehot)·scale; all 0 where the target
  /// is torch's ignore_index.
  package static func crossEntropy(_ logits: HostArray, _ targets: [Int], scale: Double) -> (
    nll: HostArray, isCorrect: HostArray, dLogits: HostArray
  ) {
    var gradient = softmax(logits)
    let best = argmaxOfRows(logits)
    var nll = HostArray([targets.count], repeating: 0)
    var isCorrect = nll
    for (m, target) in targets.enumerated() {
      if target == -100 {
        for c in 0..<logits.columnCount { gradient[m, c] = 0 }
        continue
      }
      let row = (0..<logits.columnCount).map { logits[m, $0] }
      let largest = row.max() ?? 0
      nll[m] = log(row.reduce(0) { $0 + exp($1 - largest) }) + largest - row[target]
      isCorrect[m] = Int(best[m]) == target ? 1 : 0
      gradient[m, target] -= 1
    }
    return (nll, isCorrect, gradient.map { $0 * scale })
  }

  /// The same of hidden·weightᵀ, with the gradients of Σ nll·scale. `rounding` is applied to the logits.
  package static func linearCrossEntropy(
    hidden: HostArray, weight: HostArray, targets: [Int], scale: Double,
    rounding: (Double) -> Double = { $0 }
  ) -> CrossEntropy {
    let logits = matmul(hidden, weight, transposeB: true).map(rounding)
    let (nll, isCorrect, dLogits) = crossEntropy(logits, targets, scale: scale)
    return CrossEntropy(
      nll: nll, isCorrect: isCorrect, dHidden: matmul(dLogits, weight),
      dWeight: matmul(dLogits, transposeA: true, hidden))
  }

  /// One step of torch.optim.AdamW (its single-tensor form, in its order): parameter and both moments.
  package static func adamW(
    _ parameter: HostArray, gradient: HostArray, firstMoment: HostArray, secondMoment: HostArray,
    _ step: AdamWStep
  ) -> [HostArray] {
    var (p, m, v) = (parameter, firstMoment, secondMoment)
    let correction1 = 1 - pow(step.beta1, Double(step.step))
    let correction2 = 1 - pow(step.beta2, Double(step.step))
    for i in 0..<p.count {
      let g = gradient[i]
      p[i] *= 1 - step.learningRate * step.weightDecay
      m[i] += (g - m[i]) * (1 - step.beta1)
      v[i] = v[i] * step.beta2 + (1 - step.beta2) * g * g
      let denominator = v[i].squareRoot() / correction2.squareRoot() + step.epsilon
      p[i] -= step.learningRate / correction1 * m[i] / denominator
    }
    return [p, m, v]
  }

  // MARK: Random numbers

  /// Philox 4×32-10 as in the paper (Salmon et al. 2011, §3.3), on arrays of words.
  package static func philox(counter: [UInt32], key: [UInt32]) -> [UInt32] {
    var (c, k) = (counter, key)
    for round in 0..<10 {
      if round > 0 { k = [k[0] &+ 0x9E37_79B9, k[1] &+ 0xBB67_AE85] }
      let (low, high) = (UInt64(c[0]) * 0xD251_1F53, UInt64(c[2]) * 0xCD9E_8D57)
      c = [
        UInt32(high >> 32) ^ c[1] ^ k[0], UInt32(high & 0xffff_ffff),
        UInt32(low >> 32) ^ c[3] ^ k[1], UInt32(low & 0xffff_ffff),
      ]
    }
    return c
  }

  /// The words of a stream, four a block: counter (block, block ≫ 32, stream, offset), key the seed.
  package static func words(_ stream: RandomStream, count: Int) -> [UInt32] {
    (0..<(count + 3) / 4).flatMap { block in
      philox(
        counter: [UInt32(block & 0xffff_ffff), UInt32(block >> 32), stream.stream, stream.offset],
        key: [UInt32(stream.seed & 0xffff_ffff), UInt32(stream.seed >> 32)])
    }
  }

  /// low + (high − low)·(the upper 24 bits of a word)/2²⁴.
  package static func uniform(_ shape: Shape, _ range: Range<Double>, _ stream: RandomStream)
    -> HostArray
  {
    let values = words(stream, count: shape.count).prefix(shape.count).map {
      range.lowerBound + (range.upperBound - range.lowerBound) * Double($0 >> 8) / 16_777_216
    }
    return HostArray(shape, values)
  }

  /// Box & Muller on pairs of words.
  package static func normal(
    _ shape: Shape, mean: Double, standardDeviation: Double, _ stream: RandomStream
  ) -> HostArray {
    let words = words(stream, count: shape.count)
    let values = (0..<shape.count).map { i in
      let pair = i / 2 * 2
      let radius = (-2 * log((Double(words[pair]) + 1) / 4_294_967_296)).squareRoot()
      let angle = 2 * Double.pi * Double(words[pair + 1]) / 4_294_967_296
      return mean + standardDeviation * radius * (i % 2 == 0 ? cos(angle) : sin(angle))
    }
    return HostArray(shape, values)
  }

  /// The factors of dropout: 0 where 16 bits of the stream are below p·2¹⁶, else 1/(1 − p).
  package static func dropoutMask(_ shape: Shape, probability: Double, _ stream: RandomStream)
    -> HostArray
  {
    let words = words(stream, count: (shape.count + 1) / 2)
    let threshold = Int((probability * 65_536).rounded())
    let values = (0..<shape.count).map { i in
      let bits = words[i / 2] >> (i % 2 == 0 ? 0 : 16) & 0xffff
      return Int(bits) < threshold ? 0 : 1 / (1 - probability)
    }
    return HostArray(shape, values)
  }
}
