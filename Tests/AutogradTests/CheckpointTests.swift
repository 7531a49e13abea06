// Checkpointing gives the gradients of the plain block, draws the same random numbers, and frees what is inside.

import Autograd
import Tensor
import TensorTestSupport
import Testing

/// A block with everything that a transformer block trains: norm, a map with an adapter and dropout, attention.
private final class Block {
  let norm = Parameter(shape: [8])
  let weight = Parameter(shape: [8, 8], isTrainable: false)
  let a = Parameter(shape: [3, 8])
  let b = Parameter(shape: [8, 3])
  var parameters: [Parameter] { [norm, weight, a, b] }

  init(dtype: DType = .float64) {
    for (index, parameter) in parameters.enumerated() {
      parameter.value = .normal(
        parameter.shape, standardDeviation: 0.5, dtype: dtype,
        stream: RandomStream(seed: 2, purpose: .test, index: index))
    }
  }

  func callAsFunction(_ x: Variable) -> Variable {
    let tape = x.tape
    let h = tape.record(RMSNormalize(epsilon: 1e-6), [x, tape.leaf(norm)])
    let dropout = tape.randomness.map { (probability: 0.3, stream: $0.dropout(module: 4)) }
    let q = tape.record(
      LoRALinearMap(hasBias: false, adapter: LowRankPart(scale: 2, dropout: dropout)),
      [h, tape.leaf(weight), tape.leaf(a), tape.leaf(b)]
    ).reshaped([x.shape[0], 2, 4])
    let y = Autograd.attention(q, q, q, scale: 0.5, documents: [0, 2, x.shape[0]])
    return y.reshaped(x.shape) + x
  }
}

@Suite("Checkpoint")
struct CheckpointTests {
  private static let x = Tensor.normal(
    [5, 8], dtype: .float64, stream: RandomStream(seed: 3, purpose: .test))
  private static let dy = Tensor.normal(
    [5, 8], dtype: .float64, stream: RandomStream(seed: 3, purpose: .test, index: 1))

  /// Output, gradient of x (where it is an input) and gradients of the parameters, twice through the block.
  private static func run(
    checkpointed: Bool, keepsProducts: Bool = false, randomness: Randomness?, isInput: Bool = true
  ) throws -> [[Double]?] {
    let block = Block()
    let tape = Tape(randomness: randomness)
    let input = isInput ? tape.input(x) : tape.constant(x)
    func apply(_ x: Variable) -> Variable {
      checkpointed ? checkpoint(x, keepsProducts: keepsProducts) { block($0) } : block(x)
    }
    let y = apply(apply(input))
    tape.backward(from: y, seed: dy)
    return try [y.value, tape.gradient(of: input)].map { try $0?.doubles() }
      + block.parameters.map { try $0.gradient?.doubles() }
  }

  private static func isSame(_ a: [[Double]?], _ b: [[Double]?]) -> Bool {
    zip(a, b).allSatisfy { a, b in
      guard let a, let b else { return a == nil && b == nil }
      return Tolerance.of(.float64).violation(
        actual: HostArray([a.count], a), expected: HostArray([b.count], b)) == nil
    }
  }

  @Test("checkpointed gradients are the plain ones, with and without dropout")
  func equality() throws {
    for randomness in [nil, Randomness(seed: 1, pass: 7)] {
      let plain = try CheckpointTests.run(checkpointed: false, randomness: randomness)
      let kept = try CheckpointTests.run(checkpointed: true, randomness: randomness)
      #expect(CheckpointTests.isSame(plain, kept))
      #expect(plain[0] == kept[0])
      #expect(kept[1] != nil && kept[2] != nil && kept[3] == nil && kept[4] != nil)
      let products = try CheckpointTests.run(
        checkpointed: true, keepsProducts: true, randomness: randomness)
      #expect(products == kept)
    }
  }

