// Random fills and dropout from Philox blocks. Element i depends on (stream, i) alone.

import Glibc

extension CPUBackend: RandomKernels {
  package func random(_ y: Destination, _ distribution: Distribution, stream: RandomStream) {
    switch distribution {
    case .uniform(let low, let high):
      draw(y, stream) { words in
        // 24 bits for float32 and float64 alike, so both types get the same numbers.
        var values = SIMD4<Double>.zero
        for i in 0..<4 { values[i] = low + (high - low) * Double(words[i] >> 8) * 0x1p-24 }
        return values
      }
    case .normal(let mean, let standardDeviation):
      // Box & Muller: two uniforms, the first never 0, give two normals.
      draw(y, stream) { words in
        var values = SIMD4<Double>.zero
        for pair in 0..<2 {
          let u = (Double(words[2 * pair]) + 1) * 0x1p-32
          let angle = 2 * Double.pi * Double(words[2 * pair + 1]) * 0x1p-32
          let radius = (-2 * log(u)).squareRoot()
          values[2 * pair] = mean + standardDeviation * radius * cos(angle)
          values[2 * pair + 1] = mean + standardDeviation * radius * sin(angle)
        }
        return values
      }
    }
  }

  private func draw(
    _ y: Destination, _ stream: RandomStream, _ body: @escaping (SIMD4<UInt32>) -> SIMD4<Double>
  ) {
    dispatch(y.dtype, DrawKernel(y: y, stream: stream, body: body), "random")
  }

  package func dropout(
    _ x: Operand, probability: Double, stream: RandomStream, into y: Destination
  ) {
    precondition(probability >= 0 && probability < 1, "dropout: probability \(probability)")
    dispatch(
      x.dtype, DropoutKernel(x: x, probability: probability, stream: stream, y: y), "dropout")
  }
}

private struct DrawKernel: FloatKernel {
  let y: Destination
  let stream: RandomStream
  let body: (SIMD4<UInt32>) -> SIMD4<Double>

  func run<T: KernelElement>(_ type: T.Type) {
    let (target, count) = (y.pointer(T.self), y.count)
    parallelFor((count + 3) / 4, grain: 4096) { range in
      for block in range {
        let values = body(stream.words(block: block))
        for i in 0..<min(4, count - 4 * block) {
          target[4 * block + i] = T(compute: T.Compute(values[i]))
        }
      }
    }
  }
}

/// Element i looks at 16 bits: half `i mod 2` of word `(i mod 8) / 2` of block i / 8. It is dropped when they are
/// below p·2¹⁶ (rounded).
private struct DropoutKernel: FloatKernel {
  let x: Operand
  let probability: Double
  let stream: RandomStream
  let y: Destination

  @inline(__always)
  func run<T: KernelElement>(_ type: T.Type) {
    let (source, target, count) = (x.pointer(T.self), y.pointer(T.self), y.count)
    let stream = stream
    let threshold = UInt32((probability * 65_536).rounded())
    let factor = T.Compute(1 / (1 - probability))
    parallelFor((count + 7) / 8, grain: 1024) { range in
      for block in range {
        let words = stream.words(block: block)
        let low = words & SIMD4(repeating: 0xffff)
        let high = words &>> SIMD4(repeating: 16)
        let bits = SIMD8<UInt32>(low[0], high[0], low[1], high[1], low[2], high[2], low[3], high[3])
        let scale = T.Compute.select(factor, where: bits, atLeast: threshold)
        let start = 8 * block
        if start + 8 <= count {
          T.store(T.load(source + start) * scale, target + start)
        } else {
          let rest = count - start
          T.store(T.load(source + start, count: rest) * scale, target + start, count: rest)
        }
      }
    }
  }
}
