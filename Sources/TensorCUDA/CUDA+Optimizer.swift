// AdamW and the norm that clipping needs.

import Glibc

package import Tensor

/// Coefficients of a step as the kernel takes them.
private struct AdamWArgument: BitwiseCopyable {
  let beta1, beta2, rest1, rest2, decay, stepSize, correction, epsilon: Double

  init(_ step: AdamWStep) {
    (beta1, beta2) = (step.beta1, step.beta2)
    (rest1, rest2) = (1 - step.beta1, 1 - step.beta2)
    decay = 1 - step.learningRate * step.weightDecay
    stepSize = step.learningRate / (1 - pow(step.beta1, Double(step.step)))
    correction = (1 - pow(step.beta2, Double(step.step))).squareRoot()
    epsilon = step.epsilon
  }
}

extension CUDABackend: OptimizerKernels {
  package func adamW(
    parameter: Destination, gradient: Operand, firstMoment: Destination, secondMoment: Destination,
    step: AdamWStep
  ) {
    precondition(
      parameter.dtype.isFloatingPoint && gradient.dtype == parameter.dtype.accumulation,
      "adamW: no kernel for \(gradient.dtype.rawValue) into \(parameter.dtype.rawValue)")
    launch(
      Kernel("training", "adamw", parameter.dtype, gradient.dtype), grid: blocks(parameter.count),
      parameter.pointer, gradient.pointer, firstMoment.pointer, secondMoment.pointer,
      Int64(parameter.count), AdamWArgument(step))
  }

  /// On the processor: adapters are small, and the update is the same to the bit. A kernel of its own would spare the copies.
  package func adamW8Bit(
    parameter: Destination, gradient: Operand, firstMoment: MomentDestination,
    secondMoment: MomentDestination, step: AdamWStep
  ) {
    let host = Device.cpu.backend
    func onHost(_ x: Destination) -> (values: Destination, buffer: Buffer)? {
      var bytes = [UInt8](repeating: 0, count: x.count * x.dtype.byteWidth)
      let buffer = Buffer(address: x.address, byteCount: bytes.count)
      // A failure stays with the context and is thrown where the device is next waited for.
      let isCopied = bytes.withUnsafeMutableBytes { bytes in
        (try? copyOut(buffer, byteOffset: 0, into: bytes)) != nil
      }
      guard isCopied else { return nil }
      let copy = host.allocate(byteCount: bytes.count)
      bytes.withUnsafeBytes { host.copyIn($0, to: copy, byteOffset: 0) }
      return (Destination(address: copy.address, dtype: x.dtype, count: x.count), copy)
    }
    let parts = [
      parameter,
      Destination(address: gradient.address, dtype: gradient.dtype, count: gradient.count),
      firstMoment.codes, firstMoment.scales, secondMoment.codes, secondMoment.scales,
    ]
    let held = parts.compactMap(onHost)
    let copies = held.map(\.values)
    if copies.count == parts.count {
      host.adamW8Bit(
        parameter: copies[0], gradient: copies[1].operand,
        firstMoment: MomentDestination(codes: copies[2], scales: copies[3]),
        secondMoment: MomentDestination(codes: copies[4], scales: copies[5]), step: step)
      for (part, copy) in zip(parts, copies) {
        let byteCount = copy.count * copy.dtype.byteWidth
        copyIn(
          UnsafeRawBufferPointer(
            start: UnsafeRawPointer(bitPattern: copy.address), count: byteCount),
          to: Buffer(address: part.address, byteCount: byteCount), byteOffset: 0)
      }
    }
    for copy in held { host.release(copy.buffer) }
  }

  package func squaredNorm(_ x: Operand, into y: Destination) {
    precondition(y.dtype == .float64, "squaredNorm: result is \(y.dtype.rawValue)")
    total(x, squared: true, into: y)
  }
}