  @Test("what a block ends in is not computed again, what it reads itself is")
  func deferral() throws {
    func counts(
      keepsProducts: Bool = false, _ body: @escaping (Variable, CountedMap) -> Variable
    ) throws -> [Int] {
      let map = CountedMap()
      let tape = Tape()
      let input = tape.input(CheckpointTests.x)
      let y = checkpoint(input, keepsProducts: keepsProducts) { body($0, map) }
      tape.backward(from: y, seed: CheckpointTests.dy)
      let expected = try CheckpointTests.dy.doubles().map { 4 * $0 }
      #expect(try tape.gradient(of: input)?.doubles() == expected)
      return [map.counts.forward, map.counts.residuals]
    }
    // Once for the output; backward asks for the residuals alone.
    #expect(try counts { x, map in x + x.tape.record(map, [x]) } == [1, 1])
    // The map is read by the scaling behind it.
    #expect(
      try counts { x, map in x + x.tape.record(map, [x]).scaled(by: 1) } == [2, 0])
    // Unless what it gave is kept.
    #expect(
      try counts(keepsProducts: true) { x, map in x + x.tape.record(map, [x]).scaled(by: 1) }
        == [1, 1])
  }

  @Test("another pass draws other dropout masks")
  func passes() throws {
    let first = try CheckpointTests.run(
      checkpointed: true, randomness: Randomness(seed: 1, pass: 0))
    let again = try CheckpointTests.run(
      checkpointed: true, randomness: Randomness(seed: 1, pass: 0))
    let second = try CheckpointTests.run(
      checkpointed: true, randomness: Randomness(seed: 1, pass: 1))
    let none = try CheckpointTests.run(checkpointed: true, randomness: nil)
    #expect(first[0] == again[0] && first[4] == again[4])
    #expect(first[0] != second[0] && first[0] != none[0])
  }

  @Test("trained parameters inside a checkpoint of a constant get their gradients")
  func constantInput() throws {
    let plain = try CheckpointTests.run(checkpointed: false, randomness: nil, isInput: false)
    let kept = try CheckpointTests.run(checkpointed: true, randomness: nil, isInput: false)
    #expect(plain[1] == nil && kept[1] == nil && kept[2] != nil && kept[4] != nil)
    #expect(CheckpointTests.isSame(plain, kept))
  }

  @Test("gradients of checkpointed blocks accumulate over tapes")
  func accumulation() throws {
    let block = Block()
    var once: [Double] = []
    for pass in 0..<2 {
      let tape = Tape()
      let y = checkpoint(tape.constant(CheckpointTests.x)) { block($0) }
      tape.backward(from: y, seed: CheckpointTests.dy)
      let gradient = try #require(block.a.gradient).doubles()
      if pass == 0 { once = gradient }
      let expected = once.map { Double(pass + 1) * $0 }
      #expect(
        Tolerance.of(.float64).violation(
          actual: HostArray([24], gradient), expected: HostArray([24], expected)) == nil)
    }
  }

  @Test("checkpoints nest")
  func nesting() throws {
    let block = Block()
    func gradients(_ body: @escaping (Variable) -> Variable) throws -> [[Double]?] {
      for parameter in block.parameters { parameter.clearGradient() }
      let tape = Tape(randomness: Randomness(seed: 1, pass: 2))
      let input = tape.input(CheckpointTests.x)
      tape.backward(from: body(input), seed: CheckpointTests.dy)
      return try [tape.gradient(of: input)?.doubles()]
        + block.parameters.map { try $0.gradient?.doubles() }
    }
    let plain = try gradients { block(block($0)) }
    for (outer, inner) in [(false, false), (true, false), (false, true), (true, true)] {
      let nested = try gradients { x in
        checkpoint(x, keepsProducts: outer) { y in
          block(checkpoint(y, keepsProducts: inner) { block($0) })
        }
      }
      #expect(CheckpointTests.isSame(plain, nested))
    }
  }

  @Test("a checkpoint keeps its input and nothing else")
  func memory() async {
    await #expect(processExitsWith: .success) {
      let block = Block(dtype: .float32)
      func kept(_ checkpointed: Bool) -> Int {
        let tape = Tape()
        let x = tape.input(Tensor.ones([64, 8]))
        let before = Device.cpu.memory.liveByteCount
        let y = checkpointed ? checkpoint(x) { block($0) } : block(x)
        let bytes = Device.cpu.memory.liveByteCount - before
        withExtendedLifetime((tape, y)) {}
        return bytes
      }
      // The output, and no more than the input beside it.
      precondition(kept(true) == 64 * 8 * 4)
      precondition(kept(false) > 4 * 64 * 8 * 4)
    }
  }

  @Test("a gated MLP holds three of its wide tensors at a time, with dropout four")
  func wideTensors() async {
    await #expect(processExitsWith: .success) {
      let device = Device.cpu
      let stream = RandomStream(seed: 1, purpose: .dropout)
      for (dropout, count) in [(nil, 3), ((probability: 0.5, stream: stream), 4)] {
        device.resetPeakMemory()
        let before = device.memory.liveByteCount
        let gradients = GatedMLP.run(dropout: dropout)
        precondition(gradients.allSatisfy { $0 != nil })
        let peak = device.memory.peakByteCount - before
        precondition(
          peak < count * GatedMLP.wideByteCount + GatedMLP.wideByteCount / 4,
          "\(peak) bytes for \(count) tensors of \(GatedMLP.wideByteCount)")
      }
    }
  }

  @Test("in inference a checkpoint is its body")
  func inference() throws {
    let block = Block()
    let tape = Tape(mode: .inference)
    let x = tape.constant(CheckpointTests.x)
    let (y, z) = (checkpoint(x) { block($0) }, block(x))
    #expect(try y.value.doubles() == z.value.doubles())
    #expect(tape.nodeCount == 0)
  }

  @Test("a training step misses the pool only the first time")
  func poolMisses() async {
    await #expect(processExitsWith: .success) {
      try TrainingStep.run()
    }
  }
}

/// A gated MLP with an adapter on its last map, whose tensors [256, 1024] are much larger than all others.
private enum GatedMLP {
  static let rows = 256
  static let wideSize = 1024
  static var wideByteCount: Int { 4 * rows * wideSize }

  /// Forward and backward; the gradients of x and of the adapter.
  static func run(dropout: (probability: Double, stream: RandomStream)? = nil) -> [Tensor?] {
    func normal(_ shape: Shape, _ index: Int) -> Tensor {
      .normal(shape, stream: RandomStream(seed: 6, purpose: .test, index: index))
    }
    let a = Parameter(shape: [2, wideSize])
    let b = Parameter(shape: [4, 2])
    (a.value, b.value) = (normal(a.shape, 1), normal(b.shape, 2))
    let tape = Tape()
    let x = tape.input(normal([rows, 4], 3))
    func output() -> Variable {
      let gate = tape.record(
        LinearMap(hasBias: false), [x, tape.constant(normal([wideSize, 4], 4))])
      let up = tape.record(
        LinearMap(hasBias: false), [x, tape.constant(normal([wideSize, 4], 5))])
      return tape.record(
        LoRALinearMap(hasBias: false, adapter: LowRankPart(scale: 2, dropout: dropout)),
        [
          swiGLU(gate: gate, up: up), tape.constant(normal([4, wideSize], 6)), tape.leaf(a),
          tape.leaf(b),
        ])
    }
    tape.backward(from: output(), seed: Tensor.ones([rows, 4]))
    return [tape.gradient(of: x), a.gradient, b.gradient]
  }
}

/// A small training step with everything in it: blocks under checkpoints, loss, clipping norm, optimizer.
private enum TrainingStep {
  static func run() throws {
    let block = Block(dtype: .float32)
    let trained = block.parameters.filter(\.isTrainable)
    var first = trained.map { Moment(Tensor.zeros($0.shape)) }
    var second = first.map { Moment($0.values.copied()) }
    let head = Tensor.normal([33, 8], stream: RandomStream(seed: 1, purpose: .test, index: 50))
    var (misses, live, losses) = (0, 0, [Double]())
    for step in 1...12 {
      let tape = Tape(randomness: Randomness(seed: 9, pass: 0))
      let x = tape.constant(
        Tensor.normal([40, 8], stream: RandomStream(seed: 1, purpose: .test, index: 51)))
      let y = checkpoint(checkpoint(x) { block($0) }) { block($0) }
      let loss = Autograd.linearCrossEntropy(
        hidden: y, weight: tape.constant(head), rows: Tensor((0..<20).map { Int32(2 * $0) }),
        targets: Tensor((0..<20).map { Int32($0) }), scale: 1 / 20.0
      ).loss
      tape.backward(from: loss)
      for (index, parameter) in trained.enumerated() {
        guard let gradient = parameter.gradient else {
          preconditionFailure("a trained parameter has no gradient")
        }
        _ = try gradient.squaredNorm().item()
        parameter.update { value in
          value.applyAdamW(
            gradient: gradient, firstMoment: &first[index], secondMoment: &second[index],
            step: AdamWStep(
              learningRate: 1e-2, beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weightDecay: 0,
              step: step))
        }
        parameter.clearGradient()
      }
      losses.append(try loss.value.item())
      let memory = Device.cpu.memory
      if step == 2 { (misses, live) = (memory.missCount, memory.liveByteCount) }
      if step > 2 {
        precondition(memory.missCount == misses, "step \(step) missed the pool")
        precondition(memory.liveByteCount == live, "step \(step) keeps more than the one before")
      }
    }
    precondition(misses > 0)
    // The same batch each time: it is learned.
    precondition(losses[11] < losses[0] - 0.05, "losses \(losses)")
  }
}

/// y = 3x, which counts how often it is computed.
private struct CountedMap: Deferrable {
  static let name = "counted"

  final class Counts: @unchecked Sendable {
    // Safety: a tape is used on one thread.
    var forward = 0
    var residuals = 0
  }
  let counts = Counts()

  func forward(_ x: [Tensor], needs: GradientMask) -> (output: Tensor, residuals: Void) {
    counts.forward += 1
    return (x[0].scaled(by: 3), ())
  }

  func outputShape(_ x: [Shape]) -> Shape { x[0] }

  func residuals(_ x: [Variable], needs: GradientMask) { counts.residuals += 1 }

  func backward(_ dy: Tensor, _: Void, into gradients: inout InputGradients) {
    gradients.accumulate(0, dy.scaled(by: 3))
  }
}
